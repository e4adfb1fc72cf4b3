//! Money given back: whole, in parts, by whose purse, and never more than was taken.

use hexcab_payment::{
    domain::{Answer, Refused, State, refund::RefundRefusal},
    store::AskError,
};
use serde_json::json;

use crate::rig::{Ride, Rig, give_back, key};

/// What the processor gave back of a trip, in order.
async fn paid_back(rig: &Rig, ride: &Ride) -> Vec<i64> {
    sqlx::query_scalar(
        "SELECT r.amount FROM refunds r JOIN payment_intents p ON p.id = r.payment_intent
         WHERE p.metadata->>'trip' = $1 AND r.status <> 'failed' ORDER BY r.seq",
    )
    .bind(ride.trip.to_string())
    .fetch_all(rig.sandbox.pg.pool())
    .await
    .unwrap()
}

fn refused(refusal: RefundRefusal) -> impl Fn(&AskError) -> bool {
    move |error| matches!(error, AskError::Refused(Refused::Refund(said)) if *said == refusal)
}

#[tokio::test]
async fn a_whole_refund_is_the_platforms_and_the_driver_keeps_his_pay() {
    let rig = Rig::start().await;
    let ride = rig.driven(2_000).await;
    let refunds = rig
        .store
        .refund(&key(), ride.trip, &give_back(None, false))
        .await
        .unwrap();
    assert_eq!(refunds.len(), 1);
    assert_eq!(refunds[0].answer, Answer::Awaited);
    let before = rig.balances(&ride).await;
    assert_eq!(
        (before["rider"], before["processor"]),
        ((0, -2_000), (-2_000, 2_000)),
        "promised"
    );
    rig.work().await;
    let balances = rig.balances(&ride).await;
    assert_eq!(
        (balances["driver"], balances["platform:revenue"]),
        ((1_400, 0), (-1_400, 0))
    );
    for even in ["processor", "rider", "platform:tax"] {
        assert!(!balances.contains_key(even), "{even}: {balances:?}");
    }
    assert_eq!(paid_back(&rig, &ride).await, [2_000]);
    let state = rig.intent(&ride).await.state;
    assert_eq!(state.taken().map(|taken| taken.refunded.minor), Some(2_000));
    assert_eq!(
        rig.told_kinds(&ride).await,
        ["HoldPlaced", "Captured", "Refunded"]
    );
    rig.at_rest().await;
}

#[tokio::test]
async fn refunds_in_parts_with_clawback_end_where_a_whole_one_does() {
    let rig = Rig::start().await;
    let ride = rig.driven(2_000).await;
    for minor in [1, 333, 666, 999, 1] {
        rig.store
            .refund(&key(), ride.trip, &give_back(Some(minor), true))
            .await
            .unwrap();
        rig.work().await;
    }
    assert!(rig.balances(&ride).await.is_empty(), "nobody keeps a cent");
    assert_eq!(paid_back(&rig, &ride).await, [1, 333, 666, 999, 1]);
    let again = rig
        .store
        .refund(&key(), ride.trip, &give_back(None, true))
        .await;
    assert!(refused(RefundRefusal::NothingTaken)(&again.unwrap_err()));
    rig.at_rest().await;
}

#[tokio::test]
async fn the_same_request_has_one_refund_and_the_same_answer_for_ever() {
    let rig = Rig::start().await;
    let ride = rig.driven(2_000).await;
    let (key, ask) = (key(), give_back(Some(500), false));
    let first = rig.store.refund(&key, ride.trip, &ask).await.unwrap();
    rig.work().await;
    assert_eq!(
        rig.store.refund(&key, ride.trip, &ask).await.unwrap(),
        first
    );
    rig.work().await;
    assert_eq!(paid_back(&rig, &ride).await, [500]);
    let other = hexcab_payment::store::RequestKey {
        body_hash: [8; 32],
        ..key
    };
    assert!(matches!(
        rig.store.refund(&other, ride.trip, &ask).await,
        Err(AskError::RequestIdReused)
    ));
}

#[tokio::test]
async fn a_refusal_is_kept_too() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.requested()).await;
    rig.work().await;
    let (key, ask) = (key(), give_back(None, false));
    let nothing = refused(RefundRefusal::NothingTaken);
    assert!(nothing(
        &rig.store.refund(&key, ride.trip, &ask).await.unwrap_err()
    ));
    rig.tell(&ride.completed(2_000)).await;
    rig.work().await;
    let again = rig.store.refund(&key, ride.trip, &ask).await;
    assert!(nothing(&again.unwrap_err()), "though it could be done now");
}

#[tokio::test]
async fn two_refunds_at_once_never_give_back_more_than_was_taken() {
    let rig = Rig::start().await;
    let ride = rig.driven(2_000).await;
    let asks = (0..8).map(|_| async {
        let (key, ask) = (key(), give_back(Some(1_200), false));
        loop {
            match rig.store.refund(&key, ride.trip, &ask).await {
                Err(AskError::Store(_) | AskError::RequestInFlight) => {}
                answer => break answer,
            }
        }
    });
    let answers = futures::future::join_all(asks).await;
    let (given, not): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((given.len(), not.len()), (1, 7));
    let more = refused(RefundRefusal::MoreThanTaken);
    assert!(not.into_iter().all(|answer| more(&answer.unwrap_err())));
    rig.work().await;
    assert_eq!(paid_back(&rig, &ride).await, [1_200]);
    rig.at_rest().await;
}

#[tokio::test]
async fn a_refund_of_more_than_was_held_takes_the_rest_too() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.requested()).await;
    rig.tell(&ride.completed_with(2_500, 1_900)).await;
    rig.work().await;
    let refunds = rig
        .store
        .refund(&key(), ride.trip, &give_back(Some(2_300), false))
        .await
        .unwrap();
    let amounts: Vec<i64> = refunds.iter().map(|refund| refund.amount.minor).collect();
    assert_eq!(amounts, [2_000, 300]);
    rig.work().await;
    assert_eq!(paid_back(&rig, &ride).await, [2_000, 300]);
    assert!(matches!(
        rig.intent(&ride).await.state,
        State::Captured { taken, .. } if taken.refunded.minor == 2_300
    ));
    rig.at_rest().await;
}

#[tokio::test]
async fn a_refund_that_the_processor_refuses_gives_nothing_back_and_stays_refused() {
    let rig = Rig::start().await;
    let ride = rig.driven(2_000).await;
    let before = rig.balances(&ride).await;
    rig.sandbox
        .fault(
            json!({"kind": "decline", "on": "refund", "count": 1, "code": "lost_or_stolen_card"}),
        )
        .await;
    rig.store
        .refund(&key(), ride.trip, &give_back(None, false))
        .await
        .unwrap();
    rig.work().await;
    assert_eq!(rig.balances(&ride).await, before);
    let refund = &rig.money(&ride).await.beside.refunds[0];
    assert!(
        matches!(&refund.answer, Answer::Refused { .. }),
        "{refund:?}"
    );
    assert_eq!(
        rig.told_kinds(&ride).await,
        ["HoldPlaced", "Captured", "RefundFailed"]
    );
    rig.store
        .refund(&key(), ride.trip, &give_back(None, false))
        .await
        .unwrap();
    rig.work().await;
    assert_eq!(paid_back(&rig, &ride).await, [2_000], "another request may");
    rig.at_rest().await;
}

#[tokio::test]
async fn a_refund_whose_answer_was_lost_is_asked_for_and_not_given_twice() {
    let rig = Rig::start().await;
    let ride = rig.driven(2_000).await;
    rig.sandbox
        .fault(json!({"kind": "timeout_after", "on": "refund", "count": 1, "delay_ms": 2_000}))
        .await;
    rig.store
        .refund(&key(), ride.trip, &give_back(Some(700), true))
        .await
        .unwrap();
    assert!(rig.worker().work_once().await.unwrap());
    assert_eq!(
        rig.money(&ride).await.beside.refunds[0].answer,
        Answer::Unknown
    );
    // Stripe forgets keys after 24 hours: to send again without asking would give back twice.
    sqlx::query("DELETE FROM idempotency_keys")
        .execute(rig.sandbox.pg.pool())
        .await
        .unwrap();
    let done = |state: &State| {
        state
            .taken()
            .is_some_and(|taken| taken.refunded.minor == 700)
    };
    rig.work_until(&ride, done).await;
    assert_eq!(paid_back(&rig, &ride).await, [700]);
    rig.at_rest().await;
}

#[tokio::test]
async fn what_was_not_taken_by_the_processor_is_not_given_back() {
    let rig = Rig::start().await;
    let (cash, nobody) = (Ride::new(), Ride::new());
    for event in [cash.requested(), cash.completed(2_000)] {
        rig.tell(&Ride::in_cash(&event)).await;
    }
    let refusal = rig
        .store
        .refund(&key(), cash.trip, &give_back(None, false))
        .await;
    assert!(refused(RefundRefusal::NothingTaken)(&refusal.unwrap_err()));
    assert!(matches!(
        rig.store
            .refund(&key(), nobody.trip, &give_back(None, false))
            .await,
        Err(AskError::NoIntent)
    ));
}
