//! The bus over a real Postgres and the embedded broker: outbox, relay, inbox, consumer, dead letters.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

mod consuming;
mod failing;
mod relaying;

use std::sync::Arc;

use async_trait::async_trait;
use hexcab_bus::{BusConfig, Consumer, Failure, Handler, Incoming, Outgoing, topic};
use hexcab_chassis::{Readiness, Tasks};
use hexcab_pg::Pg;
use hexcab_testkit::{Broker, TestDb};
use hexcab_types::Timestamp;
use parking_lot::Mutex;

/// A database with the bus's tables and a broker of its own.
struct Bench {
    _db: TestDb,
    pg: Pg,
    broker: Broker,
    tasks: Tasks,
}

impl Bench {
    async fn new() -> Self {
        hexcab_testkit::telemetry();
        let db = TestDb::create("bus").await;
        let pg = db.connect().await;
        hexcab_bus::migrate(&pg).await.unwrap();
        let broker = Broker::start();
        broker.create_topic(topic::TRIP, 1);
        Self {
            _db: db,
            pg,
            broker,
            tasks: Tasks::new(),
        }
    }

    fn config(&self) -> BusConfig {
        BusConfig {
            brokers: self.broker.brokers(),
            relay_idle_ms: 5,
            relay_batch_max: 7,
            ..BusConfig::default()
        }
    }

    fn relay(&self) {
        let relay = hexcab_bus::Relay::new(self.pg.clone(), &self.config());
        self.tasks.spawn("relay", relay.run(self.tasks.shutdown()));
    }

    fn consume(&self, topics: &[&str], handler: Arc<dyn Handler>) {
        let component = Readiness::new().component("kafka");
        let consumer = Consumer::new(&self.config(), "test", topics, handler, component);
        self.tasks
            .spawn("consumer", consumer.run(self.tasks.shutdown()));
    }

    async fn write(&self, subject: &str) {
        let event = event(subject);
        let event = &event;
        self.pg
            .serializable("test.write", |mut tx| async move {
                hexcab_bus::outbox::append(&mut tx, event).await?;
                Ok::<_, hexcab_pg::PgError>(())
            })
            .await
            .unwrap();
    }
}

fn event(subject: &str) -> Outgoing {
    Outgoing {
        topic: topic::TRIP,
        key: "sf".into(),
        kind: "hexcab.trip.v1.Test".into(),
        source: "trip",
        subject: subject.into(),
        time: Timestamp::from_timestamp(1_000, 0).unwrap(),
        payload: subject.as_bytes().to_vec(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    }
}

/// Keeps what it sees; fails as told.
#[derive(Default)]
struct Seen {
    events: Mutex<Vec<Incoming>>,
    fail: Mutex<Vec<(&'static str, Failure)>>,
}

impl Seen {
    fn subjects(&self) -> Vec<String> {
        self.events
            .lock()
            .iter()
            .map(|event| event.subject.clone())
            .collect()
    }

    async fn until(&self, count: usize) -> Vec<String> {
        hexcab_testkit::eventually(|| async {
            Some(self.subjects()).filter(|seen| seen.len() >= count)
        })
        .await
    }
}

#[async_trait]
impl Handler for Seen {
    async fn handle(&self, event: &Incoming) -> Result<(), Failure> {
        let mut fail = self.fail.lock();
        if let Some(at) = fail
            .iter()
            .position(|(subject, _)| *subject == event.subject)
        {
            return Err(fail.remove(at).1);
        }
        self.events.lock().push(event.clone());
        Ok(())
    }
}
