//! Plots as SVG: a figure over the size of the fleet, a line for each policy. Plain text, readable on light and dark.

use std::fmt::Write as _;

use crate::{measure::Figures, run::Report};

/// A plot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plot {
    /// Its file's name.
    pub file: &'static str,
    /// What it shows.
    pub title: &'static str,
    /// The picture.
    pub svg: String,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 170.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;

/// Told apart by the colour-blind, too (Okabe and Ito).
const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#777777",
];

/// A figure that is plotted.
type Value = fn(&Figures) -> f64;

/// The plots of an answer.
pub fn plots(report: &Report) -> Vec<Plot> {
    let figures: [(&str, &str, Value); 4] = [
        ("served.svg", "Riders served, % of all", |it| {
            it.served_share * 100.0
        }),
        ("wait.svg", "Mean wait, seconds", |it| it.wait_mean_s),
        (
            "within-5-min.svg",
            "Picked up within 5 minutes, % of all",
            |it| it.within_5_min_share * 100.0,
        ),
        ("empty.svg", "Driven empty a ride, km", |it| {
            it.empty_m_a_ride / 1_000.0
        }),
    ];
    figures
        .into_iter()
        .map(|(file, title, value)| Plot {
            file,
            title,
            svg: svg(title, &series(report, value)),
        })
        .collect()
}

/// A policy's values by fleet.
struct Series {
    name: String,
    points: Vec<(f64, f64)>,
}

fn series(report: &Report, value: Value) -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    for line in &report.lines {
        let name = line.policy.to_string();
        let point = (line.fleet * 100.0, value(&line.figures));
        match all.iter_mut().find(|series| series.name == name) {
            Some(series) => series.points.push(point),
            None => all.push(Series {
                name,
                points: vec![point],
            }),
        }
    }
    for series in &mut all {
        series.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    all
}

fn svg(title: &str, series: &[Series]) -> String {
    let points = || series.iter().flat_map(|series| &series.points);
    let most = points().map(|point| point.1).fold(0.0, f64::max);
    let step = step(most);
    let top = (most / step).ceil().max(1.0) * step;
    let widest = points().map(|point| point.0).fold(1.0, f64::max);
    let x = |fleet: f64| LEFT + fleet / widest * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#666\">"
    );
    let _ = writeln!(
        text,
        "<text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{title}</text>"
    );
    let mut value = 0.0;
    while value <= top + step / 2.0 {
        let at = y(value);
        let (end, label) = (WIDTH - RIGHT, LEFT - 8.0);
        let _ = writeln!(
            text,
            "<path d=\"M{LEFT} {at:.1}H{end}\" stroke=\"#999\" stroke-opacity=\".4\"/>"
        );
        let decimals = usize::from(step < 1.0);
        let _ = writeln!(
            text,
            "<text x=\"{label}\" y=\"{:.1}\" text-anchor=\"end\">{value:.decimals$}</text>",
            at + 4.0
        );
        value += step;
    }
    let mut fleets: Vec<f64> = points().map(|point| point.0).collect();
    fleets.sort_by(f64::total_cmp);
    fleets.dedup();
    for fleet in fleets {
        let (at, under) = (x(fleet), HEIGHT - BOTTOM + 18.0);
        let _ = writeln!(
            text,
            "<text x=\"{at:.1}\" y=\"{under}\" text-anchor=\"middle\">{fleet:.0} %</text>"
        );
    }
    let _ = writeln!(
        text,
        "<text x=\"{LEFT}\" y=\"{}\">share of the recorded cabs</text>",
        HEIGHT - 12.0
    );
    for (at, Series { name, points }) in series.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let line: Vec<String> = points
            .iter()
            .map(|&(fleet, value)| format!("{:.1},{:.1}", x(fleet), y(value)))
            .collect();
        let _ = writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            line.join(" ")
        );
        for &(fleet, value) in points {
            let _ = writeln!(
                text,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"{colour}\"/>",
                x(fleet),
                y(value)
            );
        }
        let (beside, down) = (WIDTH - RIGHT + 14.0, TOP + 18.0 * at as f64 + 6.0);
        let _ = writeln!(
            text,
            "<circle cx=\"{beside}\" cy=\"{down}\" r=\"4\" fill=\"{colour}\"/>"
        );
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{}\">{name}</text>",
            beside + 9.0,
            down + 4.0
        );
    }
    text.push_str("</svg>\n");
    text
}

/// A round step that divides the axis into four to ten.
fn step(most: f64) -> f64 {
    let rough = (most / 8.0).max(1e-3);
    let power = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps
        .into_iter()
        .map(|times| times * power)
        .find(|&step| step >= rough)
        .unwrap_or(power * 10.0)
}
