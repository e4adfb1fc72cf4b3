//! Tips: a charge of their own after the ride, all of it the driver's.

use hexcab_payment::{
    domain::{Answer, Refused, State, tip::TipRefusal},
    store::AskError,
};
use hexcab_types::{Currency, Money};
use serde_json::json;

use crate::rig::{Ride, Rig, key};

const TIP: Money = Money::new(200, Currency::Usd);

fn refused(answer: Result<hexcab_payment::domain::Extra, AskError>) -> TipRefusal {
    match answer {
        Err(AskError::Refused(Refused::Tip(refusal))) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_tip_is_charged_by_itself_and_all_the_drivers() {
    let rig = Rig::start().await;
    let ride = rig.driven(2_000).await;
    let tip = rig
        .store
        .tip(&key(), ride.trip, ride.rider, TIP)
        .await
        .unwrap();
    let promised = rig.balances(&ride).await;
    assert_eq!(
        (promised["rider"], promised["driver"]),
        ((0, 200), (1_400, 0))
    );
    rig.work().await;
    let paid = |minor| ("succeeded".to_owned(), minor);
    assert_eq!(rig.sandbox.payments(&ride).await, [paid(2_000), paid(200)]);
    let balances = rig.balances(&ride).await;
    assert_eq!(
        (balances["processor"], balances["driver"]),
        ((-2_200, 0), (1_600, 0))
    );
    assert_eq!(
        rig.told_kinds(&ride).await,
        ["HoldPlaced", "Captured", "TipCharged"]
    );
    let kept = &rig.money(&ride).await.beside.extras[0];
    assert_eq!(kept.id, tip.id);
    assert!(matches!(kept.answer, Answer::Done { .. }));
    rig.at_rest().await;
}

#[tokio::test]
async fn a_cash_ride_may_be_tipped_by_card() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    for event in [ride.requested(), ride.completed(2_000)] {
        rig.tell(&Ride::in_cash(&event)).await;
    }
    rig.store
        .tip(&key(), ride.trip, ride.rider, TIP)
        .await
        .unwrap();
    rig.work().await;
    assert_eq!(rig.balances(&ride).await["driver"], (-400, 0));
    assert_eq!(rig.intent(&ride).await.state, State::CashCollected);
    rig.at_rest().await;
}

#[tokio::test]
async fn the_same_request_is_one_tip_and_two_requests_at_once_are_one() {
    let rig = Rig::start().await;
    let ride = rig.driven(2_000).await;
    let key = key();
    let first = rig
        .store
        .tip(&key, ride.trip, ride.rider, TIP)
        .await
        .unwrap();
    rig.work().await;
    let again = rig
        .store
        .tip(&key, ride.trip, ride.rider, TIP)
        .await
        .unwrap();
    assert_eq!(again, first);

    let other = rig.driven(2_000).await;
    let asks = (0..8).map(|_| async {
        let key = crate::rig::key();
        loop {
            match rig.store.tip(&key, other.trip, other.rider, TIP).await {
                Err(AskError::Store(_) | AskError::RequestInFlight) => {}
                answer => break answer,
            }
        }
    });
    let answers = futures::future::join_all(asks).await;
    let (given, not): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(given.len(), 1);
    for answer in not {
        assert_eq!(refused(answer), TipRefusal::AlreadyTipped);
    }
    rig.work().await;
    rig.at_rest().await;
}

#[tokio::test]
async fn a_refused_tip_is_nobodys_debt_and_may_be_given_again() {
    let rig = Rig::start().await;
    let ride = rig.driven(2_000).await;
    let before = rig.balances(&ride).await;
    rig.sandbox
        .fault(json!({"kind": "decline", "on": "charge", "count": 1}))
        .await;
    let refused_key = key();
    let refused_tip = rig
        .store
        .tip(&refused_key, ride.trip, ride.rider, TIP)
        .await
        .unwrap();
    rig.work().await;
    assert_eq!(rig.balances(&ride).await, before);
    let again = rig
        .store
        .tip(&refused_key, ride.trip, ride.rider, TIP)
        .await
        .unwrap();
    assert_eq!(again, refused_tip, "the id that failed stays failed");
    rig.work().await;
    assert_eq!(rig.balances(&ride).await, before);
    rig.store
        .tip(&key(), ride.trip, ride.rider, TIP)
        .await
        .unwrap();
    rig.work().await;
    assert_eq!(rig.balances(&ride).await["driver"], (1_600, 0));
    assert_eq!(
        rig.told_kinds(&ride).await,
        ["HoldPlaced", "Captured", "TipDeclined", "TipCharged"]
    );
    rig.at_rest().await;
}

#[tokio::test]
async fn a_tip_whose_answer_was_lost_is_asked_for_and_not_taken_twice() {
    let rig = Rig::start().await;
    let ride = rig.driven(2_000).await;
    rig.sandbox
        .fault(json!({"kind": "timeout_after", "on": "charge", "count": 1, "delay_ms": 2_000}))
        .await;
    rig.store
        .tip(&key(), ride.trip, ride.rider, TIP)
        .await
        .unwrap();
    hexcab_testkit::eventually(|| async {
        rig.work().await;
        let extras = rig.money(&ride).await.beside.extras;
        matches!(extras[0].answer, Answer::Done { .. }).then_some(())
    })
    .await;
    assert_eq!(rig.sandbox.payments(&ride).await.len(), 2);
    rig.at_rest().await;
}

#[tokio::test]
async fn tips_of_others_too_late_or_too_large_are_refused_and_the_refusal_is_kept() {
    let rig = Rig::start().await;
    let (ride, open) = (rig.driven(2_000).await, Ride::new());
    rig.tell(&open.requested()).await;
    rig.work().await;
    let tip = async |ride: &Ride, rider, minor| {
        let amount = Money::new(minor, Currency::Usd);
        refused(rig.store.tip(&key(), ride.trip, rider, amount).await)
    };
    assert_eq!(tip(&ride, open.rider, 200).await, TipRefusal::NotYourTrip);
    assert_eq!(tip(&ride, ride.rider, 4_001).await, TipRefusal::TooLarge);
    assert_eq!(tip(&open, open.rider, 200).await, TipRefusal::NotDriven);
    let key = key();
    let first = rig.store.tip(&key, open.trip, open.rider, TIP).await;
    assert_eq!(refused(first), TipRefusal::NotDriven);
    rig.tell(&open.completed(2_000)).await;
    rig.work().await;
    let again = rig.store.tip(&key, open.trip, open.rider, TIP).await;
    assert_eq!(refused(again), TipRefusal::NotDriven);
    // A month passes for one trip.
    sqlx::query("ALTER TABLE intents DISABLE TRIGGER USER")
        .execute(rig.pg.pool())
        .await
        .unwrap();
    sqlx::query(
        "UPDATE intents SET ended_at = ended_at - interval '30 days 1 second' WHERE trip = $1",
    )
    .bind(ride.trip.uuid())
    .execute(rig.pg.pool())
    .await
    .unwrap();
    let too_late = rig
        .store
        .tip(&crate::rig::key(), ride.trip, ride.rider, TIP)
        .await;
    assert_eq!(refused(too_late), TipRefusal::TooLate);
}
