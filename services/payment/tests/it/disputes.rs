//! Chargebacks: as the processor tells them when it is asked again, once per dispute and state.

use hexcab_payment::{
    domain::{Refused, refund::RefundRefusal},
    processor::{Dispute, DisputeStatus, Processor as _},
    store::{AskError, Disputed, StoreError},
};
use serde_json::json;

use crate::rig::{Ride, Rig, give_back, key};

/// The ride's payment is disputed at the processor: the dispute as it tells it.
async fn disputed(rig: &Rig, ride: &Ride) -> Dispute {
    let hold = rig.intent(ride).await.state.hold().unwrap().id.clone();
    let made = rig
        .sandbox
        .befall("disputes", json!({"payment_intent": hold.0}))
        .await;
    let id = made["id"].as_str().unwrap();
    rig.sandbox.processor().dispute(id).await.unwrap()
}

fn said(dispute: &Dispute, status: DisputeStatus) -> Dispute {
    Dispute {
        status,
        ..dispute.clone()
    }
}

async fn of_bank(rig: &Rig) -> (i64, i64, i64) {
    let balances = rig.all_balances().await;
    let posted = |account: &str| balances.get(account).map_or(0, |balance| balance.0);
    (
        posted("processor"),
        posted("processor:disputes"),
        posted("platform:losses"),
    )
}

#[tokio::test]
async fn a_dispute_takes_the_money_from_the_processor_and_losing_it_is_the_platforms_loss() {
    let rig = Rig::start().await;
    let ride = rig.driven(2_000).await;
    let dispute = disputed(&rig, &ride).await;
    assert_eq!(
        rig.store.dispute(&dispute).await.unwrap(),
        Disputed::Changed
    );
    assert_eq!(of_bank(&rig).await, (0, -2_000, 0));
    let lost = said(&dispute, DisputeStatus::Lost);
    assert_eq!(rig.store.dispute(&lost).await.unwrap(), Disputed::Changed);
    assert_eq!(of_bank(&rig).await, (0, 0, -2_000));
    assert_eq!(
        rig.balances(&ride).await["driver"],
        (1_400, 0),
        "he did his work"
    );
    assert_eq!(
        rig.told_kinds(&ride).await,
        [
            "HoldPlaced",
            "Captured",
            "ChargebackOpened",
            "ChargebackClosed"
        ]
    );
    rig.at_rest().await;
}

#[tokio::test]
async fn a_dispute_that_is_won_brings_the_money_back() {
    let rig = Rig::start().await;
    let ride = rig.driven(2_000).await;
    let dispute = disputed(&rig, &ride).await;
    rig.store.dispute(&dispute).await.unwrap();
    rig.store
        .dispute(&said(&dispute, DisputeStatus::Won))
        .await
        .unwrap();
    assert_eq!(of_bank(&rig).await, (-2_000, 0, 0));
    rig.at_rest().await;
}

#[tokio::test]
async fn a_dispute_heard_twice_late_or_at_its_end_only_moves_its_money_once() {
    use DisputeStatus as S;
    let rig = Rig::start().await;
    for (heard, end) in [
        (vec![S::Inquiry], (-2_000, 0, 0)),
        (vec![S::Open, S::Open, S::Inquiry], (0, -2_000, 0)),
        (vec![S::Lost, S::Open, S::Lost], (0, 0, -2_000)),
        (vec![S::Open, S::Won, S::Won, S::Open], (-2_000, 0, 0)),
    ] {
        let before = of_bank(&rig).await;
        let ride = rig.driven(2_000).await;
        let dispute = disputed(&rig, &ride).await;
        for status in &heard {
            rig.store.dispute(&said(&dispute, *status)).await.unwrap();
        }
        let after = of_bank(&rig).await;
        let moved = (after.0 - before.0, after.1 - before.1, after.2 - before.2);
        assert_eq!(moved, end, "{heard:?}");
    }
    rig.at_rest().await;
}

#[tokio::test]
async fn many_who_hear_of_a_dispute_at_once_move_its_money_once() {
    let rig = Rig::start().await;
    let ride = rig.driven(2_000).await;
    let dispute = disputed(&rig, &ride).await;
    let heard = (0..8).map(|_| async {
        loop {
            match rig.store.dispute(&dispute).await {
                Err(StoreError::Pg(_) | StoreError::LeaseLost) => {}
                answer => break answer.unwrap(),
            }
        }
    });
    let heard = futures::future::join_all(heard).await;
    let changed = heard
        .iter()
        .filter(|one| **one == Disputed::Changed)
        .count();
    assert_eq!(changed, 1);
    assert_eq!(of_bank(&rig).await, (0, -2_000, 0));
}

#[tokio::test]
async fn a_bank_that_changes_its_decision_wakes_somebody() {
    let rig = Rig::start().await;
    let ride = rig.driven(2_000).await;
    let dispute = disputed(&rig, &ride).await;
    rig.store
        .dispute(&said(&dispute, DisputeStatus::Won))
        .await
        .unwrap();
    let lost = rig
        .store
        .dispute(&said(&dispute, DisputeStatus::Lost))
        .await;
    assert!(matches!(lost, Err(StoreError::Contradiction(_))));
    assert_eq!(of_bank(&rig).await, (-2_000, 0, 0));
}

#[tokio::test]
async fn a_dispute_of_a_payment_that_is_none_of_ours_is_none_of_ours() {
    let rig = Rig::start().await;
    let ride = rig.driven(2_000).await;
    let dispute = disputed(&rig, &ride).await;
    let other = Dispute {
        payment: Some(hexcab_payment::domain::ProcessorId("pi_other".into())),
        ..dispute.clone()
    };
    assert_eq!(rig.store.dispute(&other).await.unwrap(), Disputed::NotOurs);
    let none = Dispute {
        payment: None,
        ..dispute
    };
    assert_eq!(rig.store.dispute(&none).await.unwrap(), Disputed::NotOurs);
    assert_eq!(of_bank(&rig).await, (-2_000, 0, 0));
}

#[tokio::test]
async fn what_the_bank_took_back_is_not_given_back_again() {
    let rig = Rig::start().await;
    let ride = rig.driven(2_000).await;
    let dispute = disputed(&rig, &ride).await;
    rig.store.dispute(&dispute).await.unwrap();
    let refund = async || match rig
        .store
        .refund(&key(), ride.trip, &give_back(None, false))
        .await
    {
        Err(AskError::Refused(Refused::Refund(refusal))) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(refund().await, RefundRefusal::Disputed);
    rig.store
        .dispute(&said(&dispute, DisputeStatus::Lost))
        .await
        .unwrap();
    assert_eq!(refund().await, RefundRefusal::NothingTaken);
}
