//! A trip's money from request to end.

use std::collections::BTreeMap;

use hexcab_payment::domain::{ProcessorId, State, decide::Command, refund::Ask};
use hexcab_proto::payment::v1::payment_event::Event;
use hexcab_types::{Currency, Money};
use serde_json::json;

use crate::rig::{Ride, Rig, TRACEPARENT, give_back, key, usd};

fn balances<const N: usize>(all: [(&str, (i64, i64)); N]) -> BTreeMap<String, (i64, i64)> {
    all.into_iter()
        .map(|(account, balance)| (account.to_owned(), balance))
        .collect()
}

fn one(status: &str, received: i64) -> Vec<(String, i64)> {
    vec![(status.to_owned(), received)]
}

#[tokio::test]
async fn a_completed_trip_is_held_captured_and_posted_to_the_cent() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.requested()).await;
    assert_eq!(
        rig.intent(&ride).await.state,
        State::RequiresHold,
        "phase A calls nobody"
    );
    assert_eq!(
        rig.balances(&ride).await,
        balances([("processor", (0, -2_000)), ("rider", (0, 2_000))])
    );

    rig.work().await;
    assert!(matches!(rig.intent(&ride).await.state, State::Held(_)));
    assert_eq!(
        rig.sandbox.payments(&ride).await,
        one("requires_capture", 0)
    );

    rig.tell(&ride.completed(2_000)).await;
    rig.work().await;
    assert!(
        matches!(rig.intent(&ride).await.state, State::Captured { taken, .. } if taken.captured.minor == 2_000)
    );
    assert_eq!(rig.sandbox.payments(&ride).await, one("succeeded", 2_000));
    let expected = balances([
        ("processor", (-2_000, 0)),
        ("driver", (1_400, 0)),
        ("platform:revenue", (450, 0)),
        ("platform:tax", (150, 0)),
    ]);
    assert_eq!(rig.balances(&ride).await, expected);

    let told = rig.told(&ride).await;
    assert_eq!(
        told.iter()
            .map(|(kind, event)| (kind.as_str(), event.version))
            .collect::<Vec<_>>(),
        [("HoldPlaced", 1), ("Captured", 2)]
    );
    let Some(Event::Captured(captured)) = told[1].1.event.clone() else {
        panic!("not a capture")
    };
    assert_eq!(
        (captured.amount, captured.driver_pay, captured.driver),
        (usd(2_000), usd(1_400), ride.driver.name())
    );
    assert_eq!(rig.outstanding().await, 0);
}

#[tokio::test]
async fn a_charge_below_the_hold_takes_only_the_charge() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.requested()).await;
    rig.tell(&ride.completed(1_800)).await;
    rig.work().await;
    assert_eq!(rig.sandbox.payments(&ride).await, one("succeeded", 1_800));
    let balances = rig.balances(&ride).await;
    assert_eq!(
        (
            balances["processor"],
            balances["driver"],
            balances["platform:revenue"]
        ),
        ((-1_800, 0), (1_400, 0), (250, 0))
    );
}

#[tokio::test]
async fn a_declined_hold_is_told_and_final() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.sandbox.fault(json!({"kind": "decline", "rider": ride.rider.to_string(), "code": "insufficient_funds"})).await;
    rig.tell(&ride.requested()).await;
    rig.work().await;
    assert_eq!(
        rig.intent(&ride).await.state,
        State::Declined {
            code: "insufficient_funds".into(),
            owed: None
        }
    );
    let told = rig.told(&ride).await;
    let Some(Event::HoldDeclined(declined)) = &told[0].1.event else {
        panic!("{told:?}")
    };
    assert_eq!(declined.code, "insufficient_funds");

    rig.tell(&ride.cancelled(0)).await;
    rig.work().await;
    assert_eq!(
        rig.intent(&ride).await.state,
        State::Declined {
            code: "insufficient_funds".into(),
            owed: None
        }
    );
    assert_eq!(rig.told_kinds(&ride).await, ["HoldDeclined"]);
    assert_eq!(
        rig.sandbox.payments(&ride).await,
        one("requires_payment_method", 0)
    );
    assert_eq!(
        rig.balances(&ride).await,
        BTreeMap::new(),
        "nothing is pending or posted"
    );
    assert_eq!(rig.outstanding().await, 0);
}

/// A ride whose hold is declined before its end is heard of, or after.
async fn declined(end: impl Fn(&Ride) -> hexcab_bus::Incoming, before: bool) -> (Rig, Ride) {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.sandbox
        .fault(json!({"kind": "decline", "rider": ride.rider.to_string()}))
        .await;
    rig.tell(&ride.requested()).await;
    if before {
        rig.work().await;
    }
    rig.tell(&end(&ride)).await;
    rig.work().await;
    (rig, ride)
}

#[tokio::test]
async fn a_ride_whose_hold_was_declined_pays_its_driver_and_is_owed_by_its_rider() {
    for before in [true, false] {
        let (rig, ride) = declined(|ride| ride.completed(2_000), before).await;
        assert!(matches!(
            rig.intent(&ride).await.state,
            State::Declined { .. }
        ));
        let expected = balances([
            ("rider", (-2_000, 0)),
            ("driver", (1_400, 0)),
            ("platform:revenue", (450, 0)),
            ("platform:tax", (150, 0)),
        ]);
        assert_eq!(rig.balances(&ride).await, expected, "before: {before}");
        assert_eq!(
            rig.told_kinds(&ride).await,
            ["HoldDeclined", "DebtIncurred"]
        );
        assert_eq!(
            rig.sandbox.payments(&ride).await,
            one("requires_payment_method", 0)
        );
        assert_eq!(rig.outstanding().await, 0);
        rig.tell(&ride.completed(2_000)).await;
        rig.work().await;
        assert_eq!(rig.balances(&ride).await, expected, "told twice, owed once");
    }
}

#[tokio::test]
async fn a_cancellation_fee_whose_hold_was_declined_is_owed_to_the_platform() {
    let (rig, ride) = declined(|ride| ride.cancelled(500), true).await;
    let expected = balances([("rider", (-500, 0)), ("platform:revenue", (500, 0))]);
    assert_eq!(rig.balances(&ride).await, expected);
}

#[tokio::test]
async fn a_debt_is_entered_by_the_holder_of_the_lease_or_not_at_all() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.sandbox
        .fault(json!({"kind": "decline", "rider": ride.rider.to_string()}))
        .await;
    rig.tell(&ride.requested()).await;
    rig.work().await;
    rig.tell(&ride.completed(2_000)).await;
    let late = rig.store.claim().await.unwrap().expect("the charge is due");
    rig.expire_leases().await;
    rig.work().await;
    assert_eq!(late.order, hexcab_payment::domain::Order::Capture);
    let kept = rig.store.record(&late, &Command::Owe).await;
    assert!(matches!(
        kept,
        Err(hexcab_payment::store::StoreError::LeaseLost)
    ));
    assert_eq!(rig.balances(&ride).await["rider"], (-2_000, 0));
}

#[tokio::test]
async fn a_trip_that_ends_without_a_charge_gives_the_hold_back() {
    let rig = Rig::start().await;
    let (cancelled, expired) = (Ride::new(), Ride::new());
    for (ride, end) in [
        (cancelled, cancelled.cancelled(0)),
        (expired, expired.expired()),
    ] {
        rig.tell(&ride.requested()).await;
        rig.work().await;
        rig.tell(&end).await;
        rig.work().await;
        assert!(matches!(
            rig.intent(&ride).await.state,
            State::Voided { hold: Some(_) }
        ));
        assert_eq!(rig.sandbox.payments(&ride).await, one("canceled", 0));
        assert_eq!(rig.told_kinds(&ride).await, ["HoldPlaced", "Voided"]);
    }
    let balances = rig.all_balances().await;
    assert!(balances.values().all(|balance| *balance == (0, 0)));
}

#[tokio::test]
async fn a_cancellation_fee_is_captured_for_the_platform() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.requested()).await;
    rig.work().await;
    rig.tell(&ride.cancelled(500)).await;
    rig.work().await;
    assert_eq!(rig.sandbox.payments(&ride).await, one("succeeded", 500));
    let expected = balances([("processor", (-500, 0)), ("platform:revenue", (500, 0))]);
    assert_eq!(rig.balances(&ride).await, expected);
    let told = rig.told(&ride).await;
    let Some(Event::Captured(captured)) = &told[1].1.event else {
        panic!("{told:?}")
    };
    assert_eq!(
        (captured.driver_pay.clone(), captured.driver.as_str()),
        (usd(0), "")
    );
}

#[tokio::test]
async fn a_settlement_waits_for_the_answer_of_the_hold() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.requested()).await;
    rig.tell(&ride.cancelled(0)).await;
    let hold = rig.store.claim().await.unwrap().expect("the hold is due");
    assert_eq!(hold.order.step().as_str(), "hold");
    assert_eq!(
        rig.store.claim().await.unwrap(),
        None,
        "the void is not, while the hold is in flight"
    );
    assert_eq!(rig.store.claim().await.unwrap(), None);

    let placed = Command::PlaceHold {
        processor_id: ProcessorId("pi_x".into()),
    };
    rig.store.record(&hold, &placed).await.unwrap();
    assert_eq!(
        rig.store
            .claim()
            .await
            .unwrap()
            .expect("now it is due")
            .order
            .step()
            .as_str(),
        "void"
    );
}

#[tokio::test]
async fn many_trips_and_workers_hold_and_settle_each_trip_once() {
    let rig = Rig::start().await;
    let rides: Vec<Ride> = (0..30).map(|_| Ride::new()).collect();
    for ride in &rides {
        rig.tell(&ride.requested()).await;
        rig.tell(&ride.completed(2_000)).await;
    }
    futures::future::join_all((0..6).map(|_| rig.work())).await;
    for ride in &rides {
        rig.work_until(ride, |state| matches!(state, State::Captured { .. }))
            .await;
        assert_eq!(rig.sandbox.payments(ride).await, one("succeeded", 2_000));
        assert_eq!(rig.told_kinds(ride).await, ["HoldPlaced", "Captured"]);
    }
    let sum: i64 = rig
        .all_balances()
        .await
        .values()
        .map(|(posted, _)| posted)
        .sum();
    assert_eq!(sum, 0);
}

#[tokio::test]
async fn the_work_of_a_trip_stays_in_its_trace() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.requested()).await;
    let claim = rig.store.claim().await.unwrap().expect("the hold is due");
    assert_eq!(claim.traceparent.as_deref(), Some(TRACEPARENT));
}

#[tokio::test]
async fn currencies_without_cents_and_with_thousandths_move_in_minor_units_of_their_own() {
    for currency in [Currency::Jpy, Currency::Kwd] {
        let (rig, ride) = (Rig::start().await, Ride::new());
        for event in [ride.requested(), ride.completed(2_000)] {
            rig.tell(&Ride::in_currency(&event, currency)).await;
            rig.work().await;
        }
        assert_eq!(rig.sandbox.payments(&ride).await, one("succeeded", 2_000));
        let third = Ask {
            amount: Some(Money::new(333, currency)),
            ..give_back(None, true)
        };
        rig.store.refund(&key(), ride.trip, &third).await.unwrap();
        rig.work().await;
        // 233.1 of it is the driver's and 24.975 tax: rounded half to even, the platform bears the remainder.
        assert_eq!(
            rig.balances(&ride).await,
            balances([
                ("driver", (1_400 - 233, 0)),
                ("platform:revenue", (450 - 75, 0)),
                ("platform:tax", (150 - 25, 0)),
                ("processor", (333 - 2_000, 0)),
            ])
        );
        let accounts = rig.store.trial_balance().await.unwrap().accounts;
        let foreign = |balance: &hexcab_ledger::Balance| balance.net().currency != currency;
        assert!(!accounts.iter().any(foreign), "{accounts:?}");
        rig.at_rest().await;
    }
}
