//! Dead letters: what is put aside, with what, and when.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use hexcab_bus::{BusConfig, Consumer, Failure, Handler, Incoming, Producer, dlq, topic};
use hexcab_chassis::Readiness;
use hexcab_pg::{Pg, PgError};
use hexcab_testkit::eventually;
use parking_lot::Mutex;
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::{Headers as _, OwnedMessage},
    producer::{FutureProducer, FutureRecord},
};

use crate::{Bench, Seen, event};

/// Every dead letter of the trip topic.
pub fn letters(bench: &Bench) -> Vec<OwnedMessage> {
    let topic = topic::dead_letters(topic::TRIP);
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bench.broker.brokers())
        .set("group.id", "letters")
        .create()
        .unwrap();
    let wait = Duration::from_secs(10);
    let (first, next) = client.fetch_watermarks(&topic, 0, wait).unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Beginning)
        .unwrap();
    client.assign(&list).unwrap();
    let read = |_| client.poll(wait).unwrap().unwrap().detach();
    (first..next).map(read).collect()
}

pub fn header(letter: &OwnedMessage, name: &str) -> String {
    let headers = letter.headers().unwrap();
    let found = headers.iter().find(|header| header.key == name);
    let value = found.and_then(|header| header.value).unwrap_or_default();
    String::from_utf8(value.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_put_aside_at_once_with_its_bytes_origin_and_reason() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    seen.fail
        .lock()
        .push(("trips/bad", Failure::Poison("cannot be read".into())));
    bench.consume(&[topic::TRIP], seen.clone());
    let producer = Producer::connect(&bench.config()).unwrap();
    for subject in ["trips/1", "trips/bad", "trips/2"] {
        producer.publish(event(subject)).await.unwrap();
    }
    // Had it been tried again, it would have been handled: it fails once.
    assert_eq!(seen.until(2).await, ["trips/1", "trips/2"]);
    let letters = letters(&bench);
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!(letter.payload(), Some(b"trips/bad".as_slice()));
    assert_eq!(letter.key(), Some(b"sf".as_slice()));
    let headers = [
        ("ce_type", "hexcab.trip.v1.Test"),
        ("ce_subject", "trips/bad"),
        ("ce_source", "trip"),
        (dlq::REASON, "cannot be read"),
        (dlq::CONSUMER, "test"),
        (dlq::TOPIC, topic::TRIP),
        (dlq::POSITION, "0:1"),
        (dlq::TIME, "1970-01-01T00:16:40+00:00"),
    ];
    for (name, value) in headers {
        assert_eq!(header(letter, name), value, "{name}");
    }
    assert!(!header(letter, "ce_id").is_empty());
    assert!(header(letter, "traceparent").contains("0af7651916cd43dd8448eb211c80319c"));
}

/// A rule of the database is not away: an event that breaks one holds its partition up for some tries, not for ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_keeps_refusing_is_put_aside_and_the_rest_goes_on() {
    let bench = Bench::new().await;
    let table =
        "CREATE TABLE ruled (subject text CONSTRAINT not_the_second CHECK (subject <> 'trips/2'))";
    sqlx::query(table).execute(bench.pg.pool()).await.unwrap();
    let ruled = Arc::new(Ruled {
        pg: bench.pg.clone(),
        seen: Mutex::default(),
    });
    let config = BusConfig {
        backoff_ms: 1,
        ..bench.config()
    };
    let component = Readiness::new().component("kafka");
    let consumer = Consumer::new(&config, "test", &[topic::TRIP], ruled.clone(), component);
    bench
        .tasks
        .spawn("consumer", consumer.run(bench.tasks.shutdown()));
    let producer = Producer::connect(&config).unwrap();
    for subject in ["trips/1", "trips/2", "trips/3"] {
        producer.publish(event(subject)).await.unwrap();
    }
    eventually(|| async { (ruled.seen.lock().len() == 8).then_some(()) }).await;
    let tries = ["trips/2"; 6];
    let expected = [&["trips/1"][..], &tries, &["trips/3"]].concat();
    assert_eq!(*ruled.seen.lock(), expected);
    let letters = letters(&bench);
    assert_eq!(letters.len(), 1);
    assert_eq!(header(&letters[0], "ce_subject"), "trips/2");
    let reason = header(&letters[0], dlq::REASON);
    assert!(reason.contains("not_the_second"), "{reason}");
}

/// A race may be lost in the very moment when the database is back.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_tried_while_the_database_was_away_counts_for_no_refusal() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    let away = || Failure::Dependency(anyhow::Error::msg("postgres is away"));
    let divided = sqlx::query("SELECT 1 / 0").execute(bench.pg.pool());
    let refused = Failure::Dependency(PgError::from(divided.await.unwrap_err()).into());
    let outage = (0..8).map(|_| away()).chain([refused, away()]);
    let failures = outage.map(|failure| ("trips/1", failure));
    seen.fail.lock().extend(failures);
    let config = BusConfig {
        backoff_ms: 1,
        backoff_max_ms: 1,
        ..bench.config()
    };
    bench.member_with(&config, "test", &[topic::TRIP], seen.clone());
    let producer = Producer::connect(&config).unwrap();
    producer.publish(event("trips/1")).await.unwrap();
    assert_eq!(seen.until(1).await, ["trips/1"]);
    assert!(seen.fail.lock().is_empty());
    assert!(letters(&bench).is_empty());
}

/// Writes what it sees where a rule is.
struct Ruled {
    pg: Pg,
    seen: Mutex<Vec<String>>,
}

#[async_trait]
impl Handler for Ruled {
    async fn handle(&self, event: &Incoming) -> Result<(), Failure> {
        self.seen.lock().push(event.subject.clone());
        let insert = sqlx::query("INSERT INTO ruled VALUES ($1)").bind(&event.subject);
        let written = insert.execute(self.pg.pool()).await.map_err(PgError::from);
        written.map_err(|error| Failure::Dependency(error.into()))?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_no_event_is_poison() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    bench.consume(&[topic::TRIP], seen.clone());
    let raw: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", bench.broker.brokers())
        .create()
        .unwrap();
    let record = FutureRecord::to(topic::TRIP).key("sf").payload("?");
    raw.send(record, Duration::from_secs(10)).await.unwrap();
    let producer = Producer::connect(&bench.config()).unwrap();
    producer.publish(event("trips/1")).await.unwrap();
    assert_eq!(seen.until(1).await, ["trips/1"]);
    let letters = letters(&bench);
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].payload(), Some(b"?".as_slice()));
    assert_eq!(header(&letters[0], dlq::REASON), "header ce_id is missing");
}
