//! The processor does not answer: it is asked what became of it, and never charged again.

use std::sync::Arc;

use hexcab_payment::domain::{State, Unanswered};
use serde_json::json;

use crate::{
    rig::{Ride, Rig},
    tampered::{Tampered, Tampering},
};

/// Longer than the service waits.
const TOO_LATE_MS: u64 = 2_000;

async fn keys(rig: &Rig) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM idempotency_keys")
        .fetch_one(rig.sandbox.pg.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_hold_whose_answer_was_lost_is_asked_for_and_not_placed_twice() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.sandbox
        .fault(
            json!({"kind": "timeout_after", "on": "create", "count": 1, "delay_ms": TOO_LATE_MS}),
        )
        .await;
    rig.tell(&ride.requested()).await;
    assert!(rig.worker().work_once().await.unwrap());
    assert_eq!(
        rig.intent(&ride).await.state,
        State::Unknown(Unanswered::Hold)
    );
    assert!(
        rig.told(&ride).await.is_empty(),
        "nothing is told that is not known"
    );

    rig.work_until(&ride, |state| matches!(state, State::Held(_)))
        .await;
    assert_eq!(
        rig.sandbox.payments(&ride).await,
        [("requires_capture".to_owned(), 0)]
    );
    assert_eq!(keys(&rig).await, 1);
}

#[tokio::test]
async fn a_capture_whose_answer_was_lost_is_asked_for_and_not_taken_twice() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.sandbox
        .fault(
            json!({"kind": "timeout_after", "on": "capture", "count": 1, "delay_ms": TOO_LATE_MS}),
        )
        .await;
    rig.tell(&ride.requested()).await;
    rig.work_until(&ride, |state| matches!(state, State::Held(_)))
        .await;
    rig.tell(&ride.completed(2_000)).await;
    rig.worker().work_once().await.unwrap();
    let lost = rig.intent(&ride).await.state;
    assert!(matches!(lost, State::Unknown(Unanswered::Capture(_))));
    assert_eq!(
        rig.sandbox.payments(&ride).await,
        [("succeeded".to_owned(), 2_000)]
    );
    assert!(
        !rig.balances(&ride).await.contains_key("driver"),
        "nothing is posted that is not known"
    );

    rig.work_until(&ride, |state| matches!(state, State::Captured { .. }))
        .await;
    assert_eq!(
        rig.sandbox.payments(&ride).await,
        [("succeeded".to_owned(), 2_000)]
    );
    assert_eq!(rig.told_kinds(&ride).await, ["HoldPlaced", "Captured"]);
    assert_eq!(rig.balances(&ride).await["processor"], (-2_000, 0));
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_even_where_keys_are_forgotten() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.sandbox
        .fault(
            json!({"kind": "timeout_after", "on": "create", "count": 1, "delay_ms": TOO_LATE_MS}),
        )
        .await;
    rig.tell(&ride.requested()).await;
    assert!(rig.worker().work_once().await.unwrap());
    // Stripe forgets keys after 24 hours: to send again without asking would hold the money twice.
    sqlx::query("DELETE FROM idempotency_keys")
        .execute(rig.sandbox.pg.pool())
        .await
        .unwrap();
    rig.work_until(&ride, |state| matches!(state, State::Held(_)))
        .await;
    assert_eq!(
        rig.sandbox.payments(&ride).await,
        [("requires_capture".to_owned(), 0)]
    );
}

#[tokio::test]
async fn a_lost_hold_that_is_not_found_yet_is_sent_again_with_its_first_key() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.sandbox
        .fault(
            json!({"kind": "timeout_after", "on": "create", "count": 1, "delay_ms": TOO_LATE_MS}),
        )
        .await;
    rig.tell(&ride.requested()).await;
    let worker = rig.worker_with(Arc::new(Tampered {
        inner: rig.sandbox.processor(),
        with: Tampering::FindsNothing,
    }));
    hexcab_testkit::eventually(|| async {
        worker.work_once().await.unwrap();
        matches!(rig.intent(&ride).await.state, State::Held(_)).then_some(())
    })
    .await;
    assert_eq!(
        rig.sandbox.payments(&ride).await,
        [("requires_capture".to_owned(), 0)]
    );
}

#[tokio::test]
async fn a_void_whose_answer_was_lost_is_asked_for() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.sandbox
        .fault(
            json!({"kind": "timeout_after", "on": "cancel", "count": 1, "delay_ms": TOO_LATE_MS}),
        )
        .await;
    rig.tell(&ride.requested()).await;
    rig.work_until(&ride, |state| matches!(state, State::Held(_)))
        .await;
    rig.tell(&ride.cancelled(0)).await;
    rig.worker().work_once().await.unwrap();
    let lost = rig.intent(&ride).await.state;
    assert!(matches!(lost, State::Unknown(Unanswered::Void(_))));
    rig.work_until(&ride, |state| matches!(state, State::Voided { .. }))
        .await;
    assert_eq!(
        rig.sandbox.payments(&ride).await,
        [("canceled".to_owned(), 0)]
    );
}

#[tokio::test]
async fn a_hold_that_never_reached_the_processor_is_sent_again_with_its_first_key() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.sandbox
        .fault(json!({"kind": "timeout_before", "count": 1, "delay_ms": TOO_LATE_MS}))
        .await;
    rig.sandbox
        .fault(json!({"kind": "error_500", "count": 2}))
        .await;
    rig.tell(&ride.requested()).await;
    rig.work_until(&ride, |state| matches!(state, State::Held(_)))
        .await;
    assert_eq!(
        rig.sandbox.payments(&ride).await,
        [("requires_capture".to_owned(), 0)]
    );
    let intent = rig.intent(&ride).await;
    let key: String = sqlx::query_scalar("SELECT key FROM idempotency_keys")
        .fetch_one(rig.sandbox.pg.pool())
        .await
        .unwrap();
    assert_eq!(key, format!("hexcab-{}-hold", intent.id));
    let attempts: i32 = sqlx::query_scalar("SELECT attempts FROM work")
        .fetch_one(rig.pg.pool())
        .await
        .unwrap();
    assert_eq!(attempts, 4, "timeout, 500, 500, held");
}

#[tokio::test]
async fn a_trip_that_ends_while_its_hold_is_unknown_is_voided_once_it_is_known() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.sandbox
        .fault(
            json!({"kind": "timeout_after", "on": "create", "count": 1, "delay_ms": TOO_LATE_MS}),
        )
        .await;
    rig.tell(&ride.requested()).await;
    rig.worker().work_once().await.unwrap();
    rig.tell(&ride.cancelled(0)).await;
    rig.work_until(&ride, |state| matches!(state, State::Voided { .. }))
        .await;
    assert_eq!(
        rig.sandbox.payments(&ride).await,
        [("canceled".to_owned(), 0)]
    );
    assert_eq!(rig.told_kinds(&ride).await, ["HoldPlaced", "Voided"]);
}
