//! Why transfers are refused: one catalogue, in the order in which it is looked at.

use hexcab_types::Currency;

use crate::{Account, TransferId};

/// Why a group is refused. Nothing of it was applied.
///
/// The order is that of the checks: the group's shape; what is there already; each transfer in turn; the limits, by
/// account, on what the whole group leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A group of nothing.
    #[error("the group is empty")]
    EmptyGroup,
    /// More than [`crate::GROUP_MAX`] transfers.
    #[error("the group is too large")]
    GroupTooLarge,
    /// Two transfers of the group have one id.
    #[error("transfer {0} stands in its group twice")]
    DuplicateId(TransferId),
    /// Some of the group are there and others are not: they were written by another group.
    #[error("a part of the group is there already")]
    PartlyThere,
    /// A transfer with this id says something else.
    #[error("transfer {0} is there and says something else")]
    TransferExists(TransferId),
    /// Nothing, less than nothing, or more than [`crate::AMOUNT_MAX_MINOR`].
    #[error("the amount of transfer {0} is out of range")]
    Amount(TransferId),
    /// From an account to itself.
    #[error("transfer {0} is between an account and itself")]
    SameAccount(TransferId),
    /// A promise that expires when it is made, or after the end of time.
    #[error("the expiry of transfer {0} is out of range")]
    Expiry(TransferId),
    /// There is no transfer with the id that is to be resolved.
    #[error("there is no transfer {0}")]
    PendingNotFound(TransferId),
    /// What is to be resolved is no promise.
    #[error("transfer {0} is not a pending one")]
    NotPending(TransferId),
    /// The promise came true before.
    #[error("transfer {0} is posted already")]
    AlreadyPosted(TransferId),
    /// The promise was given back before.
    #[error("transfer {0} is voided already")]
    AlreadyVoided(TransferId),
    /// The promise is of another currency.
    #[error("transfer {0} is in another currency")]
    PendingCurrency(TransferId),
    /// More than was promised.
    #[error("more than transfer {0} promised")]
    ExceedsPending(TransferId),
    /// The promise's time is over: it can only be voided.
    #[error("transfer {0} has expired")]
    PendingExpired(TransferId),
    /// A sum of the account would not fit 64 bits.
    #[error("a sum of {0} in {1} would overflow")]
    Overflow(Account, Currency),
    /// The account would owe more than it may.
    #[error("{0} would fall below its floor in {1}")]
    BelowFloor(Account, Currency),
    /// The account would be owed more than it may.
    #[error("{0} would rise above its ceiling in {1}")]
    AboveCeiling(Account, Currency),
    /// Accounts that every ride touches have no limits.
    #[error("{0} is hot and cannot have limits")]
    HotAccount(Account),
}
