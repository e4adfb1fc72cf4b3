//! An evening: a city is started, the simulator sends it riders and drivers, everything settles, and it is counted, checked
//! and reported.
//!
//! Invariants: the simulator is a process that knows the public API only; whatever happens the city is stopped; a broken
//! promise, a ride that is not one trace, or a failed simulator is a failed evening. Does not: simulate ([`crate::load`]).

use std::{
    collections::BTreeMap,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use hexcab_chassis::ClockConfig;

use super::{settle::settle, tables};
use crate::{
    cli::EveningArguments,
    command::{up, verify},
    funnel,
    load::Load,
    report::{Parts, Report},
    rides, say,
    stack::{Stack, services},
    stop::Stop,
    verify::{Databases, Outcome},
};

/// How fast an evening goes, unless it is said.
pub const SPEED: f64 = 20.0;
/// A Friday evening in San Francisco, in the data and in the profile.
pub const FROM: &str = "2008-05-30T17:00";
/// The city's clock begins this much of the machine's time early, so that all is up when the evening begins.
const HEAD_START: Duration = Duration::from_secs(10);
/// How long spans may take to arrive.
const TRACES_PATIENCE: Duration = Duration::from_secs(20);

/// Runs it.
///
/// # Errors
/// When the city does not start, the simulator fails, or the databases cannot be read.
pub async fn run(arguments: EveningArguments, stop: Stop) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let speed = arguments.up.speed.unwrap_or(SPEED);
    let mut options = up::options(&arguments.up, speed, Some(FROM))?;
    options.clock = early(options.clock, speed)?;
    services::binary(&services::binaries()?, services::SIMULATOR)?;
    let stack = Stack::start(options, &stop).await?;
    let ended = evening(&arguments, &stack, speed, begun, &stop).await;
    if arguments.stay && ended.is_ok() && !stop.is_cancelled() {
        print_ready_lines(&stack).await;
        say::title("hexcab: the city stays up; Ctrl-C stops it");
        stop.cancelled().await;
    }
    stack.stop().await;
    ended
}

/// The same clock, a head start earlier.
///
/// # Errors
/// When the speed cannot be had.
pub fn early(clock: ClockConfig, speed: f64) -> anyhow::Result<ClockConfig> {
    let head_start = chrono::TimeDelta::from_std(HEAD_START.mul_f64(speed))?;
    Ok(ClockConfig::starting_now(
        clock.clock().now() - head_start,
        speed,
    )?)
}

async fn evening(
    arguments: &EveningArguments,
    stack: &Stack,
    speed: f64,
    begun: Instant,
    stop: &Stop,
) -> anyhow::Result<ExitCode> {
    let seen = tempfile::NamedTempFile::new().context("make a file for the simulator's report")?;
    let load = Load {
        from: arguments.up.from.as_deref().unwrap_or(FROM),
        window: &arguments.window,
        drain: None,
        seed: arguments.seed,
        demand_scale: arguments.demand_scale,
        drivers: arguments.drivers,
        data: arguments.up.data.clone(),
        more: &[],
    };
    load.carry(&stack.file(), seen.path(), stop).await?;
    let checked = check(arguments, stack, seen.path(), speed, begun);
    // Boxed: it is large, and waits most of the time.
    stop.or("everything was checked", Box::pin(checked)).await
}

/// Waits for what is still on its way, counts, checks and reports.
async fn check(
    arguments: &EveningArguments,
    stack: &Stack,
    seen: &Path,
    speed: f64,
    begun: Instant,
) -> anyhow::Result<ExitCode> {
    let mut databases = Databases::open(&stack.file().postgres).await?;
    say::title("hexcab: checking; what is still on its way is waited for");
    let clock: ClockConfig = stack.file().clock.parse()?;
    let outcomes = settle(
        &mut databases,
        &stack.file(),
        &clock.clock(),
        arguments.settle,
    )
    .await?;
    let traces = rides::look(&mut databases.trip, &stack.tally(), TRACES_PATIENCE).await?;
    let report = Report::new(Parts {
        city: stack.file().city,
        from: arguments.up.from.clone().unwrap_or_else(|| FROM.to_owned()),
        window: arguments.window.clone(),
        speed,
        seed: arguments.seed,
        took_s: begun.elapsed().as_secs_f64(),
        funnel: funnel::count(&mut databases).await?,
        traces,
        outcomes: outcomes.clone(),
        restarts: restarts(stack),
        simulator: std::fs::read(seen)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default(),
    });
    present(&report, &outcomes);
    if let Some(file) = &arguments.report {
        report.write(file)?;
        say::step(format_args!("report in {}", file.display()));
    }
    Ok(if went_right(&report) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A process that was killed takes its last spans with it: then, and only then, a trace may have a gap.
fn went_right(report: &Report) -> bool {
    let whole = report.traces.connected == report.traces.rides || !report.restarts.is_empty();
    report.verify.violations == 0 && whole
}

fn present(report: &Report, outcomes: &[Outcome]) {
    verify::print(outcomes);
    println!("{}", tables::funnel(report));
    println!("{}", tables::money(report));
    let traces = &report.traces;
    if traces.connected < traces.rides {
        say::warn(format_args!(
            "{} of {} rides are not one connected trace, such as:",
            traces.rides - traces.connected,
            traces.rides
        ));
    }
    for ride in &traces.broken {
        say::warn(ride);
    }
}

fn restarts(stack: &Stack) -> BTreeMap<String, u32> {
    stack
        .restarts()
        .into_iter()
        .filter(|(_, restarts)| *restarts > 0)
        .collect()
}

async fn print_ready_lines(stack: &Stack) {
    match tables::ready_lines(&stack.file()).await {
        Ok(lines) => println!("{lines}"),
        Err(error) => say::warn(format_args!("{error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_promise_or_a_torn_trace_is_a_failed_evening() {
        let mut report = Report::new(Parts {
            city: "sf".into(),
            from: FROM.into(),
            window: "60m".into(),
            speed: SPEED,
            seed: 7,
            took_s: 1.0,
            funnel: funnel::Funnel::default(),
            traces: rides::Traces::default(),
            outcomes: Vec::new(),
            restarts: BTreeMap::new(),
            simulator: serde_json::Value::Null,
        });
        assert!(went_right(&report));
        report.traces.rides = 1;
        assert!(!went_right(&report));
        report.restarts.insert("trip".into(), 1);
        assert!(went_right(&report));
        report.restarts.clear();
        report.traces.connected = 1;
        assert!(went_right(&report));
        report.verify.violations = 1;
        assert!(!went_right(&report));
    }
}
