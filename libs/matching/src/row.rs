//! A window as policies see it: one row a trip, holding only drivers who may be given it, each at his cost.
//!
//! Invariants: rows are in order of trip ids, the drivers of a row in order of driver ids, neither repeats; whatever
//! the order of the window, the rows are the same.
//! Does not: choose.

use hexcab_types::{DriverId, TripId};

use crate::{
    policy::Policy,
    window::{OpenRequest, Pair, Window},
};

/// One trip and the drivers it could be offered to.
pub(crate) struct Row {
    pub trip: TripId,
    /// Seconds, never negative.
    pub waited_s: f64,
    /// Each driver once, with the cost of the pair in milliseconds.
    pub drivers: Vec<(DriverId, i64)>,
    /// The driver on his way already.
    pub held: Option<DriverId>,
}

impl Row {
    /// The pair that this row is already; it costs nothing when its driver is not among the candidates.
    pub fn held_pair(&self) -> Option<Pair> {
        let driver = self.held?;
        let known = self
            .drivers
            .iter()
            .find(|(candidate, _)| *candidate == driver);
        Some(Pair {
            trip: self.trip,
            driver,
            cost_ms: known.map_or(0, |&(_, cost_ms)| cost_ms),
        })
    }
}

/// The rows of a window, priced by `policy`.
pub(crate) fn rows(policy: &impl Policy, window: &Window) -> Vec<Row> {
    let mut requests: Vec<_> = window.requests.iter().collect();
    requests.sort_by(|(a, _), (b, _)| {
        a.trip
            .cmp(&b.trip)
            .then(b.waited_s().total_cmp(&a.waited_s()))
    });
    requests
        .chunk_by(|(a, _), (b, _)| a.trip == b.trip)
        .map(|same_trip| {
            let (longest, _) = same_trip[0];
            let excluded = |driver| {
                same_trip
                    .iter()
                    .any(|(request, _)| request.excluded.contains(&driver))
            };
            let mut drivers: Vec<_> = same_trip
                .iter()
                .flat_map(|(_, candidates)| candidates)
                .filter(|candidate| !excluded(candidate.driver))
                .filter_map(|candidate| {
                    Some((candidate.driver, policy.cost_ms(longest, candidate)?))
                })
                .collect();
            drivers.sort_unstable();
            drivers.dedup_by_key(|&mut (driver, _)| driver);
            Row {
                trip: longest.trip,
                waited_s: longest.waited_s(),
                drivers,
                held: same_trip.iter().find_map(|(request, _)| request.held),
            }
        })
        .collect()
}

impl OpenRequest {
    /// How long the rider has waited, in seconds: never negative, never not a number.
    pub(crate) fn waited_s(&self) -> f64 {
        // `max` with a NaN gives the other side; adding 0 turns -0 into 0, which `total_cmp` tells apart.
        self.waiting_s.max(0.0) + 0.0
    }
}
