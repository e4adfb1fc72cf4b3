//! The states of a trip. Data lives in the state that has it.
//!
//! Does not: say which state follows which (see `decide`).

use hexcab_types::{DecisionId, DriverId, Money, OperatorId, Timestamp};
use serde::{Deserialize, Serialize};

/// Where a trip is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Booked ahead: nobody is looked for yet.
    Scheduled,
    /// A driver is looked for.
    Requested,
    /// One driver is asked.
    Offered(Offer),
    /// The driver accepted and is on the way.
    EnRoute(Acceptance),
    /// The driver waits at the pickup.
    Arrived(Arrival),
    /// The rider is in the car.
    InProgress(Ride),
    /// Terminal: the rider is there.
    Completed {
        /// The ride as it was.
        ride: Ride,
        /// What the rider owes: the fare and what waiting cost.
        charge: Money,
        /// What the driver is owed of it.
        driver_due: Money,
        /// When it ended.
        at: Timestamp,
    },
    /// Terminal: called off.
    Cancelled {
        /// By whom, why and at what price.
        cancellation: Cancellation,
        /// How far it had come.
        progress: Progress,
        /// When it ended.
        at: Timestamp,
    },
    /// Terminal: no driver was found in time.
    Expired {
        /// When the search was given up.
        at: Timestamp,
    },
}

/// The open offer of a trip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Who is asked.
    pub driver: DriverId,
    /// Number of this offer on its trip, from 1.
    pub epoch: i32,
    /// The deadline told to the driver, city clock.
    pub expires_at: Timestamp,
    /// The decision of dispatch that made it.
    pub decision: Option<DecisionId>,
    /// Road ETA to the pickup, seconds.
    pub pickup_eta_s: i32,
    /// Great-circle distance to the pickup, metres.
    pub pickup_distance_m: i32,
}

/// A driver said yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// Who drives.
    pub driver: DriverId,
    /// Number of the offer that was accepted.
    pub epoch: i32,
    /// When.
    pub at: Timestamp,
    /// Last instant to reach the pickup before the trip is taken from him.
    pub stalls_at: Timestamp,
}

/// The driver is at the pickup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// Who arrived.
    pub acceptance: Acceptance,
    /// When.
    pub at: Timestamp,
    /// From when on he may say that nobody came.
    pub no_show_from: Timestamp,
}

/// The rider is in the car.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ride {
    /// Who picked up.
    pub arrival: Arrival,
    /// When.
    pub at: Timestamp,
    /// What the driver's waiting costs the rider, may be zero.
    pub waiting_fee: Money,
}

/// How far a trip has come with its driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// Nobody has accepted.
    Searching,
    /// A driver is on the way.
    Accepted(Acceptance),
    /// A driver is at the pickup.
    Arrived(Arrival),
    /// The rider is in the car, or was.
    Started(Ride),
}

/// How a trip was called off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancellation {
    /// By whom and why.
    pub by: CancelledBy,
    /// What the rider owes for it, may be zero.
    pub fee: Money,
    /// What the driver is owed of the fee.
    pub driver_due: Money,
}

/// Who called a trip off, each with the reasons that he may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CancelledBy {
    /// The rider no longer wants the ride.
    RiderChangedMind,
    /// The rider would not wait longer.
    RiderWaitedTooLong,
    /// The processor refused the hold.
    PaymentDeclined,
    /// The time of a booked ride came while its rider was on another.
    RiderBusy,
    /// The driver waited and nobody came.
    NoShow,
    /// An operator ended it.
    Operator {
        /// Who.
        operator: OperatorId,
        /// Why, for the record.
        note: String,
    },
}

/// A driver who is not asked again for this trip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exclusion {
    /// Who.
    pub driver: DriverId,
    /// Number of the offer that ended so.
    pub epoch: i32,
    /// Why.
    pub reason: ExclusionReason,
}

/// How an offer ended without a ride.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExclusionReason {
    /// The driver refused.
    Declined,
    /// The deadline passed.
    TimedOut,
    /// The driver accepted and gave the trip back.
    Released,
    /// The driver accepted and did not reach the pickup in his time.
    Stalled,
    /// The driver accepted and an operator took the trip from him.
    Reassigned,
}

impl State {
    /// How far the trip has come with its driver.
    pub fn progress(&self) -> Progress {
        match self {
            Self::Scheduled | Self::Requested | Self::Offered(_) | Self::Expired { .. } => {
                Progress::Searching
            }
            Self::EnRoute(acceptance) => Progress::Accepted(acceptance.clone()),
            Self::Arrived(arrival) => Progress::Arrived(arrival.clone()),
            Self::InProgress(ride) | Self::Completed { ride, .. } => {
                Progress::Started(ride.clone())
            }
            Self::Cancelled { progress, .. } => progress.clone(),
        }
    }

    /// When the trip ended, or none while it is alive.
    pub fn ended_at(&self) -> Option<Timestamp> {
        match self {
            Self::Scheduled
            | Self::Requested
            | Self::Offered(_)
            | Self::EnRoute(_)
            | Self::Arrived(_)
            | Self::InProgress(_) => None,
            Self::Completed { at, .. } | Self::Cancelled { at, .. } | Self::Expired { at } => {
                Some(*at)
            }
        }
    }

    /// The state's name, as columns, spans and people write it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Scheduled => "SCHEDULED",
            Self::Requested => "REQUESTED",
            Self::Offered(_) => "OFFERED",
            Self::EnRoute(_) => "EN_ROUTE",
            Self::Arrived(_) => "ARRIVED",
            Self::InProgress(_) => "IN_PROGRESS",
            Self::Completed { .. } => "COMPLETED",
            Self::Cancelled { .. } => "CANCELLED",
            Self::Expired { .. } => "EXPIRED",
        }
    }
}

impl Progress {
    /// The acceptance that it rests on.
    pub const fn acceptance(&self) -> Option<&Acceptance> {
        match self {
            Self::Searching => None,
            Self::Accepted(acceptance) => Some(acceptance),
            Self::Arrived(arrival) => Some(&arrival.acceptance),
            Self::Started(ride) => Some(&ride.arrival.acceptance),
        }
    }

    /// The arrival that it rests on.
    pub const fn arrival(&self) -> Option<&Arrival> {
        match self {
            Self::Searching | Self::Accepted(_) => None,
            Self::Arrived(arrival) => Some(arrival),
            Self::Started(ride) => Some(&ride.arrival),
        }
    }

    /// The ride that it is.
    pub const fn ride(&self) -> Option<&Ride> {
        match self {
            Self::Searching | Self::Accepted(_) | Self::Arrived(_) => None,
            Self::Started(ride) => Some(ride),
        }
    }
}
