//! Carries a schedule out: each fault at its time, all that overlap at once.
//!
//! Invariants: a fault is told as it ends, with what was seen; told to stop, every fault that is on is lifted. Does not:
//! choose faults, judge.

use std::time::Duration;

use futures::{StreamExt as _, stream::FuturesUnordered};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    schedule::{Planned, Schedule},
    strike::{Observed, strike},
};
use crate::{say, stack::Stack};

/// A fault that was carried out, or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Struck {
    /// When it began, seconds since the load began.
    pub at_s: f64,
    /// Its kind.
    pub fault: String,
    /// What it struck.
    pub target: String,
    /// How long it lasted, without the recovery; seconds.
    pub lasted_s: f64,
    /// Whether it took place.
    pub struck: bool,
    /// What was seen.
    pub observed: String,
    /// The crash point that it was about.
    pub point: Option<String>,
}

/// Carries it out on this city; `began` is when the load did. Dropped, it lifts what is on.
pub async fn execute(schedule: &Schedule, stack: &Stack, began: Instant) -> Vec<Struck> {
    let mut pending: FuturesUnordered<_> = schedule
        .faults
        .iter()
        .zip(0_u64..)
        .map(|(planned, number)| one(planned, schedule.seed ^ number, stack, began))
        .collect();
    let mut all = Vec::with_capacity(schedule.faults.len());
    while let Some(struck) = pending.next().await {
        say::step(line(&struck));
        all.push(struck);
    }
    all.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    all
}

async fn one(planned: &Planned, seed: u64, stack: &Stack, began: Instant) -> Struck {
    tokio::time::sleep_until(began + planned.at).await;
    let at = began.elapsed();
    let Observed { struck, what } =
        Box::pin(strike(stack, &planned.fault, planned.lasts, seed)).await;
    Struck {
        at_s: tenths(at),
        fault: planned.fault.kind().to_owned(),
        target: planned.fault.target(),
        lasted_s: tenths(planned.lasts),
        struck,
        observed: what,
        point: planned.fault.point().map(str::to_owned),
    }
}

/// A line about it, as it is over.
fn line(struck: &Struck) -> String {
    let mark = if struck.struck { ' ' } else { '–' };
    let Struck {
        at_s,
        fault,
        target,
        lasted_s,
        observed,
        ..
    } = struck;
    format!("{at_s:>6.1} s{mark} {fault:<11} {target}, {lasted_s:.1} s: {observed}")
}

/// Seconds, rounded to what is worth reading.
fn tenths(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}
