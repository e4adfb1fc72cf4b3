//! What happened to a trip. Each event carries what the state after it needs, so that applying it cannot fail.

use hexcab_types::{DriverId, Money, OperatorId, Timestamp};

use super::{Acceptance, Arrival, Cancellation, ExclusionReason, Offer, Progress, Ride};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The trip was ordered for now; then always the first.
    Requested {
        /// Last instant of the search.
        request_expires_at: Timestamp,
    },
    /// The trip was booked ahead; then always the first.
    Scheduled {
        /// Last instant of the search, as it is planned.
        request_expires_at: Timestamp,
    },
    /// The time of a booked trip has come: a driver is looked for.
    Activated {
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
        /// Last instant to reach the pickup.
        stalls_at: Timestamp,
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
        /// From when on nobody has come.
        no_show_from: Timestamp,
    },
    /// The rider got in.
    Started {
        /// Who had arrived.
        arrival: Arrival,
        /// What the waiting cost.
        waiting_fee: Money,
    },
    /// The rider is there.
    Completed {
        /// The ride as it was.
        ride: Ride,
        /// What the rider owes.
        charge: Money,
        /// What the driver is owed of it.
        driver_due: Money,
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
    /// The driver gave it back, or lost it.
    Released {
        /// Who.
        driver: DriverId,
        /// Which offer he had accepted.
        epoch: i32,
        /// By whose word.
        by: ReleasedBy,
        /// The search starts anew: its last instant.
        request_expires_at: Timestamp,
    },
    /// No driver was found in time.
    Expired,
}

/// By whose word a trip was taken from the driver who had accepted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleasedBy {
    /// His own.
    Driver,
    /// The clock's: he did not reach the pickup in his time.
    Stall,
    /// An operator's.
    Operator {
        /// Who.
        operator: OperatorId,
        /// Why, for the record.
        note: String,
    },
}

impl ReleasedBy {
    /// Why the driver is not asked again (I8).
    pub const fn exclusion(&self) -> ExclusionReason {
        match self {
            Self::Driver => ExclusionReason::Released,
            Self::Stall => ExclusionReason::Stalled,
            Self::Operator { .. } => ExclusionReason::Reassigned,
        }
    }
}

impl Event {
    /// The event's name, as in `hexcab.trip.v1.<name>` and in the table of transitions.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Requested { .. } => "TripRequested",
            Self::Scheduled { .. } => "TripScheduled",
            Self::Activated { .. } => "TripActivated",
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
