//! Prints how long exact assignments take: `cargo run --release -p hexcab-matching --example assignment_time`.
//!
//! Two kinds of instance, 30 candidates a row: *uniform* draws columns and costs at random; *city* draws points on a
//! 12 km square and takes each pickup's 30 nearest drivers, at 8 m/s along the axes, less a wait of up to 5 minutes.

use std::time::Instant;

use hexcab_matching::assignment::{Problem, solve};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CANDIDATES: usize = 30;
const RUNS: usize = 15;
const UNASSIGNED_PRICE_MS: i64 = 1_800_000;
const SIDE_M: f64 = 12_000.0;

type Rows = Vec<Vec<(usize, i64)>>;

fn main() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for size in [1_000, 5_000] {
        report("uniform", size, &uniform(size, &mut random));
        report("city", size, &city(size, &mut random));
    }
}

fn uniform(size: usize, random: &mut ChaCha8Rng) -> Rows {
    let mut edge = || {
        (
            random.random_range(0..size),
            random.random_range(0..1_200_000),
        )
    };
    (0..size)
        .map(|_| (0..CANDIDATES).map(|_| edge()).collect())
        .collect()
}

fn city(size: usize, random: &mut ChaCha8Rng) -> Rows {
    let mut point = || {
        (
            random.random_range(0.0..SIDE_M),
            random.random_range(0.0..SIDE_M),
        )
    };
    let drivers: Vec<(f64, f64)> = (0..size).map(|_| point()).collect();
    let pickups: Vec<(f64, f64)> = (0..size).map(|_| point()).collect();
    let row = |pickup: &(f64, f64)| {
        let waited_ms = random.random_range(0..300_000);
        let eta_ms = |driver: &(f64, f64)| {
            ((pickup.0 - driver.0).abs() + (pickup.1 - driver.1).abs()) * 125.0
        };
        let mut row: Vec<_> = drivers
            .iter()
            .map(|driver| eta_ms(driver) as i64 - waited_ms)
            .enumerate()
            .collect();
        row.sort_unstable_by_key(|&(_, cost_ms)| cost_ms);
        row.truncate(CANDIDATES);
        row
    };
    pickups.iter().map(row).collect()
}

fn report(kind: &str, columns: usize, rows: &Rows) {
    let mut assigned = 0;
    let mut times_ms: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            let mut problem = Problem::new(columns);
            rows.iter()
                .for_each(|row| problem.push_row(UNASSIGNED_PRICE_MS, row.iter().copied()));
            assigned = solve(&problem).chosen.iter().flatten().count();
            start.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    times_ms.sort_by(f64::total_cmp);
    let (median, worst) = (times_ms[RUNS / 2], times_ms[RUNS - 1]);
    println!(
        "{kind} {columns} x {columns} x {CANDIDATES}: median {median:.1} ms, worst {worst:.1} ms, {assigned} assigned"
    );
}
