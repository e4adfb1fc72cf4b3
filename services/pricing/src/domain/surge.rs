//! Multipliers per H3 r8 cell, from what riders ask for and who is free.
//!
//! For each cell: demand and supply, its own and its neighbours' weighed → the multiplier at which they would meet →
//! smoothed in time → shown in steps, with hysteresis. With an elasticity of demand of -1 and of supply of +1 they meet
//! at the square root of demand over supply: doubled demand costs 1.4 times as much, not twice.
//!
//! Invariants: shown multipliers lie within floor and cap and are whole steps away from 1; with more demand and all else
//! equal none is lower; too few samples aim at 1; without demand each cell returns to exactly 1 and is forgotten.
//! Does not: know whose demand it is, or when supply is too old to count (then there is no market to ask about).

use std::collections::{BTreeMap, BTreeSet};

use hexcab_cities::SurgeRules;
use hexcab_types::{BasisPoints, Cell, SnapshotId, Timestamp};
use serde::{Deserialize, Serialize};

/// Basis points in 1, as wide as sums of weighed counts need.
const ONE_BP: u64 = BasisPoints::ONE.0 as u64;
/// Parts of a basis point in which the smoothed multiplier is kept, so that small changes are not rounded away.
const FINE: i64 = 1_000;
/// Denominator of the share that smoothing keeps.
const MILLION: i64 = 1_000_000;

/// Riders or drivers per cell.
pub type Counts = BTreeMap<Cell, u32>;

/// What riders ask for, and who is free, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Market {
    /// Riders who asked for a quote or a ride in the window, each counted once per cell.
    pub demand: Counts,
    /// Fresh available drivers.
    pub supply: Counts,
}

/// One cell of a snapshot: what is shown, and what the next computation goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellSurge {
    /// H3 r8.
    pub cell: Cell,
    /// The multiplier that riders pay.
    pub shown: BasisPoints,
    /// The smoothed multiplier, thousandths of a basis point.
    pub smooth: i64,
    /// Demand as weighed, rounded.
    pub demand: u32,
    /// Supply as weighed, rounded.
    pub supply: u32,
}

/// The multipliers of a city at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// What a quote refers to.
    pub id: SnapshotId,
    /// When, city clock.
    pub created_at: Timestamp,
    /// Cells that are not at rest at 1, in ascending order.
    pub cells: Vec<CellSurge>,
}

impl Snapshot {
    /// The multiplier of a cell.
    pub fn of(&self, cell: Cell) -> BasisPoints {
        let found = self.cells.binary_search_by_key(&cell, |surge| surge.cell);
        found
            .ok()
            .and_then(|at| self.cells.get(at))
            .map_or(BasisPoints::ONE, |surge| surge.shown)
    }

    /// Whether it still counts.
    pub fn is_fresh(&self, rules: &SurgeRules, now: Timestamp) -> bool {
        (now - self.created_at).num_seconds() <= i64::from(rules.stale_after_s)
    }
}

/// The cells after `elapsed_s` seconds in which the market came to be as given.
pub fn next(
    rules: &SurgeRules,
    before: &[CellSurge],
    elapsed_s: f64,
    market: &Market,
) -> Vec<CellSurge> {
    let before: BTreeMap<Cell, &CellSurge> =
        before.iter().map(|surge| (surge.cell, surge)).collect();
    let wanted = market.demand.keys().flat_map(|cell| cell.disk(1));
    let cells: BTreeSet<Cell> = wanted.chain(before.keys().copied()).collect();
    let kept = kept_share(rules.half_life_s, elapsed_s);
    let each = cells.into_iter().map(|cell| {
        let demand = weighed(rules, &market.demand, cell);
        let supply = weighed(rules, &market.supply, cell);
        let aim = aim_bp(rules, demand, supply) * FINE;
        let former = before.get(&cell);
        let smooth_before = former.map_or(ONE_BP as i64 * FINE, |former| former.smooth);
        // Truncation is towards the aim, so that it is reached.
        let smooth = aim + (smooth_before - aim) * kept / MILLION;
        CellSurge {
            cell,
            shown: shown(
                rules,
                former.map_or(BasisPoints::ONE, |former| former.shown),
                smooth,
            ),
            smooth,
            demand: whole(demand),
            supply: whole(supply),
        }
    });
    each.filter(|surge| surge.demand > 0 || !surge.is_at_rest())
        .collect()
}

impl CellSurge {
    fn is_at_rest(&self) -> bool {
        self.shown == BasisPoints::ONE && self.smooth == ONE_BP as i64 * FINE
    }
}

/// A cell's own count and its neighbours' share, in ten-thousandths.
fn weighed(rules: &SurgeRules, counts: &Counts, cell: Cell) -> u64 {
    let count = |cell: Cell| counts.get(&cell).copied().map_or(0, u64::from);
    let neighbours: u64 = cell.disk(1).filter(|near| *near != cell).map(count).sum();
    count(cell) * ONE_BP + neighbours * u64::from(rules.neighbour_weight.0)
}

fn whole(weighed: u64) -> u32 {
    u32::try_from((weighed + ONE_BP / 2) / ONE_BP).unwrap_or(u32::MAX)
}

/// The multiplier at which demand and supply would meet.
fn aim_bp(rules: &SurgeRules, demand: u64, supply: u64) -> i64 {
    if demand < u64::from(rules.minimum_samples) * ONE_BP || demand == 0 {
        return ONE_BP as i64;
    }
    // sqrt(demand / supply) in basis points; nobody free is as scarce as it gets.
    let squared =
        (u128::from(demand) * u128::from(ONE_BP * ONE_BP)).checked_div(u128::from(supply));
    let (floor, cap) = (u128::from(rules.floor.0), u128::from(rules.cap.0));
    squared.map_or(cap, u128::isqrt).clamp(floor, cap) as i64
}

/// What is left of a difference after so long, in millionths: half of it after each half-life.
fn kept_share(half_life_s: u32, elapsed_s: f64) -> i64 {
    ((-elapsed_s.max(0.0) / f64::from(half_life_s)).exp2() * MILLION as f64) as i64
}

/// The multiplier to show: the former one while the smoothed one is near it, else the step nearest to the smoothed one.
/// A hysteresis wider than a step would keep a multiplier for ever; it counts as one step.
fn shown(rules: &SurgeRules, former: BasisPoints, smooth: i64) -> BasisPoints {
    let (one, step) = (ONE_BP as i64, i64::from(rules.step.0));
    let bp = smooth / FINE;
    let steps = (bp - one + step / 2).div_euclid(step);
    let (fewest, most) = (
        -((one - i64::from(rules.floor.0)) / step),
        (i64::from(rules.cap.0) - one) / step,
    );
    let former = i64::from(former.0);
    let stays = (bp - former).abs() < i64::from(rules.hysteresis.0).min(step);
    let lawful = |bp: i64| (one + fewest * step..=one + most * step).contains(&bp);
    let chosen = if stays && lawful(former) {
        former
    } else {
        one + steps.clamp(fewest, most) * step
    };
    BasisPoints(u32::try_from(chosen).unwrap_or(BasisPoints::ONE.0))
}

#[cfg(test)]
mod tests;
