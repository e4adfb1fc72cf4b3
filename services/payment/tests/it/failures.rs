//! Captures that fail: the platform pays the driver all the same, and the rider owes. And fees of those who did not ride.

use hexcab_payment::domain::State;
use hexcab_proto::payment::v1::payment_event::Event;
use serde_json::json;

use crate::rig::{Ride, Rig, usd};

#[tokio::test]
async fn a_capture_that_is_refused_pays_the_driver_and_is_owed_by_the_rider() {
    let rig = Rig::start().await;
    let ride = Ride::new();
    rig.sandbox
        .fault(json!({"kind": "decline", "on": "capture", "code": "expired_card"}))
        .await;
    rig.tell(&ride.requested()).await;
    rig.tell(&ride.completed(2_000)).await;
    rig.work_until(&ride, State::is_terminal).await;
    let State::CaptureFailed { code, owed, .. } = rig.intent(&ride).await.state else {
        panic!("not failed")
    };
    assert_eq!((code.as_str(), owed.minor), ("expired_card", 2_000));
    let balances = rig.balances(&ride).await;
    assert_eq!(
        (
            balances["rider"],
            balances["driver"],
            balances["platform:revenue"],
            balances["platform:tax"]
        ),
        ((-2_000, 0), (1_400, 0), (450, 0), (150, 0))
    );
    assert!(!balances.contains_key("processor"));
    let told = rig.told(&ride).await;
    let Some(Event::CaptureFailed(failed)) = &told[1].1.event else {
        panic!("{told:?}")
    };
    assert_eq!(
        (failed.owed.clone(), failed.driver_pay.clone()),
        (usd(2_000), usd(1_400))
    );
    rig.at_rest().await;
}

#[tokio::test]
async fn a_hold_that_lapsed_at_the_processor_is_a_failed_capture() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.requested()).await;
    rig.work().await;
    let id = rig.intent(&ride).await.state.hold().unwrap().id.clone();
    rig.sandbox
        .befall(&format!("payment_intents/{id}/expire"), json!({}))
        .await;
    rig.tell(&ride.completed(2_000)).await;
    rig.work_until(&ride, State::is_terminal).await;
    assert!(matches!(
        rig.intent(&ride).await.state,
        State::CaptureFailed { code, .. } if code == "canceled"
    ));
    rig.at_rest().await;
}

#[tokio::test]
async fn a_failed_capture_is_final() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.sandbox
        .fault(json!({"kind": "decline", "on": "capture", "count": 1}))
        .await;
    rig.tell(&ride.requested()).await;
    rig.tell(&ride.completed(2_000)).await;
    rig.work_until(&ride, State::is_terminal).await;
    let before = rig.intent(&ride).await;
    rig.tell(&ride.completed(2_000)).await;
    rig.tell(&ride.cancelled(0)).await;
    rig.work().await;
    assert_eq!(rig.intent(&ride).await, before);
}

#[tokio::test]
async fn a_processor_that_fails_for_ever_at_a_step_fails_that_step() {
    let rig = Rig::start().await;
    let (hold, charge) = (Ride::new(), Ride::new());
    let kept = |on: &str, ride: &Ride| json!({"kind": "error_500_kept", "on": on, "trip": ride.trip.to_string()});
    rig.sandbox.fault(kept("create", &hold)).await;
    rig.tell(&hold.requested()).await;
    rig.work_until(&hold, State::is_terminal).await;
    assert!(matches!(
        rig.intent(&hold).await.state,
        State::Declined { code, .. } if code == "processing_error"
    ));
    rig.sandbox.fault(kept("charge", &charge)).await;
    rig.tell(&charge.requested()).await;
    rig.tell(&charge.completed_with(2_500, 1_900)).await;
    let owes = |state: &State| state.owed().is_some_and(|owed| owed.minor == 500);
    rig.work_until(&charge, owes).await;
    rig.at_rest().await;
}

#[tokio::test]
async fn a_no_show_pays_its_driver_out_of_the_fee() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.requested()).await;
    rig.tell(&ride.no_show(500, 350)).await;
    rig.work().await;
    let balances = rig.balances(&ride).await;
    assert_eq!(
        (
            balances["processor"],
            balances["driver"],
            balances["platform:revenue"]
        ),
        ((-500, 0), (350, 0), (150, 0))
    );
    let codes: Vec<String> = sqlx::query_scalar(
        "SELECT code::text FROM ledger.transfers WHERE credit = 'platform:revenue' AND kind = 'posted'",
    )
    .fetch_all(rig.pg.pool())
    .await
    .unwrap();
    assert_eq!(codes, ["no_show_fee"]);
    rig.at_rest().await;
}

#[tokio::test]
async fn a_ride_sold_below_what_its_driver_is_owed_costs_the_platform() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.requested()).await;
    rig.tell(&ride.completed_with(1_000, 1_400)).await;
    rig.work().await;
    let balances = rig.balances(&ride).await;
    assert_eq!(
        (
            balances["processor"],
            balances["driver"],
            balances["platform:revenue"],
            balances["platform:tax"]
        ),
        ((-1_000, 0), (1_400, 0), (-550, 0), (150, 0))
    );
    rig.at_rest().await;
}

#[tokio::test]
async fn a_ride_that_costs_its_rider_nothing_pays_its_driver() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.requested()).await;
    rig.tell(&ride.completed_with(0, 1_400)).await;
    rig.work().await;
    assert!(matches!(
        rig.intent(&ride).await.state,
        State::Voided { .. }
    ));
    let balances = rig.balances(&ride).await;
    assert_eq!(
        (balances["driver"], balances["platform:revenue"]),
        ((1_400, 0), (-1_400, 0))
    );
    rig.at_rest().await;
}
