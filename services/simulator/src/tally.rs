//! What happened, counted. One lock for all of it: a ride changes it a dozen times, pings never.
//! Invariant: a request is in exactly one stage at a time; stages only move forward, except back to waiting when a driver
//! gives a trip back.

use std::collections::{BTreeMap, HashSet};

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::report::{Offers, Quantiles, Report};

/// The longest time that is told apart from longer ones.
const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// Where a request is, for the people who watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Requested, no driver yet.
    Waiting,
    /// A driver accepted and comes.
    OnTheWay,
    /// In the car.
    Riding,
    /// Completed.
    Done,
    /// Cancelled.
    Cancelled,
    /// No driver was found in time.
    Expired,
}

/// What a driver has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriverNews {
    /// He was offered this trip.
    Offered(Uuid),
    /// He takes the offer.
    Accepted,
    /// He refuses the offer.
    Declined,
    /// He lets the offer run out.
    Ignored,
    /// The offer was gone before he answered.
    Withdrawn,
    /// A trip he had is no longer his: cancelled, or given to someone else.
    Lost,
    /// He gives a trip back.
    GaveUp,
    /// Waited at the pickup, and the rider did not come.
    NobodyCame,
    /// A command was not done for now, and is sent again.
    Fault(&'static str, String),
    /// A command was refused.
    Refused(&'static str, String),
}

/// Counts of a simulation.
#[derive(Debug)]
pub struct Tally {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    report: Report,
    stages: BTreeMap<Stage, u64>,
    /// Our own trips, and those of them that were offered to someone.
    ours: HashSet<Uuid>,
    offered: HashSet<Uuid>,
    online: u64,
    match_ms: Histogram<u64>,
    pickup_ms: Histogram<u64>,
}

/// How things stand now.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Glance {
    /// Drivers online.
    pub online: u64,
    /// Requests without a driver.
    pub waiting: u64,
    /// Drivers on the way to riders.
    pub on_the_way: u64,
    /// Riders in cars.
    pub riding: u64,
    /// Rides completed.
    pub done: u64,
    /// Requests cancelled.
    pub cancelled: u64,
    /// Requests expired.
    pub expired: u64,
    /// Median of request to accept, city seconds; none before the first.
    pub match_p50_s: Option<f64>,
}

impl Default for Tally {
    fn default() -> Self {
        let histogram = || {
            Histogram::new_with_bounds(1, DAY_MS, 3)
                .expect("bounds and digits are within what it allows")
        };
        Self {
            inner: Mutex::new(Inner {
                report: Report::default(),
                stages: BTreeMap::new(),
                ours: HashSet::new(),
                offered: HashSet::new(),
                online: 0,
                match_ms: histogram(),
                pickup_ms: histogram(),
            }),
        }
    }
}

impl Tally {
    /// A rider wants a ride.
    pub fn wanted(&self) {
        self.inner.lock().report.wanted += 1;
    }

    /// A request was refused, or given up before the platform took it.
    pub fn refused(&self, reason: &str) {
        let report = &mut self.inner.lock().report;
        *report
            .requests_refused
            .entry(reason.to_owned())
            .or_default() += 1;
    }

    /// A request became this trip.
    pub fn requested(&self, trip: Uuid) {
        let mut inner = self.inner.lock();
        inner.report.requests += 1;
        inner.ours.insert(trip);
        *inner.stages.entry(Stage::Waiting).or_default() += 1;
    }

    /// A trip is now in another stage.
    pub fn moved(&self, from: Stage, to: Stage) {
        let mut inner = self.inner.lock();
        if let Some(count) = inner.stages.get_mut(&from) {
            *count = count.saturating_sub(1);
        }
        *inner.stages.entry(to).or_default() += 1;
    }

    /// A trip was offered to someone.
    pub fn offered(&self, trip: Uuid) {
        self.inner.lock().offered.insert(trip);
    }

    /// A trip's first driver was found, so many city milliseconds after the request.
    pub fn matched(&self, after_ms: u64) {
        let mut inner = self.inner.lock();
        inner.report.accepted += 1;
        inner.match_ms.saturating_record(after_ms);
    }

    /// The driver was at the pickup, so many city milliseconds after he accepted.
    pub fn arrived(&self, after_ms: u64) {
        self.inner.lock().pickup_ms.saturating_record(after_ms);
    }

    /// A rider is in the car.
    pub fn picked_up(&self) {
        self.inner.lock().report.picked_up += 1;
    }

    /// A rider gave a tip.
    pub fn tipped(&self) {
        self.inner.lock().report.tips += 1;
    }

    /// A trip was cancelled.
    pub fn cancelled(&self, by: &str) {
        let report = &mut self.inner.lock().report;
        *report.cancelled.entry(by.to_lowercase()).or_default() += 1;
    }

    /// A driver came online or went.
    pub fn online(&self, is: bool) {
        let mut inner = self.inner.lock();
        inner.online = if is {
            inner.online + 1
        } else {
            inner.online.saturating_sub(1)
        };
        inner.report.drivers_peak = inner.report.drivers_peak.max(inner.online);
    }

    /// A connection had to be made anew.
    pub fn reconnected(&self) {
        self.inner.lock().report.reconnects += 1;
    }

    /// Something went wrong; `who` did `what`.
    pub fn error(&self, what: &str, reason: &str) {
        let report = &mut self.inner.lock().report;
        *report
            .errors
            .entry(format!("{what}: {reason}"))
            .or_default() += 1;
    }

    /// What a driver has to tell.
    pub fn driver(&self, news: DriverNews) {
        let mut inner = self.inner.lock();
        let offers = &mut inner.report.offers;
        match news {
            DriverNews::Offered(trip) => {
                offers.made += 1;
                inner.offered.insert(trip);
            }
            DriverNews::Accepted => offers.accepted += 1,
            DriverNews::Declined => offers.declined += 1,
            DriverNews::Ignored => offers.ignored += 1,
            DriverNews::Withdrawn => offers.withdrawn += 1,
            DriverNews::Lost => inner.report.trips_lost += 1,
            DriverNews::GaveUp => inner.report.trips_released += 1,
            DriverNews::NobodyCame => inner.report.no_shows += 1,
            DriverNews::Fault(verb, reason) | DriverNews::Refused(verb, reason) => {
                let reason = if reason.is_empty() { "NONE" } else { &reason };
                *inner
                    .report
                    .errors
                    .entry(format!("driver.{verb}: {reason}"))
                    .or_default() += 1;
            }
        }
    }

    /// Trips that nothing is coming after for: neither completed, cancelled nor expired.
    pub fn open(&self) -> u64 {
        let inner = self.inner.lock();
        inner.in_stage(Stage::Waiting)
            + inner.in_stage(Stage::OnTheWay)
            + inner.in_stage(Stage::Riding)
    }

    /// How things stand now.
    pub fn glance(&self) -> Glance {
        let inner = self.inner.lock();
        Glance {
            online: inner.online,
            waiting: inner.in_stage(Stage::Waiting),
            on_the_way: inner.in_stage(Stage::OnTheWay),
            riding: inner.in_stage(Stage::Riding),
            done: inner.in_stage(Stage::Done),
            cancelled: inner.in_stage(Stage::Cancelled),
            expired: inner.in_stage(Stage::Expired),
            match_p50_s: quantiles(&inner.match_ms).p50,
        }
    }

    /// The report as it stands.
    pub fn report(&self) -> Report {
        let inner = self.inner.lock();
        Report {
            offered: inner.ours.intersection(&inner.offered).count() as u64,
            completed: inner.in_stage(Stage::Done),
            expired: inner.in_stage(Stage::Expired),
            in_progress: inner.in_stage(Stage::Waiting)
                + inner.in_stage(Stage::OnTheWay)
                + inner.in_stage(Stage::Riding),
            match_seconds: quantiles(&inner.match_ms),
            pickup_seconds: quantiles(&inner.pickup_ms),
            offers: Offers {
                ..inner.report.offers.clone()
            },
            ..inner.report.clone()
        }
    }
}

impl Inner {
    fn in_stage(&self, stage: Stage) -> u64 {
        self.stages.get(&stage).copied().unwrap_or(0)
    }
}

fn quantiles(ms: &Histogram<u64>) -> Quantiles {
    let at = |quantile| (!ms.is_empty()).then(|| ms.value_at_quantile(quantile) as f64 / 1_000.0);
    Quantiles {
        p50: at(0.50),
        p95: at(0.95),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_once_in_the_stage_where_it_is() {
        let tally = Tally::default();
        let trip = Uuid::from_u128(1);
        tally.wanted();
        tally.requested(trip);
        tally.driver(DriverNews::Offered(trip));
        tally.driver(DriverNews::Offered(trip));
        tally.moved(Stage::Waiting, Stage::OnTheWay);
        tally.matched(4_000);
        assert_eq!(tally.open(), 1);
        tally.moved(Stage::OnTheWay, Stage::Riding);
        tally.moved(Stage::Riding, Stage::Done);
        let report = tally.report();
        assert_eq!(
            (report.requests, report.offered, report.offers.made),
            (1, 1, 2)
        );
        assert_eq!(
            (report.completed, report.in_progress, tally.open()),
            (1, 0, 0)
        );
        assert_eq!(report.match_seconds.p50.map(f64::round), Some(4.0));
    }

    #[test]
    fn offers_of_other_peoples_trips_are_not_our_requests() {
        let tally = Tally::default();
        tally.driver(DriverNews::Offered(Uuid::from_u128(9)));
        assert_eq!(tally.report().offered, 0);
    }
}
