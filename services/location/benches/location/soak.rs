//! Half the peak for long: memory must stay, and nothing may fail.

use std::time::{Duration, Instant};

use super::{BATCH, Options, fleet::Fleet, rpc, turns::Hexcab};

/// How much memory may change after the first fifth, of itself.
const DRIFT: f64 = 0.02;
/// Between two looks.
const LOOK: Duration = Duration::from_secs(10);

/// Runs for so long at the largest of the sizes.
pub async fn run(options: &Options, length: Duration) -> anyhow::Result<()> {
    let size = options.sizes.iter().copied().max().unwrap_or(BATCH);
    let (mut fleet, hexcab) = (Fleet::new(size), Hexcab::start().await?);
    hexcab.fill(&mut fleet).await?;
    let (begun, before) = (Instant::now(), hexcab.server.cpu());
    let mut sent = 0;
    let enough = |so_far| {
        sent = so_far;
        begun.elapsed().as_secs_f64() >= options.seconds
    };
    hexcab
        .client
        .pings(&mut fleet, enough, async |_| {})
        .await?;
    let peak = sent as f64 / (hexcab.server.cpu() - before).max(begun.elapsed().as_secs_f64());
    let rate = peak / 2.0;
    println!("{size} drivers, {rate:.0} pings/s (half the peak) and queries, for {length:?}");

    let queries = rpc::queries(&mut fleet);
    let begun = tokio::time::Instant::now();
    let pings = hexcab.client.pings(
        &mut fleet,
        |_| begun.elapsed() >= length,
        async |sent| {
            let due = Duration::from_secs_f64(sent as f64 / rate);
            tokio::time::sleep_until(begun + due).await;
        },
    );
    let asking = async {
        let mut asked = 0;
        for query in queries.iter().cycle() {
            if begun.elapsed() >= length {
                break;
            }
            hexcab
                .client
                .call(asked, "FindNearby", query.clone())
                .await?;
            asked += 1;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        anyhow::Ok(asked)
    };
    let looking = async {
        let mut seen = Vec::new();
        while begun.elapsed() + LOOK < length {
            tokio::time::sleep(LOOK).await;
            seen.push(hexcab.server.memory());
            println!(
                "{:5.0} s: {:.1} MB, {:.1} s of CPU",
                begun.elapsed().as_secs_f64(),
                seen[seen.len() - 1] / 1e6,
                hexcab.server.cpu()
            );
        }
        seen
    };
    let (accepted, asked, seen) = tokio::join!(pings, asking, looking);
    println!(
        "{} pings accepted, {} queries answered, no error",
        accepted?, asked?
    );
    let settled = &seen[seen.len() / 5..];
    let (least, most) = settled
        .iter()
        .fold((f64::INFINITY, 0.0_f64), |(least, most), now| {
            (least.min(*now), most.max(*now))
        });
    if let Some(first) = settled.first() {
        let drift = (most - first).max(first - least) / first;
        println!(
            "memory after the first fifth: {:.1} MB, ±{:.2} %",
            first / 1e6,
            drift * 100.0
        );
        anyhow::ensure!(drift <= DRIFT, "memory is not flat");
    }
    Ok(())
}
