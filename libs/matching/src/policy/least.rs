//! The plan of least total cost, which `batched`, `swaps` and `chained` share: they differ in what a pair costs, and in
//! whether a driver on his way may be given to another rider.
//!
//! Invariants: no other plan of the same window is cheaper, unassigned requests counted at their price; a trip that has a
//! driver keeps one; among plans of equal cost, ids decide.

use std::collections::HashSet;

use hexcab_types::DriverId;

use super::{Options, Policy, to_ms};
use crate::{
    assignment::{Problem, solve},
    row::{Row, rows},
    window::{Pair, Plan, Window},
};

/// What it would cost to leave a trip without the driver it has: more than everything else of a window together.
const HELD_PRICE_MS: i64 = 1 << 39;

/// The drivers on their way stay with their riders.
pub(super) fn keeping(policy: &impl Policy, window: &Window, options: &Options) -> Plan {
    let (held, mut open): (Vec<Row>, Vec<Row>) = rows(policy, window)
        .into_iter()
        .partition(|row| row.held.is_some());
    let taken: HashSet<DriverId> = held.iter().filter_map(|row| row.held).collect();
    if !taken.is_empty() {
        for row in &mut open {
            row.drivers.retain(|(driver, _)| !taken.contains(driver));
        }
    }
    finish(assigned(&open, options), &held)
}

/// The drivers on their way may be exchanged, where the window says what they cost for their own riders.
pub(super) fn exchanging(policy: &impl Policy, window: &Window, options: &Options) -> Plan {
    let known = |row: &Row| {
        row.held
            .is_none_or(|held| row.drivers.iter().any(|(driver, _)| *driver == held))
    };
    let (mut free, fixed): (Vec<Row>, Vec<Row>) = rows(policy, window).into_iter().partition(known);
    let taken: HashSet<DriverId> = fixed.iter().filter_map(|row| row.held).collect();
    if !taken.is_empty() {
        for row in &mut free {
            row.drivers.retain(|(driver, _)| !taken.contains(driver));
        }
    }
    finish(assigned(&free, options), &fixed)
}

/// Rows that stay as they are, and the order of ids.
fn finish(mut plan: Plan, kept: &[Row]) -> Plan {
    if !kept.is_empty() {
        plan.pairs.extend(kept.iter().filter_map(Row::held_pair));
        plan.pairs.sort_unstable_by_key(|pair| pair.trip);
    }
    plan
}

fn assigned(rows: &[Row], options: &Options) -> Plan {
    let mut drivers: Vec<DriverId> = rows
        .iter()
        .flat_map(|row| &row.drivers)
        .map(|&(driver, _)| driver)
        .collect();
    drivers.sort_unstable();
    drivers.dedup();

    let solution = solve(&problem(rows, &drivers, options));
    let mut plan = Plan::default();
    for (row, chosen) in rows.iter().zip(&solution.chosen) {
        match chosen {
            Some(edge) => plan.pairs.push(Pair {
                trip: row.trip,
                driver: drivers[edge.column()],
                cost_ms: edge.cost,
            }),
            None => plan.unassigned.push(row.trip),
        }
    }
    plan
}

fn problem(rows: &[Row], drivers: &[DriverId], options: &Options) -> Problem {
    let price_ms = to_ms(options.unassigned_price_s);
    let mut problem = Problem::new(drivers.len());
    for row in rows {
        let column = |driver| {
            drivers
                .binary_search(driver)
                .expect("every driver of a row has a column")
        };
        problem.push_row(
            if row.held.is_some() {
                HELD_PRICE_MS
            } else {
                price_ms
            },
            row.drivers
                .iter()
                .map(|(driver, cost_ms)| (column(driver), *cost_ms)),
        );
    }
    problem
}
