//! The ledger: accounts, transfers that wait for their end, and journals that balance.
//!
//! - a [`Transfer`] is money promised between two accounts: pending, then posted (wholly or partly) or voided, once
//! - a [`Journal`] collects entries; only a [`Balanced`] one can be posted, and only [`Journal::balance`] makes one
//!
//! Invariants: every posted journal sums to zero per currency; entries are never changed, only answered by others; a
//! transfer ends once. Postgres enforces each a second time (`migrations/0002_ledger.sql`).
//! Does not: know the processor or the state of an intent.

use hexcab_types::{Money, RiderId};

use crate::domain::Charge;

mod account;
mod journal;
mod transfer;

pub use account::{Account, AccountError};
pub use journal::{Balanced, Entry, Journal, Unbalanced};
pub use transfer::{Resolution, Transfer, TransferError, TransferState};

/// The transfer of a hold: the processor will owe us what the rider promised.
pub const fn hold(rider: RiderId, amount: Money) -> Transfer {
    Transfer {
        debit: Account::Processor,
        credit: Account::Rider(rider),
        amount,
        state: TransferState::Pending,
    }
}

/// The journal of a capture: the processor owes us the charge that the rider paid, and the rider's charge belongs to
/// the driver, the tax office and us. The platform's part is what remains; it may be negative when a ride is sold
/// below what its driver is owed.
///
/// # Errors
/// When amounts overflow or their currencies differ.
pub fn capture(rider: RiderId, charge: &Charge) -> Result<Balanced, Unbalanced> {
    let (rider, amount) = (Account::Rider(rider), charge.amount);
    let paid = Journal::new()
        .debit(Account::Processor, amount)?
        .credit(rider, amount)?;
    share(paid.debit(rider, amount)?, charge)
}

/// The journal of a charge whose hold was declined: the rider owes it to us, and we owe the driver and the tax office
/// all the same. The processor has no part in it.
///
/// # Errors
/// When amounts overflow or their currencies differ.
pub fn debt(rider: RiderId, charge: &Charge) -> Result<Balanced, Unbalanced> {
    let owed = Journal::new().debit(Account::Rider(rider), charge.amount)?;
    share(owed, charge)
}

/// Whose the rider's charge is.
fn share(mut journal: Journal, charge: &Charge) -> Result<Balanced, Unbalanced> {
    let mut revenue = charge.amount.minus(charge.tax)?;
    if let Some(pay) = charge.driver {
        revenue = revenue.minus(pay.amount)?;
        journal = journal.credit(Account::Driver(pay.driver), pay.amount)?;
    }
    journal
        .credit(Account::Tax, charge.tax)?
        .credit(Account::Revenue, revenue)?
        .balance()
}

#[cfg(test)]
mod tests;
