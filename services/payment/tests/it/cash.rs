//! Cash rides: the driver has the money, and owes the platform its part.

use std::collections::BTreeMap;

use hexcab_payment::domain::{Method, State};

use crate::rig::{Ride, Rig};

async fn cash(rig: &Rig, ride: &Ride, events: &[hexcab_bus::Incoming]) {
    for event in events {
        rig.tell(&Ride::in_cash(event)).await;
    }
    rig.work().await;
    assert_eq!(
        rig.sandbox.payments(ride).await,
        [],
        "the processor is not asked"
    );
}

#[tokio::test]
async fn a_cash_ride_leaves_its_driver_owing_commission_and_tax() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    cash(&rig, &ride, &[ride.requested()]).await;
    let intent = rig.intent(&ride).await;
    assert_eq!(
        (intent.method, intent.state),
        (Method::Cash, State::AwaitsCash)
    );
    assert_eq!(
        rig.balances(&ride).await,
        BTreeMap::new(),
        "nothing is held"
    );
    cash(&rig, &ride, &[ride.started(0), ride.completed(2_000)]).await;
    assert_eq!(rig.intent(&ride).await.state, State::CashCollected);
    let expected = [
        ("driver", (-600, 0)),
        ("platform:revenue", (450, 0)),
        ("platform:tax", (150, 0)),
    ];
    let expected: BTreeMap<String, (i64, i64)> = expected
        .into_iter()
        .map(|(name, of)| (name.to_owned(), of))
        .collect();
    assert_eq!(rig.balances(&ride).await, expected);
    assert_eq!(rig.told_kinds(&ride).await, ["CashCollected"]);
    rig.at_rest().await;
    cash(&rig, &ride, &[ride.completed(2_000)]).await;
    assert_eq!(
        rig.balances(&ride).await,
        expected,
        "told twice, collected once"
    );
}

#[tokio::test]
async fn a_cash_ride_with_a_waiting_fee_is_collected_whole() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    let events = [
        ride.requested(),
        ride.started(300),
        ride.completed_with(2_300, 1_640),
    ];
    cash(&rig, &ride, &events).await;
    assert_eq!(rig.balances(&ride).await["driver"], (-660, 0));
    rig.at_rest().await;
}

#[tokio::test]
async fn a_cash_ride_that_is_called_off_is_void_or_its_fee_is_owed() {
    let rig = Rig::start().await;
    let (free, fee) = (Ride::new(), Ride::new());
    cash(&rig, &free, &[free.requested(), free.cancelled(0)]).await;
    assert_eq!(rig.intent(&free).await.state, State::Voided { hold: None });
    cash(&rig, &fee, &[fee.requested(), fee.no_show(500, 350)]).await;
    let State::Owed { owed } = rig.intent(&fee).await.state else {
        panic!("not owed")
    };
    assert_eq!(owed.minor, 500);
    let balances = rig.balances(&fee).await;
    assert_eq!(
        (
            balances["rider"],
            balances["driver"],
            balances["platform:revenue"]
        ),
        ((-500, 0), (350, 0), (150, 0)),
        "the platform pays the driver"
    );
    assert_eq!(rig.told_kinds(&fee).await, ["DebtIncurred"]);
    rig.at_rest().await;
}

#[tokio::test]
async fn a_cash_ride_of_which_only_the_end_is_heard_is_collected() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    cash(&rig, &ride, &[ride.completed(2_000), ride.requested()]).await;
    assert_eq!(rig.intent(&ride).await.state, State::CashCollected);
    rig.at_rest().await;
}
