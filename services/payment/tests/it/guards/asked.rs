//! Work is done in order and not left without its result; requests have one answer; payouts are what is owed.

use hexcab_payment::{domain::State, store::PayoutAsk};
use hexcab_types::Currency;
use uuid::Uuid;

use super::{beside::with_tip_and_refund, check, held_and_captured, refused_by};
use crate::rig::{Ride, Rig, key};

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
            (step(Uuid::now_v7(), 1, "hold"), "work_intent_fkey"),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_is_asked_for_beside_the_hold_is_one_step() {
    let (rig, _, _) = with_tip_and_refund().await;
    let again = |step: &str, of: &str, id: &str| {
        format!(
            "INSERT INTO work (intent, ordinal, step, {of}) SELECT intent, ordinal + 10, step, {id} FROM work WHERE step = '{step}'"
        )
    };
    check(
        &rig,
        &[
            (again("tip", "extra", "extra"), "one_step_per_extra"),
            (
                again("tip", "extra", "gen_random_uuid()"),
                "work_extra_fkey",
            ),
            (again("refund", "refund", "refund"), "one_step_per_refund"),
            (
                again("refund", "refund", "gen_random_uuid()"),
                "work_refund_fkey",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_settlement_does_not_end_without_what_it_charges() {
    let (rig, held, declined) = (Rig::start().await, Ride::new(), Ride::new());
    rig.sandbox
        .fault(serde_json::json!({"kind": "decline", "rider": declined.rider.to_string()}))
        .await;
    for ride in [&held, &declined] {
        rig.tell(&ride.requested()).await;
        rig.work().await;
    }
    rig.tell(&declined.completed(2_000)).await;
    let (held, declined) = (rig.intent(&held).await, rig.intent(&declined).await);
    assert!(matches!(held.state, State::Held(_)));
    assert!(matches!(declined.state, State::Declined { owed: None, .. }));
    for id in [held.id.uuid(), declined.id.uuid()] {
        let finish = format!(
            "INSERT INTO work (intent, ordinal, step, finished_at) VALUES ('{id}', 3, 'capture', now())
             ON CONFLICT (intent, ordinal) DO UPDATE SET finished_at = now()"
        );
        assert_eq!(refused_by(&rig, &[finish]).await, "settlement_kept");
    }
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
    let new = |columns: &str| {
        let columns: Vec<&str> = columns.split(", ").collect();
        let [currency, as_of, minimum, lines, hash, state, confirmed] = columns[..] else {
            panic!("{columns:?}")
        };
        format!(
            "INSERT INTO payouts SELECT gen_random_uuid(), {currency}, {as_of}, {minimum}, {lines}, 1, {hash}, {state}, created_at, {confirmed} FROM payouts"
        )
    };
    check(
        &rig,
        &[
            (
                new("'usd', as_of, 1, 1, sha256, 'OPEN', NULL"),
                "payout_currency_iso",
            ),
            (
                new("'USD', 'infinity', 1, 1, sha256, 'OPEN', NULL"),
                "payout_as_of_past",
            ),
            (
                new("'USD', as_of, 0, 1, sha256, 'OPEN', NULL"),
                "payout_minimum_positive",
            ),
            (
                new("'USD', as_of, 1, 0, sha256, 'OPEN', NULL"),
                "payout_not_empty",
            ),
            (
                new("'USD', as_of, 1, 1, 'x', 'OPEN', NULL"),
                "payout_file_is_sha256",
            ),
            (
                new("'USD', as_of, 1, 1, sha256, 'PENDING', now()"),
                "payout_state_known",
            ),
        ],
    )
    .await;
    let third = rig.driven(2_000).await.driver.uuid();
    let line = |number: i32, to: Uuid, amount: i64, transfer: Uuid, state: &str| {
        format!(
            "INSERT INTO payout_lines VALUES ('{batch}', {number}, '{to}', 'USD', {amount}, '{transfer}', '{state}', NULL)"
        )
    };
    let (somebody, new) = (Uuid::now_v7(), Uuid::now_v7());
    let there: Uuid = sqlx::query_scalar("SELECT transfer FROM payout_lines WHERE number = 1")
        .fetch_one(rig.pg.pool())
        .await
        .unwrap();
    check(
        &rig,
        &[
            (line(1, somebody, 1, new, "PENDING"), "one_line_per_number"),
            (
                line(3, somebody, 1, there, "PENDING"),
                "one_line_per_transfer",
            ),
            (
                line(3, somebody, 0, new, "PENDING"),
                "payout_line_amount_positive",
            ),
            (line(3, somebody, 1, new, "OPEN"), "payout_line_state_known"),
            (
                line(3, somebody, 1, new, "PENDING").replace(&batch.to_string(), &new.to_string()),
                "payout_lines_payout_fkey",
            ),
        ],
    )
    .await;
    // Another driver, a cent too much: promised in the ledger, but more than he is owed.
    rig.store
        .confirm(&key(), batch.into(), &[(other.driver, "x".to_owned())])
        .await
        .unwrap();
    let id = Uuid::now_v7();
    let promise = |to: Uuid, amount: i64, reference: Uuid| {
        format!(
            "INSERT INTO ledger.transfers (id, kind, debit, credit, currency, amount_minor, code, reference, at, group_id, group_line, group_size)
             VALUES ('{id}', 'pending', 'drivers/{to}', 'platform:payouts', 'USD', {amount}, 'payout', '{reference}', now(), '{id}', 1, 1)"
        )
    };
    let late = [promise(third, 1, batch), line(3, third, 1, id, "PENDING")];
    assert_eq!(
        refused_by(&rig, &late).await,
        "payout_agrees_with_lines",
        "it is confirmed"
    );
    let twice = [promise(driver, 1, batch), line(3, driver, 1, id, "PENDING")];
    assert_eq!(refused_by(&rig, &twice).await, "one_line_per_driver");
    let to = other.driver.uuid();
    let more = [
        promise(to, 1_401, id),
        format!(
            "INSERT INTO payouts SELECT '{id}', currency, as_of, minimum_minor, 1, 1401, sha256, 'OPEN', created_at, NULL FROM payouts WHERE id = '{batch}'"
        ),
        format!(
            "INSERT INTO payout_lines VALUES ('{id}', 1, '{to}', 'USD', 1401, '{id}', 'PENDING', NULL)"
        ),
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
            (
                "INSERT INTO requests VALUES (gen_random_uuid(), 'x', now())".to_owned(),
                "requests_body_hash_is_sha256",
            ),
        ],
    )
    .await;
    assert_eq!(rig.money(&ride).await.beside.refunds.len(), 1);
}
