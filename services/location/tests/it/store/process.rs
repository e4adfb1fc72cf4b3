//! Replicas are killed: what is lost, who takes over, how soon one is warm again.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use hexcab_chassis::Clock;
use hexcab_location::store::StoreConfig;
use hexcab_proto::location::v1::GetDriverPositionRequest;
use hexcab_testkit::within;
use hexcab_types::DriverId;
use scylla::statement::batch::{Batch, BatchType};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    kept::session,
    keyspace,
    replica::{Replica, count, ping},
    until_kept,
};
use crate::city::driver;

/// A fleet to be warm with, and how many of them are heard by the replica that dies.
const FLEET: u128 = 100_000;
const HEARD: u128 = 1_000;
const WARM_WITHIN: Duration = Duration::from_secs(5);
const TRIES: usize = 3;
/// A flush interval (1 s), how long a flush takes, and what a busy machine adds.
const LOST_AT_MOST_MS: i64 = 3_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_replica_loses_a_flush_at_most_and_the_other_takes_over() {
    let Some(store) = keyspace().await else {
        return;
    };
    let mut one = Replica::start(&store).await;
    until_kept(&one.endpoint).await;
    let other = Replica::start(&store).await;
    until_kept(&other.endpoint).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        one.hear(1..1_001).await;
    }
    one.kill();
    let killed_ms = Clock::system().now().timestamp_millis();
    for number in [1, 500, 1_000] {
        let request = GetDriverPositionRequest {
            driver: driver(number),
        };
        let mut client = other.client.clone();
        let seen = client.get_driver_position(request).await.unwrap();
        let recorded = seen.into_inner().record_time.unwrap();
        let recorded_ms = recorded.seconds * 1_000 + i64::from(recorded.nanos) / 1_000_000;
        println!("of driver {number} {} ms are lost", killed_ms - recorded_ms);
        assert!(
            killed_ms - recorded_ms <= LOST_AT_MOST_MS,
            "{}",
            killed_ms - recorded_ms
        );
    }
    // Their streams go to the other.
    other.hear(1..1_001).await;
    assert_eq!(count(&other.client).await, Some(1_000));
}

/// Rows of drivers whom other replicas heard, now.
async fn keep(store: &StoreConfig, drivers: std::ops::Range<u128>) {
    let session = session(&store.nodes).await;
    let insert = format!(
        "INSERT INTO {}.driver_last (driver, city, lat_e7, lon_e7, recorded_ms, status, product, heading_deg, inaccurate) \
         VALUES (?, 'sf', ?, ?, ?, 0, 'standard', 0, false) USING TIMESTAMP ?",
        store.keyspace
    );
    let insert = session.prepare(insert).await.unwrap();
    let numbers: Vec<u128> = drivers.collect();
    let (session, insert) = (&session, &insert);
    let keeping = numbers.chunks(50).map(|numbers| async move {
        let now_ms = Clock::system().now().timestamp_millis();
        let (mut batch, mut rows) = (Batch::new(BatchType::Unlogged), Vec::new());
        for number in numbers {
            let ping = ping(*number, now_ms);
            let id: DriverId = Uuid::from_u128(*number).into();
            batch.append_statement(insert.clone());
            rows.push((id.uuid(), ping.lat_e7, ping.lon_e7, now_ms, now_ms * 1_000));
        }
        session.batch(&batch, rows).await.unwrap();
    });
    stream::iter(keeping)
        .buffer_unordered(16)
        .for_each(|()| async {})
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_started_again_is_warm_in_five_seconds() {
    let Some(store) = keyspace().await else {
        return;
    };
    let mut one = Replica::start(&store).await;
    until_kept(&one.endpoint).await;
    let begun = Instant::now();
    keep(&store, HEARD + 1..FLEET + 1).await;
    println!("kept after {:?}", begun.elapsed());
    let session = session(&store.nodes).await;
    let all_are_kept = || async {
        one.hear(1..HEARD + 1).await;
        let last = format!(
            "SELECT driver FROM {}.driver_last WHERE driver = ?",
            store.keyspace
        );
        let asked = (Uuid::from_u128(HEARD),);
        let answer = session.query_unpaged(last, asked).await.unwrap();
        let rows = answer.into_rows_result().unwrap();
        (rows.rows_num() == 1).then_some(())
    };
    within(Duration::from_secs(20), || "his row", all_are_kept).await;
    // One more flush, with all of them.
    let flushed = Instant::now();
    let passed = || async { (flushed.elapsed() > Duration::from_secs(2)).then_some(()) };
    within(Duration::from_secs(5), || "a flush", passed).await;
    one.kill();

    // Where much else runs at once a single start may be slower.
    let mut took = Vec::new();
    for _ in 0..TRIES {
        let begun = Instant::now();
        let again = Replica::start(&store).await;
        let up = begun.elapsed();
        let everybody = || async { (count(&again.client).await? == FLEET as i64).then_some(()) };
        within(Duration::from_secs(60), || "everybody", everybody).await;
        took.push(begun.elapsed());
        println!(
            "up after {up:?}, warm after {took:?}: {:?}",
            again.said("warm:")
        );
        if begun.elapsed() < WARM_WITHIN {
            return;
        }
    }
    panic!("{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_makes_the_tables_that_a_replica_which_makes_none_does_without() {
    let without = Command::new(env!("CARGO_BIN_EXE_hexcab-location"))
        .arg("migrate")
        .env_clear()
        .stderr(Stdio::null())
        .status();
    assert!(!without.unwrap().success(), "there is no store to migrate");
    let Some(store) = keyspace().await else {
        return;
    };
    let migrate = || {
        Command::new(env!("CARGO_BIN_EXE_hexcab-location"))
            .args(["migrate", "--set", &format!("store.nodes={}", store.nodes)])
            .args(["--set", &format!("store.keyspace={}", store.keyspace)])
            .env_clear()
            .stderr(Stdio::null())
            .status()
            .unwrap()
    };
    let mut replica = Replica::with(&store, &["store.make_tables=false"]).await;
    assert_eq!(count(&replica.client).await, Some(0), "it serves");
    assert!(migrate().success() && migrate().success());
    until_kept(&replica.endpoint).await;
    replica.kill();
}
