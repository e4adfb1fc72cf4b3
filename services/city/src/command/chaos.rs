//! `hexcab chaos`: a city under load and under faults by seed, and whether it got over them. `hexcab chaos summary`: what
//! many runs came to.
//!
//! The load begins, the schedule is carried out, every fault is lifted, what is from before must be done within the bound;
//! the rides that are open are carried to their end, and every promise is checked. Invariants: whatever happens the faults
//! are lifted and the city is stopped; the same seed, length and build give the same schedule. Does not: choose faults
//! ([`crate::chaos`] does), simulate.

use std::{
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use hexcab_chassis::{ClockConfig, crash};

use super::{city::evening, events::letters, up, verify};
use crate::{
    chaos::{
        backlog::{self, Convergence},
        operator,
        points::POINTS,
        report::{Parts, Report, commit},
        run::{self, Struck},
        schedule::{Schedule, Targets},
        strike, summary,
    },
    cli::{ChaosArguments, ChaosCommand, ChaosRunArguments},
    funnel,
    load::Load,
    report::Verified,
    rides, say,
    stack::{Stack, services},
    stop::Stop,
    verify::{Databases, settled},
};

/// How long rides may go on that are open when the faults are over, city time: one that began late may be a long one.
const DRAIN: &str = "2h";
/// How long everything may take to arrive once the last ride is over.
const SETTLE: Duration = Duration::from_secs(60);
/// How long spans may take to arrive: some never do.
const TRACES_PATIENCE: Duration = Duration::from_secs(2);
/// Runs shorter than this have no time for a fault and its recovery.
const SHORTEST: Duration = Duration::from_secs(20);

/// Makes a run, or the other thing asked for.
///
/// # Errors
/// What went wrong; a run that does not pass is none.
pub async fn run(arguments: ChaosArguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        None => one(arguments.run, Stop::listen()?).await,
        Some(ChaosCommand::Summary {
            reports,
            into,
            every_point,
        }) => {
            let read: Result<Vec<Report>, _> =
                reports.iter().map(|file| Report::read(file)).collect();
            let reports = read?;
            summarize(&reports, into.as_deref())?;
            let never = summary::never_reached(&reports);
            ensure!(
                !every_point || never.is_empty(),
                "crash points that no run reached: {}",
                never.join(", ")
            );
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn summarize(reports: &[Report], into: Option<&Path>) -> anyhow::Result<()> {
    let text = summary::of(reports);
    match into {
        None => println!("{text}"),
        Some(page) => {
            summary::put(page, summary::FIGURES, &text)?;
            summary::put(page, summary::POINTS, &summary::points())?;
        }
    }
    Ok(())
}

/// One run.
///
/// # Errors
/// When the build has no crash points, the city does not start, or it cannot be asked at the end.
async fn one(arguments: ChaosRunArguments, stop: Stop) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    ensure!(
        crash::compiled_in(),
        "this build has no crash points; use ./dev chaos, or build with \
         `cargo build --bins --features hexcab-chassis/crash-points`"
    );
    ensure!(
        !arguments.up.no_fsync,
        "--no-fsync: a Postgres that is killed would lose what it answered for, and that is no fault of the city"
    );
    services::binary(&services::binaries()?, services::SIMULATOR)?;
    let edited = arguments
        .schedule
        .as_deref()
        .map(Schedule::read)
        .transpose()?;
    let length = edited.as_ref().map_or(arguments.window, |read| read.length);
    ensure!(
        length >= SHORTEST,
        "--for: at least {} s",
        SHORTEST.as_secs()
    );
    let speed = arguments.up.speed.unwrap_or(evening::SPEED);
    let mut options = up::options(&arguments.up, speed, Some(evening::FROM))?;
    options.clock = evening::early(options.clock, speed)?;
    options.faults = true;
    let stack = Stack::start(options, &stop).await?;
    let schedule =
        edited.unwrap_or_else(|| Schedule::new(arguments.seed, length, &targets(&stack)));
    announce(&schedule);
    if let Some(file) = &arguments.plan {
        schedule.write(file)?;
    }
    let run = Run {
        arguments: &arguments,
        schedule: &schedule,
        stack: &stack,
        speed,
        begun,
        stop: &stop,
    };
    // Boxed: it is large, and waits most of the time.
    let ended = Box::pin(run.endure()).await;
    stack.stop().await;
    ended
}

/// What there is to strike in this city.
fn targets(stack: &Stack) -> Targets {
    Targets {
        nodes: stack.nodes(),
        links: stack.links().all(),
        clocks: services::Service::ALL.to_vec(),
        processor: PROCESSOR.to_vec(),
        points: POINTS.to_vec(),
    }
}

/// More of what makes a ride's money move in more steps than two, and of what makes deadlines pass.
#[rustfmt::skip]
const EVENTFUL: [&str; 12] = [
    "--late-rate", "0.25", "--tip-rate", "0.4", "--cancel-rate", "0.1",
    "--accept-rate", "0.8", "--decline-rate", "0.1", "--ignore-rate", "0.1",
];

/// What the processor's sandbox can do wrong by a rule.
const PROCESSOR: [&str; 11] = [
    "decline",
    "error_500",
    "error_500_kept",
    "timeout_before",
    "timeout_after",
    "slow",
    "webhook_duplicate",
    "webhook_reorder",
    "webhook_wrong_signature",
    "webhook_stale",
    "webhook_lost",
];

fn announce(schedule: &Schedule) {
    say::title(format_args!(
        "hexcab chaos: seed {}, commit {}, {} faults in {} s",
        schedule.seed,
        commit(),
        schedule.faults.len(),
        schedule.length.as_secs_f64()
    ));
    for planned in &schedule.faults {
        let (at, lasts) = (planned.at.as_secs_f64(), planned.lasts.as_secs_f64());
        say::step(format_args!(
            "plan {at:>6.1} s  {}, {lasts:.1} s",
            planned.fault
        ));
    }
    if !schedule.left_out.is_empty() {
        say::warn(format_args!(
            "too short for these crash points: {}",
            schedule.left_out.join(", ")
        ));
    }
}

/// A run on a city that is up.
struct Run<'a> {
    arguments: &'a ChaosRunArguments,
    schedule: &'a Schedule,
    stack: &'a Stack,
    speed: f64,
    begun: Instant,
    stop: &'a Stop,
}

/// What the faults came to.
struct Endured {
    struck: Vec<Struck>,
    convergence: Convergence,
}

impl Run<'_> {
    /// Load and faults at once, then the verdict.
    async fn endure(&self) -> anyhow::Result<ExitCode> {
        let seen =
            tempfile::NamedTempFile::new().context("make a file for the simulator's report")?;
        let faults = Box::pin(self.strike_all());
        let ((), endured) = tokio::try_join!(
            self.carry(seen.path()),
            self.stop.or("the faults were over", faults)
        )?;
        say::title("hexcab chaos: the last ride is over; checking");
        let judged = Box::pin(self.judge(endured, seen.path()));
        let report = self.stop.or("everything was checked", judged).await?;
        Ok(self.tell(&report))
    }

    /// Requests come for as long as the faults do; the rides that are open then are carried to their end.
    async fn carry(&self, seen: &Path) -> anyhow::Result<()> {
        let window_s = (self.schedule.length.as_secs_f64() * self.speed).ceil();
        let load = Load {
            from: self.arguments.up.from.as_deref().unwrap_or(evening::FROM),
            window: &format!("{window_s:.0}s"),
            drain: Some(DRAIN),
            seed: self.schedule.seed,
            demand_scale: self.arguments.demand_scale,
            drivers: self.arguments.drivers,
            data: self.arguments.up.data.clone(),
            more: &EVENTFUL,
        };
        load.carry(&self.stack.file(), seen, self.stop).await
    }

    async fn strike_all(&self) -> anyhow::Result<Endured> {
        let began = tokio::time::Instant::now();
        let over = began + self.schedule.length;
        // Some are still being watched when all are over: that is no reason to begin later with the time.
        let (struck, convergence, _over) = tokio::join!(
            run::execute(self.schedule, self.stack, began),
            self.get_over_it(over),
            tokio::time::timeout_at(over, operator::work(self.stack)),
        );
        Ok(Endured {
            struck,
            convergence: convergence?,
        })
    }

    async fn get_over_it(&self, over: tokio::time::Instant) -> anyhow::Result<Convergence> {
        tokio::time::sleep_until(over).await;
        say::title(
            "hexcab chaos: the faults are over; what is from before must be done within 60 s",
        );
        let clock: ClockConfig = self.stack.file().clock.parse()?;
        let clock = clock.clock();
        let (lifted, convergence) = tokio::join!(
            strike::lift_all(self.stack),
            backlog::converge(self.stack, &clock)
        );
        lifted?;
        let convergence = convergence?;
        match convergence.took {
            Some(took) => say::step(format_args!("converged after {:.1} s", took.as_secs_f64())),
            None => say::warn("it did not converge; the open rides are carried all the same"),
        }
        Ok(convergence)
    }

    async fn judge(&self, endured: Endured, seen: &Path) -> anyhow::Result<Report> {
        let file = self.stack.file();
        let clock: ClockConfig = file.clock.parse()?;
        let mut databases = Databases::open(&file.postgres).await?;
        // Nothing is sent again here: what did not arrive by itself is a violation.
        let outcomes = settled(&mut databases, &clock.clock(), SETTLE).await?;
        verify::print(&outcomes);
        let tally = self.stack.tally();
        let traces = rides::look(&mut databases.trip, &tally, TRACES_PATIENCE).await?;
        Ok(Report::new(Parts {
            schedule: self.schedule,
            struck: endured.struck,
            stack: self.stack.kind().to_owned(),
            speed: self.speed,
            took: self.begun.elapsed(),
            funnel: funnel::count(&mut databases).await?,
            restarts: self.stack.restarts(),
            convergence: endured.convergence,
            dead_letters: letters::summaries(&file.brokers, strike::events::POISON).await?,
            verify: Verified::new(&outcomes),
            traces,
            simulator: std::fs::read(seen)
                .ok()
                .and_then(|text| serde_json::from_slice(&text).ok())
                .unwrap_or_default(),
        }))
    }

    fn tell(&self, report: &Report) -> ExitCode {
        println!("{}", report.schedule_table());
        println!("{}", report.table());
        for letter in &report.dead_letters {
            println!("dead letter: {letter}");
        }
        for complaint in &report.complaints {
            println!("failed: {complaint}");
        }
        if let Some(file) = &self.arguments.report {
            match report.write(file) {
                Ok(()) => say::step(format_args!("report in {}", file.display())),
                Err(error) => say::warn(format_args!("{error:#}")),
            }
        }
        if report.passed {
            println!("seed {} passed", report.seed);
            return ExitCode::SUCCESS;
        }
        self.stack.keep_folder();
        println!(
            "seed {} FAILED; have it again with: hexcab chaos --seed {} --for {:.0}s --speed {}",
            report.seed, report.seed, report.for_s, report.speed
        );
        ExitCode::FAILURE
    }
}
