//! The same fleet and the same walks for everyone who is measured: clustered as a city is, a random walk of 40 m a ping.
//!
//! Two in five drivers are anywhere in a city of 14 km × 14 km, the others round thirty places, more than half of them
//! round the busiest five: at a million drivers the fullest r9 cell holds some three thousand.

use hexcab_types::{DriverId, Point};
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

/// The middle of the city.
const CENTER: (f64, f64) = (37.76, -122.44);
/// Half the city's side, degrees of latitude.
const HALF_SIDE: f64 = 0.063;
const PLACES: usize = 30;
/// Metres driven between two pings.
const STEP_M: f64 = 40.0;
const UNITS_PER_M: f64 = 1e7 / 111_195.0;

/// Drivers and where they are.
pub struct Fleet {
    pub drivers: Vec<Driver>,
    next: usize,
    /// When the drivers of this turn of the fleet were seen.
    turn_ms: i64,
    city: City,
    /// Latitude and longitude of a step, by heading in 256ths of a turn.
    steps: Vec<(i32, i32)>,
    chance: ChaCha8Rng,
}

/// A driver on his walk.
#[derive(Clone, Copy)]
pub struct Driver {
    pub id: DriverId,
    pub point: Point,
    heading: u8,
    turns: u32,
}

impl Driver {
    pub fn heading_deg(&self) -> u32 {
        u32::from(self.heading) * 360 / 256
    }
}

/// Where people are.
struct City {
    /// Latitude, longitude, spread in metres, and the share of all up to here.
    places: Vec<(f64, f64, f64, f64)>,
}

impl City {
    fn new(chance: &mut ChaCha8Rng) -> Self {
        let total: f64 = (1..=PLACES).map(|rank| 1.0 / rank as f64).sum();
        let mut share = 0.0;
        let places = (1..=PLACES).map(|rank| {
            share += 1.0 / rank as f64 / total;
            let off = |chance: &mut ChaCha8Rng| chance.random_range(-0.8..0.8) * HALF_SIDE;
            (
                CENTER.0 + off(chance),
                CENTER.1 + off(chance) / CENTER.0.to_radians().cos(),
                chance.random_range(500.0..1_500.0),
                share,
            )
        });
        Self {
            places: places.collect(),
        }
    }

    fn point(&self, chance: &mut ChaCha8Rng) -> Point {
        let cos = CENTER.0.to_radians().cos();
        let (lat, lon) = if chance.random_bool(0.4) {
            (
                CENTER.0 + chance.random_range(-HALF_SIDE..HALF_SIDE),
                CENTER.1 + chance.random_range(-HALF_SIDE..HALF_SIDE) / cos,
            )
        } else {
            let at = chance.random_range(0.0..1.0);
            let place = self.places.iter().find(|place| at <= place.3);
            let (lat, lon, spread_m, _) = *place.unwrap_or(&self.places[0]);
            let (north, east) = normal(chance);
            (
                lat + north * spread_m * UNITS_PER_M / 1e7,
                lon + east * spread_m * UNITS_PER_M / 1e7 / cos,
            )
        };
        Point::from_degrees(lat, lon).expect("the city lies far from the poles")
    }
}

impl Fleet {
    /// So many drivers. The same number makes the same fleet, and the same walks.
    pub fn new(size: usize) -> Self {
        Self::from_number(0, size)
    }

    /// So many others.
    pub fn other(size: usize) -> Self {
        Self::from_number(1 << 32, size)
    }

    fn from_number(first: u64, size: usize) -> Self {
        let mut chance = ChaCha8Rng::seed_from_u64(7);
        let city = City::new(&mut chance);
        let drivers = (first..first + size as u64)
            .map(|number| {
                // As identity makes them: version 7, by time.
                let high =
                    ((0x0190_0000_0000 + number) << 16) | 0x7000 | (chance.next_u64() & 0xFFF);
                let low = (chance.next_u64() >> 2) | (1 << 63);
                Driver {
                    id: DriverId::from(Uuid::from_u64_pair(high, low)),
                    point: city.point(&mut chance),
                    heading: chance.next_u32() as u8,
                    turns: chance.next_u32() | 1,
                }
            })
            .collect();
        let steps = (0..256).map(|heading| {
            let (sin, cos) = (f64::from(heading) / 256.0 * std::f64::consts::TAU).sin_cos();
            let units = STEP_M * UNITS_PER_M;
            let east = sin * units / CENTER.0.to_radians().cos();
            ((cos * units) as i32, east as i32)
        });
        Self {
            drivers,
            next: 0,
            turn_ms: 0,
            city,
            steps: steps.collect(),
            chance,
        }
    }

    /// The next driver in turn, one ping on.
    pub fn ping(&mut self) -> Driver {
        let at = self.next;
        self.next = (at + 1) % self.drivers.len();
        let driver = &mut self.drivers[at];
        // Xorshift: the walk must cost less than what it is for.
        driver.turns ^= driver.turns << 13;
        driver.turns ^= driver.turns >> 17;
        driver.turns ^= driver.turns << 5;
        let turn = (driver.turns % 41) as u8;
        driver.heading = driver.heading.wrapping_add(turn).wrapping_sub(20);
        let (north, east) = self.steps[usize::from(driver.heading)];
        let (lat, lon) = (driver.point.lat_e7() + north, driver.point.lon_e7() + east);
        driver.point = Point::from_e7(lat, lon).expect("the city lies far from the poles");
        *driver
    }

    /// The next driver's ping, and when it is to have been recorded: now, or a millisecond after his last. A small fleet
    /// sends more than one turn a millisecond at times, and a ping as old as the last one would not count.
    pub fn ping_at(&mut self, now_ms: i64) -> (Driver, i64) {
        if self.next == 0 {
            self.turn_ms = now_ms.max(self.turn_ms + 1);
        }
        (self.ping(), self.turn_ms)
    }

    /// A place where somebody may ask for a ride: as the drivers are.
    pub fn rider(&mut self) -> Point {
        self.city.point(&mut self.chance)
    }
}

/// Two numbers of the standard normal distribution.
fn normal(chance: &mut ChaCha8Rng) -> (f64, f64) {
    let radius = (-2.0 * (1.0 - chance.random_range(0.0..1.0_f64)).ln()).sqrt();
    let (sin, cos) = chance.random_range(0.0..std::f64::consts::TAU).sin_cos();
    (radius * cos, radius * sin)
}
