//! The port to the database and its promises; [`Store`] keeps them.
//!
//! - phase A: [`Store::note`] what a trip event asks for; [`Store::refund`] and [`Store::tip`] what people ask for: rows,
//!   promises in the ledger, work, and the inbox row or the answer to the request, in one transaction
//! - [`Store::claim`] a step of work under a lease, steps of one intent strictly in order
//! - phase C: [`Store::record`] the answer, the ledger, the outbox and the end of the work in one transaction
//! - [`Store::dispute`] what a rider's bank did; [`Store::pay_out`] and [`Store::confirm`] batches of payouts
//!
//! Promises: an answer is recorded by the holder of the lease or not at all; a state change, its transfers and its outbox
//! row commit together; what the domain refuses is never kept, but that it was refused is; the same request gets the same
//! answer for ever.

use std::time::Duration;

use hexcab_ledger::LedgerError;
use hexcab_pg::{PgError, PgFailure};
use hexcab_types::MoneyError;

use crate::domain::{
    Intent, Order, Refused, decide::Refusal, dispute::Contradiction, settlement::SettlementError,
};

mod asks;
mod bank;
mod beside;
mod intents;
mod nudge;
mod payouts;
mod postgres;
mod reads;
mod requests;
mod work;

pub use bank::Disputed;
pub use beside::Beside;
pub use intents::Page;
pub use payouts::PayoutAsk;
pub use postgres::{CONSUMER, Rules, Store};
pub use reads::{About, Money as MoneyOf, Statement, StatementLine};
pub use requests::RequestKey;

/// A step of work, leased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose step, as it is now.
    pub intent: Intent,
    /// What is to be asked.
    pub order: Order,
    /// Its place among the intent's steps.
    pub ordinal: i16,
    /// 1 for the first try; from 2 on somebody may have asked before. Also the lease's fencing token.
    pub attempt: i32,
    /// How long ago somebody first had it, real time.
    pub begun: Duration,
    /// The ride's trace.
    pub traceparent: Option<String>,
}

/// Why nothing was kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Postgres refused or is away: try again.
    #[error(transparent)]
    Pg(#[from] PgError),
    /// The ledger refused, or its database did.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The lease ran out and another worker has the step: it will find out.
    #[error("the lease was lost")]
    LeaseLost,
    /// The answer does not fit the intent: somebody must look.
    #[error("refused")]
    Refused(#[from] Refusal),
    /// The event that was noted is nonsense.
    #[error("cannot be settled")]
    Settlement(#[from] SettlementError),
    /// The bank changed its decision: somebody must look.
    #[error("a dispute is not what it was")]
    Contradiction(#[from] Contradiction),
    /// Amounts that do not fit together: a bug of ours.
    #[error("cannot be entered")]
    Amount(#[from] MoneyError),
    /// A row that this build cannot read.
    #[error("unreadable row: {0}")]
    Unreadable(String),
}

impl StoreError {
    /// The constraint that refused, if one did.
    pub(crate) fn constraint(&self) -> Option<&str> {
        self.pg().and_then(PgError::constraint)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Pg(PgError::from(error))
    }
}

impl PgFailure for StoreError {
    fn pg(&self) -> Option<&PgError> {
        match self {
            Self::Pg(error) => Some(error),
            Self::Ledger(error) => error.pg(),
            Self::LeaseLost
            | Self::Refused(_)
            | Self::Settlement(_)
            | Self::Contradiction(_)
            | Self::Amount(_)
            | Self::Unreadable(_) => None,
        }
    }
}

/// Why something that was asked for under a request id has no other answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The rules forbid it. Kept: the same request is refused for ever.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The trip has no intent (yet).
    #[error("the trip has no payment intent")]
    NoIntent,
    /// There is no such payout batch.
    #[error("there is no such payout batch")]
    NoPayout,
    /// The request id was used for something else.
    #[error("the request id was used for another request")]
    RequestIdReused,
    /// The first request with this id has not been answered.
    #[error("a request with this id is in flight")]
    RequestInFlight,
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<PgError> for AskError {
    fn from(error: PgError) -> Self {
        Self::Store(StoreError::Pg(error))
    }
}

impl From<sqlx::Error> for AskError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl PgFailure for AskError {
    fn pg(&self) -> Option<&PgError> {
        match self {
            Self::Store(error) => error.pg(),
            Self::Refused(_)
            | Self::NoIntent
            | Self::NoPayout
            | Self::RequestIdReused
            | Self::RequestInFlight => None,
        }
    }
}
