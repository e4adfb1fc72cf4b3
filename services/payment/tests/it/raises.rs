//! Waiting fees: the hold is raised when the ride begins; what is not held when it ends is charged beside it, or owed.

use std::collections::BTreeMap;

use hexcab_payment::domain::{Answer, Method, State, Unanswered};
use hexcab_proto::payment::v1::payment_event::Event;
use serde_json::json;

use crate::rig::{Ride, Rig, usd};

fn balances<const N: usize>(all: [(&str, (i64, i64)); N]) -> BTreeMap<String, (i64, i64)> {
    all.into_iter()
        .map(|(account, balance)| (account.to_owned(), balance))
        .collect()
}

async fn held() -> (Rig, Ride) {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.requested()).await;
    rig.work().await;
    (rig, ride)
}

fn took(received: i64) -> (String, i64) {
    ("succeeded".to_owned(), received)
}

#[tokio::test]
async fn a_waiting_fee_raises_the_hold_and_is_captured_with_the_fare() {
    let (rig, ride) = held().await;
    rig.tell(&ride.started(300)).await;
    assert_eq!(
        rig.balances(&ride).await,
        balances([("processor", (0, -2_300)), ("rider", (0, 2_300))]),
        "phase A promises it"
    );
    rig.work().await;
    let State::Held(hold) = rig.intent(&ride).await.state else {
        panic!("not held")
    };
    assert_eq!(hold.amount.minor, 2_300);
    rig.tell(&ride.completed_with(2_300, 1_640)).await;
    rig.work().await;
    assert_eq!(rig.sandbox.payments(&ride).await, [took(2_300)]);
    let expected = balances([
        ("processor", (-2_300, 0)),
        ("driver", (1_640, 0)),
        ("platform:revenue", (510, 0)),
        ("platform:tax", (150, 0)),
    ]);
    assert_eq!(rig.balances(&ride).await, expected);
    assert_eq!(
        rig.told_kinds(&ride).await,
        ["HoldPlaced", "HoldRaised", "Captured"]
    );
    rig.at_rest().await;
}

#[tokio::test]
async fn less_than_the_raised_hold_gives_back_the_raise_first() {
    let (rig, ride) = held().await;
    rig.tell(&ride.started(300)).await;
    rig.tell(&ride.completed(2_000)).await;
    rig.work().await;
    assert_eq!(rig.sandbox.payments(&ride).await, [took(2_000)]);
    assert_eq!(rig.balances(&ride).await["processor"], (-2_000, 0));
    rig.at_rest().await;
}

#[tokio::test]
async fn a_declined_raise_is_no_reason_to_stop_the_rest_is_a_second_charge() {
    let (rig, ride) = held().await;
    rig.sandbox
        .fault(json!({"kind": "decline", "on": "raise", "code": "insufficient_funds"}))
        .await;
    rig.tell(&ride.started(300)).await;
    rig.work().await;
    let intent = rig.intent(&ride).await;
    assert!(matches!(&intent.state, State::Held(hold) if hold.amount.minor == 2_000));
    rig.tell(&ride.completed_with(2_300, 1_640)).await;
    rig.work().await;
    assert_eq!(rig.sandbox.payments(&ride).await, [took(2_000), took(300)]);
    let expected = balances([
        ("processor", (-2_300, 0)),
        ("driver", (1_640, 0)),
        ("platform:revenue", (510, 0)),
        ("platform:tax", (150, 0)),
    ]);
    assert_eq!(rig.balances(&ride).await, expected);
    let told = rig.told(&ride).await;
    let kinds: Vec<_> = told.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["HoldPlaced", "RaiseDeclined", "Captured", "RestCharged"]
    );
    let Some(Event::Captured(captured)) = told[2].1.event.clone() else {
        panic!("{told:?}")
    };
    assert_eq!((captured.amount, captured.rest), (usd(2_000), usd(300)));
    let keys: Vec<String> = sqlx::query_scalar("SELECT key FROM idempotency_keys ORDER BY key")
        .fetch_all(rig.sandbox.pg.pool())
        .await
        .unwrap();
    let expected = ["capture", "charge", "hold", "raise"];
    assert_eq!(
        keys,
        expected.map(|step| format!("hexcab-{}-{step}", intent.id))
    );
    rig.at_rest().await;
}

#[tokio::test]
async fn a_declined_rest_is_the_riders_debt_and_its_driver_is_paid() {
    let (rig, ride) = held().await;
    rig.sandbox
        .fault(json!({"kind": "decline", "on": "charge"}))
        .await;
    rig.tell(&ride.completed_with(2_500, 1_900)).await;
    rig.work().await;
    assert_eq!(
        rig.sandbox.payments(&ride).await,
        [took(2_000), ("requires_payment_method".to_owned(), 0)]
    );
    let expected = balances([
        ("processor", (-2_000, 0)),
        ("rider", (-500, 0)),
        ("driver", (1_900, 0)),
        ("platform:revenue", (450, 0)),
        ("platform:tax", (150, 0)),
    ]);
    assert_eq!(rig.balances(&ride).await, expected);
    assert_eq!(
        rig.intent(&ride).await.state.owed().map(|owed| owed.minor),
        Some(500)
    );
    assert_eq!(
        rig.told_kinds(&ride).await,
        ["HoldPlaced", "Captured", "RestDeclined"]
    );
    rig.at_rest().await;
}

#[tokio::test]
async fn a_raise_whose_answer_was_lost_is_asked_for_and_not_made_twice() {
    let (rig, ride) = held().await;
    rig.sandbox
        .fault(json!({"kind": "timeout_after", "on": "raise", "count": 1, "delay_ms": 2_000}))
        .await;
    rig.tell(&ride.started(300)).await;
    rig.tell(&ride.completed_with(2_300, 1_640)).await;
    assert!(rig.worker().work_once().await.unwrap());
    assert!(matches!(
        rig.intent(&ride).await.state,
        State::Unknown(Unanswered::Raise(_))
    ));
    rig.work_until(&ride, |state| matches!(state, State::Captured { .. }))
        .await;
    assert_eq!(rig.sandbox.payments(&ride).await, [took(2_300)]);
    assert_eq!(
        rig.told_kinds(&ride).await,
        ["HoldPlaced", "HoldRaised", "Captured"]
    );
    rig.at_rest().await;
}

#[tokio::test]
async fn a_rest_whose_answer_was_lost_is_asked_for_and_not_charged_twice() {
    let (rig, ride) = held().await;
    rig.sandbox
        .fault(json!({"kind": "timeout_after", "on": "charge", "count": 1, "delay_ms": 2_000}))
        .await;
    rig.tell(&ride.completed_with(2_500, 1_900)).await;
    rig.work_until(&ride, |state| matches!(state, State::Captured { .. }))
        .await;
    let unknown = rig.money(&ride).await.beside.extras;
    assert_eq!(unknown[0].answer, Answer::Unknown);
    let done = |state: &State| state.taken().is_some_and(|taken| taken.rest.minor == 500);
    rig.work_until(&ride, done).await;
    assert_eq!(rig.sandbox.payments(&ride).await, [took(2_000), took(500)]);
    rig.at_rest().await;
}

#[tokio::test]
async fn a_start_that_is_heard_late_raises_nothing() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.completed_with(2_300, 1_640)).await;
    for late in [ride.started(300), ride.requested()] {
        rig.tell(&late).await;
    }
    rig.work().await;
    let intent = rig.intent(&ride).await;
    assert_eq!((intent.amount.minor, intent.method), (2_300, Method::Card));
    assert_eq!(
        rig.sandbox.payments(&ride).await,
        [took(2_300)],
        "held as it cost"
    );
    rig.at_rest().await;
}

#[tokio::test]
async fn a_start_that_is_told_twice_raises_once() {
    let (rig, ride) = held().await;
    for _ in 0..3 {
        rig.tell(&ride.started(300)).await;
        rig.work().await;
    }
    assert_eq!(rig.told_kinds(&ride).await, ["HoldPlaced", "HoldRaised"]);
    assert_eq!(rig.balances(&ride).await["rider"], (0, 2_300));
}

#[tokio::test]
async fn a_booked_ride_is_held_when_its_time_comes() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.activated()).await;
    rig.work().await;
    assert!(matches!(rig.intent(&ride).await.state, State::Held(_)));
}

#[tokio::test]
async fn a_waiting_fee_after_a_declined_hold_is_owed_with_the_fare() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.sandbox
        .fault(json!({"kind": "decline", "on": "create"}))
        .await;
    rig.tell(&ride.requested()).await;
    rig.work().await;
    // The driver waited and began before he heard of it.
    rig.tell(&ride.started(300)).await;
    rig.tell(&ride.completed(2_300)).await;
    rig.work().await;
    let intent = rig.intent(&ride).await;
    assert_eq!(intent.raise.minor, 0);
    assert_eq!(intent.state.owed().map(|owed| owed.minor), Some(2_300));
    rig.at_rest().await;
}

#[tokio::test]
async fn a_raise_of_a_hold_that_is_declined_gives_both_promises_back() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.sandbox
        .fault(json!({"kind": "decline", "on": "create"}))
        .await;
    rig.tell(&ride.requested()).await;
    rig.tell(&ride.started(300)).await;
    rig.work().await;
    assert!(matches!(
        rig.intent(&ride).await.state,
        State::Declined { .. }
    ));
    assert_eq!(rig.balances(&ride).await, BTreeMap::new());
    rig.at_rest().await;
}
