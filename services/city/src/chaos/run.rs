//! Carries a schedule out: each fault at its time, all that overlap at once.
//!
//! A crash point that is not reached in its time (something else kept its service from it) is tried again in what time the
//! service's other points leave, and at the end, where nothing else is planned.
//!
//! Invariants: a fault is told as it ends, with what was seen; told to stop, every fault that is on is lifted; when all is
//! over no process is on its way to a crash point. Does not: choose faults, judge.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    fault::Fault,
    schedule::{Planned, Schedule},
    strike::{self, Observed, strike},
};
use crate::{
    say,
    stack::{Stack, services::Service},
};

/// A crash point is not tried again when there is less time than this.
const AGAIN_MIN: Duration = Duration::from_secs(6);

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
    let mut pending: FuturesUnordered<BoxFuture<'_, Vec<Struck>>> = FuturesUnordered::new();
    let mut points: BTreeMap<Service, VecDeque<Try<'_>>> = BTreeMap::new();
    for (planned, number) in schedule.faults.iter().zip(0_u64..) {
        if let Fault::CrashPoint { service, .. } = planned.fault {
            let first = Try { planned, before: 0 };
            points.entry(service).or_default().push_back(first);
        } else {
            let one = one(planned, schedule.seed ^ number, stack, began);
            pending.push(one.map(|struck| vec![struck]).boxed());
        }
    }
    for (service, points) in points {
        let way = Way {
            service,
            stack,
            began,
            over: began + schedule.length,
        };
        pending.push(way.through(points).boxed());
    }
    let mut all = Vec::with_capacity(schedule.faults.len());
    while let Some(struck) = pending.next().await {
        all.extend(struck);
    }
    all.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    all
}

async fn one(planned: &Planned, seed: u64, stack: &Stack, began: Instant) -> Struck {
    tokio::time::sleep_until(began + planned.at).await;
    let at = began.elapsed();
    let observed = Box::pin(strike(stack, &planned.fault, planned.lasts, seed)).await;
    told(planned, at, observed)
}

fn told(planned: &Planned, at: Duration, Observed { struck, what }: Observed) -> Struck {
    let struck = Struck {
        at_s: tenths(at),
        fault: planned.fault.kind().to_owned(),
        target: planned.fault.target(),
        lasted_s: tenths(planned.lasts),
        struck,
        observed: what,
        point: planned.fault.point().map(str::to_owned),
    };
    say::step(line(&struck));
    struck
}

/// A crash point that is to be reached.
#[derive(Debug, Clone, Copy)]
struct Try<'a> {
    planned: &'a Planned,
    /// How often it was tried before.
    before: u32,
}

/// A service's way through its crash points, one after the other.
struct Way<'a> {
    service: Service,
    stack: &'a Stack,
    began: Instant,
    /// When faults are over.
    over: Instant,
}

impl Way<'_> {
    async fn through(self, mut planned: VecDeque<Try<'_>>) -> Vec<Struck> {
        let (mut missed, mut done) = (VecDeque::new(), Vec::new());
        loop {
            let next = self.begin(planned.front());
            let left = next.saturating_duration_since(Instant::now());
            let (point, patience) = if left.is_zero() {
                let Some(point) = planned.pop_front() else {
                    break;
                };
                (point, self.left(planned.front()))
            } else if let Some((point, patience)) = again(&mut missed, left) {
                (point, patience)
            } else {
                tokio::time::sleep_until(next).await;
                continue;
            };
            let at = self.began.elapsed();
            let fault = &point.planned.fault;
            let mut observed = Box::pin(strike(self.stack, fault, patience, 0)).await;
            if !observed.struck {
                let before = point.before + 1;
                missed.push_back(Try { before, ..point });
                continue;
            }
            if point.before > 0 {
                observed.what += &format!(" (tried before: {})", point.before);
            }
            let patience = self.left(planned.front());
            observed.what += &strike::recovered(self.stack, self.service, patience).await;
            done.push(told(point.planned, at, observed));
        }
        for point in missed {
            let what = format!("not reached, tried {} times", point.before);
            let observed = Observed {
                struck: false,
                what,
            };
            done.push(told(point.planned, point.planned.at, observed));
        }
        done
    }

    /// When this one begins; without one, when all is over.
    fn begin(&self, next: Option<&Try<'_>>) -> Instant {
        next.map_or(self.over, |next| self.began + next.planned.at)
    }

    fn left(&self, next: Option<&Try<'_>>) -> Duration {
        self.begin(next).saturating_duration_since(Instant::now())
    }
}

/// The first of those that were missed, and its share of the time that is left.
fn again<'a>(missed: &mut VecDeque<Try<'a>>, left: Duration) -> Option<(Try<'a>, Duration)> {
    let share = left / u32::try_from(missed.len()).ok()?.max(1);
    let patience = share.max(AGAIN_MIN);
    (left >= AGAIN_MIN)
        .then(|| missed.pop_front())?
        .map(|point| (point, patience.min(left)))
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
