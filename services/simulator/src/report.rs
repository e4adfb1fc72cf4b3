//! The report of a simulation, as JSON. The fields are the documentation of the file that `--report` writes; all seconds are
//! the city's.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// The report.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// City.
    pub city: String,
    /// Seed; with it, the same people want the same rides.
    pub seed: u64,
    /// Beginning of the window, city local time.
    pub from: String,
    /// Length of the window, city seconds.
    pub window_s: u64,
    /// Whether it ended before its time (SIGTERM).
    pub ended_early: bool,
    /// Rides that riders wanted: `requests` and `requests_refused` together, less what was still being asked for at the end.
    pub wanted: u64,
    /// Trips that the platform took.
    pub requests: u64,
    /// Rides that it did not take, by reason.
    pub requests_refused: BTreeMap<String, u64>,
    /// Trips offered to at least one driver.
    pub offered: u64,
    /// Trips accepted by a driver at least once.
    pub accepted: u64,
    /// Trips that started.
    pub picked_up: u64,
    /// Trips that were completed.
    pub completed: u64,
    /// Trips that were cancelled, by whom (`rider`, `driver`, `system`, `operator`).
    pub cancelled: BTreeMap<String, u64>,
    /// Trips for which no driver was found in time.
    pub expired: u64,
    /// Trips still open at the end.
    pub in_progress: u64,
    /// From the request to the first accept.
    pub match_seconds: Quantiles,
    /// From the accept to the driver's arrival at the pickup.
    pub pickup_seconds: Quantiles,
    /// Offers as drivers saw them.
    pub offers: Offers,
    /// Trips taken from a driver who had accepted: cancelled, or given to someone else.
    pub trips_lost: u64,
    /// Trips that drivers gave back because the rider did not come or a step was refused again and again.
    pub trips_released: u64,
    /// Trips that drivers ended because the rider did not come.
    pub no_shows: u64,
    /// Tips that riders gave.
    pub tips: u64,
    /// Most drivers online at once.
    pub drivers_peak: u64,
    /// What went wrong or was refused, by `who.what: REASON`; lost races are here too.
    pub errors: BTreeMap<String, u64>,
    /// Connections that had to be made anew.
    pub reconnects: u64,
}

/// Median and 95th percentile, seconds; null when there was nothing to measure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half took at most this.
    pub p50: Option<f64>,
    /// Nineteen in twenty took at most this.
    pub p95: Option<f64>,
}

/// Offers as drivers saw them. `made` = `accepted` + `declined` + `ignored` + `withdrawn` + those open at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offers {
    /// Offers that reached a driver who was free.
    pub made: u64,
    /// Accepted; some of these lost a race, see `errors`.
    pub accepted: u64,
    /// Declined.
    pub declined: u64,
    /// Left to run out.
    pub ignored: u64,
    /// Gone before the driver answered.
    pub withdrawn: u64,
}

impl Report {
    /// Writes it to a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self).context("report as JSON")?;
        std::fs::write(file, text + "\n").with_context(|| format!("write {}", file.display()))
    }
}
