//! From the outbox to the broker.

use std::sync::Arc;

use hexcab_bus::topic;
use hexcab_types::Timestamp;

use crate::{Bench, Seen, event};

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_in_order_with_their_headers() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    bench.consume(&[topic::TRIP], seen.clone());
    bench.relay();
    let subjects: Vec<String> = (0..20).map(|n| format!("trips/{n}")).collect();
    for subject in &subjects {
        bench.write(subject).await;
    }
    assert_eq!(seen.until(20).await, subjects);
    let first = seen.events.lock()[0].clone();
    assert_eq!(
        (
            first.kind.as_str(),
            first.source.as_str(),
            first.key.as_str()
        ),
        ("hexcab.trip.v1.Test", "trip", "sf")
    );
    assert_eq!(first.time, Timestamp::from_timestamp(1_000, 0).unwrap());
    assert_eq!(&first.payload[..], b"trips/0");
}

/// A relay that remembers only the last `seq` loses the row that commits late: this is the test that fails with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_commit_is_not_skipped() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    bench.consume(&[topic::TRIP], seen.clone());
    bench.relay();

    // The late one takes its seq first …
    let mut late = bench
        .pg
        .pool()
        .begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE")
        .await
        .unwrap();
    hexcab_bus::outbox::append(&mut late, &event("trips/late"))
        .await
        .unwrap();
    // … others commit before it, and one more shows that the relay lives.
    bench.write("trips/early").await;
    let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox")
        .fetch_one(bench.pg.pool())
        .await
        .unwrap();
    assert_eq!(waiting, 1, "the late row is not visible yet");
    late.commit().await.unwrap();

    let mut subjects = seen.until(2).await;
    subjects.sort();
    assert_eq!(subjects, ["trips/early", "trips/late"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_change_publishes_nothing() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    bench.consume(&[topic::TRIP], seen.clone());
    bench.relay();
    let mut undone = bench
        .pg
        .pool()
        .begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE")
        .await
        .unwrap();
    hexcab_bus::outbox::append(&mut undone, &event("trips/undone"))
        .await
        .unwrap();
    undone.rollback().await.unwrap();
    bench.write("trips/done").await;
    assert_eq!(seen.until(1).await, ["trips/done"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_publish_each_event_once() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    bench.consume(&[topic::TRIP], seen.clone());
    bench.relay();
    bench.relay();
    for n in 0..30 {
        bench.write(&format!("trips/{n}")).await;
    }
    bench.write("trips/last").await;
    let subjects = seen.until(31).await;
    assert_eq!(subjects.len(), 31, "{subjects:?}");
    assert_eq!(subjects.last().map(String::as_str), Some("trips/last"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_lost_its_data_gets_it_again() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    bench.consume(&[topic::TRIP], seen.clone());
    bench.relay();
    for n in 0..3 {
        bench.write(&format!("trips/{n}")).await;
    }
    seen.until(3).await;
    let again = hexcab_bus::republish(&bench.pg, Timestamp::UNIX_EPOCH)
        .await
        .unwrap();
    assert_eq!(again, 3);
    assert_eq!(seen.until(6).await[3..], ["trips/0", "trips/1", "trips/2"]);
    let ids: std::collections::BTreeSet<_> =
        seen.events.lock().iter().map(|event| event.id).collect();
    assert_eq!(
        ids.len(),
        3,
        "a republished event keeps its id, so that the inbox absorbs it"
    );
}

/// The cursor is set back, as `republish` does it, in a transaction that ends only when the relay has published a batch
/// and waits to move the cursor: a relay that moves it from wherever it is undoes the republishing.
#[tokio::test(flavor = "multi_thread")]
async fn republishing_while_a_batch_is_on_its_way_is_not_undone() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    bench.consume(&[topic::TRIP], seen.clone());
    bench.write("trips/0").await;
    bench.write("trips/1").await;

    let mut back = bench.pg.pool().begin_with("BEGIN").await.unwrap();
    sqlx::query(
        "UPDATE outbox_cursor SET tx_id = first.tx_id, seq = first.seq - 1 \
         FROM (SELECT tx_id, seq FROM outbox ORDER BY tx_id, seq LIMIT 1) first",
    )
    .execute(&mut *back)
    .await
    .unwrap();
    bench.relay();
    hexcab_testkit::eventually(|| async {
        let waits: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
             AND wait_event_type = 'Lock' AND query LIKE 'UPDATE outbox_cursor%')",
        )
        .fetch_one(bench.pg.pool())
        .await
        .unwrap();
        waits.then_some(())
    })
    .await;
    back.commit().await.unwrap();

    let subjects = seen.until(4).await;
    assert_eq!(subjects, ["trips/0", "trips/1", "trips/0", "trips/1"]);
}
