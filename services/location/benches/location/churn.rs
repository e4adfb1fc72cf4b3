//! A fleet that comes, goes and crosses cells for long, at a city's speed, on a real store: whether any read met a tombstone,
//! by Cassandra's own count. Longer than three minutes, so that rows expire meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hexcab_chassis::{Clock, ClockConfig};
use hexcab_testkit::Cassandra;
use scylla::client::session_builder::SessionBuilder;
use tokio::task::spawn_blocking;

use super::{
    BATCH,
    fleet::Fleet,
    rpc,
    turns::{Hexcab, Kept},
};

/// Between two pings of a driver, city time.
const PING_EVERY: Duration = Duration::from_secs(4);
/// Half of the drivers are out for so long, and away for as long; city time.
const SHIFT: Duration = Duration::from_secs(600);
const QUERIES_PER_TURN: usize = 4;

/// Runs for so long with the city's clock at this speed.
pub async fn run(length: Duration, speed: f64) -> anyhow::Result<()> {
    let node = spawn_blocking(Cassandra::start).await?;
    let node = node.context("this wants Cassandra: ./dev setup local")?;
    let config = ClockConfig::starting_now(Clock::system().now(), speed)?;
    let clock = config.clock();
    let kept = Kept {
        nodes: node.addr().to_string(),
        clock: Some(config.to_string()),
    };
    // One hears the pings, the other is asked, and must read.
    let hears = Hexcab::start_with(&kept).await?;
    let asked = Hexcab::start_with(&kept).await?;
    let (mut steady, mut shifts) = (Fleet::new(BATCH), Fleet::other(BATCH));
    let queries = rpc::queries(&mut steady);
    println!(
        "{} drivers, half of them in shifts, at {speed} times, for {length:?}",
        2 * BATCH
    );
    let (begun, mut turn, mut accepted) = (Instant::now(), 0, 0);
    let mut ticks = tokio::time::interval(PING_EVERY.div_f64(speed));
    while begun.elapsed() < length {
        ticks.tick().await;
        let now_ms = clock.now().timestamp_millis();
        let out = (begun.elapsed().mul_f64(speed).as_secs() / SHIFT.as_secs()).is_multiple_of(2);
        for fleet in [Some(&mut steady), out.then_some(&mut shifts)] {
            let Some(fleet) = fleet else { continue };
            let batch = rpc::batch(fleet, now_ms);
            hears.client.call(0, "ReportPings", batch).await?;
            accepted += BATCH;
        }
        for query in queries
            .iter()
            .cycle()
            .skip(turn * QUERIES_PER_TURN)
            .take(QUERIES_PER_TURN)
        {
            asked.client.call(turn, "FindNearby", query.clone()).await?;
        }
        turn = (turn + 1) % (queries.len() / QUERIES_PER_TURN);
    }
    println!("{accepted} pings in {:.0} s", begun.elapsed().as_secs_f64());
    let session = SessionBuilder::new()
        .known_node(node.addr().to_string())
        .build()
        .await?;
    for table in ["driver_by_cell", "driver_last"] {
        let cql = "SELECT p99th, max, count FROM system_views.tombstones_per_read \
                   WHERE keyspace_name = 'hexcab_location' AND table_name = ?";
        let answer = session
            .query_unpaged(cql, (table,))
            .await?
            .into_rows_result()?;
        let (p99, most, reads) = answer
            .maybe_first_row::<(f64, f64, i64)>()?
            .unwrap_or_default();
        println!(
            "{table}: {reads} reads, p99 {p99:.0}, at most {most:.0} tombstones (1 is none: the histogram has no 0)"
        );
        ensure!(most <= 1.0, "{table}: a read met {most} tombstones");
    }
    Ok(())
}
