//! Where a driver was at one moment, as kept: small, because there is one for every driver of the fleet.
//! Not kept: speed, and accuracy beyond whether it was good, as nobody asks for them yet.

use hexcab_types::{DriverId, Point, Timestamp};

/// What a driver's app says he is doing. A hint: the trip service decides who is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Waits for an offer.
    Available,
    /// Drives to a pickup.
    EnRoute,
    /// Has a rider in the car.
    OnTrip,
    /// Ended his shift.
    Offline,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Available, Self::EnRoute, Self::OnTrip, Self::Offline];

    /// Its number, below 4.
    pub const fn bits(self) -> u8 {
        match self {
            Self::Available => 0,
            Self::EnRoute => 1,
            Self::OnTrip => 2,
            Self::Offline => 3,
        }
    }

    /// The status of a number; of its last two bits.
    pub const fn from_bits(bits: u8) -> Self {
        Self::ALL[(bits & 3) as usize]
    }
}

/// Some of the statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statuses(u8);

impl Statuses {
    /// Whether none is among them.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the status of this number is among them.
    pub const fn holds(self, bits: u8) -> bool {
        self.0 & (1 << bits) != 0
    }
}

impl FromIterator<Status> for Statuses {
    fn from_iter<I: IntoIterator<Item = Status>>(statuses: I) -> Self {
        let mut all = Self::default();
        for status in statuses {
            all.0 |= 1 << status.bits();
        }
        all
    }
}

/// A product by its place in the city's list of products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProductNumber(pub u8);

/// Where a driver was at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// Who.
    pub driver: DriverId,
    /// Where.
    pub point: Point,
    /// When, milliseconds since 1970 of the city's clock.
    pub recorded_ms: i64,
    /// Doing what.
    pub status: Status,
    /// For which product.
    pub product: ProductNumber,
    /// Heading where, degrees clockwise from north, below 360.
    pub heading_deg: u16,
    /// Whether the position is worse than [`super::ACCURATE_M`].
    pub inaccurate: bool,
}

impl Sighting {
    /// How old it is, milliseconds; never negative.
    pub fn age_ms(&self, now: Timestamp) -> i64 {
        now.timestamp_millis()
            .saturating_sub(self.recorded_ms)
            .max(0)
    }
}
