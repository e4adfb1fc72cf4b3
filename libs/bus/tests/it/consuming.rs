//! From the broker to a handler: order, offsets after the effect, a dependency that is away.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use hexcab_bus::{BusConfig, Failure, Handler, Incoming, Producer, topic};
use hexcab_chassis::Secret;
use hexcab_pg::{Pg, PgConfig};
use hexcab_proxy::{Mode, Proxy};
use hexcab_testkit::eventually;
use parking_lot::Mutex;
use sqlx::postgres::PgConnectOptions;
use tokio::time::Instant;

use crate::{
    Bench, Seen,
    effects::{self, Effects, Stop},
    event,
    letters::letters,
    subjects,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_dependency_that_is_away_keeps_order_and_loses_nothing() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    for _ in 0..3 {
        let away = anyhow::Error::msg("postgres is away");
        seen.fail
            .lock()
            .push(("trips/1", Failure::Dependency(away)));
    }
    bench.consume(&[topic::TRIP], seen.clone());
    let producer = Producer::connect(&bench.config()).unwrap();
    for subject in subjects(5) {
        producer.publish(event(&subject)).await.unwrap();
    }
    assert_eq!(seen.until(5).await, subjects(5));
    assert!(seen.fail.lock().is_empty());
    assert!(letters(&bench).is_empty());
}

/// One hundred times as fast as by default.
const PATIENT: (u64, u64) = (1, 300);
/// A minute, as fast.
const A_MINUTE: Duration = Duration::from_millis(600);

/// Postgres is behind a proxy that refuses for a minute of the back-off: everything is real but the length of a pause.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_away_for_a_minute_costs_a_minute_and_no_dead_letter() {
    let bench = Bench::with_partitions(2).await;
    let (proxy, pg) = behind_a_proxy(&bench).await;
    effects::create_table(&bench.pg).await;
    let tries = Arc::new(Tries {
        effects: Effects::over(&pg, "payment"),
        at: Mutex::default(),
    });
    let config = BusConfig {
        backoff_ms: PATIENT.0,
        backoff_max_ms: PATIENT.1,
        ..bench.config()
    };
    bench.member_with(&config, "minute", &[topic::TRIP], tries.clone());
    let producer = Producer::connect(&bench.config()).unwrap();
    producer.publish(event("trips/0")).await.unwrap();
    effects::until(bench.pg.pool(), 1).await;

    proxy.set(Mode::Refuse);
    let away_at = Instant::now();
    for n in 1..6 {
        producer
            .publish(event(&format!("trips/{n}")))
            .await
            .unwrap();
    }
    let pauses = || -> Vec<Duration> {
        let tries = tries.at.lock();
        let of_first: Vec<Instant> = tries
            .iter()
            .filter(|(subject, _)| subject == "trips/1")
            .map(|(_, at)| *at)
            .collect();
        of_first.windows(2).map(|two| two[1] - two[0]).collect()
    };
    eventually(|| async {
        let is_over = away_at.elapsed() >= A_MINUTE && pauses().len() >= 5;
        is_over.then_some(())
    })
    .await;
    assert_eq!(effects::of(bench.pg.pool()).await, subjects(1));
    proxy.set(Mode::Pass);
    effects::until(bench.pg.pool(), 6).await;

    assert_eq!(
        effects::of(bench.pg.pool()).await,
        subjects(6),
        "nothing overtook the one that waited"
    );
    assert!(letters(&bench).is_empty(), "a dependency is no poison");
    let pauses = pauses();
    for (n, pause) in (0_u32..).zip(&pauses) {
        let least = Duration::from_millis((PATIENT.0 << n).min(PATIENT.1));
        assert!(*pause >= least, "pause {n}: {pauses:?}");
    }
}

/// A pool whose connections go through a proxy.
async fn behind_a_proxy(bench: &Bench) -> (Proxy, Pg) {
    let direct: PgConnectOptions = bench.db.url().parse().unwrap();
    let upstream = format!("{}:{}", direct.get_host(), direct.get_port());
    let proxy = Proxy::start("127.0.0.1:0".parse().unwrap(), upstream.parse().unwrap())
        .await
        .unwrap();
    let through = bench.db.url().replace(&upstream, &proxy.addr().to_string());
    assert_ne!(through, bench.db.url());
    let config = PgConfig {
        url: Secret::new(through),
        ..PgConfig::default()
    };
    let pg = Pg::connect(&config, "through").await.unwrap();
    (proxy, pg)
}

/// When which event was tried.
struct Tries {
    effects: Effects,
    at: Mutex<Vec<(String, Instant)>>,
}

#[async_trait]
impl Handler for Tries {
    async fn handle(&self, event: &Incoming) -> Result<(), Failure> {
        self.at.lock().push((event.subject.clone(), Instant::now()));
        self.effects.handle(event).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_partition_waits_the_others_go_on() {
    let bench = Bench::with_partitions(2).await;
    let seen = Arc::new(Seen::default());
    for _ in 0..6 {
        let away = anyhow::Error::msg("postgres is away");
        seen.fail
            .lock()
            .push(("trips/slow", Failure::Dependency(away)));
    }
    bench.consume(&[topic::TRIP], seen.clone());
    let producer = Producer::connect(&bench.config()).unwrap();
    // Keys in two partitions, as librdkafka's partitioner has them.
    let other = |subject: &str, key: &str| hexcab_bus::Outgoing {
        key: key.into(),
        ..event(subject)
    };
    producer.publish(event("trips/slow")).await.unwrap();
    for (n, key) in ["a", "b", "c", "d", "e", "f"].into_iter().enumerate() {
        let subject = format!("trips/{n}");
        producer.publish(other(&subject, key)).await.unwrap();
    }
    let order = seen.until(7).await;
    let slow = order.iter().position(|subject| subject == "trips/slow");
    assert!(slow > Some(0), "{order:?}");
    let events = seen.events.lock();
    let waited = events
        .iter()
        .find(|event| event.subject == "trips/slow")
        .unwrap();
    let after: Vec<i64> = events
        .iter()
        .filter(|event| event.partition == waited.partition)
        .map(|event| event.offset)
        .collect();
    assert!(
        after.is_sorted(),
        "in its own partition nothing overtook it: {after:?}"
    );
}

/// The consumer dies before the effect: whoever comes next gets the same event.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_killed_before_its_effect_loses_nothing() {
    let bench = Bench::new().await;
    let first = Effects::new(&bench.pg, "payment").await;
    first.stop_at(Stop::Before("trips/1"));
    let killed = bench.member("effects", &[topic::TRIP], first.clone());
    let producer = Producer::connect(&bench.config()).unwrap();
    for subject in subjects(3) {
        producer.publish(event(&subject)).await.unwrap();
    }
    first.until_stopped().await;
    killed.abort();
    let second = Effects::new(&bench.pg, "payment").await;
    bench.member("effects", &[topic::TRIP], second);
    effects::until(bench.pg.pool(), 3).await;
    assert_eq!(effects::of(bench.pg.pool()).await, subjects(3));
}

/// The consumer dies when its effect is committed and the offset is not stored: the event comes again, and has no effect.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_killed_between_effect_and_offset_doubles_nothing() {
    let bench = Bench::new().await;
    let first = Effects::new(&bench.pg, "payment").await;
    first.stop_at(Stop::After("trips/1"));
    let killed = bench.member("effects", &[topic::TRIP], first.clone());
    let producer = Producer::connect(&bench.config()).unwrap();
    for subject in subjects(3) {
        producer.publish(event(&subject)).await.unwrap();
    }
    first.until_stopped().await;
    killed.abort();
    let second = Effects::new(&bench.pg, "payment").await;
    bench.member("effects", &[topic::TRIP], second.clone());
    effects::until(bench.pg.pool(), 3).await;
    assert_eq!(effects::of(bench.pg.pool()).await, subjects(3));
    let deliveries = |effects: &Effects| effects.deliveries.load(Ordering::Relaxed);
    assert_eq!(deliveries(&first), 2);
    assert!(deliveries(&second) >= 2, "trips/1 came again");
}
