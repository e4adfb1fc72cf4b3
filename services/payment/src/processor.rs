//! The port to whoever moves the money, in the shape of Stripe's PaymentIntents, Refunds and Disputes.
//!
//! - [`http`] the keeper: the sandbox or Stripe, the same client with another base URL and key
//! - [`lists`] what the processor's own books say, page by page, for the reconciler
//!
//! Promises of every keeper: a mutation with a key that was used before has no second effect; what is made under a key
//! carries it and can be found again by it; an error is one of [`Failure`]'s six, told apart by what the caller must do
//! next. A key is a function of (payment, step), never of the attempt.
//!
//! Does not: retry. The worker does, with the same key, after asking.

use async_trait::async_trait;
use hexcab_types::{IntentId, Money, RiderId, Timestamp, TripId};

use crate::domain::ProcessorId;

pub mod http;
pub mod lists;
mod wire;

pub use lists::{Between, Page};

/// What is to be held or charged, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaymentRequest {
    /// For the processor's books and ours: which intent it belongs to.
    pub intent: IntentId,
    /// The same for its trip.
    pub trip: TripId,
    /// Whose card.
    pub rider: RiderId,
    /// More than zero.
    pub amount: Money,
}

/// What is to be given back of what was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundRequest {
    /// Of this payment.
    pub payment: ProcessorId,
    /// For the processor's books and ours.
    pub intent: IntentId,
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
    /// What is held or was asked for in all; of a raised hold the raised amount.
    pub amount: Money,
    /// Whether its hold may be raised: not every card can.
    pub raisable: bool,
    /// What we attached when we made it. None when somebody else made it.
    pub label: Option<Label>,
    /// By the processor's clock, which is real time.
    pub created_at: Timestamp,
}

/// What we attach to everything that we make at the processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Whose money.
    pub intent: IntentId,
    /// The key of the step that made it.
    pub key: String,
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
    /// On its way to one of the others: `processing`, or waiting for somebody. Nothing is known yet.
    Open {
        /// As the processor said it.
        status: String,
    },
}

/// A refund as the processor tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Its id there.
    pub id: String,
    /// What it gives back from; none of payments made otherwise.
    pub payment: Option<ProcessorId>,
    /// How much.
    pub amount: Money,
    /// Where it is.
    pub status: RefundStatus,
    /// What we attached when we made it. None when somebody else did, or the processor itself.
    pub label: Option<Label>,
    /// By the processor's clock, which is real time.
    pub created_at: Timestamp,
}

/// Where a refund is in its life at the processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundStatus {
    /// Under way. The rider may count on it unless it fails.
    Pending,
    /// Done.
    Succeeded,
    /// The money came back to us: `failed` or `canceled`.
    Failed {
        /// As the processor said it.
        reason: String,
    },
}

/// A rider's bank takes a payment back: a chargeback, as the processor tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispute {
    /// Its id there.
    pub id: String,
    /// The payment; none of payments made otherwise.
    pub payment: Option<ProcessorId>,
    /// How much.
    pub amount: Money,
    /// Where it is.
    pub status: DisputeStatus,
    /// Such as `fraudulent`.
    pub reason: String,
    /// By the processor's clock, which is real time.
    pub created_at: Timestamp,
}

/// Where a dispute is in its life at the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisputeStatus {
    /// The bank asks; no money has moved.
    Inquiry,
    /// The money is gone until it is won.
    Open,
    /// The money is back.
    Won,
    /// The money is gone for good.
    Lost,
}

impl DisputeStatus {
    /// For people to read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inquiry => "asked about",
            Self::Open => "open",
            Self::Won => "won",
            Self::Lost => "lost",
        }
    }
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
    /// The processor failed at this key's first request and will answer so for ever: ask what became of it; when nothing
    /// did, this step has failed.
    #[error("the key is spent on a failure: {0}")]
    Spent(String),
    /// There is no such thing at the processor.
    #[error("missing: {0}")]
    Missing(String),
    /// The request is wrong: a bug of ours, somebody must look.
    #[error("rejected: {0}")]
    Rejected(String),
}

/// Whoever moves the money.
#[async_trait]
pub trait Processor: Send + Sync {
    /// Holds the amount on the rider's card.
    async fn hold(&self, key: &str, request: &PaymentRequest) -> Result<Payment, Failure>;
    /// Takes the amount from the rider's card at once, without a hold: what a hold did not cover, or a tip.
    async fn charge(&self, key: &str, request: &PaymentRequest) -> Result<Payment, Failure>;
    /// Raises the hold to `total`, more than it is now. [`Failure::Declined`] leaves the hold as it was.
    async fn raise(&self, key: &str, id: &ProcessorId, total: Money) -> Result<Payment, Failure>;
    /// Takes this much out of the hold and gives back the rest.
    async fn capture(&self, key: &str, id: &ProcessorId, amount: Money)
    -> Result<Payment, Failure>;
    /// Gives the hold back.
    async fn cancel(&self, key: &str, id: &ProcessorId) -> Result<Payment, Failure>;
    /// Gives back of what was taken.
    async fn refund(&self, key: &str, request: &RefundRequest) -> Result<Refund, Failure>;

    /// The payment with this id.
    async fn get(&self, id: &ProcessorId) -> Result<Payment, Failure>;
    /// The payment that was made under this key by [`Processor::hold`] or [`Processor::charge`], if there is one. May
    /// miss a very new one (search at Stripe lags), which is why one that is not found is sent again with its first key
    /// and never with a new one.
    async fn find(&self, key: &str) -> Result<Option<Payment>, Failure>;
    /// The refund of this payment that was made under this key, if there is one. Misses none.
    async fn find_refund(
        &self,
        payment: &ProcessorId,
        key: &str,
    ) -> Result<Option<Refund>, Failure>;
    /// Every refund of this payment. Misses none.
    async fn refunds_of(&self, payment: &ProcessorId) -> Result<Vec<Refund>, Failure>;
    /// The dispute with this id.
    async fn dispute(&self, id: &str) -> Result<Dispute, Failure>;

    /// Payments created within this time, newest first, after the page that said so.
    async fn payments(
        &self,
        within: Between,
        after: Option<&str>,
    ) -> Result<Page<Payment>, Failure>;
    /// The same of refunds.
    async fn refunds(&self, within: Between, after: Option<&str>) -> Result<Page<Refund>, Failure>;
    /// The same of disputes.
    async fn disputes(
        &self,
        within: Between,
        after: Option<&str>,
    ) -> Result<Page<Dispute>, Failure>;
}
