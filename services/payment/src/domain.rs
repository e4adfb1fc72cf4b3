//! The money of one trip: what an intent is, the states it can be in, and the steps asked of the processor.
//!
//! - [`decide`] which answer does what in which state, as one match
//! - [`plan`] what an order asks of the processor, and what its answers mean
//! - [`settlement`] what the end of a trip asks for: a capture or a void
//!
//! Invariants: a finished intent never changes; at most `amount` is captured, once; a step's key is a function of
//! (intent, step), never of the attempt.
//! Does not: read the clock, touch the store, call the processor.

use std::fmt;

use hexcab_types::{DriverId, IntentId, Money, RiderId, Timestamp, TripId};

pub mod decide;
pub mod plan;
pub mod settlement;

/// The processor's id of a payment, as it said it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProcessorId(pub String);

impl fmt::Display for ProcessorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A step asked of the processor, in the order of an intent's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Reserve the fare on the rider's card.
    Hold,
    /// Take what the rider owes out of the hold.
    Capture,
    /// Give the hold back.
    Void,
}

impl Step {
    /// As it stands in columns, keys and span names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Capture => "capture",
            Self::Void => "void",
        }
    }

    /// The step of a column.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Hold, Self::Capture, Self::Void]
            .into_iter()
            .find(|step| step.as_str() == text)
    }

    /// The processor's idempotency key: the same for every attempt of this step of this intent.
    pub fn key(self, intent: IntentId) -> String {
        format!("hexcab-{intent}-{}", self.as_str())
    }
}

/// Where the money of a trip is. Data lives in the state that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The processor is about to be asked for a hold, or is being asked for the first time.
    RequiresHold,
    /// The processor holds the money.
    Held {
        /// The payment at the processor.
        processor_id: ProcessorId,
    },
    /// The processor took `amount` out of the hold. Terminal.
    Captured {
        /// The payment at the processor.
        processor_id: ProcessorId,
        /// What the rider paid.
        amount: Money,
    },
    /// The hold was given back, or never asked for. Terminal.
    Voided {
        /// The payment at the processor; none when the trip ended before a hold was asked for.
        processor_id: Option<ProcessorId>,
    },
    /// The processor refused the hold. Terminal: an id that failed stays failed.
    Declined {
        /// As the processor said it.
        code: String,
    },
    /// The processor was asked and has not answered; it will be asked what became of it.
    Unknown(Unanswered),
}

/// The step whose answer is outstanding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// Nobody knows whether the money is held.
    Hold,
    /// The money was held; nobody knows whether it was taken.
    Capture {
        /// The payment at the processor.
        processor_id: ProcessorId,
    },
    /// The money was held; nobody knows whether it was given back.
    Void {
        /// The payment at the processor.
        processor_id: ProcessorId,
    },
}

impl State {
    /// Whether the intent has no way out of this state.
    pub const fn is_terminal(&self) -> bool {
        match self {
            Self::Captured { .. } | Self::Voided { .. } | Self::Declined { .. } => true,
            Self::RequiresHold | Self::Held { .. } | Self::Unknown(_) => false,
        }
    }

    /// The payment at the processor, once it is known.
    pub const fn processor_id(&self) -> Option<&ProcessorId> {
        match self {
            Self::Held { processor_id }
            | Self::Captured { processor_id, .. }
            | Self::Unknown(
                Unanswered::Capture { processor_id } | Unanswered::Void { processor_id },
            ) => Some(processor_id),
            Self::Voided { processor_id } => processor_id.as_ref(),
            Self::RequiresHold | Self::Declined { .. } | Self::Unknown(Unanswered::Hold) => None,
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
    /// What is held: the trip's fare.
    pub amount: Money,
    /// Where the money is.
    pub state: State,
    /// Number of published events, from 0.
    pub version: i64,
    /// City clock.
    pub created_at: Timestamp,
    /// City clock.
    pub updated_at: Timestamp,
}

/// What is to be asked of the processor for an intent: the content of a work row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Hold the intent's amount.
    Hold,
    /// Take this much of it.
    Capture(Charge),
    /// Give it back.
    Void,
}

impl Order {
    /// The step this order is.
    pub const fn step(&self) -> Step {
        match self {
            Self::Hold => Step::Hold,
            Self::Capture(_) => Step::Capture,
            Self::Void => Step::Void,
        }
    }
}

/// What a rider pays in the end, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// What is taken from the rider, more than zero, tax included.
    pub amount: Money,
    /// The driver's part; none for a cancellation fee.
    pub driver: Option<DriverPay>,
    /// The tax inside `amount`, zero or more.
    pub tax: Money,
}

/// What a driver is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriverPay {
    /// Who drove.
    pub driver: DriverId,
    /// More than zero.
    pub amount: Money,
}
