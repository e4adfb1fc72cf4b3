//! A city's stores, a relay and two consumers: what of a city has to do with events.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use hexcab_bus::{BusConfig, Consumer, Failure, Handler, Incoming, Outgoing, Relay, topic};
use hexcab_chassis::{Readiness, Secret, Tasks};
use hexcab_city::{
    stack::{
        child::Child,
        database::Database,
        health,
        kafka::{Kafka, Topics},
        ports::Ports,
        process::{Life, Process},
    },
    stop::Stop,
};
use hexcab_pg::{Pg, PgConfig, PgError, embedded::Durability};
use hexcab_types::Timestamp;
use parking_lot::Mutex;

/// How long anything may take: Java starts slowly on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long what is running may take to stop.
const STOP: Duration = Duration::from_secs(20);

/// Waits for a fact.
async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, look: impl FnMut() -> F) -> T {
    hexcab_testkit::within(PATIENCE, || what, look).await
}

/// The stores and what speaks with them.
pub struct Bench {
    _dir: tempfile::TempDir,
    pub database: Database,
    pub kafka: Kafka,
    pub pg: Pg,
    config: BusConfig,
    clients: Tasks,
    supervisors: Tasks,
    _ports: Ports,
}

impl Bench {
    /// Postgres with an outbox, and the Kafka that `kafka` makes of (folder, ports, Postgres' URL, log).
    pub async fn new(
        kafka: impl FnOnce(&Path, &mut Ports, &str, &Path) -> (Child, Topics, u16),
    ) -> Self {
        hexcab_testkit::telemetry();
        let (dir, mut ports) = (tempfile::tempdir().unwrap(), Ports::default());
        let (home, port) = (dir.path().join("postgres"), ports.take(None).unwrap());
        let stop = Stop::default();
        let started = Database::start(home, port, Durability::Test, &stop).await;
        let database = started.unwrap();
        let log = dir.path().join("kafka.log");
        let (child, topics, port) = kafka(dir.path(), &mut ports, database.url(), &log);
        let (supervisors, address) = (Tasks::new(), format!("127.0.0.1:{port}"));
        let kafka = Kafka::begin((child, topics), address.clone(), log, &supervisors);
        let healthy = || async {
            health::complaint(&kafka.probe())
                .await
                .is_none()
                .then_some(())
        };
        eventually("kafka is healthy", healthy).await;
        kafka.make_topics().await.unwrap();
        let config = PgConfig {
            url: Secret::new(format!("{}trip", database.url())),
            ..PgConfig::default()
        };
        let pg = Pg::connect(&config, "test").await.unwrap();
        hexcab_bus::migrate(&pg).await.unwrap();
        Self {
            _dir: dir,
            database,
            kafka,
            pg,
            config: BusConfig {
                brokers: address,
                ..BusConfig::default()
            },
            clients: Tasks::new(),
            supervisors,
            _ports: ports,
        }
    }

    pub fn relay(&self) {
        let relay = Relay::new(self.pg.clone(), &self.config);
        self.clients
            .spawn("relay", relay.run(self.clients.shutdown()));
    }

    /// A member of a group.
    pub fn consume(&self) -> Arc<Seen> {
        self.consume_as("it")
    }

    /// A member of this group.
    pub fn consume_as(&self, group: &str) -> Arc<Seen> {
        let seen = Arc::new(Seen::default());
        let component = Readiness::new().component("kafka");
        let consumer = Consumer::new(&self.config, group, &[topic::TRIP], seen.clone(), component);
        self.clients
            .spawn("consumer", consumer.run(self.clients.shutdown()));
        seen
    }

    /// One that sees everything from now on. Returns when it is there.
    pub async fn tail(&self) -> Arc<Seen> {
        let seen = Arc::new(Seen::default());
        let component = Readiness::new().component("kafka");
        let consumer = Consumer::tail(&self.config, "it", &[topic::TRIP], seen.clone(), component);
        self.clients
            .spawn("tail", consumer.run(self.clients.shutdown()));
        eventually("the tail is there", || async {
            (seen.assignments() > 0).then_some(())
        })
        .await;
        seen
    }

    /// Writes events into the outbox, each in a transaction of its own.
    pub async fn write(&self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            let event = &event(number);
            let written = self.pg.serializable("test.write", |mut tx| async move {
                hexcab_bus::outbox::append(&mut tx, event).await?;
                Ok::<_, PgError>(())
            });
            written.await.unwrap();
        }
    }

    /// What was in the outbox is in Kafka only.
    pub async fn forget_outbox(&self) {
        let forgotten = sqlx::query("DELETE FROM outbox")
            .execute(self.pg.pool())
            .await;
        forgotten.unwrap();
    }

    /// Waits until Kafka was started again so often.
    pub async fn until_restarts(&self, restarts: u32) -> Life {
        eventually("kafka is started again", || async {
            let life = self.kafka.child().life();
            (life.restarts >= restarts && life.pid.is_some()).then_some(life)
        })
        .await
    }

    /// Stops everything and sees that no process is left in its folder.
    pub async fn stop(self) {
        let pids = [self.kafka.child().life().pid, self.database.life().pid];
        self.clients.stop(STOP).await;
        self.kafka.child().stop().await;
        self.supervisors.stop(STOP).await;
        self.pg.pool().close().await;
        self.database.stop().await;
        for pid in pids.into_iter().flatten() {
            let there = PathBuf::from(format!("/proc/{pid}")).exists();
            assert!(!there, "process {pid} is left");
        }
    }
}

fn event(number: u32) -> Outgoing {
    Outgoing {
        topic: topic::TRIP,
        key: "sf".into(),
        kind: "hexcab.trip.v1.Test".into(),
        source: "trip",
        subject: format!("trips/{number}"),
        time: Timestamp::from_timestamp(1_000, 0).unwrap(),
        payload: number.to_be_bytes().to_vec(),
        traceparent: None,
    }
}

/// Notes which events it saw.
#[derive(Default)]
pub struct Seen {
    numbers: Mutex<BTreeSet<u32>>,
    assignments: AtomicU32,
}

impl Seen {
    /// How often it was given its partitions: each time but the first it may have missed something.
    pub fn assignments(&self) -> u32 {
        self.assignments.load(Ordering::Relaxed)
    }

    /// Waits until it saw all of these.
    pub async fn until(&self, numbers: std::ops::Range<u32>) {
        let all: BTreeSet<u32> = numbers.collect();
        let missing = || -> Vec<u32> { all.difference(&self.numbers.lock()).copied().collect() };
        hexcab_testkit::within(
            PATIENCE,
            || format!("the events {:?} are seen", missing()),
            || async { missing().is_empty().then_some(()) },
        )
        .await;
    }
}

#[async_trait]
impl Handler for Seen {
    async fn handle(&self, event: &Incoming) -> Result<(), Failure> {
        let bytes = event.payload[..].try_into();
        let number = u32::from_be_bytes(bytes.map_err(|_| Failure::Poison("no number".into()))?);
        self.numbers.lock().insert(number);
        Ok(())
    }

    async fn assigned(&self, _partitions: &[(String, i32)]) -> Result<(), Failure> {
        self.assignments.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
