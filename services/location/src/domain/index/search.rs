//! Who is near a point: the nearest drivers who fit, by great-circle distance.
//!
//! A search reads all buckets within a circle, at first one in which half as many again as wanted are to be expected.
//! When it held enough who fit, no one outside can be nearer than the farthest of them, or the circle is grown to just that
//! distance; when it did not, it is grown until it does, or is the radius. What was read is not read again.
//!
//! Invariants: no answer older than asked, farther than the radius, excluded, or twice; nearest first; a driver who fits
//! all through the search is never missed, however drivers move meanwhile.

mod best;

use std::cell::RefCell;

use hexcab_types::{DriverId, Point, Timestamp};

use self::best::{Best, Candidate};
use super::{
    CityNumber, FleetIndex,
    lattice::{Area, Spot, TileKey},
    records::{Facts, Slot},
    sphere::{Origin, angle_of, angle_of_m, haversine_of, slackened},
    tiles::{Block, Blocks, Tile},
};
use crate::domain::{ProductNumber, Sighting, Statuses};

/// How often a search reads tiles again because drivers arrived in them, before it answers with what it has.
const SETTLE_PASSES_MAX: usize = 16;
/// Drivers to be expected in the first circle for each who is wanted.
const EXPECTED_EACH: f64 = 1.5;
/// The first circle where hardly anybody is, metres.
const SPARSE_FIRST_M: f64 = 500.0;
/// A circle that held too few grows so many times at least, and at most.
const GROWTH: (f64, f64) = (1.2, 2.0);
/// The first circle where it is very crowded, or the squares are slivers, metres.
const CROWDED_FIRST_M: f64 = 5.0;
/// Blocks of a circle up to which it is looked up what was read of them before; beyond, all is read again.
const REMEMBERED_BLOCKS: usize = 64;
/// The side of a tile, metres of latitude.
const TILE_M: f64 = 364.8;

/// Who is wanted.
#[derive(Debug, Clone, Copy)]
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
    pub statuses: Statuses,
    /// For this product; any when none.
    pub product: Option<ProductNumber>,
    /// None of these; in order.
    pub excluded: &'a [DriverId],
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

/// Room for searches, used again by the next on the same thread.
#[derive(Default)]
struct Room {
    slots: Vec<Slot>,
    best: Best,
}

thread_local! {
    static ROOM: RefCell<Room> = RefCell::default();
}

impl FleetIndex {
    /// The drivers of a city who fit a query, nearest first.
    pub fn nearest(&self, city: CityNumber, query: &Query<'_>, now: Timestamp) -> Vec<Answer> {
        if query.limit == 0 {
            return Vec::new();
        }
        ROOM.with_borrow_mut(|room| {
            room.best.reset(query.limit);
            let blocks = self.place(city).blocks();
            let mut search = Search {
                index: self,
                city,
                blocks: &blocks,
                query,
                origin: Origin::at(query.point),
                oldest_ms: now.timestamp_millis().saturating_sub(query.max_age_ms),
                farthest: slackened(haversine_of(angle_of_m(query.radius_m))),
                slots: &mut room.slots,
                best: &mut room.best,
                read: Vec::new(),
                masks: Vec::new(),
            };
            search.run();
            search.answers(now)
        })
    }
}

struct Search<'a> {
    index: &'a FleetIndex,
    city: CityNumber,
    blocks: &'a Blocks<'a>,
    query: &'a Query<'a>,
    origin: Origin,
    oldest_ms: i64,
    /// The haversine of the radius.
    farthest: f64,
    slots: &'a mut Vec<Slot>,
    best: &'a mut Best,
    /// The tiles that were read, with the arrivals there at that time.
    read: Vec<(TileKey, &'a Tile, u64)>,
    /// The blocks that the last circle reached, with those of their tiles that were read.
    masks: Vec<(&'a Block, u64)>,
}

impl<'a> Search<'a> {
    fn run(&mut self) {
        let radius = angle_of_m(self.query.radius_m);
        let mut angle = self.first_angle().min(radius);
        let mut known = None;
        loop {
            let area = Area::round(self.query.point, angle);
            self.read_area(&area, known.as_ref());
            let needed = self
                .best
                .bound()
                .map_or(angle * self.growth(), |bound| angle_of(slackened(bound)));
            if angle < radius && needed > angle {
                known = Some(area);
                angle = needed.min(radius);
            } else {
                return self.settle(&area);
            }
        }
    }

    /// A circle that is likely to hold enough: by how crowded the tile of the point is.
    fn first_angle(&self) -> f64 {
        let tile = Spot::from(self.query.point).tile();
        let here = self
            .blocks
            .get(tile.block())
            .and_then(|block| block.known(tile));
        let drivers = here.map_or(0, Tile::len) as f64;
        let wanted = self.query.limit as f64 * EXPECTED_EACH;
        let tile_m2 = TILE_M * TILE_M * self.query.point.lat().to_radians().cos();
        let metres = (wanted / drivers.max(0.5) * tile_m2 / std::f64::consts::PI).sqrt();
        angle_of_m(if drivers < 1.0 {
            metres.clamp(CROWDED_FIRST_M, SPARSE_FIRST_M)
        } else {
            metres.max(CROWDED_FIRST_M)
        })
    }

    /// As the first circle: to one in which enough are to be expected, by those who were in the last.
    fn growth(&self) -> f64 {
        let found = self.best.all().len().max(1) as f64;
        let wanted = self.query.limit as f64 * EXPECTED_EACH;
        (wanted / found).sqrt().clamp(GROWTH.0, GROWTH.1)
    }

    fn read_area(&mut self, area: &Area, known: Option<&Area>) {
        let blocks = self.blocks;
        let before = std::mem::take(&mut self.masks);
        blocks.within(area, |block| {
            let occupied = block.occupied_in(area);
            self.masks.push((block, occupied));
            // A tile that nobody was in when the circle before was read has to be read whole.
            let read_before = if before.len() <= REMEMBERED_BLOCKS {
                let remembered = before.iter().find(|(known, _)| std::ptr::eq(*known, block));
                remembered.map_or(0, |(_, bits)| *bits)
            } else {
                0
            };
            block.tiles_of(occupied & read_before, |key, tile| {
                self.read_tile(key, tile, area, known);
            });
            block.tiles_of(occupied & !read_before, |key, tile| {
                self.read_tile(key, tile, area, None);
            });
        });
    }

    fn read_tile(&mut self, key: TileKey, tile: &'a Tile, area: &Area, known: Option<&Area>) {
        self.slots.clear();
        let arrivals = tile.read(key, area, known, self.slots);
        self.read.push((key, tile, arrivals));
        self.weigh();
    }

    /// Reads tiles again where drivers arrived since, or the first did, until there is no such tile: then everyone who was
    /// within the area at that moment has been read. Blocks are none added meanwhile, as their directory is held.
    fn settle(&mut self, area: &Area) {
        for _ in 0..SETTLE_PASSES_MAX {
            let mut changed = false;
            for at in 0..self.masks.len() {
                let (block, known) = self.masks[at];
                let new = block.occupied_in(area) & !known;
                self.masks[at].1 |= new;
                changed |= new != 0;
                block.tiles_of(new, |key, tile| self.read_tile(key, tile, area, None));
            }
            for at in 0..self.read.len() {
                let (key, tile, arrivals) = self.read[at];
                if tile.arrivals() != arrivals {
                    self.slots.clear();
                    self.read[at].2 = tile.read(key, area, None, self.slots);
                    self.weigh();
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }

    /// Takes those of `slots` who fit and are near enough.
    fn weigh(&mut self) {
        let records = &self.index.records;
        let touched = self.slots.iter().map(|slot| records.get(*slot).touch());
        std::hint::black_box(touched.fold(0, u32::wrapping_add));
        for slot in self.slots.iter() {
            let record = self.index.records.get(*slot);
            while let Some(glance) = record.glance() {
                let point = glance.point();
                let haversine = self.origin.haversine(point);
                if !self.fits(glance.facts)
                    || haversine > self.farthest
                    || !self.best.is_wanted(haversine)
                {
                    break;
                }
                let Some((city, driver)) = record.holder(glance) else {
                    continue; // he moved while one looked: once more
                };
                if city == self.city && self.query.excluded.binary_search(&driver).is_err() {
                    self.best.put(Candidate {
                        haversine,
                        slot: *slot,
                        driver,
                        point,
                        facts: glance.facts,
                    });
                }
                break;
            }
        }
    }

    fn fits(&self, facts: Facts) -> bool {
        facts.recorded_ms() >= self.oldest_ms
            && self.query.statuses.holds(facts.status_bits())
            && self
                .query
                .product
                .is_none_or(|product| product == facts.product())
    }

    fn answers(&self, now: Timestamp) -> Vec<Answer> {
        let query = self.query;
        let mut answers: Vec<Answer> = self
            .best
            .all()
            .iter()
            .map(|found| {
                let seen = found.facts.sighting(found.driver, found.point);
                Answer {
                    seen,
                    distance_m: query.point.distance_m(seen.point),
                    age_ms: seen.age_ms(now),
                }
            })
            .filter(|answer| answer.distance_m <= query.radius_m)
            .collect();
        answers.sort_unstable_by(|a, b| {
            a.distance_m
                .total_cmp(&b.distance_m)
                .then_with(|| a.seen.driver.cmp(&b.seen.driver))
        });
        answers.truncate(query.limit);
        answers
    }
}

#[cfg(test)]
mod tests;
