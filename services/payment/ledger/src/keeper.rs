//! The ledger in Postgres: loads what a group touches, decides with [`Book`], adds the rows.
//!
//! - [`submit`] two to three statements: lock the promises it ends, lock its accounts, add its transfers
//! - [`expire_due`] the same for promises whose time is over
//!
//! Invariants: rows are locked in one order (promises, accounts by name, hot shards); nothing is read from a page that
//! other groups append to, so that captures of different riders never conflict; an id that is there already is found by
//! the insert, not by looking. The schema derives entries and balances by itself and refuses what a book would.
//! Does not: begin or end transactions.

use std::collections::BTreeSet;

use hexcab_types::{Currency, Timestamp};
use sqlx::PgConnection;

use crate::{
    Account, AccountKey, Book, Fate, LedgerError, Limits, Outcome, Pending, Transfer, TransferId,
    Verdict,
    book::expiry,
    rows::{self, AccountRow, PendingRow},
};

/// States a group in the caller's open SERIALIZABLE transaction: all of it is applied, or it was before, or nothing is.
///
/// A refusal leaves the transaction usable and the ledger as it was, but for [`crate::Refusal::PartlyThere`], which Postgres
/// itself may find: return errors from the body, so that it is rolled back.
///
/// # Errors
/// [`LedgerError::Refused`] with the first reason; [`LedgerError::Pg`] as Postgres says it, 40001 for the caller's
/// transaction to run again.
pub async fn submit(conn: &mut PgConnection, group: &[Transfer]) -> Result<Outcome, LedgerError> {
    Book::check_shape(group)?;
    let mut book = Book::default();
    load_pendings(conn, &mut book, group).await?;
    load_accounts(conn, &mut book, group).await?;
    let refusal = match book.decide(group) {
        Ok(Verdict::Apply(decision)) => match rows::add(conn, &[decision]).await? {
            0 => None, // by id, all of it is there
            _ => return Ok(Outcome::Applied),
        },
        Ok(Verdict::AlreadyThere) => None,
        Err(refusal) => Some(refusal),
    };
    // The book did not know what is there already. With that it decides again.
    for recorded in rows::by_ids(conn, &ids(group)).await? {
        book.know_transfer(recorded.transfer);
    }
    match (book.decide(group)?, refusal) {
        (Verdict::AlreadyThere, _) => Ok(Outcome::AlreadyThere),
        (Verdict::Apply(_), Some(refusal)) => Err(refusal.into()),
        (Verdict::Apply(_), None) => {
            Err(LedgerError::Unreadable(format!("transfer {}", group[0].id)))
        }
    }
}

/// Voids promises whose time is over at `now`, the longest over first, at most `most` of them, each by a transfer of its
/// own ([`crate::expiry`]). Those that another transaction is resolving are left to it. Says which.
///
/// # Errors
/// As Postgres says it.
pub async fn expire_due(
    conn: &mut PgConnection,
    now: Timestamp,
    most: u32,
) -> Result<Vec<TransferId>, LedgerError> {
    let due = rows::due(conn, now, most).await?;
    let voids: Vec<Transfer> = due
        .iter()
        .map(|row| expiry(TransferId::from(row.id), row.reference, now))
        .collect();
    let mut book = Book::default();
    for row in &due {
        know_open(&mut book, row)?;
    }
    load_accounts(conn, &mut book, &voids).await?;
    let mut decisions = Vec::with_capacity(voids.len());
    for void in &voids {
        if let Verdict::Apply(decision) = book.decide(std::slice::from_ref(void))? {
            book.apply(decision.clone());
            decisions.push(decision);
        }
    }
    rows::add(conn, &decisions).await?;
    Ok(due.iter().map(|row| TransferId::from(row.id)).collect())
}

/// Sets or lifts the limits of an account in one currency.
///
/// # Errors
/// [`crate::Refusal::HotAccount`]; [`crate::Refusal::BelowFloor`] or [`crate::Refusal::AboveCeiling`] when it is beyond them already;
/// Postgres.
pub async fn set_limits(
    conn: &mut PgConnection,
    account: Account,
    currency: Currency,
    limits: Limits,
) -> Result<(), LedgerError> {
    let mut book = Book::default();
    for row in rows::open(conn, &BTreeSet::from([(account, currency)])).await? {
        know_account(&mut book, &row)?;
    }
    book.set_limits((account, currency), limits)?;
    rows::set_limits(conn, (account, currency), limits).await
}

/// Locks the promises that the group ends. Of those that are not open, finds out why.
async fn load_pendings(
    conn: &mut PgConnection,
    book: &mut Book,
    group: &[Transfer],
) -> Result<(), LedgerError> {
    let mut wanted: BTreeSet<TransferId> = group.iter().filter_map(Transfer::resolves).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    for row in rows::take(conn, &wanted).await? {
        wanted.remove(&TransferId::from(row.id));
        know_open(book, &row)?;
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let closed: Vec<TransferId> = wanted.into_iter().collect();
    for (recorded, fate) in rows::fates(conn, &closed).await? {
        // Known as a transfer too: the group may state that very promise again.
        book.know_transfer(recorded.transfer);
        if let Some(fate) = fate {
            let promise = Pending {
                movement: recorded.movement,
                expires_at: recorded.expires_at,
                fate,
            };
            book.know_pending(recorded.transfer.id, promise);
        }
    }
    Ok(())
}

/// Locks the accounts of the group that are not hot, and those of the promises it ends.
async fn load_accounts(
    conn: &mut PgConnection,
    book: &mut Book,
    group: &[Transfer],
) -> Result<(), LedgerError> {
    let cold: BTreeSet<AccountKey> = group
        .iter()
        .filter_map(|transfer| book.movement_of(transfer))
        .flat_map(|movement| {
            let currency = movement.amount.currency;
            [(movement.debit, currency), (movement.credit, currency)]
        })
        .filter(|(account, _)| !account.is_hot())
        .collect();
    if cold.is_empty() {
        return Ok(());
    }
    for row in rows::open(conn, &cold).await? {
        know_account(book, &row)?;
    }
    Ok(())
}

fn know_open(book: &mut Book, row: &PendingRow) -> Result<(), LedgerError> {
    let pending = Pending {
        movement: row.movement()?,
        expires_at: row.expires_at,
        fate: Fate::Open,
    };
    book.know_pending(TransferId::from(row.id), pending);
    Ok(())
}

fn know_account(book: &mut Book, row: &AccountRow) -> Result<(), LedgerError> {
    book.know_account(row.key()?, row.totals(), row.limits());
    Ok(())
}

fn ids(group: &[Transfer]) -> Vec<TransferId> {
    group.iter().map(|transfer| transfer.id).collect()
}
