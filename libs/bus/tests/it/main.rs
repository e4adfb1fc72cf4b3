//! The bus over a real Postgres and the embedded broker: outbox, relay, inbox, consumer, dead letters.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

mod at_once;
mod broker_lost;
mod consuming;
mod effects;
mod failing;
mod inbox;
mod late_commits;
mod letters;
mod measuring;
mod rebalancing;
mod relaying;
mod retention;
mod standing_still;

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::{AbortHandle, abortable};
use hexcab_bus::{BusConfig, Consumer, Failure, Handler, Incoming, Outgoing, topic};
use hexcab_chassis::{Readiness, Tasks};
use hexcab_pg::{Pg, PgConfig};
use hexcab_testkit::{Broker, TestDb, eventually};
use hexcab_types::Timestamp;
use parking_lot::Mutex;
use sqlx::{Postgres, Transaction};

/// A database with the bus's tables and a broker of its own.
struct Bench {
    db: TestDb,
    pg: Pg,
    broker: Broker,
    tasks: Tasks,
}

impl Bench {
    async fn new() -> Self {
        Self::with_partitions(1).await
    }

    /// The trip topic with so many partitions.
    async fn with_partitions(count: i32) -> Self {
        hexcab_testkit::telemetry();
        hexcab_telemetry::metrics::in_memory();
        let db = TestDb::create("bus").await;
        // Patient: tests hold locks for as long as a group takes to form.
        let config = PgConfig {
            lock_timeout_ms: 15_000,
            statement_timeout_ms: 15_000,
            ..db.config()
        };
        let pg = Pg::connect(&config, "test").await.unwrap();
        hexcab_bus::migrate(&pg).await.unwrap();
        let broker = Broker::start();
        broker.create_topic(topic::TRIP, count);
        broker.create_topic(&topic::dead_letters(topic::TRIP), 1);
        Self {
            db,
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
            measure_ms: 50,
            ..BusConfig::default()
        }
    }

    /// A relay; aborting it is what killing its process is to the rest of the world.
    fn relay(&self) -> AbortHandle {
        let relay = hexcab_bus::Relay::new(self.pg.clone(), &self.config());
        self.killable("relay", relay.run(self.tasks.shutdown()))
    }

    fn consume(&self, topics: &[&str], handler: Arc<dyn Handler>) -> AbortHandle {
        self.member("test", topics, handler)
    }

    /// One more member of a consumer group.
    fn member(&self, group: &str, topics: &[&str], handler: Arc<dyn Handler>) -> AbortHandle {
        self.member_with(&self.config(), group, topics, handler)
    }

    fn member_with(
        &self,
        config: &BusConfig,
        group: &str,
        topics: &[&str],
        handler: Arc<dyn Handler>,
    ) -> AbortHandle {
        let component = Readiness::new().component("kafka");
        let consumer = Consumer::new(config, group, topics, handler, component);
        self.killable("consumer", consumer.run(self.tasks.shutdown()))
    }

    fn killable(
        &self,
        name: &'static str,
        work: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) -> AbortHandle {
        let (work, handle) = abortable(work);
        self.tasks.spawn(name, async move {
            match work.await {
                Ok(ended) => ended,
                Err(_killed) => Ok(()),
            }
        });
        handle
    }

    async fn write(&self, subject: &str) {
        self.write_all(&[event(subject)]).await;
    }

    /// One transaction an event.
    async fn write_all(&self, events: &[Outgoing]) {
        for event in events {
            self.pg
                .serializable("test.write", |mut tx| async move {
                    hexcab_bus::outbox::append(&mut tx, event).await?;
                    Ok::<_, hexcab_pg::PgError>(())
                })
                .await
                .unwrap();
        }
    }

    /// A transaction that ends when the test says so.
    async fn transaction(&self) -> Transaction<'static, Postgres> {
        let begin = "BEGIN ISOLATION LEVEL SERIALIZABLE";
        self.pg.pool().begin_with(begin).await.unwrap()
    }

    /// One answer of the database.
    async fn ask<T>(&self, sql: &'static str) -> T
    where
        T: for<'r> sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres> + Send + Unpin,
    {
        let asked = sqlx::query_scalar(sql);
        asked.fetch_one(self.pg.pool()).await.unwrap()
    }

    /// Waits until the relay has begun two more polls, so that one of them began and ended meanwhile.
    async fn until_polled(&self) {
        let began = Mutex::new(std::collections::BTreeSet::new());
        eventually(|| async {
            let polls: Vec<String> = sqlx::query_scalar(
                "SELECT query_start::text FROM pg_stat_activity WHERE datname = current_database() \
                 AND query LIKE '%FROM outbox_cursor c%' AND pid <> pg_backend_pid()",
            )
            .fetch_all(self.pg.pool())
            .await
            .unwrap();
            let mut began = began.lock();
            began.extend(polls);
            (began.len() >= 3).then_some(())
        })
        .await;
    }

    /// Waits until the relay's cursor has passed everything.
    async fn until_all_sent(&self) {
        eventually(|| async {
            let waiting: i64 = self.ask("SELECT waiting FROM bus_waiting(1)").await;
            (waiting == 0).then_some(())
        })
        .await;
    }

    /// Holds the relay's cursor: a relay publishes its batch and then waits. It goes on when this ends.
    async fn hold_cursor(&self) -> Transaction<'static, Postgres> {
        let mut hold = self.pg.pool().begin_with("BEGIN").await.unwrap();
        sqlx::query("SELECT FROM outbox_cursor FOR UPDATE")
            .execute(&mut *hold)
            .await
            .unwrap();
        hold
    }

    /// Waits until so many relays have published a batch and wait for the cursor.
    async fn until_waiting_for_cursor(&self, count: i64) {
        eventually(|| async {
            let waiting: i64 = self
                .ask(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                     AND wait_event_type = 'Lock' AND query LIKE 'UPDATE outbox_cursor%'",
                )
                .await;
            (waiting == count).then_some(())
        })
        .await;
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

/// `trips/0` to before this one.
fn subjects(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("trips/{n}")).collect()
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
        eventually(|| async { Some(self.subjects()).filter(|seen| seen.len() >= count) }).await
    }

    /// How many different events there were.
    fn distinct(&self) -> usize {
        let ids: std::collections::BTreeSet<_> =
            self.events.lock().iter().map(|event| event.id).collect();
        ids.len()
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
