//! What the tables are like, and that reading them never meets a tombstone.

use std::time::Duration;

use hexcab_chassis::Clock;
use hexcab_proto::location::v1::Ping;
use hexcab_testkit::seeded;
use rand::RngExt as _;
use scylla::client::{session::Session, session_builder::SessionBuilder};
use tokio::time::Instant;

use super::{found, keyspace, north, ping_at, until_kept};
use crate::city::{City, start};

/// How long drivers come, go and cross cells, at 20 times the city's speed.
const CHURN: Duration = Duration::from_secs(15);
const DRIVERS: u128 = 300;

pub async fn session(nodes: &str) -> Session {
    SessionBuilder::new()
        .known_node(nodes)
        .build()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_forget_by_themselves_and_keep_tombstones_shorter() {
    let Some(store) = keyspace().await else {
        return;
    };
    hexcab_location::store::migrate(&store).await.unwrap();
    // Once more is no change, and no error.
    hexcab_location::store::migrate(&store).await.unwrap();
    let cql = "SELECT table_name, default_time_to_live, gc_grace_seconds FROM system_schema.tables WHERE keyspace_name = ?";
    let answer = session(&store.nodes).await;
    let answer = answer.query_unpaged(cql, (&store.keyspace,)).await.unwrap();
    let answer = answer.into_rows_result().unwrap();
    let tables: Vec<(String, i32, i32)> = answer.rows().unwrap().map(Result::unwrap).collect();
    assert_eq!(
        tables,
        [
            ("driver_by_cell".to_owned(), 180, 120),
            ("driver_last".to_owned(), 180, 120)
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_read_meets_a_tombstone() {
    let Some(store) = keyspace().await else {
        return;
    };
    let (_, mut chance) = seeded("churn");
    let clock = Clock::manual(start());
    let mut city = City::kept(store.clone(), clock.clone()).await;
    until_kept(&city.endpoint).await;
    let other = City::kept(store.clone(), clock).await;
    let mut turns = tokio::time::interval(Duration::from_millis(200));
    let begun = Instant::now();
    while begun.elapsed() < CHURN {
        let mut pings: Vec<Ping> = Vec::new();
        for number in 1..=DRIVERS {
            if chance.random_bool(0.5) {
                pings.push(ping_at(&city, number, north(chance.random_range(0..9_000))));
            }
        }
        city.report(pings).await;
        for metres in [0, 4_000, 8_000] {
            found(&other.client, north(metres)).await;
        }
        city.hand.advance(Duration::from_secs(4));
        turns.tick().await;
    }
    let session = session(&store.nodes).await;
    for table in ["driver_by_cell", "driver_last"] {
        let cql = "SELECT max, count FROM system_views.tombstones_per_read WHERE keyspace_name = ? AND table_name = ?";
        let answer = session
            .query_unpaged(cql, (&store.keyspace, table))
            .await
            .unwrap();
        let answer = answer.into_rows_result().unwrap();
        // A table that was never read has no row.
        let (most, reads) = answer
            .maybe_first_row::<(f64, i64)>()
            .unwrap()
            .unwrap_or_default();
        println!("{table}: {reads} reads, at most {most} tombstones");
        // Cassandra's histogram has no 0: what is said to be 1 is none, or a single one.
        assert!(most <= 1.0, "{table}: {most} tombstones");
        assert!(
            table == "driver_last" || reads > 10,
            "{table} was read {reads} times"
        );
    }
    city.stop().await;
    other.stop().await;
}
