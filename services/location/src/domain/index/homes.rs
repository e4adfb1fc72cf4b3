//! The H3 cell that a driver is in, without asking H3 each time: a point within the inscribed circle of the cell where its
//! driver was last is in that cell still. Three in four are; asking H3 takes 400 ns, this 10.
//!
//! It is asked by those who count or keep drivers by cell, once a driver and turn however often he pinged meanwhile, not
//! by each ping. Bounded: beyond [`HOMES_MAX`] cells nothing is remembered, and H3 is asked.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU32, Ordering},
};

use hexcab_types::{Cell, Point};
use parking_lot::RwLock;

use super::sphere::{Origin, haversine_of};
use crate::domain::HOME_RESOLUTION;

/// Cells that are remembered: 27,000 km² of r9 cells, some large cities.
const HOMES_MAX: usize = 1 << 18;

/// Off the inscribed circle, for what rounding to 1e-7 degrees may do: 2 cm as an angle.
const ROUNDING: f64 = 0.02 / hexcab_types::EARTH_RADIUS_M;

/// The cells that drivers were found in.
#[derive(Default)]
pub struct Homes(RwLock<Book>);

#[derive(Default)]
struct Book {
    cells: Vec<Home>,
    numbers: HashMap<Cell, u32>,
}

struct Home {
    cell: Cell,
    center: Origin,
    /// The haversine of the inscribed circle's radius.
    inside: f64,
}

impl Homes {
    /// The cell of a point whose driver was last in the cell that `hint` knows; the hint is kept up.
    pub fn cell_of(&self, point: Point, hint: &AtomicU32) -> Cell {
        let number = hint.load(Ordering::Relaxed);
        if number != 0 {
            let book = self.0.read();
            let home = &book.cells[number as usize - 1];
            if home.center.haversine(point) <= home.inside {
                return home.cell;
            }
        }
        let cell = point
            .cell(HOME_RESOLUTION)
            .expect("every point on earth has a cell of every resolution");
        hint.store(self.number_of(cell), Ordering::Relaxed);
        cell
    }

    /// Counted from 1; 0 when the book is full.
    fn number_of(&self, cell: Cell) -> u32 {
        if let Some(number) = self.0.read().numbers.get(&cell) {
            return *number;
        }
        let home = Home {
            cell,
            center: Origin::at(cell.center()),
            inside: haversine_of(inscribed(cell)),
        };
        let mut book = self.0.write();
        if let Some(number) = book.numbers.get(&cell) {
            return *number;
        }
        if book.cells.len() >= HOMES_MAX {
            return 0;
        }
        book.cells.push(home);
        let number = book.cells.len() as u32;
        book.numbers.insert(cell, number);
        number
    }
}

/// The radius of the circle about a cell's centre that lies within the cell, as an angle: in the plane that touches the
/// sphere there, great circles are straight lines, and so are the cell's edges.
fn inscribed(cell: Cell) -> f64 {
    let center = unit(h3o::LatLng::from(cell.h3()));
    let corners: Vec<[f64; 3]> = cell
        .h3()
        .boundary()
        .iter()
        .map(|corner| {
            let corner = unit(*corner);
            let scale = dot(corner, center);
            std::array::from_fn(|axis| corner[axis] / scale - center[axis])
        })
        .collect();
    let next = corners.iter().cycle().skip(1);
    let nearest = corners
        .iter()
        .zip(next)
        .map(|(a, b)| to_segment(*a, *b))
        .fold(f64::INFINITY, f64::min);
    (nearest.atan() - ROUNDING).max(0.0)
}

fn unit(point: h3o::LatLng) -> [f64; 3] {
    let (sin_lat, cos_lat) = point.lat_radians().sin_cos();
    let (sin_lon, cos_lon) = point.lng_radians().sin_cos();
    [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat]
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The distance of the origin from the segment between two points.
fn to_segment(a: [f64; 3], b: [f64; 3]) -> f64 {
    let along: [f64; 3] = std::array::from_fn(|axis| b[axis] - a[axis]);
    let fraction = (-dot(a, along) / dot(along, along)).clamp(0.0, 1.0);
    let nearest: [f64; 3] = std::array::from_fn(|axis| a[axis] + along[axis] * fraction);
    dot(nearest, nearest).sqrt()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Walks of 40 m a step from all over the earth, the twelve pentagons and the poles included.
    #[test]
    fn a_remembered_cell_is_never_the_wrong_one() {
        let mut chance = ChaCha8Rng::seed_from_u64(7);
        let homes = Homes::default();
        let pentagons = (0_u64..122)
            .map(|base| Cell::from_u64(0x0800_1fff_ffff_ffff | (base << 45)).unwrap())
            .filter(|cell| cell.h3().is_pentagon())
            .map(Cell::center);
        let corners = [(90.0, 0.0), (-90.0, 0.0), (0.0, 180.0), (52.0, -180.0)]
            .map(|(lat, lon)| Point::from_degrees(lat, lon).unwrap());
        let mut starts: Vec<Point> = pentagons.chain(corners).collect();
        for _ in 0..200 {
            let lat = chance.random_range(-1.0..1.0_f64).asin().to_degrees();
            starts.push(Point::from_degrees(lat, chance.random_range(-180.0..180.0)).unwrap());
        }
        let mut remembered = 0;
        for start in starts {
            let (mut at, hint) = (start, AtomicU32::new(0));
            for _ in 0..100 {
                let known = hint.load(Ordering::Relaxed);
                assert_eq!(
                    homes.cell_of(at, &hint),
                    at.cell(HOME_RESOLUTION).unwrap(),
                    "{at:?}"
                );
                remembered += u32::from(known != 0 && known == hint.load(Ordering::Relaxed));
                let step =
                    |of: i32, chance: &mut ChaCha8Rng| of + chance.random_range(-5_000..=5_000);
                let lat = step(at.lat_e7(), &mut chance).clamp(-900_000_000, 900_000_000);
                let lon = i64::from(at.lon_e7()) + i64::from(chance.random_range(-5_000..=5_000));
                let lon = (lon + 1_800_000_000).rem_euclid(3_600_000_000) - 1_800_000_000;
                at = Point::from_e7(lat, lon as i32).unwrap();
            }
        }
        assert!(remembered > 10_000, "mostly without asking: {remembered}");
    }
}
