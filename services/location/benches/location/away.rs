//! The store slow, then stopped, under load: what pings and queries notice of it, what memory does meanwhile, and how soon
//! all is kept when it is back. Every driver pings every four seconds, and 100 queries a second are asked.
//!
//! Ends with an error when anything was refused, memory grew, or something was not kept in the end.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use hexcab_chassis::Clock;
use hexcab_proto::location::v1::ReportPingsResponse;
use hexcab_proxy::{Mode, Proxy};
use hexcab_testkit::Cassandra;
use prost::Message as _;
use scylla::client::session_builder::SessionBuilder;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::{
    BATCH, Options,
    fleet::Fleet,
    rpc,
    turns::{Hexcab, Kept},
};

/// Between two pings of a driver.
const PING_EVERY: f64 = 4.0;
const QUERY_EVERY: Duration = Duration::from_millis(10);
/// How long the store is well, and slow, before it is stopped.
const PRELUDE: Duration = Duration::from_secs(20);
/// A slow store: every piece of bytes takes so long.
const SLOW: Duration = Duration::from_millis(200);
/// How much memory may grow while it is away, of itself.
const GROWTH_MAX: f64 = 0.2;
/// How long it may take until all is kept.
const KEPT_WITHIN: Duration = Duration::from_secs(120);

/// Runs with the store away for so long, with the smallest of the sizes.
pub async fn run(options: &Options, length: Duration) -> anyhow::Result<()> {
    let size = options.sizes.iter().copied().min().unwrap_or(BATCH);
    let node = spawn_blocking(Cassandra::start).await?;
    let node = node.context("this wants Cassandra: ./dev setup local")?;
    let direct = node.addr();
    let proxy = Proxy::start(([127, 0, 0, 1], 0).into(), direct).await?;
    let hexcab = Hexcab::start_with(&Kept::at(proxy.addr())).await?;
    let mut load = Load::new(&hexcab, Fleet::new(size));
    println!(
        "{size} drivers, {:.0} pings/s, 100 queries/s",
        size as f64 / PING_EVERY
    );
    println!("the store is      s  pings p50  p99   max ms  queries p50  p99   max ms  memory MB");
    load.during("well", tokio::time::sleep(PRELUDE)).await?;
    proxy.set(Mode::Slow(SLOW));
    load.during("slow", tokio::time::sleep(PRELUDE)).await?;
    proxy.set(Mode::Pass);
    load.during("well", tokio::time::sleep(PRELUDE)).await?;
    let before = hexcab.server.memory();
    let stopping = spawn_blocking(move || {
        let mut node = node;
        node.kill();
        node
    });
    let mut node = stopping.await?;
    load.during("stopped", tokio::time::sleep(length)).await?;
    let after = hexcab.server.memory();
    let starting = spawn_blocking(move || {
        node.start_again();
        node
    });
    let _node = load.during("starting", starting).await??;
    load.during("back", tokio::time::sleep(PRELUDE)).await?;
    let took = until_kept(&load.fleet, &direct.to_string()).await?;
    println!(
        "{} pings accepted, {} queries answered, none refused; every driver's last position is kept {:.1} s after the last ping; \
         memory {:.1} → {:.1} MB while it was away",
        load.pings,
        load.queries,
        took.as_secs_f64(),
        before / 1e6,
        after / 1e6
    );
    ensure!(after < before * (1.0 + GROWTH_MAX), "memory grew");
    Ok(())
}

struct Load<'a> {
    hexcab: &'a Hexcab,
    fleet: Fleet,
    asked: Vec<Bytes>,
    pings: usize,
    queries: usize,
}

impl<'a> Load<'a> {
    fn new(hexcab: &'a Hexcab, mut fleet: Fleet) -> Self {
        Self {
            hexcab,
            asked: rpc::queries(&mut fleet),
            fleet,
            pings: 0,
            queries: 0,
        }
    }

    /// Goes on until `end`; tells what was seen.
    async fn during<T>(&mut self, store: &str, end: impl Future<Output = T>) -> anyhow::Result<T> {
        let begun = Instant::now();
        let (mut pinged, mut answered) = (Histogram::<u64>::new(3)?, Histogram::<u64>::new(3)?);
        let every =
            Duration::from_secs_f64(BATCH as f64 * PING_EVERY / self.fleet.drivers.len() as f64);
        let (client, fleet) = (&self.hexcab.client, &mut self.fleet);
        let (asked, over) = (&self.asked, std::cell::Cell::new(false));
        let pinging = async {
            let mut ticks = tokio::time::interval(every);
            // To its end: what is sent is to be kept.
            while !over.get() {
                ticks.tick().await;
                let batch = rpc::batch(fleet, Clock::system().now().timestamp_millis());
                let call = Instant::now();
                let answer = client.call(0, "ReportPings", batch).await?;
                pinged.record(u64::try_from(call.elapsed().as_micros())?)?;
                let answer = ReportPingsResponse::decode(answer)?;
                ensure!(usize::try_from(answer.accepted)? == BATCH, "{answer:?}");
            }
            Ok(())
        };
        let asking = async {
            let mut ticks = tokio::time::interval(QUERY_EVERY);
            for (number, query) in asked.iter().cycle().enumerate() {
                if over.get() {
                    break;
                }
                ticks.tick().await;
                let call = Instant::now();
                let query = query.clone();
                client.call(number + 1, "FindNearby", query).await?;
                answered.record(u64::try_from(call.elapsed().as_micros())?)?;
            }
            Ok(())
        };
        let ending = async {
            let ended = end.await;
            over.set(true);
            anyhow::Ok(ended)
        };
        let (ended, (), ()) = tokio::try_join!(ending, pinging, asking)?;
        let ms = |took: &Histogram<u64>, quantile| took.value_at_quantile(quantile) as f64 / 1e3;
        println!(
            "{store:>12} {:6.0} {:10.2} {:6.2} {:8.2} {:12.2} {:6.2} {:8.2} {:10.1}",
            begun.elapsed().as_secs_f64(),
            ms(&pinged, 0.5),
            ms(&pinged, 0.99),
            pinged.max() as f64 / 1e3,
            ms(&answered, 0.5),
            ms(&answered, 0.99),
            answered.max() as f64 / 1e3,
            self.hexcab.server.memory() / 1e6,
        );
        self.pings += usize::try_from(pinged.len())? * BATCH;
        self.queries += usize::try_from(answered.len())?;
        Ok(ended)
    }
}

/// How long it takes until the store has the last position of every driver.
async fn until_kept(fleet: &Fleet, node: &str) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let session = SessionBuilder::new().known_node(node).build().await?;
    let last = "SELECT lat_e7, lon_e7 FROM hexcab_location.driver_last WHERE driver = ?";
    let last = session.prepare(last).await?;
    for driver in &fleet.drivers {
        let id: Uuid = driver.id.uuid();
        loop {
            let answer = session
                .execute_unpaged(&last, (id,))
                .await?
                .into_rows_result()?;
            let kept = answer.maybe_first_row::<(i32, i32)>()?;
            if kept == Some((driver.point.lat_e7(), driver.point.lon_e7())) {
                break;
            }
            ensure!(
                begun.elapsed() < KEPT_WITHIN,
                "{} is kept at {kept:?}",
                driver.id
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(begun.elapsed())
}
