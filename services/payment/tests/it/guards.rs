//! What the database refuses by itself, whatever the code does. Each test goes red without its constraint.

use std::collections::BTreeSet;

use hexcab_payment::{
    domain::{
        Answer, Extra, ExtraKind, Hold, HoldStep, Intent, ProcessorId, Said, State, Taken,
        Unanswered,
        decide::{Command, decide},
    },
    store::PayoutAsk,
};
use hexcab_types::{Currency, Money, Timestamp};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

use crate::rig::{Ride, Rig, give_back, key};

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
            (set(captured, "captured_minor = 1999"), up),
            (set(captured, "version = version - 1"), up),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_intents_columns_fit_its_state() {
    let (rig, held, captured) = held_and_captured().await;
    let nothing_taken = format!(
        "state = 'CAPTURED', captured_minor = 0, charge_minor = 0, owed_minor = 0, {ENDED}"
    );
    let too_much = format!(
        "state = 'CAPTURED', captured_minor = 2001, charge_minor = 2001, owed_minor = 0, {ENDED}"
    );
    let too_little = format!(
        "state = 'CAPTURED', captured_minor = 1999, charge_minor = 2000, owed_minor = 0, {ENDED}"
    );
    let unowed = format!(
        "state = 'CAPTURE_FAILED', decline_code = 'x', charge_minor = 2000, owed_minor = 1999, {ENDED}"
    );
    let due = format!("state = 'VOIDED', charge_minor = 1, {ENDED}");
    check(
        &rig,
        &[
            (set(held, "decline_code = 'x'"), "intent_declined_has_code"),
            (set(held, "state = 'UNKNOWN'"), "intent_unknown_says_what"),
            (set(held, "charge_minor = 1"), "intent_ending_whole"),
            (
                set(held, "driver = gen_random_uuid()"),
                "intent_ending_whole",
            ),
            (
                set(held, &format!("charge_minor = -1, {ENDED}")),
                "intent_ending_whole",
            ),
            (
                set(
                    held,
                    &format!(
                        "charge_minor = 5, {}",
                        ENDED.replace("tax_minor = 0", "tax_minor = 6")
                    ),
                ),
                "intent_ending_whole",
            ),
            (set(held, &nothing_taken), "intent_captured_within_hold"),
            (set(held, &too_much), "intent_captured_within_hold"),
            (set(held, &too_little), "intent_settled_as_charged"),
            (set(held, &unowed), "intent_settled_as_charged"),
            (set(held, &due), "intent_settled_as_charged"),
            (set(captured, "rest_minor = 1"), "intent_settled_as_charged"),
            (set(captured, "owed_minor = 1"), "intent_settled_as_charged"),
            (
                set(captured, "refunded_minor = 1"),
                "intent_refunded_within_taken",
            ),
            (
                set(captured, "state = 'REFUNDED', refunded_minor = 1999"),
                "intent_refunded_within_taken",
            ),
            (
                set(captured, "state = 'PARTLY_REFUNDED', refunded_minor = 2000"),
                "intent_refunded_within_taken",
            ),
            (set(held, "raise_minor = -1"), "intent_raise_not_negative"),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_intent_of_cash_asks_no_processor() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&Ride::in_cash(&ride.requested())).await;
    let id = rig.intent(&ride).await.id.uuid();
    for guard in [
        "state = 'HELD', processor_id = 'pi', held_minor = 2000",
        "state = 'REQUIRES_HOLD'",
    ] {
        let by = refused_by(&rig, &[set(id, guard)]).await;
        assert_eq!(by, "intent_transition_allowed");
    }
    let statements = [
        "INSERT INTO intent_transitions VALUES ('AWAITS_CASH', 'DECLINED')".to_owned(),
        set(id, "state = 'DECLINED', decline_code = 'x'"),
    ];
    assert_eq!(
        refused_by(&rig, &statements).await,
        "intent_state_fits_method"
    );
    let statements = [
        "INSERT INTO intent_transitions VALUES ('AWAITS_CASH', 'VOIDED')  ON CONFLICT DO NOTHING"
            .to_owned(),
        set(
            id,
            &format!("state = 'VOIDED', processor_id = 'pi', charge_minor = 0, {ENDED}"),
        ),
    ];
    assert_eq!(
        refused_by(&rig, &statements).await,
        "intent_held_has_processor_id"
    );
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
async fn steps_have_their_places_and_one_each() {
    let (rig, held, captured) = held_and_captured().await;
    let step = |of: Uuid, ordinal: i16, step: &str| {
        format!("INSERT INTO work (intent, ordinal, step) VALUES ('{of}', {ordinal}, '{step}')")
    };
    check(
        &rig,
        &[
            (step(captured, 3, "void"), "one_step_per_place"),
            (step(held, 1, "hold"), "one_step_per_place"),
            (step(held, 2, "hold"), "work_step_in_its_place"),
            (step(held, 4, "void"), "work_step_in_its_place"),
            (step(held, 5, "capture"), "work_step_in_its_place"),
            (step(held, 3, "steal"), "work_step_in_its_place"),
            (step(held, 2, "raise"), "work_says_of_what"),
            (step(captured, 4, "charge"), "work_says_of_what"),
            (step(captured, 5, "refund"), "work_says_of_what"),
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

#[tokio::test]
async fn a_settlement_does_not_end_without_what_it_charges() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.sandbox
        .fault(serde_json::json!({"kind": "decline", "rider": ride.rider.to_string()}))
        .await;
    rig.tell(&ride.requested()).await;
    rig.work().await;
    rig.tell(&ride.completed(2_000)).await;
    let held = Ride::new();
    rig.tell(&held.requested()).await;
    rig.worker().work_once().await.unwrap();
    for of in [&ride, &held] {
        let id = rig.intent(of).await.id.uuid();
        let finish = format!(
            "INSERT INTO work (intent, ordinal, step, finished_at) VALUES ('{id}', 3, 'capture', now())
             ON CONFLICT (intent, ordinal) DO UPDATE SET finished_at = now()"
        );
        assert_eq!(refused_by(&rig, &[finish]).await, "settlement_kept");
    }
}

/// A captured ride with a tip and a refund that are asked for and not answered.
async fn with_tip_and_refund() -> (Rig, Ride, Uuid) {
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

#[tokio::test]
async fn no_more_is_given_back_than_was_taken_and_nobody_bears_more_than_he_got() {
    let (rig, _, intent) = with_tip_and_refund().await;
    let refund = |amount: i64, driver: i64, tax: i64, clawback: bool| {
        format!(
            "INSERT INTO refunds (id, intent, amount_minor, driver_minor, tax_minor, clawback, reason, operator, state, created_at)
             VALUES (gen_random_uuid(), '{intent}', {amount}, {driver}, {tax}, {clawback}, 'x', gen_random_uuid(), 'AWAITED', now())"
        )
    };
    check(
        &rig,
        &[
            (refund(1_001, 0, 0, false), "refunds_within_taken"),
            (refund(1_000, 701, 0, true), "refund_parts_within_shares"),
            (refund(1_000, 0, 76, false), "refund_parts_within_shares"),
            (
                refund(1_000, 1, 0, false),
                "refund_driver_bears_by_clawback",
            ),
            (refund(1_000, -1, 0, true), "refund_parts_not_negative"),
            (refund(0, 0, 0, false), "refund_amount_positive"),
        ],
    )
    .await;
    rig.work().await;
    let payment: String = sqlx::query_scalar("SELECT processor_id FROM intents")
        .fetch_one(rig.pg.pool())
        .await
        .unwrap();
    let dispute = format!(
        "INSERT INTO disputes VALUES ('dp_1', '{intent}', '{payment}', 600, 'fraudulent', 'OPEN', now(), NULL)"
    );
    let with_dispute = [dispute, refund(401, 0, 0, false)];
    let by = refused_by(&rig, &with_dispute).await;
    assert!(
        ["refunds_within_taken", "intent_agrees_with_ledger"].contains(&by.as_str()),
        "{by}"
    );
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

#[tokio::test]
async fn a_payout_is_what_is_owed_set_aside_and_fixed() {
    let rig = Rig::start().await;
    let (ride, other) = (rig.driven(2_000).await, rig.driven(2_000).await);
    let ask = PayoutAsk {
        currency: Currency::Usd,
        as_of: None,
        minimum: None,
    };
    let batch = rig.store.pay_out(&key(), ask).await.unwrap().id.uuid();
    let driver = ride.driver.uuid();
    let second = |state: &str| {
        let id = Uuid::now_v7();
        vec![
            format!(
                "INSERT INTO payouts SELECT '{id}', currency, as_of, minimum_minor, 1, 1, sha256, '{state}', created_at, NULL FROM payouts WHERE id = '{batch}'"
            ),
            format!(
                "INSERT INTO payout_lines VALUES ('{id}', 1, '{driver}', 'USD', 1, gen_random_uuid(), 'PENDING', NULL)"
            ),
        ]
    };
    assert_eq!(
        refused_by(&rig, &second("OPEN")).await,
        "one_open_payout_per_driver"
    );
    check(
        &rig,
        &[
            (
                "UPDATE payout_lines SET amount_minor = 1".to_owned(),
                "payout_fixed",
            ),
            (
                "UPDATE payouts SET total_minor = 1".to_owned(),
                "payout_fixed",
            ),
            ("DELETE FROM payout_lines".to_owned(), "payouts_kept"),
            ("DELETE FROM payouts".to_owned(), "payouts_kept"),
            (
                "UPDATE payouts SET state = 'CONFIRMED'".to_owned(),
                "payout_confirmed_has_time",
            ),
            (
                "UPDATE payouts SET state = 'CONFIRMED', confirmed_at = now()".to_owned(),
                "payout_agrees_with_lines",
            ),
            (
                "UPDATE payout_lines SET state = 'PAID'".to_owned(),
                "payout_line_agrees_with_ledger",
            ),
            (
                "UPDATE payout_lines SET state = 'FAILED'".to_owned(),
                "payout_line_failed_has_reason",
            ),
            (second("CONFIRMED").remove(0), "payout_begins_open"),
            (second("OPEN").remove(0), "payout_agrees_with_lines"),
        ],
    )
    .await;
    // Another driver, a cent too much: promised in the ledger, but more than he is owed.
    rig.store
        .confirm(&key(), batch.into(), &[(other.driver, "x".to_owned())])
        .await
        .unwrap();
    let (id, to) = (Uuid::now_v7(), other.driver.uuid());
    let more = [
        format!(
            "INSERT INTO ledger.transfers (id, kind, debit, credit, currency, amount_minor, code, reference, at, group_id, group_line, group_size)
             VALUES ('{id}', 'pending', 'drivers/{to}', 'platform:payouts', 'USD', 1401, 'payout', '{id}', now(), '{id}', 1, 1)"
        ),
        format!("INSERT INTO payouts SELECT '{id}', currency, as_of, minimum_minor, 1, 1401, sha256, 'OPEN', created_at, NULL FROM payouts WHERE id = '{batch}'"),
        format!("INSERT INTO payout_lines VALUES ('{id}', 1, '{to}', 'USD', 1401, '{id}', 'PENDING', NULL)"),
    ];
    assert_eq!(refused_by(&rig, &more).await, "payout_within_owed");
}

#[tokio::test]
async fn a_request_has_one_answer_for_ever() {
    let (rig, ride, _) = with_tip_and_refund().await;
    check(
        &rig,
        &[
            (
                "UPDATE requests SET made = '{}'".to_owned(),
                "request_answered_once",
            ),
            (
                "UPDATE requests SET body_hash = sha256('x')".to_owned(),
                "request_answered_once",
            ),
            ("DELETE FROM requests".to_owned(), "requests_kept"),
            (
                "INSERT INTO requests SELECT request_id, body_hash, asked_at FROM requests"
                    .to_owned(),
                "requests_pkey",
            ),
            (
                "INSERT INTO requests VALUES (gen_random_uuid(), sha256('x'), now(), '{}', 'x')"
                    .to_owned(),
                "requests_one_answer",
            ),
        ],
    )
    .await;
    assert_eq!(rig.money(&ride).await.beside.refunds.len(), 1);
}

#[tokio::test]
async fn the_transition_table_is_the_domains() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.requested()).await;
    rig.tell(&ride.completed(2_000)).await;
    let fresh = rig.intent(&ride).await;
    let mut expected = BTreeSet::new();
    for state in states() {
        for command in commands() {
            for charge in [0, 2_000, 2_500] {
                let mut before = Intent {
                    state: state.clone(),
                    raise: Money::new(300, Currency::Usd),
                    ..fresh.clone()
                };
                if let Some(ending) = &mut before.ending {
                    ending.charge.amount.minor = charge;
                }
                let Ok(event) = decide(&before, command.clone()) else {
                    continue;
                };
                let after = before.apply(&event);
                if name(&state) != name(&after.state) {
                    expected.insert((name(&state), name(&after.state)));
                }
            }
        }
    }
    let table: Vec<(String, String)> =
        sqlx::query_as("SELECT from_state, to_state FROM intent_transitions")
            .fetch_all(rig.pg.pool())
            .await
            .unwrap();
    assert_eq!(table.into_iter().collect::<BTreeSet<_>>(), expected);
}

fn states() -> Vec<State> {
    let usd = |minor| Money::new(minor, Currency::Usd);
    let code = || "x".to_owned();
    let hold = || Hold {
        id: ProcessorId("pi".into()),
        amount: usd(2_000),
    };
    let captured = |refunded| State::Captured {
        hold: hold(),
        taken: Taken {
            refunded: usd(refunded),
            ..Taken::captured(usd(2_000))
        },
    };
    let owed = usd(2_000);
    vec![
        State::RequiresHold,
        State::Held(hold()),
        captured(0),
        captured(1),
        captured(2_000),
        State::CaptureFailed {
            hold: hold(),
            code: code(),
            owed,
        },
        State::Voided { hold: None },
        State::Declined {
            code: code(),
            owed: None,
        },
        State::Unknown(Unanswered::Hold),
        State::Unknown(Unanswered::Raise(hold())),
        State::Unknown(Unanswered::Capture(hold())),
        State::Unknown(Unanswered::Void(hold())),
        State::AwaitsCash,
        State::CashCollected,
        State::Owed { owed },
    ]
}

fn commands() -> Vec<Command> {
    let usd = |minor| Money::new(minor, Currency::Usd);
    let code = || "x".to_owned();
    let processor_id = || ProcessorId("pi".into());
    let done = || Said::Done {
        processor_id: processor_id(),
    };
    let extra = |kind| Extra {
        id: Uuid::from_u128(1).into(),
        kind,
        amount: usd(500),
        answer: Answer::Awaited,
        created_at: Timestamp::UNIX_EPOCH,
    };
    let refund = |minor| hexcab_payment::domain::Refund {
        id: Uuid::from_u128(1).into(),
        of: hexcab_payment::domain::refund::Of::Capture,
        amount: usd(minor),
        driver_part: usd(0),
        tax_part: usd(0),
        clawback: false,
        reason: "x".into(),
        operator: Uuid::from_u128(7).into(),
        answer: Answer::Awaited,
        created_at: Timestamp::UNIX_EPOCH,
    };
    let tip = ExtraKind::Tip {
        driver: Uuid::from_u128(9).into(),
    };
    let mut commands = vec![
        Command::PlaceHold {
            processor_id: processor_id(),
        },
        Command::DeclineHold { code: code() },
        Command::RaiseHold { to: usd(2_300) },
        Command::DeclineRaise { code: code() },
        Command::Capture { amount: usd(2_000) },
        Command::FailCapture { code: code() },
        Command::Void,
        Command::CollectCash,
        Command::Owe,
        Command::AnswerRest(extra(ExtraKind::Rest), done()),
        Command::AnswerTip(extra(tip), done()),
        Command::AnswerRefund(refund(1), done()),
        Command::AnswerRefund(refund(1_999), done()),
        Command::AnswerRefund(refund(2_000), done()),
    ];
    commands.extend(HoldStep::ALL.map(Command::LoseAnswer));
    commands
}

fn name(state: &State) -> String {
    match state {
        State::RequiresHold => "REQUIRES_HOLD",
        State::Held(_) => "HELD",
        State::Captured { taken, .. } if taken.refunded.minor == 0 => "CAPTURED",
        State::Captured { taken, .. } => {
            if taken.refunded.minor < taken.captured.minor + taken.rest.minor {
                "PARTLY_REFUNDED"
            } else {
                "REFUNDED"
            }
        }
        State::CaptureFailed { .. } => "CAPTURE_FAILED",
        State::Voided { .. } => "VOIDED",
        State::Declined { .. } => "DECLINED",
        State::Unknown(Unanswered::Hold) => "UNKNOWN:hold",
        State::Unknown(Unanswered::Raise(_)) => "UNKNOWN:raise",
        State::Unknown(Unanswered::Capture(_)) => "UNKNOWN:capture",
        State::Unknown(Unanswered::Void(_)) => "UNKNOWN:void",
        State::AwaitsCash => "AWAITS_CASH",
        State::CashCollected => "CASH_COLLECTED",
        State::Owed { .. } => "OWED",
    }
    .to_owned()
}
