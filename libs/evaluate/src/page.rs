//! An answer as Markdown with plots, put into a page between its marks.
//! Invariants: what stands outside the marks is left alone; a page without them is refused. Does not: write files.

mod plot;

use std::fmt::Write as _;

use crate::{
    compare::Difference,
    run::{Line, Report},
};

pub use plot::{Plot, plots};

/// What stands between these is replaced.
pub const BEGIN: &str = "<!-- hexcab evaluate: from here -->";
/// See [`BEGIN`].
pub const END: &str = "<!-- hexcab evaluate: to here -->";

/// A page that has no place for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the page lacks the lines {BEGIN:?} and {END:?}, in this order")]
pub struct NoMarks;

/// The page with the answer between its marks. `plots` is the folder of the plots, as the page refers to it.
///
/// # Errors
/// When the page has no marks.
pub fn into_page(page: &str, report: &Report, plots: &str) -> Result<String, NoMarks> {
    let begin = page.find(BEGIN).ok_or(NoMarks)? + BEGIN.len();
    let end = page[begin..].find(END).ok_or(NoMarks)? + begin;
    let answer = markdown(report, plots);
    Ok(format!("{}\n\n{answer}\n{}", &page[..begin], &page[end..]))
}

/// The columns of the table of figures.
pub const COLUMNS: [&str; 13] = [
    "fleet",
    "policy",
    "served %",
    "wait s",
    "median s",
    "p95 s",
    "≤ 5 min %",
    "≤ 8 min %",
    "empty km a ride",
    "of it moves",
    "occupied way %",
    "occupied time %",
    "ride time served %",
];

/// A line of the table of figures.
pub fn row(line: &Line) -> [String; 13] {
    let it = &line.figures;
    let percent = |share: f64| format!("{:.1}", share * 100.0);
    [
        format!("{:.0} %", line.fleet * 100.0),
        line.policy.to_string(),
        percent(it.served_share),
        format!("{:.0}", it.wait_mean_s),
        format!("{:.0}", it.wait_median_s),
        format!("{:.0}", it.wait_p95_s),
        percent(it.within_5_min_share),
        percent(it.within_8_min_share),
        format!("{:.2}", it.empty_m_a_ride / 1_000.0),
        format!("{:.2}", it.moves_m_a_ride / 1_000.0),
        percent(it.occupied_distance_share),
        percent(it.occupied_time_share),
        percent(it.ride_time_served_share),
    ]
}

/// The columns of the table of differences.
pub const GAIN_COLUMNS: [&str; 5] = [
    "fleet",
    "policy",
    "served, points",
    "≤ 5 min, points",
    "wait of riders both served, s",
];

/// A line of the table of differences; none for the policy that the others are compared with.
pub fn gain_row(line: &Line) -> Option<[String; 5]> {
    let gain = line.gain?;
    let points = |it: Difference| interval(it, 100.0);
    Some([
        format!("{:.0} %", line.fleet * 100.0),
        line.policy.to_string(),
        points(gain.served_share),
        points(gain.within_5_min_share),
        interval(gain.wait_both_s, 1.0),
    ])
}

fn interval(it: Difference, scale: f64) -> String {
    let [mean, low, high] = [it.mean, it.low, it.high].map(|value| value * scale);
    format!("{mean:+.1} ({low:+.1} to {high:+.1})")
}

/// What was asked, in a sentence.
pub fn asked(report: &Report) -> String {
    let days: Vec<String> = report.days.iter().map(ToString::to_string).collect();
    let mut text = format!("Days {}, demand × {}", days.join(", "), report.demand);
    if report.lines.iter().any(|line| line.fleet < 1.0) {
        let _ = write!(text, ", {} draws of the cabs", report.seeds);
    }
    if let Some((first, last, count)) = report.forecast_from {
        let _ = write!(
            text,
            "; forecasts from days before each day judged (for the last one {count} days, {first} to {last})"
        );
    }
    if report.refusals > 0.0 {
        let _ = write!(text, "; {:.0} % of offers refused", report.refusals * 100.0);
    }
    if report.eta_error > 0.0 {
        let _ = write!(
            text,
            "; drives {:.0} % off their ETA",
            report.eta_error * 100.0
        );
    }
    if let Some(seconds) = report.leave_unassigned_s {
        let _ = write!(
            text,
            "; riders leave when nobody is on the way after {seconds:.0} s"
        );
    }
    if report.follow < 1.0 {
        let _ = write!(
            text,
            "; {:.0} % of suggested moves followed",
            report.follow * 100.0
        );
    }
    text.push('.');
    text
}

fn markdown(report: &Report, plots: &str) -> String {
    let mut text = asked(report);
    text.push_str("\n\n");
    table(&mut text, &COLUMNS, report.lines.iter().map(row));
    if let Some(base) = report.lines.first()
        && report.lines.iter().any(|line| line.gain.is_some())
    {
        let _ = write!(
            text,
            "\nAgainst `{}` on the same requests and cabs, with 95 % intervals (bootstrap over day × draw × 3 h):\n\n",
            base.policy
        );
        table(
            &mut text,
            &GAIN_COLUMNS,
            report.lines.iter().filter_map(gain_row),
        );
    }
    if !report.perfect.is_empty() {
        text.push_str(
            "\nWith perfect knowledge of the day (min-cost flow over the day; no policy can have it):\n\n",
        );
        let rows = report.perfect.iter().map(|it| {
            [
                format!("{:.0} %", it.fleet * 100.0),
                format!("{:.1}", it.on_time_share * 100.0),
                format!("{:.1}", it.at_most_share * 100.0),
            ]
        });
        table(
            &mut text,
            &["fleet", "served %, all on time", "served %, at most"],
            rows,
        );
    }
    if report.lines.len() > 1 {
        text.push('\n');
        for plot in self::plots(report) {
            let _ = writeln!(text, "![{}]({plots}/{})", plot.title, plot.file);
        }
    }
    text
}

fn table<const N: usize>(
    text: &mut String,
    header: &[&str; N],
    rows: impl Iterator<Item = [String; N]>,
) {
    let _ = writeln!(text, "| {} |", header.join(" | "));
    let _ = writeln!(text, "|{}", " --- |".repeat(N));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
}

#[cfg(test)]
mod tests;
