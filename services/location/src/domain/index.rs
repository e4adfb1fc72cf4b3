//! The newest sighting of every driver, in memory, by place.
//!
//! - [`records`] a record a driver, read without a lock; [`roster`] whose is which
//! - [`lattice`] and [`sphere`] squares and distances; [`tiles`] who is in which square
//! - [`intake`] a batch of sightings → records and tiles; [`search`] who is near a point
//! - [`area`] who is in an H3 cell
//! - [`homes`] the H3 cell of a driver, asked only when he left the inscribed circle of his last; [`census`] drivers per cell
//!
//! Invariants:
//! - newest `recorded_ms` wins; an equal or older one changes nothing;
//! - a driver is in exactly one bucket of one city whenever no report of his is being taken in; while one is, he may stand
//!   in his old and his new bucket, never in none;
//! - there is no lock over the whole. Whoever takes a sighting in holds its driver's shard, within it the directory of a
//!   city's blocks (for reading), and within that one tile at a time; a search holds a directory and one tile at a time.
//!   So nobody can wait in a circle.
//!
//! Does not: read the clock, keep anything on disk. What keeps it ([`crate::store`]) reads [`FleetIndex::take_changes`]: who
//! changed since the last time, each driver once.

mod area;
pub mod census;
mod homes;
pub mod intake;
mod lattice;
mod records;
mod roster;
pub mod search;
mod sphere;
mod tiles;

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU32, Ordering},
};

use hexcab_types::{DriverId, ProductId, Timestamp};
use parking_lot::Mutex;

pub use self::{area::Found, records::DRIVERS_MAX};
use self::{
    homes::Homes,
    records::{Records, Slot},
    roster::{Hash, Roster},
    tiles::City,
};
use super::{KEEP_S, Sighting, Track};

/// Shards of the drivers: well above the number of threads that take pings at once, and few enough that a batch of 1,000
/// has some thirty in each.
pub const SHARDS: usize = 32;

/// Records made usable at once for a shard.
const SLOTS_AT_ONCE: u32 = 64;

/// How long the track of a driver is kept after he was last seen on his way, milliseconds of the city's clock.
const TRACK_KEEP_MS: i64 = 600_000;

/// What became of a sighting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was the newest of its driver.
    Accepted,
    /// Something as new or newer was known, or it is older than anything that is kept.
    Stale,
    /// [`DRIVERS_MAX`] others are known.
    Full,
}

/// A city by its place in the list of cities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CityNumber(u16);

/// The newest sighting of every driver.
pub struct FleetIndex {
    cities: Vec<City>,
    records: Records,
    shards: Vec<Mutex<Shard>>,
    /// Records that were made usable so far.
    made: AtomicU32,
    homes: Homes,
}

/// Some of the drivers.
#[derive(Default)]
struct Shard {
    roster: Roster,
    free: Vec<Slot>,
    /// Who changed since the last flush; each once.
    changed: Vec<Slot>,
    tracks: HashMap<Slot, Track>,
}

impl FleetIndex {
    /// An empty index of these cities, each with its name and products.
    ///
    /// # Panics
    /// When there are more than 65,536 cities.
    pub fn new(cities: impl IntoIterator<Item = (String, Vec<ProductId>)>) -> Self {
        let cities: Vec<City> = cities
            .into_iter()
            .map(|(id, products)| City::new(id, products))
            .collect();
        assert!(cities.len() <= 1 << 16, "a city's number has 16 bits");
        Self {
            cities,
            records: Records::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            made: AtomicU32::new(0),
            homes: Homes::default(),
        }
    }

    /// The city of this id.
    pub fn city(&self, id: &str) -> Option<CityNumber> {
        self.cities()
            .find(|(_, known)| *known == id)
            .map(|(number, _)| number)
    }

    /// All cities.
    pub fn cities(&self) -> impl Iterator<Item = (CityNumber, &str)> {
        (0..)
            .map(CityNumber)
            .zip(self.cities.iter().map(|city| city.id.as_str()))
    }

    /// What a city sells.
    pub fn products(&self, city: CityNumber) -> &[ProductId] {
        &self.place(city).products
    }

    /// The id of a city.
    pub fn city_id(&self, city: CityNumber) -> &str {
        &self.place(city).id
    }

    /// The newest sighting of a driver and its city, unless he is forgotten.
    pub fn last_seen(&self, driver: DriverId, now: Timestamp) -> Option<(CityNumber, Sighting)> {
        let hash = Hash::of(driver);
        let shard = self.shards[hash.shard(SHARDS)].lock();
        let slot = shard.roster.find(hash, driver, &self.records)?;
        let (city, seen) = self.records.get(slot).read()?;
        (seen.recorded_ms >= oldest_kept_ms(now)).then_some((city, seen))
    }

    /// How a driver drove since he last set out, unless that is forgotten.
    pub fn track(&self, driver: DriverId, now: Timestamp) -> Option<Track> {
        let hash = Hash::of(driver);
        let shard = self.shards[hash.shard(SHARDS)].lock();
        let slot = shard.roster.find(hash, driver, &self.records)?;
        let heard_ms = self.records.get(slot).own_facts().0.recorded_ms();
        let track = shard.tracks.get(&slot)?;
        (heard_ms >= oldest_kept_ms(now)).then(|| track.clone())
    }

    /// Forgets drivers of one of the [`SHARDS`] of whom nothing was heard for [`KEEP_S`]; returns how many.
    pub fn evict_silent(&self, shard: usize, now: Timestamp) -> usize {
        let oldest_ms = oldest_kept_ms(now);
        let mut shard = self.shards[shard].lock();
        let silent: Vec<Slot> = shard
            .roster
            .slots()
            .filter(|slot| self.records.get(*slot).own_facts().0.recorded_ms() < oldest_ms)
            .collect();
        for slot in &silent {
            let record = self.records.get(*slot);
            let (_, point) = record.own_facts();
            let blocks = self.place(record.city_relaxed()).blocks();
            let spot = lattice::Spot::from(point);
            if let Some(block) = blocks.get(spot.tile().block()) {
                block.leave(spot, *slot, &self.records);
            }
            shard
                .roster
                .remove(Hash::of(record.driver_relaxed()), *slot);
            record.clear();
            shard.tracks.remove(slot);
            shard.free.push(*slot);
        }
        let oldest_ms = now.timestamp_millis() - TRACK_KEEP_MS;
        shard.tracks.retain(|_, track| track.end_ms() >= oldest_ms);
        silent.len()
    }

    /// Gives back what places need where nobody is any more.
    pub fn tidy(&self) {
        self.cities.iter().for_each(City::drop_empty_blocks);
    }

    /// Shows the newest sighting of each driver of one of the [`SHARDS`] who changed since this was last asked; returns
    /// how many. One who was forgotten meanwhile is left out.
    pub fn take_changes(&self, shard: usize, mut show: impl FnMut(CityNumber, &Sighting)) -> usize {
        let mut changes = 0;
        let mut shard = self.shards[shard].lock();
        for slot in std::mem::take(&mut shard.changed) {
            let record = self.records.get(slot);
            if record.take_changed()
                && let Some((city, seen)) = record.read()
            {
                show(city, &seen);
                changes += 1;
            }
        }
        changes
    }

    /// Has a driver shown by [`Self::take_changes`] once more, as he was not kept.
    pub fn put_back(&self, driver: DriverId) {
        let hash = Hash::of(driver);
        let mut shard = self.shards[hash.shard(SHARDS)].lock();
        let Some(slot) = shard.roster.find(hash, driver, &self.records) else {
            return; // forgotten meanwhile
        };
        if self.records.get(slot).change_again() {
            shard.changed.push(slot);
        }
    }

    /// Drivers in the index, fresh or not.
    pub fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().roster.len())
            .sum()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn place(&self, city: CityNumber) -> &City {
        &self.cities[usize::from(city.0)]
    }

    /// A slot for a new driver of this shard; none when [`DRIVERS_MAX`] are in use.
    fn new_slot(&self, shard: &mut Shard) -> Option<Slot> {
        if shard.free.is_empty() {
            // Made before the number says so: whoever goes through all records goes by it. What is made twice is made once.
            let first = self
                .made
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |made| {
                    let next = made + SLOTS_AT_ONCE;
                    (next as usize <= DRIVERS_MAX).then(|| {
                        self.records.make(made..next);
                        next
                    })
                })
                .ok()?;
            shard
                .free
                .extend((first..first + SLOTS_AT_ONCE).rev().map(Slot));
        }
        shard.free.pop()
    }
}

/// Sightings recorded before this are not kept, milliseconds since 1970.
fn oldest_kept_ms(now: Timestamp) -> i64 {
    now.timestamp_millis() - KEEP_S * 1_000
}

#[cfg(test)]
mod tests;
