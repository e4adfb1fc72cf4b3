//! What the processor told, and what did not fit: heard once, resolved once, kept.

use super::check;
use crate::rig::Rig;

/// Statements that nobody refuses.
async fn done(rig: &Rig, statements: &'static str) {
    sqlx::raw_sql(statements)
        .execute(rig.pg.pool())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_webhook_is_heard_once_followed_once_and_of_a_known_kind() {
    let rig = Rig::start().await;
    let heard = |id: &str, about: &str, object: &str| {
        format!(
            "INSERT INTO webhook_events (id, type, about, object, created_at) VALUES ('{id}', 'x', '{about}', '{object}', now())"
        )
    };
    done(&rig, "INSERT INTO webhook_events (id, type, about, object, created_at) VALUES ('evt_1', 'x', 'payment', 'pi_1', now())").await;
    let set = |what: &str| format!("UPDATE webhook_events SET {what}");
    check(
        &rig,
        &[
            (
                heard("evt_1", "payment", "pi_1"),
                "webhook_event_heard_once",
            ),
            (heard("evt_2", "weather", "pi_1"), "webhook_about_known"),
            (
                heard("evt_2", "payment", "../pi_1"),
                "webhook_object_is_an_id",
            ),
            (heard("evt_2", "payment", ""), "webhook_object_is_an_id"),
            (
                set("followed_at = now(), outcome = 'x'"),
                "webhook_outcome_known",
            ),
            (set("followed_at = now()"), "webhook_followed_has_outcome"),
            (set("outcome = 'told'"), "webhook_followed_has_outcome"),
            (set("object = 'pi_2'"), "webhook_event_followed_once"),
        ],
    )
    .await;
    done(
        &rig,
        "UPDATE webhook_events SET followed_at = now(), outcome = 'told'",
    )
    .await;
    check(
        &rig,
        &[(set("outcome = 'nothing'"), "webhook_event_followed_once")],
    )
    .await;
}

#[tokio::test]
async fn one_comparison_runs_at_a_time_and_says_how_it_ended() {
    let rig = Rig::start().await;
    let run = |columns: &str, values: &str| {
        format!("INSERT INTO reconciliations (id, {columns}) VALUES (gen_random_uuid(), {values})")
    };
    done(
        &rig,
        "INSERT INTO reconciliations (id, lease_until) VALUES (gen_random_uuid(), now())",
    )
    .await;
    check(
        &rig,
        &[
            (run("lease_until", "now()"), "one_running_reconciliation"),
            (run("lease_until", "NULL"), "reconciliation_runs_or_ended"),
            (
                run("lease_until, ended_at", "now(), now()"),
                "reconciliation_runs_or_ended",
            ),
            (
                run("lease_until, error", "now(), 'x'"),
                "reconciliation_failed_has_ended",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_mismatch_is_open_once_resolved_once_with_a_reason_and_kept() {
    let rig = Rig::start().await;
    let new = |kind: &str, subject: &str| {
        format!(
            "INSERT INTO mismatches (id, kind, subject, ours, theirs) VALUES (gen_random_uuid(), '{kind}', '{subject}', 'x', 'y')"
        )
    };
    done(
        &rig,
        "INSERT INTO mismatches (id, kind, subject, ours, theirs) VALUES
         (gen_random_uuid(), 'STUCK_HOLD', 'a', 'x', 'y'), (gen_random_uuid(), 'STUCK_HOLD', 'b', 'x', 'y')",
    )
    .await;
    let set = |subject: &str, what: &str| {
        format!("UPDATE mismatches SET {what} WHERE subject = '{subject}'")
    };
    let (says, asked) = (
        "mismatch_resolved_says_when_and_why",
        "mismatch_operator_asked",
    );
    let resolved = "state = 'RESOLVED', resolved_at = now()";
    check(
        &rig,
        &[
            (new("STUCK_HOLD", "a"), "one_open_mismatch"),
            (new("STRANGE", "c"), "mismatch_kind_known"),
            (set("a", "state = 'LOST'"), "mismatch_state_known"),
            (set("a", "times_seen = 0"), "mismatch_seen_once_at_least"),
            (set("a", "state = 'RESOLVED'"), says),
            (set("a", resolved), says),
            (set("a", "reason = 'x'"), says),
            (
                set("a", &format!("{resolved}, reason = ''")),
                "mismatch_reason_said",
            ),
            (
                set(
                    "a",
                    &format!("{resolved}, reason = 'x', operator = gen_random_uuid()"),
                ),
                asked,
            ),
            (
                set(
                    "a",
                    "operator = gen_random_uuid(), resolved_request = gen_random_uuid()",
                ),
                asked,
            ),
            (set("a", "subject = 'c'"), "mismatch_resolved_once"),
            ("DELETE FROM mismatches".to_owned(), "mismatches_kept"),
        ],
    )
    .await;
    done(
        &rig,
        "UPDATE mismatches SET state = 'RESOLVED', resolved_at = now(), reason = 'x', operator = gen_random_uuid(),
                               resolved_request = '00000000-0000-0000-0000-000000000001' WHERE subject = 'a'",
    )
    .await;
    let request =
        "operator = gen_random_uuid(), resolved_request = '00000000-0000-0000-0000-000000000001'";
    check(
        &rig,
        &[
            (set("a", "reason = 'y'"), "mismatch_resolved_once"),
            (
                set("a", "state = 'OPEN', resolved_at = NULL"),
                "mismatch_resolved_once",
            ),
            (
                set("b", &format!("{resolved}, reason = 'x', {request}")),
                "one_resolution_per_request",
            ),
        ],
    )
    .await;
}
