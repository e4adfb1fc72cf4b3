//! What changes in some H3 cells: a map's view, told in turns.
//!
//! A turn reads who is in the cells and compares with what was told before. So nothing is queued for a slow reader, pings
//! know nothing of watches, and a driver who pinged ten times in between is told once. A driver is in a cell as
//! [`super::index::FleetIndex`] counts him: by his r9 cell and its parents.
//!
//! Invariant: a driver is told as left only when he is in none of the cells or silent, looked up by name; one who moved
//! between two cells while they were read is not lost.

use std::collections::{HashMap, HashSet};

use hexcab_types::{Cell, DriverId, Timestamp};

use super::{CityNumber, FleetIndex, Sighting, index::Found};

/// A watch over some cells of a city.
pub struct Watch {
    city: CityNumber,
    cells: Vec<Cell>,
    wanted: HashSet<Cell>,
    resolutions: Vec<u8>,
    max_age_ms: i64,
    /// When each driver who was told was seen then.
    told: HashMap<DriverId, i64>,
}

/// What a turn found.
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    /// Who came, moved or changed.
    pub drivers: Vec<Sighting>,
    /// Who is not there any more.
    pub left: Vec<DriverId>,
}

/// A turn under way, taken in steps, so that who looks at a large view does not keep others waiting.
pub struct Turn<'a> {
    watch: &'a mut Watch,
    index: &'a FleetIndex,
    now: Timestamp,
    next_cell: usize,
    found: Found,
    here: HashSet<DriverId>,
    changes: Changes,
}

impl Watch {
    /// Of these cells, of r9 or coarser; who is older than `max_age_ms` has left.
    pub fn new(city: CityNumber, cells: Vec<Cell>, max_age_ms: i64) -> Self {
        let mut resolutions: Vec<u8> = cells.iter().map(|cell| cell.resolution()).collect();
        resolutions.sort_unstable();
        resolutions.dedup();
        Self {
            city,
            wanted: cells.iter().copied().collect(),
            cells,
            resolutions,
            max_age_ms,
            told: HashMap::new(),
        }
    }

    /// Which city.
    pub const fn city(&self) -> CityNumber {
        self.city
    }

    /// Which cells.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Compares with what was told.
    pub fn turn<'a>(&'a mut self, index: &'a FleetIndex, now: Timestamp) -> Turn<'a> {
        Turn {
            watch: self,
            index,
            now,
            next_cell: 0,
            found: Found::default(),
            here: HashSet::new(),
            changes: Changes::default(),
        }
    }

    fn wants(&self, city: CityNumber, seen: &Sighting, home: Cell, now: Timestamp) -> bool {
        city == self.city
            && seen.age_ms(now) <= self.max_age_ms
            && self.resolutions.iter().any(|resolution| {
                home.parent(*resolution)
                    .is_some_and(|cell| self.wanted.contains(&cell))
            })
    }
}

impl Turn<'_> {
    /// Reads some more; false when there is no more.
    pub fn step(&mut self) -> bool {
        if self.found.is_empty() {
            let Some(cell) = self.watch.cells.get(self.next_cell) else {
                return false;
            };
            self.next_cell += 1;
            self.index.find_in(self.watch.city, *cell, &mut self.found);
        }
        let Self {
            watch,
            index,
            now,
            found,
            here,
            changes,
            ..
        } = self;
        index.show_some(found, |city, seen, home| {
            if watch.wants(city, seen, home, *now) && here.insert(seen.driver) {
                tell(watch, seen, changes);
            }
        });
        true
    }

    /// What changed.
    pub fn changes(mut self) -> Changes {
        let absent: Vec<DriverId> = self
            .watch
            .told
            .keys()
            .filter(|driver| !self.here.contains(driver))
            .copied()
            .collect();
        for driver in absent {
            match self.index.whereabouts(driver) {
                Some((city, seen, home)) if self.watch.wants(city, &seen, home, self.now) => {
                    tell(self.watch, &seen, &mut self.changes);
                }
                Some(_) | None => {
                    self.watch.told.remove(&driver);
                    self.changes.left.push(driver);
                }
            }
        }
        self.changes
    }
}

fn tell(watch: &mut Watch, seen: &Sighting, changes: &mut Changes) {
    let told = watch.told.insert(seen.driver, seen.recorded_ms);
    if told != Some(seen.recorded_ms) {
        changes.drivers.push(*seen);
    }
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.drivers.is_empty() && self.left.is_empty()
    }
}

#[cfg(test)]
mod tests;
