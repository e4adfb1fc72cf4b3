//! Money promised between two accounts: pending until it is posted or voided, once.

use hexcab_types::Money;

use super::Account;

/// A promise of money between two accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Whose balance falls.
    pub debit: Account,
    /// Whose balance rises.
    pub credit: Account,
    /// More than zero.
    pub amount: Money,
    /// Where it is in its life.
    pub state: TransferState,
}

/// Where a transfer is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferState {
    /// Promised.
    Pending,
    /// This much of it came true; its journal says for whom. Terminal.
    Posted(Money),
    /// Nothing came of it. Terminal.
    Voided,
}

/// How a pending transfer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// This much came true.
    Post(Money),
    /// Nothing came of it.
    Void,
}

/// What cannot be done with a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// It was posted or voided before.
    #[error("the transfer is resolved already")]
    Resolved,
    /// Nothing, more than promised, or another currency.
    #[error("the posted amount is not within the transfer")]
    NotWithin,
}

impl Transfer {
    /// The transfer after its end.
    ///
    /// # Errors
    /// When it has ended before, or more than promised would be posted.
    pub fn resolve(self, resolution: Resolution) -> Result<Self, TransferError> {
        let state = match (self.state, resolution) {
            (TransferState::Pending, Resolution::Post(amount)) => {
                TransferState::Posted(self.within(amount)?)
            }
            (TransferState::Pending, Resolution::Void) => TransferState::Voided,
            (
                TransferState::Posted(_) | TransferState::Voided,
                Resolution::Post(_) | Resolution::Void,
            ) => {
                return Err(TransferError::Resolved);
            }
        };
        Ok(Self { state, ..self })
    }

    fn within(&self, amount: Money) -> Result<Money, TransferError> {
        let fits = amount.currency == self.amount.currency
            && amount.minor > 0
            && amount.minor <= self.amount.minor;
        if fits {
            Ok(amount)
        } else {
            Err(TransferError::NotWithin)
        }
    }
}
