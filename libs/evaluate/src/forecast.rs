//! What is expected of a day, from the days before it and from nothing else.
//!
//! Zones are H3 cells, small ones where many ride and larger ones elsewhere; a zone's place is a junction amid its
//! pickups. Invariants: a forecast knows no ride of the day it is for, or later.

use std::collections::HashMap;

use chrono::{Datelike as _, NaiveDate};
use hexcab_cities::{City, replay::Ride};
use hexcab_matching::reposition::Travel;
use hexcab_types::Cell;

use crate::{
    recording::{Recording, day_of, day_time},
    scene::{Flat, World, apart_m},
};

/// Cells where many ride.
const FINE: u8 = 9;
/// Cells elsewhere.
const COARSE: u8 = 8;
/// Rides a day that make a fine cell a zone of its own.
const OWN_ZONE_RIDES: f64 = 6.0;
/// The day's time is cut into so many bins an hour.
const BINS_PER_HOUR: usize = 4;
const BIN_MS: i64 = 3_600_000 / BINS_PER_HOUR as i64;
/// A bin's rate is drawn from bins so many before and after it, too.
const SMOOTH_BINS: i64 = 3;

/// Why there is no forecast.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForecastError {
    /// A forecast may not look at the day that it is for, or beyond.
    #[error("a forecast for {judged} may not be made from {from}: only from days before")]
    LooksAhead {
        /// The day judged.
        judged: NaiveDate,
        /// The day offered.
        from: NaiveDate,
    },
    /// Nothing was recorded before the day.
    #[error("no rides are recorded before {0}: there is nothing to make a forecast from")]
    NothingBefore(NaiveDate),
}

/// Zones, their drives, and the requests expected in each.
pub struct Forecast {
    /// Driving times between zones.
    pub travel: Travel,
    /// The junction of each zone.
    pub nodes: Vec<u32>,
    /// The zone of each junction.
    pub zone_of_node: Vec<u32>,
    /// Requests a second, bin by bin.
    rates: Vec<Vec<f32>>,
}

impl Forecast {
    /// From the days of `from`, each before the day judged.
    ///
    /// # Errors
    /// When one is not, or none has rides.
    pub fn new(
        world: &World,
        city: &City,
        recording: &Recording,
        judged: NaiveDate,
        from: &[NaiveDate],
    ) -> Result<Self, ForecastError> {
        if let Some(&ahead) = from.iter().find(|&&day| day >= judged) {
            return Err(ForecastError::LooksAhead {
                judged,
                from: ahead,
            });
        }
        let rides: Vec<(NaiveDate, i64, &Ride)> = from
            .iter()
            .filter_map(|&day| Some((day, day_time(city, day)?)))
            .flat_map(|(day, time)| {
                let rides = recording.rides_within(&time).iter();
                rides
                    .filter(|ride| ride.in_graph)
                    .map(move |ride| (day, (ride.pickup_at - time.start).num_milliseconds(), ride))
            })
            .collect();
        if rides.is_empty() {
            return Err(ForecastError::NothingBefore(judged));
        }
        debug_assert!(
            rides
                .iter()
                .all(|(_, _, ride)| day_of(city, ride.pickup_at) < judged)
        );
        let days = from.len() as f64;
        let zones = Zones::of(world, rides.iter().map(|(_, _, ride)| *ride), days);
        let weights: HashMap<NaiveDate, f64> =
            from.iter().map(|&day| (day, alike(judged, day))).collect();
        let total: f64 = weights.values().sum();
        let bins = 24 * BINS_PER_HOUR;
        let mut counts = vec![vec![0.0_f64; zones.nodes.len()]; bins];
        let kernel: f64 = (-SMOOTH_BINS..=SMOOTH_BINS).map(kernel_of).sum();
        for (day, at_ms, ride) in &rides {
            let zone = zones.zone_of(ride);
            let bin = at_ms / BIN_MS;
            for shift in -SMOOTH_BINS..=SMOOTH_BINS {
                let bin = (bin + shift).rem_euclid(bins as i64) as usize;
                counts[bin][zone] += weights[day] * kernel_of(shift) / kernel;
            }
        }
        let per_second = 1_000.0 / (BIN_MS as f64 * total);
        let rates = counts
            .iter()
            .map(|zones| {
                zones
                    .iter()
                    .map(|count| (count * per_second) as f32)
                    .collect()
            })
            .collect();
        Ok(Self {
            travel: zones.travel(world),
            zone_of_node: zones.zone_of_node(world),
            nodes: zones.nodes,
            rates,
        })
    }

    /// The same for a multiple of the demand.
    pub fn times(mut self, demand: f64) -> Self {
        for rate in self.rates.iter_mut().flatten() {
            *rate *= demand as f32;
        }
        self
    }

    /// Requests a second expected in each zone at a time of the day.
    pub fn rates(&self, now_ms: i64) -> &[f32] {
        let bin = (now_ms / BIN_MS).rem_euclid(self.rates.len() as i64);
        &self.rates[bin as usize]
    }
}

/// How much a bin so far away tells about one: less and less, in a triangle.
fn kernel_of(shift: i64) -> f64 {
    1.0 - shift.abs() as f64 / (SMOOTH_BINS + 1) as f64
}

/// How much a day tells about another.
fn alike(judged: NaiveDate, day: NaiveDate) -> f64 {
    let kind = |day: NaiveDate| match day.weekday().num_days_from_monday() {
        0..=3 => 0,
        other => other,
    };
    let (a, b) = (kind(judged), kind(day));
    if judged.weekday() == day.weekday() {
        1.0
    } else if a == b {
        0.7
    } else if a.max(b) == 4 && a.min(b) == 0 {
        0.5
    } else {
        0.1
    }
}

struct Zones {
    of_cell: HashMap<Cell, usize>,
    nodes: Vec<u32>,
}

impl Zones {
    fn of<'a>(world: &World, rides: impl Iterator<Item = &'a Ride> + Clone, days: f64) -> Self {
        let mut fine: HashMap<Cell, usize> = HashMap::new();
        for ride in rides.clone() {
            if let Ok(cell) = ride.pickup.cell(FINE) {
                *fine.entry(cell).or_default() += 1;
            }
        }
        let own = |cell: &Cell| {
            fine.get(cell)
                .is_some_and(|&count| count as f64 >= OWN_ZONE_RIDES * days)
        };
        let mut sums: HashMap<Cell, (f64, f64, f64)> = HashMap::new();
        for ride in rides {
            let Ok(cell) = ride.pickup.cell(FINE) else {
                continue;
            };
            let Some(zone) = (if own(&cell) {
                Some(cell)
            } else {
                cell.parent(COARSE)
            }) else {
                continue;
            };
            let flat = world.flat(ride.pickup);
            let sum = sums.entry(zone).or_default();
            *sum = (
                sum.0 + f64::from(flat[0]),
                sum.1 + f64::from(flat[1]),
                sum.2 + 1.0,
            );
        }
        let mut cells: Vec<_> = sums.into_iter().filter(|(_, sum)| sum.2 >= days).collect();
        cells.sort_by_key(|(cell, _)| *cell);
        let nodes = cells
            .iter()
            .map(|(_, (east, north, count))| {
                nearest_node(world, [(east / count) as f32, (north / count) as f32])
            })
            .collect();
        let mut of_cell: HashMap<Cell, usize> = HashMap::new();
        for (zone, (cell, _)) in cells.iter().enumerate() {
            of_cell.insert(*cell, zone);
        }
        let mut zones = Self { of_cell, nodes };
        // Small cells that are no zones belong to the larger one, where that is a zone, or to the nearest.
        for cell in fine.keys() {
            let zone = zones.of_cell.get(cell).copied();
            let zone = zone.or_else(|| zones.of_cell.get(&cell.parent(COARSE)?).copied());
            let zone = zone.unwrap_or_else(|| zones.nearest(world, world.flat(cell.center())));
            zones.of_cell.insert(*cell, zone);
        }
        zones
    }

    fn zone_of(&self, ride: &Ride) -> usize {
        ride.pickup
            .cell(FINE)
            .ok()
            .and_then(|cell| self.of_cell.get(&cell).copied())
            .unwrap_or(0)
    }

    fn nearest(&self, world: &World, flat: Flat) -> usize {
        let apart = |&node: &u32| apart_m(world.nodes[node as usize], flat);
        let order = self.nodes.iter().map(apart).enumerate();
        order
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map_or(0, |(zone, _)| zone)
    }

    fn zone_of_node(&self, world: &World) -> Vec<u32> {
        let nodes = world.nodes.iter();
        nodes
            .map(|&flat| self.nearest(world, flat) as u32)
            .collect()
    }

    fn travel(&self, world: &World) -> Travel {
        let mut spread = world.spread();
        let mut seconds = Vec::with_capacity(self.nodes.len() * self.nodes.len());
        for &from in &self.nodes {
            spread.away([(from, 0)]);
            for &to in &self.nodes {
                let ms = spread.ms(to);
                seconds.push(if ms == hexcab_road::labels::NO_WAY {
                    f32::INFINITY
                } else {
                    ms as f32 / 1_000.0
                });
            }
        }
        Travel::new(self.nodes.len(), seconds).expect("a row for each zone")
    }
}

fn nearest_node(world: &World, flat: Flat) -> u32 {
    let kerbs = world.graph.nodes().iter().zip(&world.nodes).enumerate();
    kerbs
        .filter(|(_, (node, _))| node.kerb)
        .min_by(|a, b| apart_m(*a.1.1, flat).total_cmp(&apart_m(*b.1.1, flat)))
        .map_or(0, |(node, _)| node as u32)
}
