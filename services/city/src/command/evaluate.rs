//! `hexcab evaluate`: measures dispatch on recorded days, with no service running.

use std::{
    io::{IsTerminal as _, Write as _},
    num::NonZero,
    path::Path,
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context as _, bail};
use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use hexcab_cities::City;
use hexcab_evaluate::{
    Ground, Question, Report, page,
    sim::{Pace, Rules},
};

use crate::{
    cli::{DaySpan, EvaluateArguments},
    say,
};

/// Answers, and prints the answer.
///
/// # Errors
/// When the data cannot be read, a forecast would look ahead, or a file cannot be written.
pub fn run(arguments: &EvaluateArguments) -> anyhow::Result<ExitCode> {
    let city = City::load(&arguments.city).with_context(|| format!("--city {}", arguments.city))?;
    if let Some(missing) = arguments.data.iter().find(|folder| !folder.is_dir()) {
        bail!("--data {}: no such folder", missing.display());
    }
    let begun = Instant::now();
    let ground = Ground::read(city, &arguments.data)?;
    say::step(format_args!(
        "read in {:.1} s",
        begun.elapsed().as_secs_f64()
    ));
    let mut progress = Progress::new();
    let report = ground.answer(&question(arguments), &mut |text| progress.show(text))?;
    progress.end();
    print(&report);
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(file, text + "\n").with_context(|| format!("write {}", file.display()))?;
    }
    if let Some(file) = &arguments.into {
        into(file, &report)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn question(arguments: &EvaluateArguments) -> Question {
    let all = |spans: &[DaySpan]| {
        let mut days: Vec<_> = spans.iter().flat_map(|span| span.days()).collect();
        days.sort_unstable();
        days.dedup();
        days
    };
    let defaults = Question::default();
    let ms = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    Question {
        days: all(&arguments.days),
        fleets: arguments.fleets.clone(),
        demand: arguments.demand,
        policies: arguments.policies.clone(),
        seeds: arguments.seeds,
        rules: Rules {
            unassigned_ms: arguments.leave_unassigned.map(ms),
            refusals: arguments.refusals,
            eta_error: arguments.eta_error,
            follow: arguments.follow,
            ..Rules::default()
        },
        pace: match arguments.window.map(ms) {
            Some(period_ms) if period_ms > 0 => Pace::Every(period_ms),
            Some(_) => Pace::AtOnce(0),
            None => defaults.pace,
        },
        forecast_from: (!arguments.forecast_from.is_empty()).then(|| all(&arguments.forecast_from)),
        bound: arguments.bound,
        threads: arguments.threads.map_or_else(
            || std::thread::available_parallelism().map_or(1, NonZero::get),
            usize::from,
        ),
        ..defaults
    }
}

fn print(report: &Report) {
    println!("{}", page::asked(report));
    println!(
        "{}",
        table(&page::COLUMNS, report.lines.iter().map(page::row))
    );
    if let Some(base) = report.lines.first()
        && report.lines.iter().any(|line| line.gain.is_some())
    {
        println!(
            "against {}, same requests and cabs, with 95 % intervals:",
            base.policy
        );
        let gains = report.lines.iter().filter_map(page::gain_row);
        println!("{}", table(&page::GAIN_COLUMNS, gains));
    }
    for perfect in &report.perfect {
        println!(
            "with perfect knowledge, fleet {:.0} %: {:.1} % served with all on time, {:.1} % at most",
            perfect.fleet * 100.0,
            perfect.on_time_share * 100.0,
            perfect.at_most_share * 100.0
        );
    }
    for line in &report.lines {
        println!(
            "{} at {:.0} %: {:.0} rides a second and core, windows within {:.2} ms (p99)",
            line.policy,
            line.fleet * 100.0,
            line.rides_a_second,
            line.figures.window_p99_ms
        );
    }
}

fn table<const N: usize>(header: &[&str; N], rows: impl Iterator<Item = [String; N]>) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Puts the tables into a page and the plots into the folder named as it.
fn into(file: &Path, report: &Report) -> anyhow::Result<()> {
    let page = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let folder = file.with_extension("");
    let name = folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let page = page::into_page(&page, report, &name)
        .with_context(|| format!("--into {}", file.display()))?;
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    for plot in page::plots(report) {
        let path = folder.join(plot.file);
        std::fs::write(&path, plot.svg).with_context(|| format!("write {}", path.display()))?;
    }
    std::fs::write(file, page).with_context(|| format!("write {}", file.display()))
}

/// What was just done: one line that changes, where a person looks; a line each, where a file does.
struct Progress {
    is_terminal: bool,
}

impl Progress {
    fn new() -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
        }
    }

    fn show(&mut self, text: &str) {
        if self.is_terminal {
            eprint!("\r\x1b[K  {text}");
            // A terminal that cannot be written to shows nothing; the answer comes all the same.
            let _shown = std::io::stderr().flush();
        } else {
            say::step(text);
        }
    }

    fn end(&mut self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }
}
