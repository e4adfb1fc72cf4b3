//! When the broker fails: brokers down, events dropped, producers refused for good.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use hexcab_bus::{
    BusConfig, BusError, Consumer, Failure, Handler, Incoming, Outgoing, Producer, topic,
};
use hexcab_chassis::Readiness;
use hexcab_testkit::eventually;
use parking_lot::Mutex;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio::sync::Notify;
use tracing::instrument::WithSubscriber as _;

use crate::{Bench, Seen, event, subjects};

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_failed_for_good_is_replaced() {
    let bench = Bench::new().await;
    refuse_next_producer(&bench);
    let producer = Producer::connect(&bench.config()).unwrap();
    let first = producer.publish(event("trips/1")).await;
    assert!(matches!(first, Err(BusError::Client(_))), "{first:?}");
    producer.publish(event("trips/2")).await.unwrap();
}

/// The cursor moves when the broker has said of every event that it has it.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_did_not_take_is_sent_again() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    bench.consume(&[topic::TRIP], seen.clone());
    bench.broker.with(|cluster| {
        // No error of the client's to try again by itself.
        let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
        cluster.request_errors(RDKafkaApiKey::Produce, &[error]);
    });
    for subject in subjects(3) {
        bench.write(&subject).await;
    }
    bench.relay();
    assert_eq!(seen.until(3).await, subjects(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_whose_dead_letters_cannot_leave_ends_to_be_begun_again() {
    let bench = Bench::new().await;
    let producer = Producer::connect(&bench.config()).unwrap();
    producer.publish(event("trips/bad")).await.unwrap();
    let seen = Seen::default();
    let poison = Failure::Poison("cannot be read".into());
    seen.fail.lock().push(("trips/bad", poison));
    refuse_next_producer(&bench);

    let component = Readiness::new().component("kafka");
    let config = bench.config();
    let consumer = Consumer::new(&config, "test", &[topic::TRIP], Arc::new(seen), component);
    let ended = consumer.run(bench.tasks.shutdown());
    let ended = tokio::time::timeout(Duration::from_secs(30), ended).await;
    assert!(matches!(ended, Ok(Err(_))), "{ended:?}");
}

/// The next producer that asks for its id meets an error that is fatal to it.
fn refuse_next_producer(bench: &Bench) {
    bench.broker.with(|cluster| {
        let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
        cluster.request_errors(RDKafkaApiKey::InitProducerId, &[error]);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_is_not_ready_while_its_brokers_are_down() {
    let bench = Bench::new().await;
    let readiness = Readiness::new();
    let component = readiness.component("kafka");
    let config = bench.config();
    let seen = Arc::new(Seen::default());
    let consumer = Consumer::new(&config, "test", &[topic::TRIP], seen, component);
    bench
        .tasks
        .spawn("consumer", consumer.run(bench.tasks.shutdown()));
    let becomes = |ready| {
        let readiness = &readiness;
        eventually(move || async move { (readiness.is_ready() == ready).then_some(()) })
    };
    becomes(true).await;
    bench
        .broker
        .with(|cluster| cluster.broker_down(1).expect("take the broker down"));
    becomes(false).await;
    bench
        .broker
        .with(|cluster| cluster.broker_up(1).expect("bring the broker up"));
    // Nothing is published: a quiet topic is no reason to stay unready.
    becomes(true).await;
}

/// The embedded broker keeps 5 MB a partition.
#[tokio::test(flavor = "multi_thread")]
async fn events_dropped_before_they_were_read_are_an_error_in_the_log() {
    let bench = Bench::new().await;
    let slow = Arc::new(Slow::default());
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::ERROR)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let component = Readiness::new().component("kafka");
    let config = bench.config();
    let consumer = Consumer::new(&config, "test", &[topic::TRIP], slow.clone(), component);
    let consuming = consumer
        .run(bench.tasks.shutdown())
        .with_subscriber(subscriber);
    bench.tasks.spawn("consumer", consuming);

    let producer = Producer::connect(&config).unwrap();
    producer.publish(event("trips/0")).await.unwrap();
    slow.begun.notified().await;
    for n in 1..=16 {
        let payload = vec![0; 500_000];
        let subject = format!("trips/{n}");
        let large = Outgoing {
            payload,
            ..event(&subject)
        };
        producer.publish(large).await.unwrap();
    }
    slow.go_on.notify_one();
    eventually(|| async {
        slow.seen
            .lock()
            .contains(&"trips/16".to_owned())
            .then_some(())
    })
    .await;

    let log = String::from_utf8(log.0.lock().clone()).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 1, "{log}");
    for part in ["dropped", "expected=0", "got=", topic::TRIP, "partition=0"] {
        assert!(lines[0].contains(part), "{part} is not in {log}");
    }
}

/// A handler whose dependency is away when it is given its partitions: it gets no event, and is no reason not to end.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_cannot_take_its_partitions_ends_when_told_to() {
    let bench = Bench::new().await;
    let unable = Arc::new(Unable::default());
    let config = BusConfig {
        backoff_ms: 60_000,
        ..bench.config()
    };
    bench.member_with(&config, "unable", &[topic::TRIP], unable.clone());
    let producer = Producer::connect(&config).unwrap();
    producer.publish(event("trips/1")).await.unwrap();
    unable.asked.notified().await;
    let begun = tokio::time::Instant::now();
    bench.tasks.stop(Duration::from_secs(20)).await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(!unable.handled.load(Ordering::Relaxed));
}

/// Can never take its partitions.
#[derive(Default)]
struct Unable {
    asked: Notify,
    handled: AtomicBool,
}

#[async_trait]
impl Handler for Unable {
    async fn handle(&self, _: &Incoming) -> Result<(), Failure> {
        self.handled.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn assigned(&self, _: &[(String, i32)]) -> Result<(), Failure> {
        self.asked.notify_one();
        Err(Failure::Dependency(anyhow::Error::msg("trip is away")))
    }
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Takes its time over the first event, and then cannot handle it.
#[derive(Default)]
struct Slow {
    late: AtomicBool,
    begun: Notify,
    go_on: Notify,
    seen: Mutex<Vec<String>>,
}

#[async_trait]
impl Handler for Slow {
    async fn handle(&self, event: &Incoming) -> Result<(), Failure> {
        if !self.late.swap(true, Ordering::Relaxed) {
            self.begun.notify_one();
            self.go_on.notified().await;
            return Err(Failure::Dependency(anyhow::Error::msg("postgres is away")));
        }
        self.seen.lock().push(event.subject.clone());
        Ok(())
    }
}
