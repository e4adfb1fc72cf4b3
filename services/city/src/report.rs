//! The report of an evening, as JSON. `docs/report.md` is its documentation; the test here keeps the two together.
//!
//! Does not: count anything.

use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    funnel::{Funnel, Quantiles},
    rides::Traces,
    verify::{Outcome, violations},
};

/// The version of the schema; it changes when a field goes or changes its meaning.
pub const SCHEMA: u32 = 1;

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The city's id.
    pub city: String,
    /// When the evening began, as it was asked for.
    pub from: String,
    /// How long requests came, city time, as it was asked for.
    #[serde(rename = "for")]
    pub window: String,
    /// City seconds per second.
    pub speed: f64,
    /// The seed.
    pub seed: u64,
    /// How long it all took, seconds of the machine, from the start of the city to this report.
    pub took_s: f64,
    /// See [`Funnel::requests`], as the fields that follow.
    pub requests: i64,
    /// …
    pub offered: i64,
    /// …
    pub accepted: i64,
    /// …
    pub picked_up: i64,
    /// …
    pub completed: i64,
    /// …
    pub cancelled: i64,
    /// …
    pub cancelled_by: std::collections::BTreeMap<String, i64>,
    /// …
    pub expired: i64,
    /// …
    pub in_progress: i64,
    /// …
    pub match_seconds: Quantiles,
    /// …
    pub pickup_seconds: Quantiles,
    /// …
    pub offers: crate::funnel::Offers,
    /// …
    pub offers_per_trip: f64,
    /// …
    pub surge: crate::funnel::Surge,
    /// See [`crate::funnel::Money`], as the fields that follow.
    pub currency: String,
    /// …
    pub held_minor: i64,
    /// …
    pub captured_minor: i64,
    /// …
    pub on_hold_minor: i64,
    /// …
    pub drivers_owed_minor: i64,
    /// …
    pub revenue_minor: i64,
    /// …
    pub tax_minor: i64,
    /// …
    pub ledger_sum_minor: i64,
    /// Whether every ride is one trace.
    pub traces: Traces,
    /// Whether the invariants hold.
    pub verify: Verified,
    /// Services that had to be started again, with how often.
    pub restarts: std::collections::BTreeMap<String, u32>,
    /// What the simulator saw from outside; null when it left no report.
    pub simulator: Value,
}

/// The checks in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Checks made.
    pub checks: usize,
    /// Offenders, over all checks.
    pub violations: usize,
    /// The checks that found any.
    pub failed: Vec<String>,
}

impl Verified {
    /// From the outcomes.
    pub fn new(outcomes: &[Outcome]) -> Self {
        let failed = outcomes.iter().filter(|outcome| outcome.violations > 0);
        Self {
            checks: outcomes.len(),
            violations: violations(outcomes),
            failed: failed.map(|outcome| outcome.name.to_owned()).collect(),
        }
    }
}

/// What a report is made of.
pub struct Parts {
    /// The city's id.
    pub city: String,
    /// See [`Report::from`].
    pub from: String,
    /// See [`Report::window`].
    pub window: String,
    /// See [`Report::speed`].
    pub speed: f64,
    /// See [`Report::seed`].
    pub seed: u64,
    /// See [`Report::took_s`].
    pub took_s: f64,
    /// The funnel.
    pub funnel: Funnel,
    /// The traces.
    pub traces: Traces,
    /// The checks.
    pub outcomes: Vec<Outcome>,
    /// See [`Report::restarts`].
    pub restarts: std::collections::BTreeMap<String, u32>,
    /// See [`Report::simulator`].
    pub simulator: Value,
}

impl Report {
    /// Puts it together.
    pub fn new(parts: Parts) -> Self {
        let (funnel, money) = (parts.funnel.clone(), parts.funnel.money);
        Self {
            schema: SCHEMA,
            city: parts.city,
            from: parts.from,
            window: parts.window,
            speed: parts.speed,
            seed: parts.seed,
            took_s: parts.took_s,
            requests: funnel.requests,
            offered: funnel.offered,
            accepted: funnel.accepted,
            picked_up: funnel.picked_up,
            completed: funnel.completed,
            cancelled: funnel.cancelled,
            cancelled_by: funnel.cancelled_by,
            expired: funnel.expired,
            in_progress: funnel.in_progress,
            match_seconds: funnel.match_seconds,
            pickup_seconds: funnel.pickup_seconds,
            offers: funnel.offers,
            offers_per_trip: funnel.offers_per_trip,
            surge: funnel.surge,
            currency: money.currency,
            held_minor: money.held_minor,
            captured_minor: money.captured_minor,
            on_hold_minor: money.on_hold_minor,
            drivers_owed_minor: money.drivers_owed_minor,
            revenue_minor: money.revenue_minor,
            tax_minor: money.tax_minor,
            ledger_sum_minor: money.ledger_sum_minor,
            traces: parts.traces,
            verify: Verified::new(&parts.outcomes),
            restarts: parts.restarts,
            simulator: parts.simulator,
        }
    }

    /// Writes it to a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self).context("report as JSON")?;
        std::fs::write(file, text + "\n").with_context(|| format!("write {}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Value {
        let parts = Parts {
            city: "sf".into(),
            from: "2008-05-30T17:00".into(),
            window: "60m".into(),
            speed: 20.0,
            seed: 7,
            took_s: 1.0,
            funnel: Funnel::default(),
            traces: Traces::default(),
            outcomes: Vec::new(),
            restarts: std::collections::BTreeMap::new(),
            simulator: Value::Null,
        };
        serde_json::to_value(Report::new(parts)).unwrap()
    }

    #[test]
    fn the_fields_that_issue_3_names_are_there() {
        let report = report();
        for field in [
            "requests",
            "offered",
            "completed",
            "cancelled",
            "expired",
            "in_progress",
            "captured_minor",
            "ledger_sum_minor",
        ] {
            assert!(report[field].is_number(), "{field}");
        }
        for (object, fields) in [
            ("match_seconds", ["p50", "p95"]),
            ("pickup_seconds", ["p50", "p95"]),
            ("traces", ["rides", "connected"]),
            ("verify", ["checks", "violations"]),
        ] {
            for field in fields {
                assert!(
                    report[object].as_object().unwrap().contains_key(field),
                    "{object}.{field}"
                );
            }
        }
    }

    #[test]
    fn every_field_is_documented() {
        let document = include_str!("../../../docs/report.md");
        let report = report();
        let mut fields: Vec<&String> = report.as_object().unwrap().keys().collect();
        for value in report
            .as_object()
            .unwrap()
            .values()
            .filter_map(Value::as_object)
        {
            fields.extend(value.keys());
        }
        for field in fields {
            assert!(
                document.contains(&format!("`{field}`")),
                "docs/report.md lacks {field}"
            );
        }
    }
}
