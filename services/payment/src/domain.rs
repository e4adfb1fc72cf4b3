//! The money of one trip: what an intent is, the states it can be in, and the steps asked of the processor.
//!
//! - [`decide`] which answer does what in which state, as one match
//! - [`plan`] what an order asks of the processor, and what its answers mean
//! - [`settlement`] what trip events ask for: a hold, a raise, a capture, a void, cash
//! - [`answer`] the life of what is asked once beside the hold: a rest, a tip, a refund
//! - [`refund`], [`tip`], [`payout`], [`dispute`] one rule each; [`refused`] their refusals by name
//!
//! Invariants: a finished intent never changes, refunds aside; at most what is held is captured, once; a step's key is a
//! function of (intent, step), never of the attempt.
//! Does not: read the clock, touch the store, call the processor.

use std::fmt;

use hexcab_types::{ChargeId, DriverId, IntentId, Money, RiderId, Timestamp, TripId};

pub mod answer;
pub mod decide;
pub mod dispute;
pub mod order;
pub mod payout;
pub mod plan;
pub mod refund;
pub mod refused;
#[cfg(test)]
pub(crate) mod samples;
pub mod settlement;
pub mod tip;

pub use answer::{Answer, Said};
pub use order::{HoldStep, Order, Step};
pub use refund::Refund;
pub use refused::{Refused, RefusedKind};
pub use settlement::Ending;

/// The processor's id of a payment or refund, as it said it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProcessorId(pub String);

impl fmt::Display for ProcessorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a rider pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// By card: held at the processor, then captured.
    Card,
    /// In cash, to the driver: the processor has no part in it.
    Cash,
}

/// Money on hold at the processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The payment at the processor.
    pub id: ProcessorId,
    /// How much, more than zero.
    pub amount: Money,
}

/// Where the money of a trip is. Data lives in the state that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The processor is about to be asked for a hold, or is being asked for the first time.
    RequiresHold,
    /// The processor holds the money.
    Held(Hold),
    /// The processor took money out of the hold. Terminal, but what became of it is still counted.
    Captured {
        /// What was on hold.
        hold: Hold,
        /// What was taken, and what of it was given back.
        taken: Taken,
    },
    /// The processor refused the capture. Terminal.
    CaptureFailed {
        /// What was on hold.
        hold: Hold,
        /// As the processor said it.
        code: String,
        /// What the rider owes.
        owed: Money,
    },
    /// The hold was given back, or never asked for. Terminal.
    Voided {
        /// What was on hold; none when the trip ended before a hold was asked for.
        hold: Option<Hold>,
    },
    /// The processor refused the hold. Terminal: an id that failed stays failed.
    Declined {
        /// As the processor said it.
        code: String,
        /// What the trip cost all the same, once that is known and entered.
        owed: Option<Money>,
    },
    /// The processor was asked and has not answered; it will be asked what became of it.
    Unknown(Unanswered),
    /// A cash ride that has not ended.
    AwaitsCash,
    /// The driver has the rider's cash. Terminal.
    CashCollected,
    /// A cash ride that was not driven and cost a fee. Terminal.
    Owed {
        /// What the rider owes.
        owed: Money,
    },
}

/// The step whose answer is outstanding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// Nobody knows whether the money is held.
    Hold,
    /// The money is held; nobody knows whether more is.
    Raise(Hold),
    /// The money was held; nobody knows whether it was taken.
    Capture(Hold),
    /// The money was held; nobody knows whether it was given back.
    Void(Hold),
}

/// What was taken for a trip, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Out of the hold, more than zero.
    pub captured: Money,
    /// Charged beside the hold, for what the trip cost above it.
    pub rest: Money,
    /// Refused as a rest, and owed by the rider.
    pub owed: Money,
    /// Given back.
    pub refunded: Money,
}

impl Taken {
    /// A capture, and nothing else yet.
    pub const fn captured(captured: Money) -> Self {
        let zero = Money::zero(captured.currency);
        Self {
            captured,
            rest: zero,
            owed: zero,
            refunded: zero,
        }
    }
}

impl State {
    /// Whether the processor has no more to say about the hold.
    pub const fn is_terminal(&self) -> bool {
        match self {
            Self::Captured { .. }
            | Self::CaptureFailed { .. }
            | Self::Voided { .. }
            | Self::Declined { .. }
            | Self::CashCollected
            | Self::Owed { .. } => true,
            Self::RequiresHold | Self::Held(_) | Self::Unknown(_) | Self::AwaitsCash => false,
        }
    }

    /// The hold, once it is known.
    pub const fn hold(&self) -> Option<&Hold> {
        match self {
            Self::Held(hold)
            | Self::Captured { hold, .. }
            | Self::CaptureFailed { hold, .. }
            | Self::Unknown(
                Unanswered::Raise(hold) | Unanswered::Capture(hold) | Unanswered::Void(hold),
            ) => Some(hold),
            Self::Voided { hold } => hold.as_ref(),
            Self::RequiresHold
            | Self::Declined { .. }
            | Self::Unknown(Unanswered::Hold)
            | Self::AwaitsCash
            | Self::CashCollected
            | Self::Owed { .. } => None,
        }
    }

    /// What the rider owes because it could not be taken; none while that is not known.
    pub const fn owed(&self) -> Option<Money> {
        match self {
            Self::Captured { taken, .. } => Some(taken.owed),
            Self::CaptureFailed { owed, .. } | Self::Owed { owed } => Some(*owed),
            Self::Declined { owed, .. } => *owed,
            Self::RequiresHold
            | Self::Held(_)
            | Self::Voided { .. }
            | Self::Unknown(_)
            | Self::AwaitsCash
            | Self::CashCollected => None,
        }
    }

    /// What was taken, once something was.
    pub const fn taken(&self) -> Option<&Taken> {
        match self {
            Self::Captured { taken, .. } => Some(taken),
            Self::RequiresHold
            | Self::Held(_)
            | Self::CaptureFailed { .. }
            | Self::Voided { .. }
            | Self::Declined { .. }
            | Self::Unknown(_)
            | Self::AwaitsCash
            | Self::CashCollected
            | Self::Owed { .. } => None,
        }
    }
}

/// The money of one trip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Chosen once, when the trip is first heard of.
    pub id: IntentId,
    /// The trip that is paid; it has one intent.
    pub trip: TripId,
    /// Who pays.
    pub rider: RiderId,
    /// How.
    pub method: Method,
    /// What the processor is asked to hold, or what is expected in cash; zero when nothing will be.
    pub amount: Money,
    /// What the processor is asked to hold beyond that; zero when nothing, or when it refused.
    pub raise: Money,
    /// Where the money is.
    pub state: State,
    /// How the trip ended, once it did.
    pub ending: Option<Ending>,
    /// Number of published events, from 0.
    pub version: i64,
    /// City clock.
    pub created_at: Timestamp,
    /// City clock.
    pub updated_at: Timestamp,
}

/// What a rider owes for a trip in the end, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// All the rider owes, tax included; zero or more.
    pub amount: Money,
    /// The driver's part; none where there was no driver.
    pub driver: Option<DriverPay>,
    /// The tax inside `amount`, zero or more.
    pub tax: Money,
}

impl Charge {
    /// What the driver is owed of it.
    pub const fn driver_due(&self) -> Money {
        match self.driver {
            Some(pay) => pay.amount,
            None => Money::zero(self.amount.currency),
        }
    }
}

/// What a driver is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriverPay {
    /// Who drove, or waited.
    pub driver: DriverId,
    /// Zero or more.
    pub amount: Money,
}

/// A charge beside the hold, a payment of its own at the processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extra {
    /// Its own.
    pub id: ChargeId,
    /// What for.
    pub kind: ExtraKind,
    /// More than zero.
    pub amount: Money,
    /// What the processor said.
    pub answer: Answer,
    /// City clock.
    pub created_at: Timestamp,
}

/// What a charge beside the hold is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtraKind {
    /// What a trip cost above its hold: one a trip, made by rule when the hold is captured.
    Rest,
    /// A tip, all of it for this driver.
    Tip {
        /// Who drove.
        driver: DriverId,
    },
}
