//! What a chaos run came to: its verdict, as text and as JSON (docs/reliability.md).
//!
//! A run passes when it carried rides, every fault was got over within the bound, every crash point on its schedule was
//! reached, and no promise is broken. Does not: count anything.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{backlog::Convergence, run::Struck, schedule::Schedule};
use crate::{funnel::Funnel, report::Verified, rides::Traces};

/// The version of the schema; it changes when a field goes or changes its meaning.
pub const SCHEMA: u32 = 1;

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Whether it passed.
    pub passed: bool,
    /// Why it did not.
    pub complaints: Vec<String>,
    /// What it can be had again with.
    pub seed: u64,
    /// The commit of the source, if known.
    pub commit: String,
    /// The stack.
    pub stack: String,
    /// City seconds per second.
    pub speed: f64,
    /// How long faults were; seconds of the machine.
    pub for_s: f64,
    /// How long all of it took, seconds of the machine.
    pub took_s: f64,
    /// What became of the rides.
    pub rides: Rides,
    /// Faults that took place, by kind.
    pub faults: BTreeMap<String, usize>,
    /// Faults that were planned and did not take place.
    pub missed: usize,
    /// Crash points that a process died of.
    pub points_reached: Vec<String>,
    /// Those on the schedule that none reached.
    pub points_missed: Vec<String>,
    /// Those for which the run was too short.
    pub points_left_out: Vec<String>,
    /// Processes that were started again, with how often.
    pub restarts: BTreeMap<String, u32>,
    /// How long it took until everything from before the end of the faults was done; null when it was not.
    pub convergence_s: Option<f64>,
    /// What was left then.
    pub left: BTreeMap<String, usize>,
    /// Events that no consumer could handle.
    pub dead_letters: Vec<String>,
    /// Whether the invariants hold.
    pub verify: Verified,
    /// Rides that are one trace: reported and not judged, for a process that is killed takes its last spans with it.
    pub traces: Traces,
    /// Every fault as it was carried out.
    pub schedule: Vec<Struck>,
    /// What the simulator saw from outside; null when it left no report.
    pub simulator: Value,
}

/// Rides, counted from the database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rides {
    /// Requested.
    pub requested: i64,
    /// Carried to the end.
    pub completed: i64,
    /// Cancelled.
    pub cancelled: i64,
    /// Nobody was found in time.
    pub expired: i64,
    /// Not over.
    pub open: i64,
    /// Captured, minor units.
    pub captured_minor: i64,
    /// Of this currency.
    pub currency: String,
}

impl Rides {
    fn new(funnel: &Funnel) -> Self {
        Self {
            requested: funnel.requests,
            completed: funnel.completed,
            cancelled: funnel.cancelled,
            expired: funnel.expired,
            open: funnel.in_progress,
            captured_minor: funnel.money.captured_minor,
            currency: funnel.money.currency.clone(),
        }
    }
}

/// What a report is made of.
pub struct Parts<'a> {
    /// What was planned.
    pub schedule: &'a Schedule,
    /// What was done.
    pub struck: Vec<Struck>,
    /// See [`Report::stack`].
    pub stack: String,
    /// See [`Report::speed`].
    pub speed: f64,
    /// How long all of it took.
    pub took: Duration,
    /// The rides.
    pub funnel: Funnel,
    /// See [`Report::restarts`].
    pub restarts: BTreeMap<String, u32>,
    /// How it got over its faults.
    pub convergence: Convergence,
    /// See [`Report::dead_letters`].
    pub dead_letters: Vec<String>,
    /// The checks.
    pub verify: Verified,
    /// The traces.
    pub traces: Traces,
    /// See [`Report::simulator`].
    pub simulator: Value,
}

impl Report {
    /// From its parts, with the verdict.
    pub fn new(parts: Parts<'_>) -> Self {
        let mut faults = BTreeMap::new();
        for struck in parts.struck.iter().filter(|struck| struck.struck) {
            *faults.entry(struck.fault.clone()).or_default() += 1;
        }
        let points = |reached: bool| {
            let of = parts.struck.iter().filter(|one| one.struck == reached);
            let mut names: Vec<String> = of.filter_map(|one| one.point.clone()).collect();
            names.sort();
            names
        };
        let mut report = Self {
            schema: SCHEMA,
            passed: false,
            complaints: Vec::new(),
            seed: parts.schedule.seed,
            commit: commit(),
            stack: parts.stack,
            speed: parts.speed,
            for_s: parts.schedule.length.as_secs_f64(),
            took_s: parts.took.as_secs_f64().round(),
            rides: Rides::new(&parts.funnel),
            faults,
            missed: parts.struck.iter().filter(|one| !one.struck).count(),
            points_reached: points(true),
            points_missed: points(false),
            points_left_out: parts.schedule.left_out.clone(),
            restarts: parts.restarts,
            convergence_s: parts.convergence.took.map(|took| took.as_secs_f64()),
            left: parts.convergence.left,
            dead_letters: parts.dead_letters,
            verify: parts.verify,
            traces: parts.traces,
            schedule: parts.struck,
            simulator: parts.simulator,
        };
        report.complaints = report.complain();
        report.passed = report.complaints.is_empty();
        report
    }

    fn complain(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        if self.verify.violations > 0 {
            complaints.push(format!(
                "{} violations of {}",
                self.verify.violations,
                self.verify.failed.join(", ")
            ));
        }
        if self.convergence_s.is_none() {
            let left: Vec<String> = self
                .left
                .iter()
                .map(|(what, count)| format!("{count} {what}"))
                .collect();
            complaints.push(format!("it did not converge: {}", left.join(", ")));
        }
        // One that no ride came to in its time is for another seed; all of them are a fault of the run.
        if self.points_reached.is_empty() && !self.points_missed.is_empty() {
            let missed = self.points_missed.join(", ");
            complaints.push(format!("no crash point was reached, of {missed}"));
        }
        if !self.dead_letters.is_empty() {
            let count = self.dead_letters.len();
            complaints.push(format!(
                "{count} dead letters: nothing was wrong with any event"
            ));
        }
        if self.rides.completed == 0 {
            complaints.push("no ride was carried: it proves nothing".to_owned());
        }
        if self.rides.open > 0 {
            complaints.push(format!("{} rides did not end", self.rides.open));
        }
        complaints
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        std::fs::write(file, serde_json::to_string_pretty(self)?)
            .with_context(|| format!("--report {}", file.display()))
    }

    /// Reads one that was written.
    ///
    /// # Errors
    /// When it cannot be read, or is of another schema.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let read = || -> anyhow::Result<Self> {
            let report: Self = serde_json::from_str(&std::fs::read_to_string(file)?)?;
            ensure!(report.schema == SCHEMA, "schema {}", report.schema);
            Ok(report)
        };
        read().with_context(|| format!("read the report {}", file.display()))
    }

    /// The schedule as it was carried out.
    pub fn schedule_table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header([
            "at",
            "fault",
            "target",
            "for",
            "what was seen",
        ]);
        for struck in &self.schedule {
            let mark = if struck.struck { "" } else { "missed: " };
            table.add_row([
                format!("{:.1} s", struck.at_s),
                struck.fault.clone(),
                struck.target.clone(),
                format!("{:.1} s", struck.lasted_s),
                format!("{mark}{}", struck.observed),
            ]);
        }
        table
    }

    /// The verdict.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table
            .load_style(UTF8_FULL_CONDENSED)
            .set_header(["chaos", ""]);
        let counts = |counts: &BTreeMap<String, usize>| {
            let each: Vec<String> = counts
                .iter()
                .map(|(what, n)| format!("{n} {what}"))
                .collect();
            each.join(", ")
        };
        let survived: usize = self.faults.values().sum();
        let restarts: Vec<String> = self
            .restarts
            .iter()
            .map(|(who, n)| format!("{n} {who}"))
            .collect();
        let converged = self.convergence_s.map_or_else(
            || "not within 60 s".to_owned(),
            |s| format!("after {s:.1} s"),
        );
        let rides = &self.rides;
        let rows = [
            (
                "seed",
                format!("{}, {:.0} s at {}×", self.seed, self.for_s, self.speed),
            ),
            ("commit", self.commit.clone()),
            ("stack", self.stack.clone()),
            (
                "rides",
                format!(
                    "{} requested: {} carried, {} cancelled, {} expired, {} open",
                    rides.requested, rides.completed, rides.cancelled, rides.expired, rides.open
                ),
            ),
            ("faults", format!("{survived}: {}", counts(&self.faults))),
            ("missed", self.missed.to_string()),
            (
                "crash points",
                format!(
                    "{} reached, {} missed, {} left out",
                    self.points_reached.len(),
                    self.points_missed.len(),
                    self.points_left_out.len()
                ),
            ),
            ("restarts", restarts.join(", ")),
            ("converged", converged),
            ("dead letters", self.dead_letters.len().to_string()),
            (
                "traces",
                format!(
                    "{} of {} rides connected",
                    self.traces.connected, self.traces.rides
                ),
            ),
            (
                "verify",
                format!(
                    "{} checks, {} violations",
                    self.verify.checks, self.verify.violations
                ),
            ),
        ];
        for (what, value) in rows {
            table.add_row([what.to_owned(), value]);
        }
        table
    }
}

/// The commit that this was built from, or that the source around the binary is at; with `+` when that was changed.
pub fn commit() -> String {
    if let Some(built) = option_env!("HEXCAB_COMMIT") {
        return built.to_owned();
    }
    let git = |arguments: &[&str]| {
        let own = std::env::current_exe().ok()?;
        let output = std::process::Command::new("git")
            .arg("-C")
            .arg(own.parent()?)
            .args(arguments)
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    let mark = if changed.is_some_and(|changed| !changed.is_empty()) {
        "+"
    } else {
        ""
    };
    git(&["rev-parse", "--short=12", "HEAD"])
        .map_or_else(|| "unknown".to_owned(), |commit| format!("{commit}{mark}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::schedule::Targets;

    fn good() -> Report {
        let schedule = Schedule::new(1, Duration::from_secs(60), &Targets::default());
        let struck = Struck {
            at_s: 5.0,
            fault: "crash point".into(),
            target: "trip at trip.committed, arrival 1".into(),
            lasted_s: 10.0,
            struck: true,
            observed: "died of it".into(),
            point: Some("trip.committed".into()),
        };
        Report::new(Parts {
            schedule: &schedule,
            struck: vec![struck],
            stack: "embedded".into(),
            speed: 20.0,
            took: Duration::from_secs(120),
            funnel: Funnel {
                requests: 10,
                completed: 10,
                ..Funnel::default()
            },
            restarts: BTreeMap::new(),
            convergence: Convergence {
                took: Some(Duration::from_secs(3)),
                left: BTreeMap::new(),
            },
            dead_letters: Vec::new(),
            verify: Verified::default(),
            traces: Traces::default(),
            simulator: Value::Null,
        })
    }

    #[test]
    fn a_run_passes_when_nothing_is_to_be_complained_about() {
        let report = good();
        assert!(report.passed, "{:?}", report.complaints);
        assert_eq!(report.points_reached, ["trip.committed"]);
        assert_eq!(report.faults["crash point"], 1);
    }

    #[test]
    fn a_crash_point_that_no_ride_came_to_is_for_another_seed() {
        let mut report = good();
        report.points_missed.push("payment.refund.claimed".into());
        assert!(report.complain().is_empty());
    }

    #[test]
    fn each_thing_that_a_run_must_show_fails_it_when_it_is_not_shown() {
        type Spoil = fn(&mut Report);
        let spoilt: [(&str, Spoil); 6] = [
            ("violations", |report| report.verify.violations = 1),
            ("converge", |report| report.convergence_s = None),
            ("no crash point", |report| {
                report.points_missed.append(&mut report.points_reached)
            }),
            ("dead letters", |report| {
                report.dead_letters.push("x".into())
            }),
            ("proves nothing", |report| report.rides.completed = 0),
            ("did not end", |report| report.rides.open = 1),
        ];
        for (complaint, spoil) in spoilt {
            let mut report = good();
            spoil(&mut report);
            let complaints = report.complain();
            assert!(
                complaints.len() == 1 && complaints[0].contains(complaint),
                "{complaint}: {complaints:?}"
            );
        }
    }

    #[test]
    fn a_fault_that_did_not_take_place_is_not_one_that_was_survived() {
        let schedule = Schedule::new(1, Duration::from_secs(60), &Targets::default());
        let mut report = good();
        report.schedule[0].struck = false;
        let again = Report::new(Parts {
            schedule: &schedule,
            struck: report.schedule,
            stack: String::new(),
            speed: 1.0,
            took: Duration::ZERO,
            funnel: Funnel::default(),
            restarts: BTreeMap::new(),
            convergence: Convergence {
                took: None,
                left: BTreeMap::new(),
            },
            dead_letters: Vec::new(),
            verify: Verified::default(),
            traces: Traces::default(),
            simulator: Value::Null,
        });
        assert!(again.faults.is_empty() && again.missed == 1);
        assert_eq!(again.points_missed, ["trip.committed"]);
    }
}
