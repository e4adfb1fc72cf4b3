//! Writes a profile's files: sorted, rounded, without a date, so that the same data gives the same bytes.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use hexcab_road::{HourFactors, HourOfWeek, Leg};
use hexcab_types::Cell;

use super::{BuildError, cells::Cells, demand::Demand, feed::Feed};
use crate::{City, Supply, profile::file};

/// Travel is written to the second and to this many metres.
const METRES_STEP: f64 = 10.0;

/// What there is to write.
pub(super) struct Tables<'a> {
    pub(super) city: &'a City,
    pub(super) feed: &'a Feed,
    pub(super) cells: &'a Cells,
    pub(super) demand: &'a Demand,
    pub(super) supply: &'a [Supply],
    pub(super) starts: &'a BTreeMap<usize, u32>,
    pub(super) travel: &'a [Option<Leg>],
}

/// What was written.
pub(super) struct Written {
    pub(super) files: Vec<(PathBuf, usize)>,
    /// As rounded.
    pub(super) supply: Vec<Supply>,
}

pub(super) fn profile(
    tables: &Tables<'_>,
    factors: &HourFactors,
    dir: &Path,
) -> Result<Written, BuildError> {
    std::fs::create_dir_all(dir).map_err(|source| BuildError::Write {
        file: dir.to_owned(),
        source,
    })?;
    let cells: Vec<Cell> = tables.cells.iter().map(|(cell, _)| cell).collect();
    let rounded = |supply: &Supply| Supply {
        online: round(supply.online, 1),
        serving: round(supply.serving, 1),
    };
    let supply: Vec<Supply> = tables.supply.iter().map(rounded).collect();
    let hours = HourOfWeek::all().map(|hour| hour.get().to_string());
    let travel = |figure: fn(&Leg) -> f64| {
        let rows = tables
            .travel
            .chunks(cells.len())
            .map(move |row| row.iter().map(move |leg| leg.as_ref().map(figure)));
        matrix(&cells, cells.iter().map(Cell::to_string), rows)
    };
    let rides = tables.demand.rides.iter().map(|row| {
        row.iter()
            .map(|&rides| Some(rides).filter(|rides| *rides > 0.0))
    });
    let flows = tables.demand.flows.iter().map(|row| {
        row.iter()
            .map(|&rides| Some(f64::from(rides)).filter(|rides| *rides > 0.0))
    });
    let texts = [
        (file::POINTS, points(tables.cells)),
        (file::RIDES, matrix(&cells, hours, rides)),
        (
            file::FLOWS,
            matrix(&cells, cells.iter().map(Cell::to_string), flows),
        ),
        (file::SUPPLY, supply_text(&supply)),
        (file::STARTS, starts(&cells, tables.starts)),
        (file::SECONDS, travel(|leg| round(leg.seconds, 0))),
        (
            file::METRES,
            travel(|leg| round(leg.metres / METRES_STEP, 0) * METRES_STEP),
        ),
        (file::SPEED, speed(factors)),
        (file::SOURCE, source(tables)),
    ];
    let mut files = Vec::new();
    for (name, text) in texts {
        let path = dir.join(name);
        std::fs::write(&path, &text).map_err(|source| BuildError::Write {
            file: path.clone(),
            source,
        })?;
        files.push((path, text.len()));
    }
    Ok(Written { files, supply })
}

/// To so many decimals, half away from zero.
pub(super) fn round(figure: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (figure * scale).round() / scale
}

fn matrix<R>(
    cells: &[Cell],
    columns: impl Iterator<Item = String>,
    rows: impl Iterator<Item = R>,
) -> String
where
    R: Iterator<Item = Option<f64>>,
{
    let mut text = "cell".to_owned();
    columns.for_each(|column| line(&mut text, format_args!(",{column}")));
    text.push('\n');
    for (cell, row) in cells.iter().zip(rows) {
        line(&mut text, format_args!("{cell}"));
        row.for_each(|figure| match figure {
            Some(figure) => line(&mut text, format_args!(",{figure}")),
            None => text.push(','),
        });
        text.push('\n');
    }
    text
}

fn points(cells: &Cells) -> String {
    let mut text = "cell,lat,lon\n".to_owned();
    for (cell, places) in cells.iter() {
        for place in places {
            line(
                &mut text,
                format_args!("{cell},{:.6},{:.6}\n", place.lat(), place.lon()),
            );
        }
    }
    text
}

fn supply_text(supply: &[Supply]) -> String {
    let mut text = "hour_of_week,online,serving\n".to_owned();
    for (hour, Supply { online, serving }) in supply.iter().enumerate() {
        line(&mut text, format_args!("{hour},{online},{serving}\n"));
    }
    text
}

fn starts(cells: &[Cell], starts: &BTreeMap<usize, u32>) -> String {
    let mut text = "cell,weight\n".to_owned();
    for (cell, weight) in starts {
        line(&mut text, format_args!("{},{weight}\n", cells[*cell]));
    }
    text
}

fn speed(factors: &HourFactors) -> String {
    let mut text = "hour_of_week,time_factor\n".to_owned();
    for hour in HourOfWeek::all() {
        line(
            &mut text,
            format_args!("{},{}\n", hour.get(), factors.of(hour)),
        );
    }
    text
}

fn source(tables: &Tables<'_>) -> String {
    let Tables {
        city, feed, demand, ..
    } = tables;
    let mut text = String::new();
    if !city.source.trim().is_empty() {
        line(&mut text, format_args!("{}\n\n", city.source.trim()));
    }
    line(
        &mut text,
        format_args!(
            "Figures computed by `hexcab city build`: {} rides, ",
            demand.counted
        ),
    );
    line(
        &mut text,
        format_args!(
            "{} to {}; averages by hour of the week over the time the feed was there.\n",
            feed.recorded.start, feed.recorded.end
        ),
    );
    for hole in &feed.holes {
        line(
            &mut text,
            format_args!(
                "Left out as a hole of the feed: {} to {}.\n",
                hole.start, hole.end
            ),
        );
    }
    text
}

fn line(text: &mut String, part: std::fmt::Arguments<'_>) {
    text.write_fmt(part)
        .expect("a String takes all that is written to it");
}
