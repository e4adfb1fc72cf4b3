//! How long a query takes while 50,000 pings a second come in: queries at a steady rate, sent when they are due whether or
//! not the ones before were answered, and timed from when they were due.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream::FuturesUnordered};
use hdrhistogram::Histogram;
use tokio::{
    task::yield_now,
    time::{Instant, sleep_until},
};

use super::{BATCH, fleet::Fleet, turns::Hexcab};

/// Pings a second.
const PINGS: usize = 50_000;
/// Between two queries: 1,000 a second.
const QUERY_INTERVAL: Duration = Duration::from_millis(1);

/// Latencies, microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Latency {
    pub p50_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
}

/// Takes them for so long.
pub async fn measure(
    hexcab: &Hexcab,
    fleet: &mut Fleet,
    queries: &[Bytes],
    length: Duration,
) -> anyhow::Result<Latency> {
    let begun = Instant::now();
    let pings = hexcab.client.pings(
        fleet,
        |_| begun.elapsed() >= length,
        async |sent| {
            let due = sent as f64 / PINGS as f64;
            sleep_until(begun + Duration::from_secs_f64(due)).await;
        },
    );
    let asking = async {
        let mut latencies = Histogram::<u64>::new(3)?;
        let (mut at, mut running) = (begun, FuturesUnordered::new());
        let mut number = 0;
        while at < begun + length || !running.is_empty() {
            tokio::select! {
                // Not by a timer: those of the runtime are a millisecond late.
                () = come(at), if at < begun + length => {
                    let query = queries[number % queries.len()].clone();
                    let call = hexcab.client.call(number, "FindNearby", query);
                    running.push(async move { call.await.map(|_| at.elapsed()) });
                    number += 1;
                    at += QUERY_INTERVAL;
                }
                Some(took) = running.next() => {
                    latencies.record(u64::try_from(took?.as_micros())?)?;
                }
            }
        }
        anyhow::Ok(latencies)
    };
    let (accepted, latencies) = tokio::join!(pings, asking);
    let wanted = PINGS as f64 * length.as_secs_f64() - BATCH as f64;
    let accepted = accepted?;
    anyhow::ensure!(
        accepted as f64 >= 0.95 * wanted,
        "{accepted} pings of {wanted}"
    );
    let latencies = latencies?;
    Ok(Latency {
        p50_us: latencies.value_at_quantile(0.5),
        p99_us: latencies.value_at_quantile(0.99),
        p999_us: latencies.value_at_quantile(0.999),
    })
}

async fn come(at: Instant) {
    while Instant::now() < at {
        yield_now().await;
    }
}
