//! Extras, refunds and disputes: asked once, answered once, within what was taken.

use hexcab_types::{Currency, Money};
use uuid::Uuid;

use super::{check, refused_by};
use crate::rig::{Ride, Rig, give_back, key};

/// A captured ride with a tip and a refund that are asked for and not answered.
pub async fn with_tip_and_refund() -> (Rig, Ride, Uuid) {
    let rig = Rig::start().await;
    let ride = rig.driven(2_000).await;
    let tip = Money::new(200, Currency::Usd);
    rig.store
        .tip(&key(), ride.trip, ride.rider, tip)
        .await
        .unwrap();
    rig.store
        .refund(&key(), ride.trip, &give_back(Some(1_000), true))
        .await
        .unwrap();
    let id = rig.intent(&ride).await.id.uuid();
    (rig, ride, id)
}

#[tokio::test]
async fn what_is_asked_once_is_answered_once() {
    let (rig, _, intent) = with_tip_and_refund().await;
    let finish = |step: &str| format!("UPDATE work SET finished_at = now() WHERE step = '{step}'");
    check(
        &rig,
        &[
            (finish("tip"), "answer_kept"),
            (finish("refund"), "answer_kept"),
            ("UPDATE extras SET amount_minor = 1".to_owned(), "answer_final"),
            ("UPDATE refunds SET amount_minor = 1".to_owned(), "answer_final"),
            ("DELETE FROM extras".to_owned(), "extras_kept"),
            ("DELETE FROM refunds".to_owned(), "refunds_kept"),
            (
                format!("INSERT INTO extras (id, intent, kind, amount_minor, state, processor_id, created_at) VALUES (gen_random_uuid(), '{intent}', 'REST', 1, 'DONE', 'pi_x', now())"),
                "answer_begins_awaited",
            ),
            ("UPDATE extras SET state = 'DONE'".to_owned(), "extra_answer_whole"),
            ("UPDATE refunds SET state = 'REFUSED'".to_owned(), "refund_answer_whole"),
            ("UPDATE extras SET state = 'DONE', processor_id = 'pi_x'".to_owned(), "intent_agrees_with_ledger"),
            ("UPDATE refunds SET state = 'DONE', processor_id = 're_x'".to_owned(), "intent_agrees_with_ledger"),
        ],
    )
    .await;
    rig.work().await;
    check(
        &rig,
        &[
            (
                "UPDATE extras SET processor_id = 'pi_x'".to_owned(),
                "answer_final",
            ),
            (
                "UPDATE refunds SET state = 'UNKNOWN', processor_id = NULL".to_owned(),
                "answer_final",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_trip_has_one_rest_and_one_tip() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.requested()).await;
    rig.tell(&ride.completed_with(2_500, 1_900)).await;
    rig.work().await;
    let tip = Money::new(200, Currency::Usd);
    rig.store
        .tip(&key(), ride.trip, ride.rider, tip)
        .await
        .unwrap();
    let again = |kind: &str, driver: &str| {
        format!(
            "INSERT INTO extras (id, intent, kind, amount_minor, driver, state, created_at)
             SELECT gen_random_uuid(), intent, kind, 1, {driver}, 'AWAITED', now() FROM extras WHERE kind = '{kind}'"
        )
    };
    check(
        &rig,
        &[
            (again("REST", "NULL"), "one_rest_per_intent"),
            (again("TIP", "driver"), "one_tip_per_intent"),
            (again("TIP", "NULL"), "extra_tip_has_driver"),
            (again("REST", "gen_random_uuid()"), "extra_tip_has_driver"),
        ],
    )
    .await;
}

/// A row of refunds: an amount, whose it is, and whether the driver bears his part.
fn refund(intent: Uuid, amount: i64, (driver, tax): (i64, i64), clawback: bool) -> String {
    format!(
        "INSERT INTO refunds (id, intent, amount_minor, driver_minor, tax_minor, clawback, reason, operator, state, created_at)
         VALUES (gen_random_uuid(), '{intent}', {amount}, {driver}, {tax}, {clawback}, 'x', gen_random_uuid(), 'AWAITED', now())"
    )
}

/// A line of the ledger about an intent, from one account to another; `{rider}` is the intent's.
fn entered(intent: Uuid, kind: &str, (from, to): (&str, &str), amount: i64, code: &str) -> String {
    let [from, to] = [from, to].map(|account| match account {
        "rider" => "'riders/' || rider".to_owned(),
        other => format!("'{other}'"),
    });
    let id = Uuid::now_v7();
    format!(
        "INSERT INTO ledger.transfers (id, kind, debit, credit, currency, amount_minor, code, reference, at, group_id, group_line, group_size)
         SELECT '{id}', '{kind}', {from}, {to}, currency, {amount}, '{code}', id, now(), '{id}', 1, 1 FROM intents WHERE id = '{intent}'"
    )
}

/// The refund, promised in the ledger as it should be.
fn promised(intent: Uuid, amount: i64, parts: (i64, i64), clawback: bool) -> [String; 2] {
    let promise = entered(intent, "pending", ("rider", "processor"), amount, "refund");
    [refund(intent, amount, parts, clawback), promise]
}

#[tokio::test]
async fn no_more_is_given_back_than_was_taken_and_nobody_bears_more_than_he_got() {
    let (rig, _, intent) = with_tip_and_refund().await;
    let refunded = |amount, parts, clawback| promised(intent, amount, parts, clawback);
    let (taken, shares) = ("refunds_within_taken", "refund_parts_within_shares");
    for (statements, guard) in [
        (refunded(1_001, (0, 0), false), taken),
        (refunded(1_000, (701, 0), true), shares),
        (refunded(1_000, (0, 76), false), shares),
    ] {
        assert_eq!(refused_by(&rig, &statements).await, guard, "{statements:?}");
    }
    let bears = "refund_driver_bears_by_clawback";
    check(
        &rig,
        &[
            (refund(intent, 1_000, (1, 0), false), bears),
            (
                refund(intent, 1_000, (-1, 0), true),
                "refund_parts_not_negative",
            ),
            (
                refund(intent, 1_000, (0, -1), true),
                "refund_parts_not_negative",
            ),
            (refund(intent, 0, (0, 0), false), "refund_amount_positive"),
            (
                refund(intent, 1, (0, 0), false).replace("'x'", "''"),
                "refund_reason_said",
            ),
            (
                refund(Uuid::now_v7(), 1, (0, 0), false),
                "refunds_intent_fkey",
            ),
        ],
    )
    .await;
    rig.work().await;
    // What the rider's bank took back is gone as well.
    let mut disputed = vec![
        format!(
            "INSERT INTO disputes SELECT 'dp_1', id, processor_id, 600, 'fraudulent', 'OPEN', now(), NULL FROM intents WHERE id = '{intent}'"
        ),
        entered(
            intent,
            "posted",
            ("processor:disputes", "processor"),
            600,
            "chargeback",
        ),
    ];
    disputed.extend(refunded(401, (0, 0), false));
    assert_eq!(refused_by(&rig, &disputed).await, taken);
}

#[tokio::test]
async fn no_more_of_a_rest_is_given_back_than_it_was() {
    let (rig, intent) = with_rest().await;
    let of_rest = |amount| {
        let [refund, promise] = promised(intent, amount, (0, 0), false);
        let refund = refund
            .replace("(id, intent,", "(id, rest, intent,")
            .replace(
                "VALUES (gen_random_uuid(),",
                "SELECT gen_random_uuid(), id,",
            )
            .replace("now())", "now() FROM extras WHERE kind = 'REST'");
        [refund, promise]
    };
    assert_eq!(
        refused_by(&rig, &of_rest(501)).await,
        "refunds_within_taken"
    );
    let [unknown, _] =
        of_rest(1).map(|sql| sql.replace("uuid(), id,", "uuid(), gen_random_uuid(),"));
    assert_eq!(refused_by(&rig, &[unknown]).await, "refunds_rest_fkey");
}

/// A ride that cost 5.00 more than was held, taken beside it.
async fn with_rest() -> (Rig, Uuid) {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.requested()).await;
    rig.work().await;
    rig.tell(&ride.completed_with(2_500, 1_900)).await;
    rig.work().await;
    let tip = Money::new(200, Currency::Usd);
    let key = key();
    let tip = rig.store.tip(&key, ride.trip, ride.rider, tip);
    tip.await.unwrap();
    let id = rig.intent(&ride).await.id.uuid();
    (rig, id)
}

#[tokio::test]
async fn extras_and_refunds_are_of_known_kinds_and_each_is_one_payment() {
    let (rig, intent) = with_rest().await;
    let extra = |intent: Uuid, kind: &str, amount: i64| {
        format!(
            "INSERT INTO extras (id, intent, kind, amount_minor, state, created_at)
             VALUES (gen_random_uuid(), '{intent}', '{kind}', {amount}, 'AWAITED', now())"
        )
    };
    let rest = "SELECT processor_id FROM extras WHERE kind = 'REST'";
    check(
        &rig,
        &[
            (extra(intent, "GIFT", 1), "extra_kind_known"),
            (extra(intent, "REST", 0), "extra_amount_positive"),
            (extra(Uuid::now_v7(), "REST", 1), "extras_intent_fkey"),
            (
                "UPDATE extras SET state = 'LOST' WHERE kind = 'TIP'".to_owned(),
                "extra_state_known",
            ),
            (
                format!(
                    "UPDATE extras SET state = 'DONE', processor_id = ({rest}) WHERE kind = 'TIP'"
                ),
                "one_extra_per_processor_payment",
            ),
        ],
    )
    .await;
    let (rig, ride, _) = with_tip_and_refund().await;
    rig.work().await;
    rig.store
        .refund(&key(), ride.trip, &give_back(Some(1), false))
        .await
        .unwrap();
    let first = "SELECT max(processor_id) FROM refunds";
    check(
        &rig,
        &[
            ("UPDATE refunds SET state = 'LOST' WHERE state = 'AWAITED'".to_owned(), "refund_state_known"),
            (
                format!("UPDATE refunds SET state = 'DONE', processor_id = ({first}) WHERE state = 'AWAITED'"),
                "one_refund_per_processor_refund",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_dispute_is_closed_once() {
    let rig = Rig::start().await;
    let ride = rig.driven(2_000).await;
    let hold = rig.intent(&ride).await.state.hold().unwrap().id.clone();
    let made = rig
        .sandbox
        .befall("disputes", serde_json::json!({"payment_intent": hold.0}))
        .await;
    let processor = rig.sandbox.processor();
    use hexcab_payment::processor::{DisputeStatus, Processor as _};
    let dispute = processor
        .dispute(made["id"].as_str().unwrap())
        .await
        .unwrap();
    rig.store.dispute(&dispute).await.unwrap();
    check(
        &rig,
        &[
            (
                "UPDATE disputes SET amount_minor = 1".to_owned(),
                "dispute_closed_once",
            ),
            (
                "UPDATE disputes SET state = 'WON'".to_owned(),
                "dispute_closed_has_time",
            ),
            (
                "UPDATE disputes SET state = 'WON', closed_at = now()".to_owned(),
                "intent_agrees_with_ledger",
            ),
            (
                "UPDATE disputes SET state = 'GONE', closed_at = now()".to_owned(),
                "dispute_state_known",
            ),
            (
                "INSERT INTO disputes SELECT * FROM disputes".to_owned(),
                "disputes_pkey",
            ),
            (
                "INSERT INTO disputes SELECT 'dp_x', intent, payment, 0, reason, state, opened_at FROM disputes".to_owned(),
                "dispute_amount_positive",
            ),
            (
                "INSERT INTO disputes SELECT 'dp_x', gen_random_uuid(), payment, 1, reason, state, opened_at FROM disputes".to_owned(),
                "disputes_intent_fkey",
            ),
            ("DELETE FROM disputes".to_owned(), "disputes_kept"),
        ],
    )
    .await;
    let lost = hexcab_payment::processor::Dispute {
        status: DisputeStatus::Lost,
        ..dispute
    };
    rig.store.dispute(&lost).await.unwrap();
    let reopen = "UPDATE disputes SET state = 'OPEN', closed_at = NULL".to_owned();
    assert_eq!(refused_by(&rig, &[reopen]).await, "dispute_closed_once");
}
