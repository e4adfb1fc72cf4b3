//! A trip as dispatch sees it: which version, and what that means for who waits and who is busy.

use std::collections::BTreeSet;

use hexcab_types::{DriverId, Point, ProductId, Timestamp, TripId};

/// One version of a trip.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The trip.
    pub trip: TripId,
    /// Number of its last event.
    pub version: i64,
    /// When that happened, city clock.
    pub changed_at: Timestamp,
    /// What it is to dispatch.
    pub standing: Standing,
}

/// What a trip is to dispatch.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// It waits for a driver.
    Open(Request),
    /// A driver is being asked.
    Offered(DriverId),
    /// A driver is on it.
    Driven(DriverId),
    /// It is over, or booked and not yet looked for.
    Ended,
}

/// A trip that waits for a driver.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The trip.
    pub trip: TripId,
    /// Its version, which an offer must still find.
    pub version: i64,
    /// What kind of ride.
    pub product: ProductId,
    /// Where the rider is.
    pub pickup: Point,
    /// When he asked, city clock.
    pub created_at: Timestamp,
    /// When the search ends, city clock.
    pub expires_at: Timestamp,
    /// Drivers who must not be offered it again (I8).
    pub excluded: BTreeSet<DriverId>,
    /// The ride's trace: the context of the event that opened the request, else the trip's own.
    pub context: Option<String>,
}
