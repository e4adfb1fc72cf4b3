//! What the index does when nothing else costs time: no wire, no decoding, no gRPC.

use std::time::{Duration, Instant};

use hexcab_location::domain::{
    Batch, FleetIndex, ProductNumber, Query, Sighting, Status, Statuses,
};
use hexcab_types::{ProductId, Timestamp};

use super::{BATCH, LIMIT, RADIUS_M, fleet::Fleet};

const BASE_MS: i64 = 1_700_000_000_000;
const PING_INTERVAL_MS: i64 = 4_000;

/// Prints what one core does at each size.
pub fn run(sizes: &[usize], seconds: f64) -> anyhow::Result<()> {
    println!("| drivers | ns a ping | pings/s | µs a query | queries/s |");
    println!("|---:|---:|---:|---:|---:|");
    for &size in sizes {
        measure(size, seconds)?;
    }
    Ok(())
}

fn measure(size: usize, seconds: f64) -> anyhow::Result<()> {
    let index = FleetIndex::new([("sf".to_owned(), vec![ProductId::new("standard")?])]);
    let (city, _) = index.cities().next().expect("one was given");
    let mut fleet = Fleet::new(size);
    let mut batch = Batch::default();
    let at = |ms| Timestamp::from_timestamp_millis(ms).expect("in range");
    let (mut spent, mut pings, mut sent) = (Duration::ZERO, 0_u64, 0_usize);
    let mut now = at(BASE_MS);
    while spent.as_secs_f64() < seconds {
        let recorded_ms = BASE_MS + (sent / size) as i64 * PING_INTERVAL_MS;
        now = at(recorded_ms);
        for number in 0..BATCH.min(size) {
            let driver = fleet.ping();
            batch.push(
                number as u32,
                Sighting {
                    driver: driver.id,
                    point: driver.point,
                    recorded_ms,
                    status: Status::Available,
                    product: ProductNumber(0),
                    heading_deg: driver.heading_deg() as u16,
                    inaccurate: false,
                },
            );
        }
        let begun = Instant::now();
        let taken = index.take(city, &mut batch, now);
        // The first turn of the fleet is the filling.
        if sent >= size {
            spent += begun.elapsed();
            pings += BATCH as u64;
        }
        anyhow::ensure!(taken.accepted as usize == BATCH, "{taken:?}");
        batch.clear();
        sent += BATCH;
    }
    let ping_ns = spent.as_nanos() as f64 / pings as f64;
    let points: Vec<_> = (0..20_000).map(|_| fleet.rider()).collect();
    let (begun, mut found, mut queries) = (Instant::now(), 0, 0);
    for point in points.iter().cycle() {
        let query = Query {
            point: *point,
            radius_m: f64::from(RADIUS_M),
            limit: LIMIT as usize,
            max_age_ms: 60_000,
            statuses: Statuses::from_iter([Status::Available]),
            product: None,
            excluded: &[],
        };
        found += index.nearest(city, &query, now).len();
        queries += 1;
        if queries % 100 == 0 && begun.elapsed().as_secs_f64() > seconds {
            break;
        }
    }
    let query_us = begun.elapsed().as_secs_f64() * 1e6 / f64::from(queries);
    anyhow::ensure!(found > 0, "nobody was found");
    println!(
        "| {size} | {ping_ns:.0} | {:.2}M | {query_us:.2} | {:.0}k |",
        1e3 / ping_ns,
        1e3 / query_us
    );
    Ok(())
}
