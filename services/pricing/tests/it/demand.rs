//! Requests are counted once, whatever comes twice.

use hexcab_bus::{Failure, Handler as _, Incoming, topic};
use hexcab_pricing::{events::TripHandler, market::Markets, store::Store};
use hexcab_proto::trip::v1::{TripCompleted, TripEvent, trip_event::Event};
use hexcab_testkit::{TestDb, eventually};
use hexcab_types::{Timestamp, TripId};
use prost::Message as _;
use uuid::Uuid;

use crate::city::{City, ask, trip_requested};

fn now() -> Timestamp {
    Timestamp::from_timestamp(1_212_192_000, 0).unwrap()
}

fn trip(number: u128) -> TripId {
    Uuid::from_u128(number).into()
}

fn incoming(id: u128, event: &TripEvent) -> Incoming {
    Incoming {
        topic: topic::TRIP.into(),
        partition: 0,
        offset: 0,
        key: "sf".into(),
        id: Uuid::from_u128(id).into(),
        kind: "hexcab.trip.v1.TripRequested".into(),
        source: "trip".into(),
        subject: event.trip.clone(),
        time: now(),
        traceparent: None,
        payload: event.encode_to_vec().into(),
    }
}

async fn handler(db: &TestDb) -> TripHandler {
    let store = Store::open(db.connect().await).await.unwrap();
    let city = hexcab_cities::City::built_in("sf").unwrap();
    let roads =
        hexcab_cities::road_times(&hexcab_cities::Profile::built_in("sf").unwrap(), None).unwrap();
    let market = hexcab_pricing::market::Market::new(city.clone(), roads, 1);
    let markets = Markets::new([(city.id, market)].into());
    TripHandler { markets, store }
}

async fn rows(db: &TestDb) -> (i64, i64) {
    let pg = db.connect().await;
    let counts = "SELECT (SELECT count(*) FROM demand), (SELECT count(*) FROM inbox WHERE consumer = 'pricing')";
    sqlx::query_as(counts).fetch_one(pg.pool()).await.unwrap()
}

#[tokio::test]
async fn an_event_that_comes_twice_counts_once() {
    let db = TestDb::create("pricing").await;
    let handler = handler(&db).await;
    let event = incoming(1, &trip_requested(trip(7), now()));
    for _ in 0..3 {
        handler.handle(&event).await.unwrap();
    }
    assert_eq!(rows(&db).await, (1, 1));
    // Told anew under another id, as by a republish of a writer that lost its outbox: the row itself is the guard.
    handler
        .handle(&incoming(2, &trip_requested(trip(7), now())))
        .await
        .unwrap();
    assert_eq!(rows(&db).await, (1, 2));
}

#[tokio::test]
async fn other_events_of_trips_are_no_demand() {
    let db = TestDb::create("pricing").await;
    let handler = handler(&db).await;
    let completed = TripEvent {
        event: Some(Event::Completed(TripCompleted {})),
        ..trip_requested(trip(7), now())
    };
    handler.handle(&incoming(1, &completed)).await.unwrap();
    let unknown = TripEvent {
        event: None,
        ..completed
    };
    handler.handle(&incoming(2, &unknown)).await.unwrap();
    assert_eq!(rows(&db).await, (0, 0));
}

#[tokio::test]
async fn what_cannot_be_read_is_poison_not_a_loop() {
    let db = TestDb::create("pricing").await;
    let handler = handler(&db).await;
    let good = trip_requested(trip(7), now());
    let no_trip = TripEvent {
        trip: String::new(),
        ..good.clone()
    };
    let nothing_after = TripEvent {
        after: None,
        ..good.clone()
    };
    let timeless = TripEvent {
        occur_time: None,
        ..good.clone()
    };
    for event in [no_trip, nothing_after, timeless] {
        let failure = handler.handle(&incoming(1, &event)).await.unwrap_err();
        assert!(matches!(failure, Failure::Poison(_)), "{failure}");
    }
    let garbage = Incoming {
        payload: vec![0xff; 9].into(),
        ..incoming(1, &good)
    };
    assert!(matches!(
        handler.handle(&garbage).await.unwrap_err(),
        Failure::Poison(_)
    ));
    assert_eq!(rows(&db).await, (0, 0));
}

#[tokio::test]
async fn requested_trips_come_over_the_bus_and_count() {
    let mut city = City::start().await;
    city.quote(ask()).await.unwrap();
    for number in [7, 8, 7, 8, 7] {
        let event = trip_requested(trip(number), city.clock.now());
        city.publish(
            topic::TRIP,
            "hexcab.trip.v1.TripRequested",
            event.encode_to_vec(),
        )
        .await;
    }
    eventually(async || (rows(&city.db).await == (3, 5)).then_some(())).await;
}
