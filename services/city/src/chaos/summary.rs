//! What many runs came to, as Markdown for docs/reliability.md, and how it gets into that page.
//!
//! Invariant: what is written between the page's marks is made here and nowhere else; the rest of the page is left alone.
//! Does not: run anything, leave a run out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
};

use anyhow::Context as _;

use super::{
    points::{self, Point},
    report::Report,
};

/// The mark of the figures of the last runs.
pub const FIGURES: &str = "chaos figures";
/// The mark of the table of crash points.
pub const POINTS: &str = "crash points";

/// The runs, a line each, and all together.
pub fn of(reports: &[Report]) -> String {
    let mut text = String::from(
        "| seed | stack | faults for | rides carried | of | faults survived | restarts | converged after | violations | |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for report in reports {
        let converged = report
            .convergence_s
            .map_or_else(|| "not within 60 s".to_owned(), |s| format!("{s:.1} s"));
        let restarts: u32 = report.restarts.values().sum();
        let survived: usize = report.faults.values().sum();
        let _infallible = writeln!(
            text,
            "| {} | {} | {:.0} s | {} | {} | {survived} | {restarts} | {converged} | {} | {} |",
            report.seed,
            report.stack,
            report.for_s,
            report.rides.completed,
            report.rides.requested,
            report.verify.violations,
            if report.passed {
                "passed"
            } else {
                "**failed**"
            },
        );
    }
    let _infallible = write!(text, "\n{}", together(reports));
    text
}

fn together(reports: &[Report]) -> String {
    let passed = reports.iter().filter(|report| report.passed).count();
    let rides: i64 = reports.iter().map(|report| report.rides.completed).sum();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for (kind, count) in reports.iter().flat_map(|report| &report.faults) {
        *kinds.entry(kind).or_default() += count;
    }
    let faults: usize = kinds.values().sum();
    let each: Vec<String> = kinds
        .iter()
        .map(|(kind, n)| format!("{n} {kind}"))
        .collect();
    let mut slowest: Vec<f64> = reports
        .iter()
        .filter_map(|report| report.convergence_s)
        .collect();
    slowest.sort_by(f64::total_cmp);
    let slowest = slowest
        .last()
        .map_or_else(|| "–".to_owned(), |s| format!("{s:.1} s"));
    let commits: BTreeSet<&str> = reports
        .iter()
        .map(|report| report.commit.as_str())
        .collect();
    let commits: Vec<&str> = commits.into_iter().collect();
    let never = never_reached(reports);
    let points = if never.is_empty() {
        format!("all {} crash points were reached", points::POINTS.len())
    } else {
        format!("crash points that no run reached: {}", never.join(", "))
    };
    format!(
        "Together: {passed} of {} runs passed; {rides} rides carried through {faults} faults ({}); {points}; the slowest \
         convergence took {slowest}. Commit {}.\n",
        reports.len(),
        each.join(", "),
        commits.join(", "),
    )
}

/// The crash points at which no process died in any of these runs.
pub fn never_reached(reports: &[Report]) -> Vec<String> {
    let reached: BTreeSet<(&str, &str)> = reports
        .iter()
        .flat_map(|report| &report.schedule)
        .filter(|struck| struck.struck)
        .filter_map(|struck| Some((struck.target.split(' ').next()?, struck.point.as_deref()?)))
        .collect();
    let never = |point: &&Point| !reached.contains(&(point.service.name(), point.name));
    points::POINTS
        .iter()
        .filter(never)
        .map(Point::to_string)
        .collect()
}

/// The table of crash points.
pub fn points() -> String {
    let mut text = String::from("| service | dies at | what holds all the same |\n|---|---|---|\n");
    for point in points::POINTS {
        let _infallible = writeln!(
            text,
            "| {} | `{}` | {} |",
            point.service.name(),
            point.name,
            point.proves
        );
    }
    text
}

/// Puts this between the marks of that name in a page.
///
/// # Errors
/// When the page cannot be read or written, or has no such marks.
pub fn put(page: &Path, mark: &str, text: &str) -> anyhow::Result<()> {
    let before =
        std::fs::read_to_string(page).with_context(|| format!("read {}", page.display()))?;
    let after = between(&before, mark, text)
        .with_context(|| format!("{} has no marks <!-- {mark}: … -->", page.display()))?;
    std::fs::write(page, after).with_context(|| format!("write {}", page.display()))
}

fn between(page: &str, mark: &str, text: &str) -> Option<String> {
    let (begin, end) = (
        format!("<!-- {mark}: begin -->"),
        format!("<!-- {mark}: end -->"),
    );
    let (head, rest) = page.split_once(&begin)?;
    let (_, tail) = rest.split_once(&end)?;
    Some(format!("{head}{begin}\n{}\n{end}{tail}", text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/reliability.md"
    ));

    #[test]
    fn the_page_has_the_table_of_crash_points_as_it_is() {
        let made = between(PAGE, POINTS, &points()).unwrap();
        assert_eq!(
            made, PAGE,
            "run: hexcab chaos summary REPORT… --into docs/reliability.md"
        );
    }

    #[test]
    fn only_what_is_between_the_marks_is_made() {
        let page = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n";
        let made = between(page, "x", "new\n").unwrap();
        assert_eq!(made, "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb\n");
        assert_eq!(between(&made, "x", "new").unwrap(), made);
        assert_eq!(between(page, "y", "new"), None);
        assert!(between(PAGE, FIGURES, "").is_some());
    }

    #[test]
    fn no_run_is_no_point_reached() {
        assert_eq!(never_reached(&[]).len(), points::POINTS.len());
        assert!(of(&[]).contains("0 of 0 runs passed"));
    }
}
