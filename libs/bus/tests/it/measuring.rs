//! What the bus says about itself in numbers.

use std::sync::Arc;

use hexcab_bus::{Consumer, Failure, Producer, outbox, topic};
use hexcab_chassis::Readiness;
use hexcab_telemetry::metrics::{KeyValue, in_memory};
use hexcab_testkit::eventually;

use crate::{Bench, Seen, event, subjects};

/// Waits until a series has a value.
async fn until(name: &str, of: &[KeyValue], fits: impl Fn(f64) -> bool) {
    let measured = in_memory();
    eventually(|| async { fits(measured.value(name, of)).then_some(()) }).await;
}

fn of(key: &'static str, value: &str) -> KeyValue {
    KeyValue::new(key, value.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn how_long_and_how_many_events_wait_is_said_while_the_relay_is_stuck() {
    let bench = Bench::new().await;
    let database = [of("db.namespace", bench.pg.database())];
    // A transaction that does not end keeps the relay from all that follows.
    let mut open = bench.transaction().await;
    outbox::append(&mut open, &event("trips/open"))
        .await
        .unwrap();
    for subject in subjects(3) {
        bench.write(&subject).await;
    }
    let seen = Arc::new(Seen::default());
    bench.consume(&[topic::TRIP], seen.clone());
    bench.relay();
    until("hexcab.outbox.waiting", &database, |waiting| waiting == 3.0).await;
    until("hexcab.outbox.age", &database, |age_s| age_s > 0.3).await;
    open.commit().await.unwrap();
    seen.until(4).await;
    until("hexcab.outbox.waiting", &database, |waiting| waiting == 0.0).await;
    until("hexcab.outbox.age", &database, |age_s| age_s == 0.0).await;
    let measured = in_memory();
    let published = [
        database[0].clone(),
        of("messaging.destination.name", topic::TRIP),
    ];
    assert_eq!(measured.value("hexcab.relay.published", &published), 4.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_a_consumer_is_behind_is_said_while_its_partition_is_paused() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    let away = || Failure::Dependency(anyhow::Error::msg("postgres is away"));
    seen.fail.lock().extend((0..4).map(|_| ("trips/0", away())));
    let mine = [
        of("messaging.consumer.group.name", "lagging"),
        of("messaging.destination.name", topic::TRIP),
        of("messaging.destination.partition.id", "0"),
    ];
    let config = hexcab_bus::BusConfig {
        backoff_ms: 400,
        ..bench.config()
    };
    bench.member_with(&config, "lagging", &[topic::TRIP], seen.clone());
    let producer = Producer::connect(&bench.config()).unwrap();
    producer.publish(event("trips/0")).await.unwrap();
    until("hexcab.consumer.paused", &mine, |paused| paused == 1.0).await;
    until("hexcab.consumer.lag", &mine, |lag| lag == 1.0).await;
    // It is not fetched any more, and the lag grows all the same.
    for n in 1..5 {
        producer
            .publish(event(&format!("trips/{n}")))
            .await
            .unwrap();
    }
    until("hexcab.consumer.lag", &mine, |lag| lag == 5.0).await;
    seen.until(5).await;
    until("hexcab.consumer.lag", &mine, |lag| lag == 0.0).await;
    until("hexcab.consumer.paused", &mine, |paused| paused == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_before_a_tail_is_none_of_its_lag() {
    let bench = Bench::new().await;
    let producer = Producer::connect(&bench.config()).unwrap();
    for subject in subjects(3) {
        producer.publish(event(&subject)).await.unwrap();
    }
    let seen = Arc::new(Seen::default());
    let away = || Failure::Dependency(anyhow::Error::msg("postgres is away"));
    seen.fail.lock().extend((0..4).map(|_| ("trips/3", away())));
    let config = hexcab_bus::BusConfig {
        backoff_ms: 400,
        ..bench.config()
    };
    let readiness = Readiness::new();
    let component = readiness.component("kafka");
    let tail = Consumer::tail(&config, "tailing", &[topic::TRIP], seen.clone(), component);
    bench.killable("tail", tail.run(bench.tasks.shutdown()));
    eventually(|| async { readiness.is_ready().then_some(()) }).await;
    producer.publish(event("trips/3")).await.unwrap();
    let mine = [
        of("messaging.consumer.group.name", "tailing"),
        of("messaging.destination.name", topic::TRIP),
        of("messaging.destination.partition.id", "0"),
    ];
    until("hexcab.consumer.lag", &mine, |lag| lag == 1.0).await;
    assert_eq!(seen.until(1).await, ["trips/3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_counted() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    for subject in ["trips/0", "trips/2"] {
        let poison = Failure::Poison("cannot be read".into());
        seen.fail.lock().push((subject, poison));
    }
    bench.member("counting", &[topic::TRIP], seen.clone());
    let producer = Producer::connect(&bench.config()).unwrap();
    for subject in subjects(4) {
        producer.publish(event(&subject)).await.unwrap();
    }
    assert_eq!(seen.until(2).await, ["trips/1", "trips/3"]);
    let mine = [
        of("messaging.consumer.group.name", "counting"),
        of("messaging.destination.name", topic::TRIP),
    ];
    assert_eq!(in_memory().value("hexcab.dlq.letters", &mine), 2.0);
}
