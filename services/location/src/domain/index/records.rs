//! One record a driver: the newest sighting, in 48 bytes, read without a lock.
//!
//! A record has one writer at a time (who holds its driver's [`super::roster`] shard) and any number of readers, who take
//! what they read only when the record's version was even and the same before and after. Records are kept in chunks that
//! never move; a record's number is its place in them, and is used again when its driver was forgotten.

use std::sync::{
    OnceLock,
    atomic::{AtomicU32, AtomicU64, Ordering, fence},
};

use hexcab_types::{DriverId, Point};
use uuid::Uuid;

use super::{CityNumber, intake::Source};
use crate::domain::{ProductNumber, Sighting, Status};

/// Records in a chunk.
const CHUNK: usize = 4_096;
/// Chunks, at most.
const CHUNKS: usize = 4_096;
/// Looks at a record being written before the thread is given up.
const SPINS: u32 = 64;
/// Drivers that an index can hold.
pub const DRIVERS_MAX: usize = CHUNK * CHUNKS;

/// A record by its place.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot(pub u32);

/// All records.
pub struct Records {
    chunks: Box<[OnceLock<Box<[Record]>>]>,
}

impl Records {
    pub fn new() -> Self {
        Self {
            chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect(),
        }
    }

    /// The record of a slot that was made usable.
    pub fn get(&self, slot: Slot) -> &Record {
        let number = slot.0 as usize;
        let chunk = self.chunks[number / CHUNK]
            .get()
            .expect("a slot is handed out after its chunk was made");
        &chunk[number % CHUNK]
    }

    /// Makes the slots of these numbers usable.
    pub fn make(&self, numbers: std::ops::Range<u32>) {
        for chunk in numbers.start as usize / CHUNK..=(numbers.end as usize - 1) / CHUNK {
            self.chunks[chunk].get_or_init(|| (0..CHUNK).map(|_| Record::default()).collect());
        }
    }
}

/// A driver's newest sighting. Empty when `facts` is 0.
#[derive(Default)]
pub struct Record {
    driver: [AtomicU64; 2],
    position: AtomicU64,
    facts: AtomicU64,
    version: AtomicU32,
    /// The city's number, and above it [`CHANGED`].
    city: AtomicU32,
    home: AtomicU32,
}

/// The bit of [`Record::city`] that says: changed since the last flush, and listed for it.
const CHANGED: u32 = 1 << 31;

/// All of a record but whose it is, read as of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance {
    version: u32,
    position: u64,
    /// When, what, and the rest.
    pub facts: Facts,
}

impl Glance {
    /// Where.
    pub fn point(self) -> Point {
        point_of(self.position)
    }
}

impl Record {
    /// What a search needs first; whether it is right says [`Self::holder`]. None when empty.
    pub fn glance(&self) -> Option<Glance> {
        let version = self.settled();
        let position = self.position.load(Ordering::Relaxed);
        let facts = self.facts.load(Ordering::Relaxed);
        (facts != 0).then_some(Glance {
            version,
            position,
            facts: Facts(facts),
        })
    }

    /// Has the processor fetch it. Many are fetched at once when nothing in between waits for the first.
    pub fn touch(&self) -> u32 {
        self.version.load(Ordering::Relaxed)
    }

    /// The version, when nobody writes.
    fn settled(&self) -> u32 {
        for turn in 0_u32.. {
            let version = self.version.load(Ordering::Acquire);
            if version.is_multiple_of(2) {
                return version;
            }
            // A write takes nanoseconds, unless its thread was stopped in the middle of it.
            if turn % SPINS == SPINS - 1 {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
        unreachable!("a version is even in the end")
    }

    /// Whose it was, and in which city, when it was glanced at; None when it has changed since, or while one looked.
    pub fn holder(&self, glance: Glance) -> Option<(CityNumber, DriverId)> {
        let driver = self.driver_relaxed();
        let city = self.city_relaxed();
        fence(Ordering::Acquire);
        (self.version.load(Ordering::Relaxed) == glance.version).then_some((city, driver))
    }

    /// The whole sighting, and the city; None when empty.
    pub fn read(&self) -> Option<(CityNumber, Sighting)> {
        loop {
            let glance = self.glance()?;
            if let Some((city, driver)) = self.holder(glance) {
                return Some((city, glance.facts.sighting(driver, glance.point())));
            }
        }
    }

    /// As the only writer: the facts, and where; [`Facts::NONE`] when empty.
    pub fn own_facts(&self) -> (Facts, Point) {
        (
            Facts(self.facts.load(Ordering::Relaxed)),
            point_of(self.position.load(Ordering::Relaxed)),
        )
    }

    /// The city, for its only writer.
    pub fn city_relaxed(&self) -> CityNumber {
        CityNumber((self.city.load(Ordering::Relaxed) & !CHANGED) as u16)
    }

    /// The driver, for its only writer.
    pub fn driver_relaxed(&self) -> DriverId {
        let [high, low] = &self.driver;
        DriverId::from(Uuid::from_u64_pair(
            high.load(Ordering::Relaxed),
            low.load(Ordering::Relaxed),
        ))
    }

    /// As the only writer: a newer sighting of whoever it is. Returns whether it is the first change to be kept since
    /// [`Self::take_changed`]; what is known from the store is none.
    pub fn write(&self, city: CityNumber, seen: &Sighting, source: Source) -> bool {
        let version = self.begin();
        let (high, low) = seen.driver.uuid().as_u64_pair();
        self.driver[0].store(high, Ordering::Relaxed);
        self.driver[1].store(low, Ordering::Relaxed);
        self.position.store(bits_of(seen.point), Ordering::Relaxed);
        self.facts.store(Facts::of(seen).0, Ordering::Relaxed);
        let known = self.city.load(Ordering::Relaxed);
        let changed = match source {
            Source::Heard => CHANGED,
            Source::Kept => known & CHANGED,
        };
        self.city
            .store(changed | u32::from(city.0), Ordering::Relaxed);
        self.end(version);
        (known ^ changed) & CHANGED != 0
    }

    /// As the only writer: nobody's any more. One that is listed as changed stays so, whoever has it next.
    pub fn clear(&self) {
        let version = self.begin();
        self.facts.store(0, Ordering::Relaxed);
        let city = self.city.load(Ordering::Relaxed);
        self.city.store(city & CHANGED, Ordering::Relaxed);
        self.home.store(0, Ordering::Relaxed);
        self.end(version);
    }

    /// As the only writer: it is to be kept after all. Returns whether it was not to be before.
    pub fn change_again(&self) -> bool {
        let city = self.city.load(Ordering::Relaxed);
        self.city.store(city | CHANGED, Ordering::Relaxed);
        city & CHANGED == 0
    }

    /// As the only writer: the next change is the first again. Returns whether there was one.
    pub fn take_changed(&self) -> bool {
        let city = self.city.load(Ordering::Relaxed);
        self.city.store(city & !CHANGED, Ordering::Relaxed);
        city & CHANGED != 0
    }

    /// The number of the cell that it was last found in, as [`super::homes`] remembers it; a hint.
    pub fn home(&self) -> &AtomicU32 {
        &self.home
    }

    fn begin(&self) -> u32 {
        let version = self.version.load(Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        version
    }

    fn end(&self, version: u32) {
        self.version
            .store(version.wrapping_add(2), Ordering::Release);
    }
}

fn bits_of(point: Point) -> u64 {
    (u64::from(point.lat_e7() as u32) << 32) | u64::from(point.lon_e7() as u32)
}

fn point_of(bits: u64) -> Point {
    Point::from_e7((bits >> 32) as i32, bits as i32).expect("only points are written")
}

/// When a driver was seen (42 bits of milliseconds since 1970, to the year 2109), his status (2), product (8) and heading
/// (9), and whether his position was inaccurate (1): in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts(u64);

const RECORDED_SHIFT: u32 = 22;
const STATUS_SHIFT: u32 = 20;
const PRODUCT_SHIFT: u32 = 12;
const HEADING_SHIFT: u32 = 3;
const INACCURATE_SHIFT: u32 = 2;
const RECORDED_MAX_MS: i64 = (1 << 42) - 1;

impl Facts {
    fn of(seen: &Sighting) -> Self {
        let recorded = seen.recorded_ms.clamp(1, RECORDED_MAX_MS) as u64;
        Self(
            (recorded << RECORDED_SHIFT)
                | (u64::from(seen.status.bits()) << STATUS_SHIFT)
                | (u64::from(seen.product.0) << PRODUCT_SHIFT)
                | (u64::from(seen.heading_deg & 511) << HEADING_SHIFT)
                | (u64::from(seen.inaccurate) << INACCURATE_SHIFT),
        )
    }

    /// Milliseconds since 1970; 0 when empty.
    pub const fn recorded_ms(self) -> i64 {
        (self.0 >> RECORDED_SHIFT) as i64
    }

    /// The status by its number.
    pub const fn status_bits(self) -> u8 {
        (self.0 >> STATUS_SHIFT) as u8 & 3
    }

    /// The product.
    pub const fn product(self) -> ProductNumber {
        ProductNumber((self.0 >> PRODUCT_SHIFT) as u8)
    }

    /// With the rest, a sighting.
    pub fn sighting(self, driver: DriverId, point: Point) -> Sighting {
        Sighting {
            driver,
            point,
            recorded_ms: self.recorded_ms(),
            status: Status::from_bits(self.status_bits()),
            product: self.product(),
            heading_deg: (self.0 >> HEADING_SHIFT) as u16 & 511,
            inaccurate: (self.0 >> INACCURATE_SHIFT) & 1 == 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_record_reads_as_written(
            id in 1..=u128::MAX, lat in -900_000_000..=900_000_000_i32, lon in -1_800_000_000..=1_800_000_000_i32,
            recorded_ms in 1..=RECORDED_MAX_MS, status in 0..4_u8, product in 0..=u8::MAX, heading_deg in 0..360_u16,
            inaccurate: bool, city in 0..=u16::MAX,
        ) {
            let seen = Sighting {
                driver: DriverId::from(Uuid::from_u128(id)),
                point: Point::from_e7(lat, lon).unwrap(),
                recorded_ms,
                status: Status::from_bits(status),
                product: ProductNumber(product),
                heading_deg,
                inaccurate,
            };
            let record = Record::default();
            prop_assert_eq!(record.read(), None);
            prop_assert!(record.write(CityNumber(city), &seen, Source::Heard));
            prop_assert_eq!(record.read(), Some((CityNumber(city), seen)));
            prop_assert!(!record.write(CityNumber(city), &seen, Source::Heard), "known as changed already");
            prop_assert!(record.take_changed());
            prop_assert!(!record.take_changed());
            prop_assert_eq!(record.read(), Some((CityNumber(city), seen)));
            record.clear();
            prop_assert_eq!(record.read(), None);
        }
    }

    /// One writes pairs that belong together, the others must never see two that do not.
    #[test]
    fn a_reader_never_sees_half_a_sighting() {
        let record = Record::default();
        let seen = |number: u32| Sighting {
            driver: DriverId::from(Uuid::from_u128(u128::from(number))),
            point: Point::from_e7(number as i32, -(number as i32)).unwrap(),
            recorded_ms: i64::from(number),
            status: Status::Available,
            product: ProductNumber(0),
            heading_deg: (number % 360) as u16,
            inaccurate: false,
        };
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for number in 1..200_000 {
                    record.write(
                        CityNumber((number % 7) as u16),
                        &seen(number),
                        Source::Heard,
                    );
                }
            });
            while !writer.is_finished() {
                if let Some((city, read)) = record.read() {
                    let number = read.recorded_ms as u32;
                    assert_eq!((city.0, read), ((number % 7) as u16, seen(number)));
                }
            }
        });
    }
}
