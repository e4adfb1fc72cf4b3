//! In which of the store's cells the drivers may be kept who are in a circle, in a cell of a map, in a city.
//!
//! Invariant: no cell too few; some too many are read for nothing. Does not: read.

use std::sync::Arc;

use h3o::Resolution;
use hexcab_cities::Area;
use hexcab_types::{Cell, Point};
use parking_lot::Mutex;

use super::{
    Circle,
    cql::{RESOLUTION, cell_of},
};

/// The shortest edge of an r7 cell anywhere, metres; 1,406 on average.
const EDGE_MIN_M: f64 = 1_000.0;
/// Cells beyond which a circle is read only in its middle.
const DISK_MAX: u32 = 8;
/// Disks that are remembered.
const DISKS_MAX: usize = 10_000;
/// Between two points of an area whose cells are looked up: less than a cell is wide. Degrees of latitude; 900 m.
const GRID_DEG: f64 = 0.008;

type Disks = std::collections::HashMap<(Cell, u32), Arc<[Cell]>>;

/// Which cells circles reach, remembered by the cell in the middle and how many rings.
#[derive(Default)]
pub struct Places(Mutex<Disks>);

impl Places {
    /// The cells that a circle reaches.
    pub fn of_circle(&self, circle: &Circle) -> Arc<[Cell]> {
        let key = (cell_of(circle.point), rings(circle.radius_m).min(DISK_MAX));
        let mut disks = self.0.lock();
        if disks.len() >= DISKS_MAX {
            disks.clear();
        }
        let disk = disks
            .entry(key)
            .or_insert_with(|| key.0.disk(key.1).collect());
        disk.clone()
    }
}

/// The middles of cells `n` rings apart are 1.5 `n` edges apart at least, and nobody in a cell is farther than an edge from
/// its middle, but for distortion, which the shortest edge allows for.
fn rings(radius_m: f64) -> u32 {
    ((radius_m / EDGE_MIN_M + 2.0) / 1.5) as u32
}

/// Where drivers of these cells may be kept: a cell and its parents and children do not cover quite the same ground, so
/// those round them are among them.
pub fn of_cells(cells: &[Cell]) -> Vec<Cell> {
    let own = cells.iter().flat_map(|cell| match cell.parent(RESOLUTION) {
        Some(parent) => vec![parent],
        None => {
            let resolution = Resolution::try_from(RESOLUTION).expect("a resolution of H3");
            cell.h3().children(resolution).map(Cell::from).collect()
        }
    });
    with_neighbours(own)
}

/// Where drivers of this area may be kept, and those just outside of it.
pub fn of_area(area: &Area) -> Vec<Cell> {
    let steps = |from: f64, to: f64, step: f64| {
        let count = ((to - from) / step).ceil().max(0.0) as u32;
        (0..=count).map(move |number| (from + f64::from(number) * step).min(to))
    };
    let points = steps(area.south, area.north, GRID_DEG).flat_map(|lat| {
        let step = GRID_DEG / lat.to_radians().cos().max(0.05);
        steps(area.west, area.east, step).filter_map(move |lon| Point::from_degrees(lat, lon).ok())
    });
    with_neighbours(points.map(cell_of))
}

fn with_neighbours(cells: impl Iterator<Item = Cell>) -> Vec<Cell> {
    let mut own: Vec<Cell> = cells.collect();
    own.sort_unstable();
    own.dedup();
    let mut all: Vec<Cell> = own.iter().flat_map(|cell| cell.disk(1)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn anywhere(chance: &mut ChaCha8Rng) -> Point {
        let lat: f64 = chance.random_range(-1.0..1.0_f64).asin().to_degrees();
        Point::from_degrees(lat.clamp(-85.0, 85.0), chance.random_range(-179.0..179.0)).unwrap()
    }

    #[test]
    fn a_circle_reaches_no_cell_that_is_not_read() {
        let mut chance = ChaCha8Rng::seed_from_u64(11);
        for _ in 0..20_000 {
            let middle = anywhere(&mut chance);
            let radius_m: f64 = chance.random_range(10.0..9_000.0);
            let (sin, cos) = chance.random_range(0.0..std::f64::consts::TAU).sin_cos();
            let degree_m = 111_195.0;
            let lon_m = degree_m * middle.lat().to_radians().cos();
            let Ok(other) = Point::from_degrees(
                middle.lat() + radius_m * 0.999 * cos / degree_m,
                middle.lon() + radius_m * 0.999 * sin / lon_m,
            ) else {
                continue;
            };
            let disk: Vec<Cell> = cell_of(middle).disk(rings(radius_m)).collect();
            assert!(
                disk.contains(&cell_of(other)),
                "{middle:?} {other:?} {radius_m}"
            );
        }
    }

    #[test]
    fn whoever_is_in_a_cell_of_a_map_is_kept_in_a_cell_that_is_read() {
        let mut chance = ChaCha8Rng::seed_from_u64(12);
        for _ in 0..20_000 {
            let point = anywhere(&mut chance);
            // As the index counts him: by his r9 cell and its parents.
            let home = point.cell(9).unwrap();
            let wanted = home.parent(chance.random_range(6..=9)).unwrap();
            assert!(of_cells(&[wanted]).contains(&cell_of(point)), "{point:?}");
        }
    }

    #[test]
    fn whoever_is_in_a_city_is_kept_in_a_cell_that_is_read() {
        let mut chance = ChaCha8Rng::seed_from_u64(13);
        for _ in 0..20 {
            let corner = anywhere(&mut chance);
            let area = Area {
                south: corner.lat(),
                west: corner.lon(),
                north: corner.lat() + chance.random_range(0.01..0.2),
                east: corner.lon() + chance.random_range(0.01..0.2),
            };
            let read = of_area(&area);
            for _ in 0..500 {
                let lat = chance.random_range(area.south..area.north);
                let lon = chance.random_range(area.west..area.east);
                let point = Point::from_degrees(lat, lon).unwrap();
                assert!(read.contains(&cell_of(point)), "{point:?} {area:?}");
            }
        }
    }
}
