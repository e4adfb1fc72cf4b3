//! The recorded rides and shifts of a data folder, in their order, one at a time.
//!
//! Files are found by name, `trips-*.csv.gz` and `shifts-*.csv.gz`, read in the order of their names, and must be sorted by
//! time through all of them: a row that goes back is an error, not a surprise later. Memory is one row.

use std::{
    collections::HashMap,
    ops::Range,
    path::{Path, PathBuf},
    vec,
};

use chrono::DateTime;
use hexcab_road::{
    ReadError,
    rows::{Column, Row, Rows},
};
use hexcab_types::{Point, Timestamp};

/// Why a recording cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// One of its files.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is none.
    #[error("no {pattern} in {dir}")]
    NoFiles {
        /// Where.
        dir: String,
        /// What was looked for.
        pattern: String,
    },
}

/// A recorded ride.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ride {
    /// Its number in the recording.
    pub trip: u64,
    /// The driver's number in the recording, the same in shifts.
    pub driver: u32,
    /// When the meter went on: the stand-in for the request, which was not recorded.
    pub pickup_at: Timestamp,
    /// Where.
    pub pickup: Point,
    /// Where it went off.
    pub dropoff: Point,
    /// Seconds from meter on to meter off, boarding and paying included.
    pub duration_s: u32,
    /// Whether both ends lie on the street graph.
    pub in_graph: bool,
}

impl Ride {
    /// When the meter went off.
    pub fn dropoff_at(&self) -> Timestamp {
        self.pickup_at + chrono::Duration::seconds(i64::from(self.duration_s))
    }
}

/// A stretch of time that a driver was on the street.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// The driver's number in the recording.
    pub driver: u32,
    /// When it began.
    pub start_at: Timestamp,
    /// Where it began.
    pub start: Point,
    /// When it ended.
    pub end_at: Timestamp,
    /// Where it ended.
    pub end: Point,
}

/// The rides that begin within a window, by pickup time.
///
/// # Errors
/// When the folder has none. The iterator gives an error, once, where a file cannot be read on.
pub fn rides(dir: &Path, window: Range<Timestamp>) -> Result<Rides, ReplayError> {
    Ok(Rides {
        files: Files::find(dir, "trips-")?,
        window,
    })
}

/// The shifts that have a part within a window, by start time; a shift is given whole, even where it began before.
///
/// # Errors
/// When the folder has none. The iterator gives an error, once, where a file cannot be read on.
pub fn shifts(dir: &Path, window: Range<Timestamp>) -> Result<Shifts, ReplayError> {
    Ok(Shifts {
        files: Files::find(dir, "shifts-")?,
        window,
    })
}

/// Where each driver was last seen before an instant: at the end of a ride, or at the pickup of the one under way. With
/// it a replay that begins in the middle of a day puts drivers where they were, not where their shift began.
///
/// # Errors
/// When the folder has no rides, or they cannot be read.
pub fn last_places(
    dir: &Path,
    at: Timestamp,
) -> Result<HashMap<u32, (Timestamp, Point)>, ReplayError> {
    let mut places = HashMap::new();
    for ride in rides(dir, Timestamp::MIN_UTC..at)? {
        let ride = ride?;
        let seen = if ride.dropoff_at() <= at {
            (ride.dropoff_at(), ride.dropoff)
        } else {
            (ride.pickup_at, ride.pickup)
        };
        places.insert(ride.driver, seen);
    }
    Ok(places)
}

/// Rides in order; see [`rides`].
pub struct Rides {
    files: Files<RideColumns>,
    window: Range<Timestamp>,
}

impl Iterator for Rides {
    type Item = Result<Ride, ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Range { start, end } = self.window;
        self.files.next_where(|columns, row| {
            let pickup_at = time(row, &columns.utc)?;
            if pickup_at >= end {
                return Ok(Step::Done);
            }
            Ok(if pickup_at < start {
                Step::Skip(pickup_at)
            } else {
                Step::Give(pickup_at, columns.ride(row, pickup_at)?)
            })
        })
    }
}

/// Shifts in order; see [`shifts`].
pub struct Shifts {
    files: Files<ShiftColumns>,
    window: Range<Timestamp>,
}

impl Iterator for Shifts {
    type Item = Result<Shift, ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Range { start, end } = self.window;
        self.files.next_where(|columns, row| {
            let shift = columns.shift(row)?;
            if shift.start_at >= end {
                return Ok(Step::Done);
            }
            Ok(if shift.end_at <= start {
                Step::Skip(shift.start_at)
            } else {
                Step::Give(shift.start_at, shift)
            })
        })
    }
}

/// What to do with a row.
enum Step<T> {
    Give(Timestamp, T),
    Skip(Timestamp),
    /// It and all after it lie beyond the window.
    Done,
}

/// Columns of a kind of file.
trait Columns: Sized {
    fn of(rows: &Rows) -> Result<Self, ReadError>;
    /// The column that the file is sorted by.
    fn time(&self) -> &Column;
}

/// The rows of several files, one after the other.
struct Files<C> {
    paths: vec::IntoIter<PathBuf>,
    open: Option<(Rows, C)>,
    last: Timestamp,
}

impl<C: Columns> Files<C> {
    fn find(dir: &Path, prefix: &str) -> Result<Self, ReplayError> {
        let missing = || ReplayError::NoFiles {
            dir: dir.display().to_string(),
            pattern: format!("{prefix}*.csv.gz"),
        };
        let listed = std::fs::read_dir(dir).map_err(|source| ReadError::Open {
            file: dir.display().to_string(),
            source,
        })?;
        let mut paths: Vec<PathBuf> = listed
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                path.file_name()
                    .is_some_and(|name| is_recording(&name.to_string_lossy(), prefix))
            })
            .collect();
        if paths.is_empty() {
            return Err(missing());
        }
        paths.sort();
        Ok(Self {
            paths: paths.into_iter(),
            open: None,
            last: Timestamp::MIN_UTC,
        })
    }

    /// The next row that is to be given; after the last, or an error, there is none.
    fn next_where<T>(
        &mut self,
        judge: impl Fn(&C, &Row<'_>) -> Result<Step<T>, ReadError>,
    ) -> Option<Result<T, ReplayError>> {
        let found = self.search(judge);
        if !matches!(found, Ok(Some(_))) {
            (self.paths, self.open) = (Vec::new().into_iter(), None);
        }
        found.map_err(ReplayError::from).transpose()
    }

    fn search<T>(
        &mut self,
        judge: impl Fn(&C, &Row<'_>) -> Result<Step<T>, ReadError>,
    ) -> Result<Option<T>, ReadError> {
        loop {
            let Some((rows, columns)) = &mut self.open else {
                let Some(path) = self.paths.next() else {
                    return Ok(None);
                };
                let rows = Rows::open(&path)?;
                let columns = C::of(&rows)?;
                self.open = Some((rows, columns));
                continue;
            };
            let Some(row) = rows.next_row()? else {
                self.open = None;
                continue;
            };
            let (at, given) = match judge(columns, &row)? {
                Step::Give(at, given) => (at, Some(given)),
                Step::Skip(at) => (at, None),
                Step::Done => return Ok(None),
            };
            if at < self.last {
                return Err(row.refuse(columns.time(), "time not before that of the line above"));
            }
            self.last = at;
            if given.is_some() {
                return Ok(given);
            }
        }
    }
}

fn is_recording(name: &str, prefix: &str) -> bool {
    name.starts_with(prefix) && (name.ends_with(".csv.gz") || name.ends_with(".csv"))
}

fn time(row: &Row<'_>, column: &Column) -> Result<Timestamp, ReadError> {
    let expected = "seconds since 1970-01-01 UTC";
    DateTime::from_timestamp(row.get(column, expected)?, 0)
        .ok_or_else(|| row.refuse(column, expected))
}

struct RideColumns {
    trip: Column,
    driver: Column,
    utc: Column,
    pickup: (Column, Column),
    dropoff: (Column, Column),
    duration_s: Column,
    in_graph: Column,
}

impl Columns for RideColumns {
    fn of(rows: &Rows) -> Result<Self, ReadError> {
        Ok(Self {
            trip: rows.column("trip_id")?,
            driver: rows.column("driver")?,
            utc: rows.column("pickup_utc")?,
            pickup: (rows.column("pickup_lat")?, rows.column("pickup_lon")?),
            dropoff: (rows.column("dropoff_lat")?, rows.column("dropoff_lon")?),
            duration_s: rows.column("duration_s")?,
            in_graph: rows.column("in_graph")?,
        })
    }

    fn time(&self) -> &Column {
        &self.utc
    }
}

impl RideColumns {
    fn ride(&self, row: &Row<'_>, pickup_at: Timestamp) -> Result<Ride, ReadError> {
        let in_graph = match row.text(&self.in_graph) {
            "1" => true,
            "0" => false,
            _ => return Err(row.refuse(&self.in_graph, "0 or 1")),
        };
        Ok(Ride {
            trip: row.get(&self.trip, "number of the trip")?,
            driver: row.get(&self.driver, "number of the driver")?,
            pickup_at,
            pickup: row.point(&self.pickup.0, &self.pickup.1)?,
            dropoff: row.point(&self.dropoff.0, &self.dropoff.1)?,
            duration_s: row.get(&self.duration_s, "whole seconds")?,
            in_graph,
        })
    }
}

struct ShiftColumns {
    driver: Column,
    start_utc: Column,
    start: (Column, Column),
    end_utc: Column,
    end: (Column, Column),
}

impl Columns for ShiftColumns {
    fn of(rows: &Rows) -> Result<Self, ReadError> {
        Ok(Self {
            driver: rows.column("driver")?,
            start_utc: rows.column("start_utc")?,
            start: (rows.column("start_lat")?, rows.column("start_lon")?),
            end_utc: rows.column("end_utc")?,
            end: (rows.column("end_lat")?, rows.column("end_lon")?),
        })
    }

    fn time(&self) -> &Column {
        &self.start_utc
    }
}

impl ShiftColumns {
    fn shift(&self, row: &Row<'_>) -> Result<Shift, ReadError> {
        let (start_at, end_at) = (time(row, &self.start_utc)?, time(row, &self.end_utc)?);
        if end_at < start_at {
            return Err(row.refuse(&self.end_utc, "time not before the start"));
        }
        Ok(Shift {
            driver: row.get(&self.driver, "number of the driver")?,
            start_at,
            start: row.point(&self.start.0, &self.start.1)?,
            end_at,
            end: row.point(&self.end.0, &self.end.1)?,
        })
    }
}

#[cfg(test)]
mod tests;
