//! `./dev bench matching`: how long exact assignments take, beside OR-tools' min-cost flow where Python has it.
//!
//! Two kinds of instance, 30 candidates a row: *uniform* draws columns and costs at random; *city* draws points on a
//! 12 km square and takes each pickup's 30 nearest drivers, at 8 m/s along the axes, less a wait of up to 5 minutes.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::Instant,
};

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
        for (kind, rows) in [
            ("uniform", uniform(size, &mut random)),
            ("city", city(size, &mut random)),
        ] {
            let cost = report(kind, size, &rows);
            beside(size, &rows, cost);
        }
    }
}

/// The same by OR-tools: its time, and whether it comes to the same cost.
fn beside(columns: usize, rows: &Rows, cost: i64) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/min_cost_flow.py");
    let python = Command::new("python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let rows: Vec<Vec<[i64; 2]>> = rows
        .iter()
        .map(|row| {
            row.iter()
                .map(|&(column, cost)| [column as i64, cost])
                .collect()
        })
        .collect();
    let line = format!(
        "{{\"columns\": {columns}, \"price\": {UNASSIGNED_PRICE_MS}, \"rows\": {rows:?}}}\n"
    );
    let answer = python.ok().and_then(|mut python| {
        // A Python without OR-tools ends at once and reads nothing.
        let _sent = python.stdin.take()?.write_all(line.as_bytes());
        String::from_utf8(python.wait_with_output().ok()?.stdout).ok()
    });
    match answer.filter(|answer| !answer.is_empty()) {
        Some(answer) => {
            let same = answer.contains(&format!("\"cost\": {cost},"));
            println!(
                "    OR-tools: {} ({})",
                answer.trim(),
                if same {
                    "the same cost"
                } else {
                    "ANOTHER COST"
                }
            );
        }
        None => println!("    OR-tools: not here (python3 -m pip install ortools)"),
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

fn report(kind: &str, columns: usize, rows: &Rows) -> i64 {
    let (mut assigned, mut cost) = (0, 0);
    let mut times_ms: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            let mut problem = Problem::new(columns);
            rows.iter()
                .for_each(|row| problem.push_row(UNASSIGNED_PRICE_MS, row.iter().copied()));
            let solution = solve(&problem);
            (assigned, cost) = (solution.chosen.iter().flatten().count(), solution.cost);
            start.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    times_ms.sort_by(f64::total_cmp);
    let (median, worst) = (times_ms[RUNS / 2], times_ms[RUNS - 1]);
    println!(
        "{kind} {columns} x {columns} x {CANDIDATES}: median {median:.1} ms, worst {worst:.1} ms, {assigned} assigned"
    );
    cost
}
