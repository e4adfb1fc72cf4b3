//! Who is near a point: the nearest sightings that fit, by great-circle distance.
//!
//! Rings of cells are not circles: after ring `k` a driver found there may be farther than one in ring `k + 1`. So a
//! search goes on until as many drivers as asked for are nearer than anything outside the rings can be
//! ([`covered_m`]), or until the rings cover the radius.
//!
//! Invariants: no answer older than asked, farther than the radius, excluded, or twice; nearest first; a driver who fits
//! all through the search is never missed, however drivers move meanwhile.

use std::collections::{HashMap, HashSet};

use hexcab_types::{Cell, DriverId, Point, Timestamp};

use super::{
    CityNumber, FleetIndex,
    cells::{CELL_SHARDS, CityCells, Part},
    index_cell,
};
use crate::domain::{ProductNumber, Sighting, Status};

/// How often a search reads cells again because drivers arrived in them, before it answers with what it has.
const SETTLE_PASSES_MAX: usize = 16;

/// The part of the flat-lattice distance that is relied upon: cells shrink along the rings, and most of all towards the
/// twelve pentagons. `nothing_outside_the_rings_is_nearer_than_covered` samples the globe for it.
const LATTICE_SAFETY: f64 = 0.8;

/// Who is wanted.
#[derive(Debug, Clone)]
pub struct Query<'a> {
    /// Near here.
    pub point: Point,
    /// Not farther, metres.
    pub radius_m: f64,
    /// Not more.
    pub limit: usize,
    /// Not seen longer ago, milliseconds.
    pub max_age_ms: i64,
    /// Doing one of these.
    pub statuses: &'a [Status],
    /// For this product; any when none.
    pub product: Option<ProductNumber>,
    /// None of these.
    pub excluded: &'a HashSet<DriverId>,
}

/// A driver near a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// His newest sighting.
    pub seen: Sighting,
    /// Great circle, metres.
    pub distance_m: f64,
    /// Since it was recorded, milliseconds.
    pub age_ms: i64,
}

impl FleetIndex {
    /// The drivers of a city who fit a query, nearest first.
    pub fn nearest(&self, city: CityNumber, query: &Query<'_>, now: Timestamp) -> Vec<Answer> {
        let cells = self.cells(city);
        let origin = index_cell(query.point);
        let edge_m = narrowest_edge_m(origin);
        let mut search = Search {
            cells,
            query,
            now,
            found: HashMap::new(),
            read: Vec::new(),
        };
        for ring in 0.. {
            // More cells than are occupied: reading everything is less work, and what a lone driver far away needs.
            if cells_within(ring) > cells.occupied() + CELL_SHARDS {
                cells.all_parts().for_each(|part| search.read(part));
                search.settle();
                break;
            }
            ring_of(origin, ring)
                .into_iter()
                .for_each(|cell| search.read(Part::Cell(cell)));
            let covered_m = covered_m(ring, edge_m);
            if search.is_done(covered_m) {
                search.settle();
                if search.is_done(covered_m) {
                    break;
                }
            }
        }
        search.answers()
    }
}

struct Search<'a> {
    cells: &'a CityCells,
    query: &'a Query<'a>,
    now: Timestamp,
    found: HashMap<DriverId, Answer>,
    /// What was read, with the arrivals there at that time.
    read: Vec<(Part, usize)>,
}

impl Search<'_> {
    fn read(&mut self, part: Part) {
        let arrivals = self.take_in(part);
        self.read.push((part, arrivals));
    }

    fn take_in(&mut self, part: Part) -> usize {
        let Self {
            cells,
            query,
            now,
            found,
            ..
        } = self;
        cells.read(part, |seen| {
            let fits = query.fits(seen, *now);
            let known = found.get(&seen.driver);
            if known.is_some_and(|known| known.seen.recorded_ms > seen.recorded_ms) {
                return; // he stands in the cell that he is just leaving
            }
            match fits {
                Some(answer) => {
                    found.insert(seen.driver, answer);
                }
                None if known.is_some() => {
                    found.remove(&seen.driver);
                }
                None => {}
            }
        })
    }

    /// Reads again where drivers arrived since, until there is no such place: then everyone who was in one of the cells
    /// at that moment has been read.
    fn settle(&mut self) {
        for _ in 0..SETTLE_PASSES_MAX {
            let mut read = std::mem::take(&mut self.read);
            let mut changed = false;
            for (part, arrivals) in &mut read {
                if self.cells.arrivals(*part) != *arrivals {
                    *arrivals = self.take_in(*part);
                    changed = true;
                }
            }
            self.read = read;
            if !changed {
                return;
            }
        }
    }

    /// Whether nobody outside of what was read can belong to the answer, when all nearer than `covered_m` was read.
    fn is_done(&self, covered_m: f64) -> bool {
        if covered_m >= self.query.radius_m {
            return true;
        }
        let limit = self.query.limit;
        self.found.len() >= limit
            && self
                .found
                .values()
                .filter(|answer| answer.distance_m <= covered_m)
                .count()
                >= limit
    }

    fn answers(self) -> Vec<Answer> {
        let mut answers: Vec<Answer> = self.found.into_values().collect();
        answers.sort_unstable_by(|a, b| {
            a.distance_m
                .total_cmp(&b.distance_m)
                .then_with(|| a.seen.driver.cmp(&b.seen.driver))
        });
        answers.truncate(self.query.limit);
        answers
    }
}

impl Query<'_> {
    fn fits(&self, seen: &Sighting, now: Timestamp) -> Option<Answer> {
        let age_ms = seen.age_ms(now);
        let wanted = age_ms <= self.max_age_ms
            && self.statuses.contains(&seen.status)
            && self.product.is_none_or(|product| product == seen.product)
            && !self.excluded.contains(&seen.driver);
        if !wanted {
            return None;
        }
        let distance_m = self.point.distance_m(seen.point);
        (distance_m <= self.radius_m).then_some(Answer {
            seen: *seen,
            distance_m,
            age_ms,
        })
    }
}

/// The cells exactly `ring` steps from `origin`.
fn ring_of(origin: Cell, ring: u32) -> Vec<Cell> {
    let origin = origin.h3();
    origin
        .grid_ring_fast(ring)
        .map(|cell| cell.map(Cell::from))
        .collect::<Option<Vec<_>>>()
        .unwrap_or_else(|| {
            // A pentagon is near: the slow way is right everywhere.
            let within = origin.grid_disk_distances_safe(ring);
            within
                .filter(|(_, distance)| *distance == ring)
                .map(|(cell, _)| Cell::from(cell))
                .collect()
        })
}

/// Cells in the rings 0 to `ring`.
const fn cells_within(ring: u32) -> usize {
    let ring = ring as usize;
    1 + 3 * ring * (ring + 1)
}

/// How far from any point of the origin everything has been read once the rings 0 to `ring` have, metres: in a lattice of
/// hexagons with this edge, rows of cells are 1.5 edges apart, and the point may be up to one edge off its cell's centre
/// while the outermost row reaches half an edge beyond its centres.
fn covered_m(ring: u32, edge_m: f64) -> f64 {
    ((1.5 * f64::from(ring) - 0.5) * edge_m * LATTICE_SAFETY).max(0.0)
}

/// The edge of a regular hexagon as narrow as the cells about here, metres.
fn narrowest_edge_m(origin: Cell) -> f64 {
    let center = origin.center();
    let spacing_m = origin
        .disk(1)
        .filter(|cell| *cell != origin)
        .map(|cell| center.distance_m(cell.center()))
        .fold(f64::INFINITY, f64::min);
    spacing_m / 3.0_f64.sqrt()
}

#[cfg(test)]
mod tests;
