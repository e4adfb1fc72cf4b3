//! One event, one effect; what is outdated, and what is older than anybody remembers.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use hexcab_bus::{
    BusConfig, Failure, Handler, Incoming, Producer, dlq, inbox, outbox, retention,
    retention::Keep, topic,
};
use hexcab_pg::PgError;
use hexcab_testkit::eventually;
use hexcab_types::Timestamp;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    Bench, Seen,
    effects::{self, Effects},
    event,
    letters::{header, letters},
};

/// An event that has come.
fn incoming(subject: &str) -> Incoming {
    Incoming {
        topic: topic::TRIP.into(),
        partition: 0,
        offset: 0,
        key: "sf".into(),
        id: outbox::new_id(),
        kind: "hexcab.trip.v1.Test".into(),
        source: "trip".into(),
        subject: subject.into(),
        time: Timestamp::UNIX_EPOCH,
        traceparent: None,
        payload: Vec::new().into(),
    }
}

async fn first_time(bench: &Bench, consumer: &str, event: &Incoming) -> Result<bool, PgError> {
    bench
        .pg
        .serializable("test.inbox", |mut tx| async move {
            inbox::first_time(&mut tx, consumer, event).await
        })
        .await
}

async fn is_newer(bench: &Bench, consumer: &str, event: &Incoming, version: i64) -> bool {
    bench
        .pg
        .serializable::<_, PgError, _, _>("test.inbox", |mut tx| async move {
            inbox::is_newer(&mut tx, consumer, event, version).await
        })
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_has_its_effect_once_per_consumer() {
    let bench = Bench::new().await;
    let event = incoming("trips/1");
    assert!(first_time(&bench, "payment", &event).await.unwrap());
    assert!(!first_time(&bench, "payment", &event).await.unwrap());
    assert!(first_time(&bench, "pricing", &event).await.unwrap());
    assert!(
        first_time(&bench, "payment", &incoming("trips/1"))
            .await
            .unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_that_was_rolled_back_was_not_had() {
    let bench = Bench::new().await;
    let event = incoming("trips/1");
    let mut undone = bench.transaction().await;
    assert!(
        inbox::first_time(&mut undone, "payment", &event)
            .await
            .unwrap()
    );
    undone.rollback().await.unwrap();
    assert!(first_time(&bench, "payment", &event).await.unwrap());
}

/// Two members hold the same event at once, as when one was thought dead and was not.
#[tokio::test(flavor = "multi_thread")]
async fn two_that_have_the_same_event_at_once_have_one_effect() {
    let bench = Bench::new().await;
    let event = incoming("trips/1");
    let mut one = bench.transaction().await;
    assert!(
        inbox::first_time(&mut one, "payment", &event)
            .await
            .unwrap()
    );
    let (other, ()) = tokio::join!(first_time(&bench, "payment", &event), async {
        eventually(|| async {
            let waits: bool = bench
                .ask(
                    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
                     AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO inbox%')",
                )
                .await;
            waits.then_some(())
        })
        .await;
        one.commit().await.unwrap();
    });
    assert!(!other.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_not_newer_than_the_last_is_outdated() {
    let bench = Bench::new().await;
    let mut news = Vec::new();
    for version in [2, 1, 2, 5, 4, 3, 6] {
        if is_newer(&bench, "notification", &incoming("trips/1"), version).await {
            news.push(version);
        }
    }
    assert_eq!(news, [2, 5, 6]);
    // Of another aggregate, and to another consumer, the first is news.
    assert!(is_newer(&bench, "notification", &incoming("trips/2"), 1).await);
    assert!(is_newer(&bench, "payment", &incoming("trips/1"), 1).await);
    // The database does not go back either.
    let back = sqlx::query(
        "UPDATE inbox_versions SET version = 6 WHERE subject = 'trips/1' AND version = 6",
    )
    .execute(bench.pg.pool())
    .await;
    let refused = PgError::from(back.unwrap_err());
    assert_eq!(refused.constraint(), Some("inbox_versions_grow"));
}

/// Everything up to now is forgotten: as after `inbox_keep_hours`, seen from a time to come.
async fn forget_all(bench: &Bench) {
    let now: Timestamp = bench.ask("SELECT clock_timestamp()").await;
    let keep = Keep {
        outbox: Duration::from_secs(3_600),
        inbox: Duration::from_secs(7_200),
    };
    let later = now + Duration::from_secs(30 * 86_400);
    let tended = retention::tend(&bench.pg, keep, later).await.unwrap();
    assert!(
        tended.dropped.iter().any(|name| name.starts_with("inbox_")),
        "{tended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_inbox_has_forgotten_is_refused() {
    let bench = Bench::new().await;
    let (had, never_had) = (incoming("trips/1"), incoming("trips/2"));
    assert!(first_time(&bench, "payment", &had).await.unwrap());
    forget_all(&bench).await;
    for event in [had, never_had] {
        let refused = first_time(&bench, "payment", &event).await.unwrap_err();
        assert_eq!(refused.constraint(), Some("inbox_remembers"), "{refused:?}");
    }
    // Of an id without a time nothing can be said: it is taken.
    let odd = Incoming {
        id: Uuid::from_u128(0x4000_8000_0000_0000_0000).into(),
        ..incoming("trips/3")
    };
    assert!(first_time(&bench, "payment", &odd).await.unwrap());
}

/// A dead letter is replayed years later, or a broker that forgets nothing is read again from its beginning.
#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_event_is_put_aside_and_the_rest_goes_on() {
    let bench = Bench::new().await;
    let producer = Producer::connect(&bench.config()).unwrap();
    producer.publish(event("trips/old")).await.unwrap();
    forget_all(&bench).await;
    let kept = Effects::new(&bench.pg, "payment").await;
    // At once: a second try would come too late for this test.
    let config = BusConfig {
        backoff_ms: 60_000,
        backoff_max_ms: 60_000,
        ..bench.config()
    };
    bench.member_with(&config, "effects", &[topic::TRIP], kept);
    eventually(|| async { (letters(&bench).len() == 1).then_some(()) }).await;
    let letter = &letters(&bench)[0];
    assert_eq!(header(letter, "ce_subject"), "trips/old");
    let reason = header(letter, dlq::REASON);
    assert!(
        reason.contains("older than the inbox remembers"),
        "{reason}"
    );
    assert_eq!(effects::of(bench.pg.pool()).await.len(), 0);
}

/// What a handler makes of it hides nothing: any other failure of the database is tried again.
#[tokio::test(flavor = "multi_thread")]
async fn another_failure_of_the_database_is_no_dead_letter() {
    let bench = Bench::new().await;
    let refusing = Arc::new(Refusing::default());
    bench.consume(&[topic::TRIP], refusing.clone());
    let producer = Producer::connect(&bench.config()).unwrap();
    producer.publish(event("trips/1")).await.unwrap();
    refusing.again.notified().await;
    assert_eq!(letters(&bench).len(), 0);
}

/// Says twice that Postgres failed.
#[derive(Default)]
struct Refusing {
    seen: Seen,
    again: Notify,
}

#[async_trait]
impl Handler for Refusing {
    async fn handle(&self, event: &Incoming) -> Result<(), Failure> {
        self.seen.handle(event).await?;
        if self.seen.events.lock().len() < 3 {
            let error = PgError::from(sqlx::Error::RowNotFound);
            return Err(Failure::Dependency(error.into()));
        }
        self.again.notify_one();
        Ok(())
    }
}
