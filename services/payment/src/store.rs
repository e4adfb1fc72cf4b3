//! The port to the database and its promises; [`postgres`] keeps them.
//!
//! - phase A, [`postgres::Store::note`]: intent, pending transfer, work and inbox row in one transaction
//! - [`postgres::Store::claim`]: a step of work under a lease, steps of one intent strictly in order
//! - phase C, [`postgres::Store::record`]: the answer, the ledger, the outbox and the end of the work in one transaction
//! - [`postgres::Store::owe`]: a charge whose hold was declined: the rider's debt and the end of the work in one transaction
//!
//! Promises: an answer is recorded by the holder of the lease or not at all; a state change, its ledger entries and its
//! outbox row commit together; what the domain refuses is never kept.

use hexcab_pg::{PgError, PgFailure};

use crate::{
    domain::{Intent, Order, decide::Refusal, settlement::SettlementError},
    ledger::{TransferError, Unbalanced},
};

mod intents;
mod ledger;
pub mod postgres;
mod work;

pub use intents::Page;
pub use ledger::Balance;
pub use postgres::Store;

/// A step of work, leased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose step, as it is now.
    pub intent: Intent,
    /// What is to be asked.
    pub order: Order,
    /// 1 for the first try; from 2 on somebody may have asked before. Also the lease's fencing token.
    pub attempt: i32,
    /// The ride's trace.
    pub traceparent: Option<String>,
}

/// Why nothing was kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Postgres refused or is away: try again.
    #[error(transparent)]
    Pg(#[from] PgError),
    /// The lease ran out and another worker has the step: it will find out.
    #[error("the lease was lost")]
    LeaseLost,
    /// The answer does not fit the intent: somebody must look.
    #[error("refused")]
    Refused(#[from] Refusal),
    /// The event that was noted is nonsense.
    #[error("cannot be settled")]
    Settlement(#[from] SettlementError),
    /// A bug of ours.
    #[error("cannot be posted")]
    Unbalanced(#[from] Unbalanced),
    /// A bug of ours.
    #[error("cannot be resolved")]
    Transfer(#[from] TransferError),
    /// A row that this build cannot read.
    #[error("unreadable row: {0}")]
    Unreadable(String),
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
            Self::LeaseLost
            | Self::Refused(_)
            | Self::Settlement(_)
            | Self::Unbalanced(_)
            | Self::Transfer(_)
            | Self::Unreadable(_) => None,
        }
    }
}
