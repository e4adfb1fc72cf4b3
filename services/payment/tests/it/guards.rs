//! What the database refuses by itself, whatever the code does. Each test goes red without its constraint.
//!
//! - here: what an intent is about, its ledger, the service's rights; [`columns`] an intent's columns and states
//! - [`beside`] extras, refunds and disputes; [`asked`] work, requests and payouts; [`heard`] webhooks and mismatches

mod asked;
mod beside;
mod columns;
mod heard;

use hexcab_payment::domain::State;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

use crate::rig::{Ride, Rig};

/// Runs the statements in one transaction and commits; the name of the constraint that refused.
async fn refused_by(rig: &Rig, statements: &[String]) -> String {
    let mut connection = rig.pg.pool().acquire().await.unwrap();
    match run(&mut connection, statements).await {
        Ok(()) => panic!("nobody refused {statements:?}"),
        Err(error) => {
            let error = error.into_database_error().expect("the server refused");
            error
                .constraint()
                .unwrap_or_else(|| panic!("no name: {error}"))
                .to_owned()
        }
    }
}

async fn run(connection: &mut PgConnection, statements: &[String]) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    for statement in statements {
        sqlx::query(AssertSqlSafe(statement.clone()))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

/// Each statement is refused by the constraint named.
async fn check(rig: &Rig, statements: &[(String, &str)]) {
    for (statement, guard) in statements {
        let by = refused_by(rig, std::slice::from_ref(statement)).await;
        assert_eq!(by, *guard, "{statement}");
    }
}

/// A trip whose money is held, and one whose money is captured.
async fn held_and_captured() -> (Rig, Uuid, Uuid) {
    let (rig, held) = (Rig::start().await, Ride::new());
    rig.tell(&held.requested()).await;
    let captured = rig.driven(2_000).await;
    let (one, two) = (rig.intent(&held).await, rig.intent(&captured).await);
    assert!(matches!(
        (&one.state, &two.state),
        (State::Held(_), State::Captured { .. })
    ));
    (rig, one.id.uuid(), two.id.uuid())
}

fn set(id: Uuid, what: &str) -> String {
    format!("UPDATE intents SET {what} WHERE id = '{id}'")
}

const ENDED: &str = "ended_as = 'DRIVEN', ended_at = now(), driver = gen_random_uuid(), driver_due_minor = 0, tax_minor = 0";

#[tokio::test]
async fn an_intent_goes_only_where_the_table_says() {
    let (rig, held, captured) = held_and_captured().await;
    check(
        &rig,
        &[
            (
                set(held, "state = 'REQUIRES_HOLD'"),
                "intent_transition_allowed",
            ),
            (
                set(held, "state = 'UNKNOWN', asked = 'hold'"),
                "intent_transition_allowed",
            ),
            (
                set(captured, "state = 'VOIDED'"),
                "intent_transition_allowed",
            ),
            (set(captured, "state = 'HELD'"), "intent_transition_allowed"),
            (
                set(held, "state = 'DECLINED', decline_code = 'x'"),
                "intent_transition_allowed",
            ),
            (set(held, "state = 'LOST'"), "intent_transition_allowed"),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_an_intent_is_about_and_how_its_trip_ended_does_not_change() {
    let (rig, held, captured) = held_and_captured().await;
    let fixed = "intent_identity_fixed";
    check(
        &rig,
        &[
            (set(held, "amount_minor = amount_minor + 1"), fixed),
            (set(held, "rider = gen_random_uuid()"), fixed),
            (set(held, "method = 'CASH'"), fixed),
            (set(held, "processor_id = 'pi_other'"), fixed),
            (set(captured, "charge_minor = 1999"), fixed),
            (set(captured, "driver = gen_random_uuid()"), fixed),
            (set(captured, "ended_at = NULL"), fixed),
            (
                format!("DELETE FROM intents WHERE id = '{held}'"),
                "intents_kept",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn the_money_of_an_intent_is_counted_upwards_only() {
    let (rig, held, captured) = held_and_captured().await;
    let up = "intent_counts_up";
    check(
        &rig,
        &[
            (set(held, "held_minor = 1999"), up),
            (set(held, "held_minor = 2001"), up),
            (
                set(held, "state = 'HELD', processor_id = NULL, held_minor = 0"),
                "intent_identity_fixed",
            ),
            (set(captured, "captured_minor = 1999"), up),
            (set(captured, "refunded_minor = -1"), up),
            (set(captured, "version = version - 1"), up),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_trip_has_one_intent_that_begins_unheld() {
    let (rig, held, _) = held_and_captured().await;
    let twin = |state: &str| {
        format!(
            "INSERT INTO intents (id, trip, rider, method, state, currency, amount_minor, created_at, updated_at)
             SELECT gen_random_uuid(), trip, rider, method, '{state}', currency, amount_minor, now(), now() FROM intents WHERE id = '{held}'"
        )
    };
    check(
        &rig,
        &[
            (twin("REQUIRES_HOLD"), "one_intent_per_trip"),
            (twin("HELD"), "intent_begins_unheld"),
            (twin("AWAITS_CASH"), "intent_begins_unheld"),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_intent_and_its_ledger_tell_the_same_story() {
    let (rig, held, captured) = held_and_captured().await;
    let agrees = "intent_agrees_with_ledger";
    let taken = format!(
        "state = 'CAPTURED', captured_minor = 2000, charge_minor = 2000, owed_minor = 0, {ENDED}"
    );
    let void = format!(
        "INSERT INTO ledger.transfers (id, kind, debit, credit, currency, amount_minor, pending_id, pending_minor, code, reference, at, group_id, group_line, group_size)
         SELECT '{held}', 'void_pending', debit, credit, currency, 0, id, amount_minor, 'release', reference, now(), '{held}', 1, 1
         FROM ledger.transfers WHERE reference = '{held}' AND kind = 'pending'"
    );
    let gift = |reference: Uuid| {
        format!(
            "INSERT INTO ledger.transfers (id, kind, debit, credit, currency, amount_minor, code, reference, at, group_id, group_line, group_size)
             VALUES ('{captured}', 'posted', 'platform:revenue', 'platform:tax', 'USD', 1, 'adjustment', '{reference}', now(), '{captured}', 1, 1)"
        )
    };
    check(
        &rig,
        &[
            (set(held, &taken), agrees),
            (void, agrees),
            (gift(captured), agrees),
            (gift(held), agrees),
            (
                "INSERT INTO intents (id, trip, rider, method, state, currency, amount_minor, created_at, updated_at) VALUES
                 (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'CARD', 'REQUIRES_HOLD', 'USD', 1, now(), now())"
                    .to_owned(),
                agrees,
            ),
            (set(held, "raise_minor = 300"), agrees),
        ],
    )
    .await;
    // In a group the other lines may be about another intent.
    let two = format!(
        "INSERT INTO ledger.transfers (id, kind, debit, credit, currency, amount_minor, code, reference, at, group_id, group_line, group_size)
         VALUES ('{captured}', 'posted', 'platform:fees', 'platform:losses', 'USD', 1, 'adjustment', gen_random_uuid(), now(), '{captured}', 1, 2),
                ('{held}', 'posted', 'platform:fees', 'platform:losses', 'USD', 1, 'adjustment', '{held}', now(), '{captured}', 2, 2)"
    );
    assert_eq!(refused_by(&rig, &[two]).await, agrees);
}

#[tokio::test]
async fn the_service_cannot_change_what_was_entered() {
    let (rig, held, _) = held_and_captured().await;
    for statement in [
        "UPDATE ledger.transfers SET amount_minor = 1",
        "DELETE FROM ledger.transfers",
        "TRUNCATE ledger.transfers",
        "UPDATE ledger.entries SET posted_minor = 1",
        "DELETE FROM ledger.entries",
        "UPDATE ledger.balances SET credits_posted = 0",
        "DELETE FROM ledger.pendings",
        "ALTER TABLE ledger.transfers DISABLE TRIGGER ALL",
        "DELETE FROM intents",
        "DROP TABLE intents",
    ] {
        let refused = sqlx::query(statement)
            .execute(rig.service.pool())
            .await
            .unwrap_err();
        let code = refused.as_database_error().and_then(|error| error.code());
        assert_eq!(code.as_deref(), Some("42501"), "{statement}");
    }
    let owned = set(held, "updated_at = now()");
    sqlx::query(AssertSqlSafe(owned))
        .execute(rig.service.pool())
        .await
        .unwrap();
}
