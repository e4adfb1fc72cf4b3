//! Computes a city's profile from a recording of its rides and shifts and its street graph: `hexcab city build`.
//!
//! A week of the profile is the average over the recording's time, minute by minute: rides of an hour of the week over the
//! time of such hours in which the feed was there (`build/feed.rs` says what a hole is). Cells are the H3 r8 cells in which a
//! passenger can wait on a street; figures are rounded, files sorted: the same data gives the same bytes.
//! Does not: fill in what the recording does not hold. Demand is served demand, in the street graph's area.

mod cells;
mod demand;
mod feed;
mod supply;
mod write;

use std::{
    fmt, io,
    ops::Range,
    path::{Path, PathBuf},
    time::Instant,
};

use hexcab_road::{GraphError, HourOfWeek, RoadGraph};
use hexcab_types::Timestamp;

use crate::{City, replay::ReplayError};
use cells::Cells;
use demand::Demand;
use feed::{Feed, Recording};
use write::{Tables, Written};

/// Why a profile cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The street graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The rides or shifts.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// No street of the graph, or no ride, lies within the city's area.
    #[error("{0}")]
    Nothing(String),
    /// A file of the profile.
    #[error("cannot write {file}")]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What a build found and wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildReport {
    /// The recording's time.
    pub recorded: Range<Timestamp>,
    /// Holes of the feed that do not count.
    pub holes: Vec<Range<Timestamp>>,
    /// Rides of the recording.
    pub rides: usize,
    /// Of these, with both ends on the street graph.
    pub rides_in_graph: usize,
    /// Of these, not next to a hole: what the averages are of.
    pub rides_counted: usize,
    /// Shifts of the recording.
    pub shifts: usize,
    /// Cells of the profile.
    pub cells: usize,
    /// Places on streets.
    pub places: usize,
    /// Average rides by hour of the week.
    pub rides_per_hour: Vec<f64>,
    /// Average drivers by hour of the week, online and serving.
    pub supply: Vec<crate::Supply>,
    /// Files written, with their bytes.
    pub files: Vec<(PathBuf, usize)>,
}

/// Computes the profile of `city` from `data_dir` (street graph, `trips-*`, `shifts-*`, `speed-profile.csv`) and writes it
/// into `out_dir` (the city's `profile/`). `progress` is told each step, with its time.
///
/// # Errors
/// When the data cannot be read, holds nothing within the city's area, or the files cannot be written.
pub fn build(
    city: &City,
    data_dir: &Path,
    out_dir: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<BuildReport, BuildError> {
    let start = Instant::now();
    let mut step =
        |what: &str| progress(&format!("{:6.2} s  {what}", start.elapsed().as_secs_f64()));

    let graph = RoadGraph::read(data_dir)?;
    step(&format!(
        "street graph: {} junctions, {} edges",
        graph.nodes().len(),
        graph.edge_count()
    ));
    let recording = Recording::read(data_dir)?;
    step(&format!(
        "recording: {} rides, {} shifts",
        recording.rides.len(),
        recording.shifts.len()
    ));
    let feed = Feed::of(city, &recording)
        .ok_or_else(|| BuildError::Nothing("the recording has no ride".to_owned()))?;
    step(&format!("feed: {} holes", feed.holes.len()));
    let cells = Cells::of(city, &graph, &recording.rides)
        .ok_or_else(|| BuildError::Nothing("no street lies within the city's area".to_owned()))?;
    step(&format!(
        "cells: {} with {} places",
        cells.len(),
        cells.place_count()
    ));
    let demand = Demand::of(&recording.rides, &feed, &cells);
    let supply = supply::by_hour(&recording, &feed, &graph);
    let starts = supply::starts(&recording.shifts, &graph, &cells);
    step(&format!("demand: {} rides counted", demand.counted));
    let travel = cells.travel(&graph);
    step("travel between cells");

    let tables = Tables {
        city,
        feed: &feed,
        cells: &cells,
        demand: &demand,
        supply: &supply,
        starts: &starts,
        travel: &travel,
    };
    let Written { files, supply } = write::profile(&tables, graph.factors(), out_dir)?;
    step("written");
    Ok(BuildReport {
        recorded: feed.recorded.clone(),
        holes: feed.holes.clone(),
        rides: recording.rides.len(),
        rides_in_graph: recording.rides.iter().filter(|ride| ride.in_graph).count(),
        rides_counted: demand.counted,
        shifts: recording.shifts.len(),
        cells: cells.len(),
        places: cells.place_count(),
        rides_per_hour: HourOfWeek::all()
            .map(|hour| demand.rides_per_hour(hour))
            .collect(),
        supply,
        files,
    })
}

impl fmt::Display for BuildReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { start, end } = self.recorded;
        writeln!(f, "recorded   {start} to {end}, {} holes", self.holes.len())?;
        for hole in &self.holes {
            writeln!(f, "  hole     {} to {}", hole.start, hole.end)?;
        }
        writeln!(
            f,
            "rides      {}, {} in the graph, {} counted",
            self.rides, self.rides_in_graph, self.rides_counted
        )?;
        writeln!(f, "shifts     {}", self.shifts)?;
        writeln!(f, "cells      {}, {} places", self.cells, self.places)?;
        let busiest = HourOfWeek::all().max_by(|a, b| {
            self.rides_per_hour[a.index()].total_cmp(&self.rides_per_hour[b.index()])
        });
        for hour in [
            Some(HourOfWeek::of_day(3, 4)),
            Some(HourOfWeek::of_day(5, 17)),
            busiest,
        ]
        .into_iter()
        .flatten()
        {
            let (rides, supply) = (self.rides_per_hour[hour.index()], self.supply[hour.index()]);
            writeln!(
                f,
                "{hour}   {rides:.0} rides, {:.0} drivers online, {:.0} serving",
                supply.online, supply.serving
            )?;
        }
        let bytes: usize = self.files.iter().map(|(_, bytes)| bytes).sum();
        write!(f, "written    {} files, {bytes} bytes", self.files.len())
    }
}
