//! What happened to a trip. Each event carries what the state after it needs, so that applying it cannot fail.

use hexcab_types::{DriverId, Timestamp};

use super::{Acceptance, Arrival, Cancellation, Offer, Progress, Ride};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The trip was ordered; always the first.
    Requested {
        /// Last instant of the search.
        request_expires_at: Timestamp,
    },
    /// A driver is asked.
    OfferMade(Offer),
    /// The driver took it.
    OfferAccepted {
        /// Who.
        driver: DriverId,
        /// Which offer.
        epoch: i32,
    },
    /// The driver refused.
    OfferDeclined {
        /// Who.
        driver: DriverId,
        /// Which offer.
        epoch: i32,
    },
    /// The driver did not answer in time.
    OfferExpired {
        /// Who.
        driver: DriverId,
        /// Which offer.
        epoch: i32,
    },
    /// The driver is at the pickup.
    Arrived {
        /// Who had accepted.
        acceptance: Acceptance,
    },
    /// The rider got in.
    Started {
        /// Who had arrived.
        arrival: Arrival,
    },
    /// The rider is there.
    Completed {
        /// The ride as it was.
        ride: Ride,
    },
    /// Called off.
    Cancelled {
        /// By whom, why and at what price.
        cancellation: Cancellation,
        /// How far it had come.
        progress: Progress,
        /// Who was being asked at that moment.
        asked: Option<DriverId>,
    },
    /// The driver gave it back.
    Released {
        /// Who.
        driver: DriverId,
        /// Which offer he had accepted.
        epoch: i32,
        /// The search starts anew: its last instant.
        request_expires_at: Timestamp,
    },
    /// No driver was found in time.
    Expired,
}

impl Event {
    /// The event's name, as in `hexcab.trip.v1.<name>` and in the table of transitions.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Requested { .. } => "TripRequested",
            Self::OfferMade(_) => "OfferMade",
            Self::OfferAccepted { .. } => "OfferAccepted",
            Self::OfferDeclined { .. } => "OfferDeclined",
            Self::OfferExpired { .. } => "OfferExpired",
            Self::Arrived { .. } => "DriverArrived",
            Self::Started { .. } => "TripStarted",
            Self::Completed { .. } => "TripCompleted",
            Self::Cancelled { .. } => "TripCancelled",
            Self::Released { .. } => "TripReleased",
            Self::Expired => "TripExpired",
        }
    }
}
