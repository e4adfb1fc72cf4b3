//! One city's sightings by cell, in shards with a lock each.
//!
//! A search reads one cell after another while drivers move. A driver who moves into a cell already read, out of one
//! not yet read, would be missed; so every shard counts the *arrivals* in it, and a search reads cells of shards whose
//! count has changed once more (see [`super::search`]).

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use hexcab_types::{Cell, DriverId, ProductId};
use parking_lot::RwLock;

use super::Sighting;

/// Shards of a city: a query of some hundred cells touches most of them, a report one or two.
pub(super) const CELL_SHARDS: usize = 128;

/// What a search reads at once.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// One cell.
    Cell(Cell),
    /// All cells of a shard.
    Shard(usize),
}

/// One city's sightings.
pub(super) struct CityCells {
    id: String,
    products: Vec<ProductId>,
    shards: Vec<Shard>,
    occupied: AtomicUsize,
}

#[derive(Default)]
struct Shard {
    cells: RwLock<HashMap<Cell, Vec<Sighting>>>,
    arrivals: AtomicUsize,
}

impl CityCells {
    pub(super) fn new(id: String, products: Vec<ProductId>) -> Self {
        Self {
            id,
            products,
            shards: (0..CELL_SHARDS).map(|_| Shard::default()).collect(),
            occupied: AtomicUsize::new(0),
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn products(&self) -> &[ProductId] {
        &self.products
    }

    /// Cells with somebody in them.
    pub(super) fn occupied(&self) -> usize {
        self.occupied.load(Ordering::Relaxed)
    }

    /// Puts a sighting into a cell, in the place of the driver's former one there.
    pub(super) fn put(&self, cell: Cell, seen: Sighting) {
        let shard = self.shard(cell);
        let mut cells = shard.cells.write();
        let here = cells.entry(cell).or_default();
        if let Some(known) = here.iter_mut().find(|known| known.driver == seen.driver) {
            *known = seen;
            return;
        }
        if here.is_empty() {
            self.occupied.fetch_add(1, Ordering::Relaxed);
        }
        here.push(seen);
        // Under the lock: who reads the cell after this sees the driver, who read it before sees the count change.
        shard.arrivals.fetch_add(1, Ordering::Release);
    }

    /// Takes a driver out of a cell; does nothing when he is not there.
    pub(super) fn remove(&self, cell: Cell, driver: DriverId) {
        let mut cells = self.shard(cell).cells.write();
        let Some(here) = cells.get_mut(&cell) else {
            return;
        };
        here.retain(|seen| seen.driver != driver);
        if here.is_empty() {
            cells.remove(&cell);
            self.occupied.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The sighting of a driver in a cell.
    pub(super) fn get(&self, cell: Cell, driver: DriverId) -> Option<Sighting> {
        let cells = self.shard(cell).cells.read();
        cells
            .get(&cell)?
            .iter()
            .find(|seen| seen.driver == driver)
            .copied()
    }

    /// Shows the sightings of a part; returns the arrivals up to then.
    pub(super) fn read(&self, part: Part, mut show: impl FnMut(&Sighting)) -> usize {
        let shard = self.shard_of(part);
        let cells = shard.cells.read();
        match part {
            Part::Cell(cell) => cells.get(&cell).into_iter().flatten().for_each(&mut show),
            Part::Shard(_) => cells.values().flatten().for_each(&mut show),
        }
        shard.arrivals.load(Ordering::Acquire)
    }

    /// The arrivals in a part so far; at least those, as a cell's are counted with its shard's.
    pub(super) fn arrivals(&self, part: Part) -> usize {
        self.shard_of(part).arrivals.load(Ordering::Acquire)
    }

    /// Parts that make the whole city.
    pub(super) fn all_parts(&self) -> impl Iterator<Item = Part> + use<> {
        (0..CELL_SHARDS).map(Part::Shard)
    }

    /// Shows every sighting of the city with its cell, a shard at a time.
    pub(super) fn for_each(&self, mut show: impl FnMut(Cell, &Sighting)) {
        for shard in &self.shards {
            for (cell, here) in shard.cells.read().iter() {
                here.iter().for_each(|seen| show(*cell, seen));
            }
        }
    }

    fn shard_of(&self, part: Part) -> &Shard {
        match part {
            Part::Cell(cell) => self.shard(cell),
            Part::Shard(number) => &self.shards[number],
        }
    }

    fn shard(&self, cell: Cell) -> &Shard {
        // Neighbours differ in the middle bits of the index (the last ones are all set); a multiplicative hash spreads them.
        let mixed = (cell.to_u64() >> 18).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        &self.shards[(mixed >> 32) as usize % CELL_SHARDS]
    }
}
