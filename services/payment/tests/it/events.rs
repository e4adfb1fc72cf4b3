//! Trip events twice, late, out of order, and such that cannot be.

use hexcab_bus::{Failure, Incoming};
use hexcab_payment::domain::State;
use hexcab_proto::trip::v1 as trip;
use uuid::Uuid;

use crate::rig::{Ride, Rig, incoming, usd};

/// The same message with an id of its own: told again by somebody who does not know that it was.
fn retold(event: &Incoming) -> Incoming {
    Incoming {
        id: Uuid::now_v7().into(),
        ..event.clone()
    }
}

fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = permutations(count - 1);
    let insert = |rest: &Vec<usize>, at: usize| [&rest[..at], &[count - 1], &rest[at..]].concat();
    shorter
        .iter()
        .flat_map(|rest| (0..count).map(move |at| insert(rest, at)))
        .collect()
}

#[tokio::test]
async fn events_twice_and_in_any_order_take_the_money_once() {
    let rig = Rig::start().await;
    for order in permutations(5) {
        let ride = Ride::new();
        let (requested, completed) = (ride.requested(), ride.completed(2_000));
        let events = [
            requested.clone(),
            requested.clone(),
            retold(&requested),
            completed.clone(),
            completed.clone(),
        ];
        for index in &order {
            rig.tell(&events[*index]).await;
            if index % 2 == 0 {
                rig.work().await;
            }
        }
        rig.work().await;
        assert!(
            matches!(rig.intent(&ride).await.state, State::Captured { .. }),
            "{order:?}"
        );
        assert_eq!(
            rig.sandbox.payments(&ride).await,
            [("succeeded".to_owned(), 2_000)],
            "{order:?}"
        );
        assert_eq!(
            rig.told_kinds(&ride).await,
            ["HoldPlaced", "Captured"],
            "{order:?}"
        );
    }
}

#[tokio::test]
async fn a_trip_that_ended_before_its_request_came_is_never_held() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.cancelled(0)).await;
    rig.work().await;
    rig.tell(&ride.requested()).await;
    rig.work().await;
    assert_eq!(rig.intent(&ride).await.state, State::Voided { hold: None });
    assert_eq!(rig.sandbox.payments(&ride).await, []);
    assert_eq!(rig.told_kinds(&ride).await, ["Voided"]);
}

#[tokio::test]
async fn an_event_has_one_inbox_row() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    let requested = ride.requested();
    rig.tell(&requested).await;
    rig.tell(&requested).await;
    let rows: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM inbox WHERE consumer = 'payment' AND event_id = $1",
    )
    .bind(requested.id.uuid())
    .fetch_one(rig.pg.pool())
    .await
    .unwrap();
    assert_eq!(rows, 1);
}

#[tokio::test]
async fn events_that_say_nothing_about_money_change_nothing() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    let after = trip::Trip {
        name: ride.trip.name(),
        ..trip::Trip::default()
    };
    rig.tell(&incoming(
        after.clone(),
        trip::trip_event::Event::DriverArrived(trip::DriverArrived {}),
    ))
    .await;
    rig.tell(&ride.started(0)).await;
    let free = trip::Trip {
        rider: ride.rider.name(),
        fare: usd(0),
        payment_method: trip::PaymentMethod::Card.into(),
        ..after
    };
    rig.tell(&incoming(
        free,
        trip::trip_event::Event::Requested(trip::TripRequested {}),
    ))
    .await;
    assert_eq!(rig.store.of_trip(ride.trip).await.unwrap(), None);
}

#[tokio::test]
async fn events_that_cannot_be_are_poison() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    let requested = ride.requested();
    let garbage = Incoming {
        payload: vec![0xff; 7].into(),
        ..requested.clone()
    };
    let nameless = trip::Trip {
        fare: usd(100),
        ..trip::Trip::default()
    };
    let negative = trip::Trip {
        name: ride.trip.name(),
        rider: ride.rider.name(),
        fare: usd(-1),
        ..trip::Trip::default()
    };
    let kind = || trip::trip_event::Event::Requested(trip::TripRequested {});
    for event in [
        garbage,
        incoming(nameless, kind()),
        incoming(negative, kind()),
        ride.completed(-5),
    ] {
        assert!(matches!(rig.refuse(&event).await, Failure::Poison(_)));
    }
    assert_eq!(
        rig.store.of_trip(ride.trip).await.unwrap(),
        None,
        "a poisoned event leaves nothing behind"
    );
}
