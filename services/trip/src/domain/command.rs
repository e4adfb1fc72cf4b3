//! What may be asked of a trip that exists. (The request that makes one is [`super::request`].)

use hexcab_types::{DecisionId, DriverId, OperatorId, Point, RiderId};

use super::StartCode;

/// One order to one trip. Who gives it is part of it: whether he may is decided with the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Dispatch asks one driver.
    Offer(OfferTo),
    /// The driver takes it.
    Accept(OfferRef),
    /// The driver refuses.
    Decline(OfferRef),
    /// The deadline of this offer passed.
    ExpireOffer {
        /// Number of the offer.
        epoch: i32,
    },
    /// The search took too long.
    ExpireRequest,
    /// The time of a booked trip has come.
    Activate,
    /// The driver who accepted this offer did not reach the pickup in his time.
    Stall {
        /// Number of the offer.
        epoch: i32,
    },
    /// The driver is at the pickup.
    Arrive {
        /// Who says so.
        driver: DriverId,
        /// Where he is.
        position: Point,
    },
    /// The rider is in the car and told his code.
    Start {
        /// Who says so.
        driver: DriverId,
        /// What he was told.
        code: StartCode,
    },
    /// The rider is there.
    Complete {
        /// Who says so.
        driver: DriverId,
    },
    /// The driver waited at the pickup and nobody came.
    NoShow {
        /// Who says so.
        driver: DriverId,
    },
    /// Called off before the start.
    Cancel(Canceller),
    /// The driver gives it back before the start.
    Release {
        /// Who.
        driver: DriverId,
    },
    /// An operator takes it from its driver and has another looked for.
    Reassign {
        /// Who.
        operator: OperatorId,
        /// Why, for the record.
        note: String,
    },
    /// An operator ends it.
    ForceEnd {
        /// Who.
        operator: OperatorId,
        /// Why, for the record.
        note: String,
    },
}

impl Command {
    /// Its name, for logs and drawings.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Offer(_) => "offer",
            Self::Accept(_) => "accept",
            Self::Decline(_) => "decline",
            Self::ExpireOffer { .. } => "expire offer",
            Self::ExpireRequest => "expire request",
            Self::Activate => "activate",
            Self::Stall { .. } => "stall",
            Self::Arrive { .. } => "arrive",
            Self::Start { .. } => "start",
            Self::Complete { .. } => "complete",
            Self::NoShow { .. } => "report no-show",
            Self::Cancel(_) => "cancel",
            Self::Release { .. } => "release",
            Self::Reassign { .. } => "reassign",
            Self::ForceEnd { .. } => "force end",
        }
    }
}

/// Whom dispatch wants to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferTo {
    /// Who is asked.
    pub driver: DriverId,
    /// The version that dispatch saw, when it insists on it.
    pub version: Option<i64>,
    /// The decision behind it.
    pub decision: Option<DecisionId>,
    /// Road ETA to the pickup, seconds.
    pub pickup_eta_s: i32,
    /// Great-circle distance to the pickup, metres.
    pub pickup_distance_m: i32,
}

/// An offer as its driver knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferRef {
    /// Who answers.
    pub driver: DriverId,
    /// Which offer.
    pub epoch: i32,
}

/// Who calls a trip off, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canceller {
    /// Its rider.
    Rider {
        /// Who says he is.
        rider: RiderId,
        /// Why.
        reason: RiderReason,
    },
    /// Payment: the processor refused the hold.
    PaymentDeclined,
    /// The sweeper: the time of a booked trip came while its rider was on another.
    RiderBusy,
}

/// Why a rider calls a trip off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RiderReason {
    /// He no longer wants the ride.
    ChangedMind,
    /// He would not wait longer.
    WaitedTooLong,
}
