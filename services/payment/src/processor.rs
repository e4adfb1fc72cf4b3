//! The port to whoever moves the money, in the shape of Stripe's PaymentIntents.
//!
//! Promises of every keeper: a mutation with a key that was used before has no second effect; an error is one of
//! [`Failure`]'s four, told apart by what the caller must do next.
//! - [`http`] the keeper: the sandbox or Stripe, the same client with another base URL and key
//!
//! Does not: retry. The worker does, with the same key, after asking.

use async_trait::async_trait;
use hexcab_types::{IntentId, Money, RiderId, TripId};

use crate::domain::ProcessorId;

pub mod http;
mod wire;

/// What is to be held, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldRequest {
    /// Found again by this when the answer was lost.
    pub intent: IntentId,
    /// For the processor's books and ours.
    pub trip: TripId,
    /// Whose card.
    pub rider: RiderId,
    /// More than zero.
    pub amount: Money,
}

/// A payment as the processor tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Its id there.
    pub id: ProcessorId,
    /// Where it is in its life there.
    pub status: PaymentStatus,
}

/// Where a payment is in its life at the processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentStatus {
    /// Held: `requires_capture`.
    Held,
    /// Taken: `succeeded`, this many minor units.
    Captured {
        /// In the payment's currency.
        amount_minor: i64,
    },
    /// Given back: `canceled`.
    Canceled,
    /// Refused: `requires_payment_method`.
    Declined {
        /// Such as `card_declined` or `insufficient_funds`.
        code: String,
    },
}

/// Why the processor did not do what was asked, by what is to be done next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The card was refused: give up.
    #[error("declined: {code}")]
    Declined {
        /// As the processor said it.
        code: String,
    },
    /// No answer, or one that says nothing (timeout, 5xx, 429): ask what became of it, later.
    #[error("unanswered: {0}")]
    Unanswered(String),
    /// An earlier request with this key is still being worked on: ask later.
    #[error("an earlier request with this key is in flight")]
    InFlight,
    /// The request is wrong: a bug of ours, somebody must look.
    #[error("rejected: {0}")]
    Rejected(String),
}

/// Whoever moves the money.
#[async_trait]
pub trait Processor: Send + Sync {
    /// Holds the amount on the rider's card.
    async fn hold(&self, key: &str, request: &HoldRequest) -> Result<Payment, Failure>;
    /// Takes this much out of the hold and gives back the rest.
    async fn capture(&self, key: &str, id: &ProcessorId, amount: Money)
    -> Result<Payment, Failure>;
    /// Gives the hold back.
    async fn cancel(&self, key: &str, id: &ProcessorId) -> Result<Payment, Failure>;
    /// The payment with this id.
    async fn get(&self, id: &ProcessorId) -> Result<Payment, Failure>;
    /// The payment made for this intent, if there is one. May miss a very new one (search at Stripe lags), which is
    /// why a hold that is not found is sent again with its first key and never with a new one.
    async fn find(&self, intent: IntentId) -> Result<Option<Payment>, Failure>;
}
