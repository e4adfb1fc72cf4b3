//! The newest sighting of every driver, in memory, by city and H3 cell.
//!
//! Invariants:
//! - newest `recorded_ms` wins; an equal or older one changes nothing;
//! - a driver is in exactly one cell of one city whenever no report of his is being taken in; while one is, he may stand
//!   in his old and his new cell, never in none;
//! - there is no lock over the whole: drivers and cells are spread over shards. A report holds its driver's shard, and
//!   within it one cell shard at a time; a search holds one cell shard at a time. So nobody can wait in a circle.
//!
//! Does not: read the clock, keep anything on disk. The index is the store: a process that restarts is told everything
//! anew within one ping interval.

mod cells;
pub mod search;

use std::collections::HashMap;

use hexcab_types::{Cell, DriverId, Point, ProductId, Timestamp};
use parking_lot::Mutex;

use self::cells::CityCells;
use super::{COUNT_RESOLUTION, INDEX_RESOLUTION, KEEP_S, Sighting, Status};

/// Shards of the map of drivers: well above the number of threads that report at once.
const DRIVER_SHARDS: usize = 64;

/// What became of a sighting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was the newest of its driver.
    Accepted,
    /// Something as new or newer was known, or it is older than anything that is kept.
    Stale,
}

/// A city by its place in the list of cities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CityNumber(usize);

/// Where a driver's sighting is to be found.
#[derive(Debug, Clone, Copy)]
struct Whereabouts {
    city: CityNumber,
    cell: Cell,
    recorded_ms: i64,
}

type Drivers = HashMap<DriverId, Whereabouts>;

/// The newest sighting of every driver.
pub struct FleetIndex {
    cities: Vec<CityCells>,
    drivers: Vec<Mutex<Drivers>>,
}

impl FleetIndex {
    /// An empty index of these cities, each with its name and products.
    pub fn new(cities: impl IntoIterator<Item = (String, Vec<ProductId>)>) -> Self {
        Self {
            cities: cities
                .into_iter()
                .map(|(id, products)| CityCells::new(id, products))
                .collect(),
            drivers: (0..DRIVER_SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// The city of this id.
    pub fn city(&self, id: &str) -> Option<CityNumber> {
        self.cities
            .iter()
            .position(|city| city.id() == id)
            .map(CityNumber)
    }

    /// All cities.
    pub fn cities(&self) -> impl Iterator<Item = (CityNumber, &str)> {
        self.cities
            .iter()
            .enumerate()
            .map(|(number, city)| (CityNumber(number), city.id()))
    }

    /// What a city sells.
    pub fn products(&self, city: CityNumber) -> &[ProductId] {
        self.cells(city).products()
    }

    /// The id of a city.
    pub fn city_id(&self, city: CityNumber) -> &str {
        self.cells(city).id()
    }

    /// Takes a sighting in.
    pub fn report(&self, city: CityNumber, seen: Sighting, now: Timestamp) -> Verdict {
        if seen.recorded_ms < oldest_kept_ms(now) {
            return Verdict::Stale;
        }
        let cell = index_cell(seen.point);
        let to = Whereabouts {
            city,
            cell,
            recorded_ms: seen.recorded_ms,
        };
        let mut drivers = self.shard(seen.driver).lock();
        let from = drivers.get(&seen.driver).copied();
        if from.is_some_and(|from| from.recorded_ms >= seen.recorded_ms) {
            return Verdict::Stale;
        }
        // Into the new cell before out of the old one: a search in between finds him twice and keeps the newer.
        self.cells(to.city).put(to.cell, seen);
        if let Some(from) = from
            && (from.city, from.cell) != (to.city, to.cell)
        {
            self.cells(from.city).remove(from.cell, seen.driver);
        }
        drivers.insert(seen.driver, to);
        Verdict::Accepted
    }

    /// The newest sighting of a driver and its city, unless he is forgotten.
    pub fn last_seen(&self, driver: DriverId, now: Timestamp) -> Option<(CityNumber, Sighting)> {
        let drivers = self.shard(driver).lock();
        let at = *drivers.get(&driver)?;
        if at.recorded_ms < oldest_kept_ms(now) {
            return None;
        }
        Some((at.city, self.cells(at.city).get(at.cell, driver)?))
    }

    /// Forgets drivers of whom nothing was heard for [`KEEP_S`]; returns how many.
    pub fn evict_silent(&self, now: Timestamp) -> usize {
        let oldest_ms = oldest_kept_ms(now);
        self.drivers
            .iter()
            .map(|shard| self.evict_from(&mut shard.lock(), oldest_ms))
            .sum()
    }

    fn evict_from(&self, drivers: &mut Drivers, oldest_ms: i64) -> usize {
        let before = drivers.len();
        drivers.retain(|driver, at| {
            let keep = at.recorded_ms >= oldest_ms;
            if !keep {
                self.cells(at.city).remove(at.cell, *driver);
            }
            keep
        });
        before - drivers.len()
    }

    /// Available drivers per r8 cell that were seen within `max_age_ms`, by cell. A cell's drivers are those of its r9
    /// children: at its border that differs from the r8 cell of their positions by up to a child's width.
    pub fn count_available(
        &self,
        city: CityNumber,
        max_age_ms: i64,
        now: Timestamp,
    ) -> Vec<(Cell, u32)> {
        let mut counts: HashMap<Cell, u32> = HashMap::new();
        self.cells(city).for_each(|cell, seen| {
            if seen.status == Status::Available
                && seen.age_ms(now) <= max_age_ms
                && let Some(parent) = cell.parent(COUNT_RESOLUTION)
            {
                *counts.entry(parent).or_default() += 1;
            }
        });
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_unstable();
        counts
    }

    /// Drivers in the index, fresh or not.
    pub fn len(&self) -> usize {
        self.drivers.iter().map(|shard| shard.lock().len()).sum()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn cells(&self, city: CityNumber) -> &CityCells {
        &self.cities[city.0]
    }

    fn shard(&self, driver: DriverId) -> &Mutex<Drivers> {
        let bits = driver.uuid().as_u128();
        // Version 7 ids begin with the time and end in chance; both halves, so that any version spreads.
        &self.drivers[((bits ^ (bits >> 64)) % DRIVER_SHARDS as u128) as usize]
    }
}

/// The cell of the index that a point is in.
fn index_cell(point: Point) -> Cell {
    point
        .cell(INDEX_RESOLUTION)
        .expect("every point on earth has a cell of every resolution")
}

/// Sightings recorded before this are not kept, milliseconds since 1970.
fn oldest_kept_ms(now: Timestamp) -> i64 {
    now.timestamp_millis() - KEEP_S * 1_000
}

#[cfg(test)]
mod tests;
