//! What a usual week of a city is like: rides by cell and hour, where they go, drivers online, travel between cells; and
//! drawing rides from it with the caller's chance.
//!
//! Figures only, computed by [`crate::build`] from a recording; the folder `profile/` beside a city's `city.toml`:
//!
//! | file | holds |
//! |---|---|
//! | `points.csv` | `cell,lat,lon`: up to eight places on streets of each cell; the first is its anchor |
//! | `rides.csv` | a row a cell, a column an hour of the week: average pickups in that hour |
//! | `flows.csv` | a row an origin, a column a destination: rides between them |
//! | `supply.csv` | `hour_of_week,online,serving`: average drivers |
//! | `starts.csv` | `cell,weight`: where drivers come online |
//! | `travel-seconds.csv`, `travel-metres.csv` | a row an origin, a column a destination: the drive between anchors |
//! | `speed-profile.csv` | `hour_of_week,time_factor` |
//! | `source.txt` | whose data it was, and how it was computed |
//!
//! Invariants: every cell has a place on a street; every figure is finite and not negative.

mod draw;
mod matrix;
mod read;

use std::{collections::HashMap, path::Path, sync::Arc};

use hexcab_road::{CellTable, HourFactors, HourOfWeek, ReadError, TableError};
use hexcab_types::{Cell, Point};
use rand::Rng;

use crate::folder::Folder;
use draw::Weighted;

/// Names of a profile's files within its folder.
pub(crate) mod file {
    pub(crate) const POINTS: &str = "points.csv";
    pub(crate) const RIDES: &str = "rides.csv";
    pub(crate) const FLOWS: &str = "flows.csv";
    pub(crate) const SUPPLY: &str = "supply.csv";
    pub(crate) const STARTS: &str = "starts.csv";
    pub(crate) const SECONDS: &str = "travel-seconds.csv";
    pub(crate) const METRES: &str = "travel-metres.csv";
    pub(crate) const SPEED: &str = "speed-profile.csv";
    pub(crate) const SOURCE: &str = "source.txt";
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// One of its files.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its travel table.
    #[error("{file}")]
    Travel {
        /// The file of the drives.
        file: String,
        /// What is wrong.
        #[source]
        source: TableError,
    },
    /// Not in this binary.
    #[error("no built-in profile {0:?}; there is {known}", known = crate::BUILT_IN.join(", "))]
    NotBuiltIn(String),
}

/// Average drivers in an hour of the week.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Supply {
    /// Online anywhere.
    pub online: f64,
    /// Of these, free or busy within the city's streets: not at or on the way to the airport or another town.
    pub serving: f64,
}

/// A usual week of a city.
pub struct Profile {
    places: HashMap<Cell, Vec<Point>>,
    /// Average pickups by hour.
    rides: HashMap<Cell, Vec<f64>>,
    origins: Vec<Weighted<Cell>>,
    destinations: HashMap<Cell, Weighted<Cell>>,
    /// For an origin from which no ride is known.
    any_destination: Weighted<Cell>,
    supply: Vec<Supply>,
    starts: Weighted<Cell>,
    travel: Arc<CellTable>,
    source: String,
}

impl Profile {
    /// The profile of a built-in city.
    ///
    /// # Errors
    /// When there is none: the error names those that are.
    pub fn built_in(id: &str) -> Result<Self, ProfileError> {
        read::profile(&Folder::built_in(id).ok_or_else(|| ProfileError::NotBuiltIn(id.to_owned()))?)
    }

    /// The profile of a city's folder (the one that holds `city.toml` and `profile/`).
    ///
    /// # Errors
    /// When a file is missing or wrong; the error names file, line and field.
    pub fn read(city_dir: &Path) -> Result<Self, ProfileError> {
        read::profile(&Folder::disk(city_dir))
    }

    /// A built-in city's profile by its id, else that of this folder.
    ///
    /// # Errors
    /// As [`Profile::read`].
    pub fn load(folder_or_id: &str) -> Result<Self, ProfileError> {
        read::profile(&Folder::named(folder_or_id))
    }

    /// The cells (H3 r8) that have streets, in ascending order.
    pub fn cells(&self) -> impl Iterator<Item = Cell> {
        self.travel.cells().iter().map(|(cell, _)| *cell)
    }

    /// Places on streets of a cell, none for a cell of another city; the first is the one its travel times are from.
    pub fn places(&self, cell: Cell) -> &[Point] {
        self.places.get(&cell).map_or(&[], Vec::as_slice)
    }

    /// Average rides that begin in a cell in this hour of the week.
    pub fn rides_in(&self, cell: Cell, hour: HourOfWeek) -> f64 {
        self.rides
            .get(&cell)
            .map_or(0.0, |rides| rides[hour.index()])
    }

    /// Average rides that begin in the city in this hour of the week: the rate of demand per hour.
    pub fn rides_per_hour(&self, hour: HourOfWeek) -> f64 {
        self.origins[hour.index()].total()
    }

    /// The share (0 to 1) of a cell's rides that go to another; 0 where none is known.
    pub fn flow(&self, from: Cell, to: Cell) -> f64 {
        self.destinations
            .get(&from)
            .map_or(0.0, |destinations| destinations.share(&to))
    }

    /// Average drivers in this hour of the week.
    pub fn supply(&self, hour: HourOfWeek) -> Supply {
        self.supply[hour.index()]
    }

    /// Driving between cells.
    pub fn travel(&self) -> Arc<CellTable> {
        Arc::clone(&self.travel)
    }

    /// How much longer drives take by hour.
    pub fn factors(&self) -> &HourFactors {
        self.travel.factors()
    }

    /// Whose data the figures were computed from, and how.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Where a ride of this hour begins; none in an hour without rides.
    pub fn draw_origin(&self, hour: HourOfWeek, rng: &mut impl Rng) -> Option<Cell> {
        self.origins[hour.index()].draw(rng).copied()
    }

    /// Where a ride from a cell goes; from one without rides, where rides of the city go. None in a city without rides.
    pub fn draw_destination(&self, origin: Cell, rng: &mut impl Rng) -> Option<Cell> {
        let known = self
            .destinations
            .get(&origin)
            .and_then(|destinations| destinations.draw(rng));
        known.or_else(|| self.any_destination.draw(rng)).copied()
    }

    /// Where a driver comes online; none in a city without shifts.
    pub fn draw_start(&self, rng: &mut impl Rng) -> Option<Cell> {
        self.starts.draw(rng).copied()
    }

    /// A place on a street of a cell; none for a cell of another city.
    pub fn draw_place(&self, cell: Cell, rng: &mut impl Rng) -> Option<Point> {
        draw::one_of(self.places(cell), rng).copied()
    }

    /// Pickup and destination of a ride of this hour, on streets and not the same place; none in an hour without rides.
    pub fn draw_ride(&self, hour: HourOfWeek, rng: &mut impl Rng) -> Option<(Point, Point)> {
        const TRIES: usize = 100;
        for _ in 0..TRIES {
            let origin = self.draw_origin(hour, rng)?;
            let destination = self.draw_destination(origin, rng)?;
            let (from, to) = (
                self.draw_place(origin, rng)?,
                self.draw_place(destination, rng)?,
            );
            if from != to {
                return Some((from, to));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
