//! Events out, in order and complete; payment's events in, once.

use std::sync::Arc;

use async_trait::async_trait;
use hexcab_bus::{BusConfig, Consumer, Failure, Handler, Incoming, Outgoing, Producer, topic};
use hexcab_chassis::{Readiness, Tasks};
use hexcab_proto::{
    payment::v1::{HoldDeclined, HoldPlaced, PaymentEvent, payment_event::Event as Payment},
    trip::v1::{self as proto, TripEvent},
};
use hexcab_testkit::eventually;
use hexcab_trip::{
    domain::{Canceller, Command},
    events::PaymentEvents,
    store::Consumed,
};
use hexcab_types::{EventId, TripId};
use prost::Message as _;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{api::Service, fixture::*};

fn payment(trip: &str, event: Payment) -> PaymentEvent {
    PaymentEvent {
        intent: format!("intents/{}", Uuid::new_v4()),
        trip: trip.to_owned(),
        rider: rider(1).name(),
        version: 2,
        occur_time: None,
        event: Some(event),
        ..PaymentEvent::default()
    }
}

fn declined(trip: TripId) -> PaymentEvent {
    payment(
        &trip.name(),
        Payment::HoldDeclined(HoldDeclined {
            code: "card_declined".into(),
        }),
    )
}

fn delivered(event: &PaymentEvent) -> Incoming {
    Incoming {
        topic: topic::PAYMENT.to_owned(),
        partition: 0,
        offset: 0,
        key: event.trip.clone(),
        id: EventId::from(Uuid::new_v4()),
        kind: "hexcab.payment.v1.HoldDeclined".into(),
        source: "payment".into(),
        subject: event.intent.clone(),
        time: start(),
        traceparent: None,
        payload: event.encode_to_vec().into(),
    }
}

#[tokio::test]
async fn a_declined_hold_calls_the_trip_off_and_frees_the_driver_once() {
    let store = Store::new().await;
    let handler = PaymentEvents::new(store.trips.0.clone());
    let trip = store.offered(1).await.id;
    store.must(trip, [accept(driver(1), 1)]).await;
    let event = delivered(&declined(trip));
    handler.handle(&event).await.unwrap();
    handler.handle(&event).await.unwrap();
    let cancelled = proto::Trip::from(&store.trips.get(trip).await.unwrap());
    assert_eq!(cancelled.state(), proto::State::Cancelled);
    assert_eq!(cancelled.version, 4);
    assert_eq!(
        cancelled.cancellation.unwrap().reason(),
        proto::CancelReason::PaymentDeclined
    );
    let next = store.request(2).await.id;
    assert_eq!(
        reason(&store.execute(next, offer_to(driver(1))).await),
        "OFFERED"
    );
}

#[tokio::test]
async fn an_event_that_comes_again_is_known() {
    let store = Store::new().await;
    let trip = store.offered(1).await.id;
    let event = delivered(&declined(trip));
    let order = || Some((trip, Command::Cancel(Canceller::PaymentDeclined)));
    let consumed = store.trips.0.consume(&event, order()).await.unwrap();
    assert!(matches!(consumed, Consumed::Done(_)), "{consumed:?}");
    let again = store.trips.0.consume(&event, order()).await.unwrap();
    assert_eq!(again, Consumed::Before);
}

#[tokio::test]
async fn a_hold_declined_too_late_is_consumed_without_effect() {
    let store = Store::new().await;
    let handler = PaymentEvents::new(store.trips.0.clone());
    let trip = store.offered(1).await.id;
    let riding = store
        .must(
            trip,
            [accept(driver(1), 1), arrive(driver(1)), begin(driver(1))],
        )
        .await;
    handler.handle(&delivered(&declined(trip))).await.unwrap();
    assert_eq!(store.trips.get(trip).await.unwrap(), riding);
    let consumed: i64 = sqlx::query_scalar("SELECT count(*) FROM inbox")
        .fetch_one(store.pg.pool())
        .await
        .unwrap();
    assert_eq!(consumed, 1);
}

#[tokio::test]
async fn other_events_of_payment_are_noted_and_nonsense_is_poison() {
    let store = Store::new().await;
    let handler = PaymentEvents::new(store.trips.0.clone());
    let trip = store.request(1).await;
    let held = payment(
        &trip.id.name(),
        Payment::HoldPlaced(HoldPlaced {
            amount: Some(usd(1840).into()),
        }),
    );
    handler.handle(&delivered(&held)).await.unwrap();
    assert_eq!(store.trips.get(trip.id).await.unwrap(), trip);

    let mut garbage = delivered(&held);
    garbage.payload = vec![0xff; 7].into();
    let nobody = declined(TripId::from(Uuid::new_v4()));
    let unnamed = payment("riders/1", Payment::HoldDeclined(HoldDeclined::default()));
    for bad in [garbage, delivered(&nobody), delivered(&unnamed)] {
        let failure = handler.handle(&bad).await.unwrap_err();
        assert!(matches!(failure, Failure::Poison(_)), "{failure:?}");
    }
}

/// Keeps what it is handed.
#[derive(Default)]
struct Ear(Mutex<Vec<Incoming>>);

#[async_trait]
impl Handler for Ear {
    async fn handle(&self, event: &Incoming) -> Result<(), Failure> {
        self.0.lock().await.push(event.clone());
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_world_is_told_in_order_and_a_declined_hold_comes_back() {
    let mut service = Service::start().await;
    let bus = BusConfig {
        brokers: service.broker.brokers(),
        ..BusConfig::default()
    };
    let (ear, tasks) = (Arc::new(Ear::default()), Tasks::new());
    let consumer = Consumer::new(
        &bus,
        "ear",
        &[topic::TRIP],
        ear.clone(),
        Readiness::new().component("kafka"),
    );
    tasks.spawn("ear", consumer.run(tasks.shutdown()));

    let trip = service.create(1).await;
    service.offer(&trip.name, 1).await;
    let bad_card = payment(
        &trip.name,
        Payment::HoldDeclined(HoldDeclined {
            code: "card_declined".into(),
        }),
    );
    let outgoing = Outgoing {
        topic: topic::PAYMENT,
        key: trip.name.clone(),
        kind: "hexcab.payment.v1.HoldDeclined".into(),
        source: "payment",
        subject: bad_card.intent.clone(),
        time: start(),
        payload: bad_card.encode_to_vec(),
        traceparent: None,
    };
    Producer::connect(&bus)
        .unwrap()
        .publish(outgoing)
        .await
        .unwrap();

    let heard = eventually(|| async {
        let heard = ear.0.lock().await;
        (heard.len() >= 3).then(|| heard.clone())
    })
    .await;
    let kinds: Vec<&str> = heard.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "hexcab.trip.v1.TripRequested",
            "hexcab.trip.v1.OfferMade",
            "hexcab.trip.v1.TripCancelled"
        ]
    );
    for (version, event) in (1..).zip(&heard) {
        assert_eq!((event.key.as_str(), &event.subject), ("sf", &trip.name));
        let told = TripEvent::decode(event.payload.clone()).unwrap();
        assert_eq!(
            (told.version, told.after.unwrap().version),
            (version, version)
        );
    }
    let last = TripEvent::decode(heard[2].payload.clone()).unwrap();
    let Some(proto::trip_event::Event::Cancelled(cancelled)) = last.event else {
        panic!("{last:?}")
    };
    assert_eq!(cancelled.driver, driver(1).name());
    tasks.stop(std::time::Duration::from_secs(10)).await;
    service.stop().await;
}
