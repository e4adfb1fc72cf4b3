//! What can go wrong with the ledger in Postgres.

use hexcab_pg::{PgError, PgFailure};

use crate::Refusal;

/// An error of the ledger. Return it from the transaction's body, so that the transaction is rolled back.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The rules do not allow it. The caller's to explain; trying again changes nothing.
    #[error("the ledger refused")]
    Refused(#[from] Refusal),
    /// Postgres.
    #[error("the ledger's database")]
    Pg(#[source] PgError),
    /// A row that this version cannot read: our bug, or somebody's hand.
    #[error("{0} of the ledger cannot be read")]
    Unreadable(String),
}

impl From<PgError> for LedgerError {
    fn from(error: PgError) -> Self {
        Self::Pg(error)
    }
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        Self::Pg(PgError::Sql(error))
    }
}

impl PgFailure for LedgerError {
    fn pg(&self) -> Option<&PgError> {
        match self {
            Self::Pg(error) => Some(error),
            Self::Refused(_) | Self::Unreadable(_) => None,
        }
    }
}
