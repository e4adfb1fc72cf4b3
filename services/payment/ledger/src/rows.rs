//! Rows of the ledger: what is locked before a group is decided, and how text becomes accounts and money.
//!
//! - [`take`], [`due`], [`open`], [`set_limits`] the functions of the schema
//! - `add` writes transfers; `recorded` reads them
//!
//! Invariant: nothing here looks for rows on a page that others append to.
//! Does not: decide.

use std::collections::BTreeSet;

use hexcab_types::{Currency, Money, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Account, AccountKey, LedgerError, Limits, Movement, Totals, TransferId};

mod add;
mod recorded;

pub(crate) use add::add;
pub use recorded::{Recorded, fetch, of_reference, resolution};
pub(crate) use recorded::{by_ids, fates};

#[derive(sqlx::FromRow)]
pub(crate) struct PendingRow {
    pub id: Uuid,
    debit: String,
    credit: String,
    currency: String,
    amount_minor: i64,
    pub expires_at: Option<Timestamp>,
    pub reference: Uuid,
}

#[derive(sqlx::FromRow)]
pub(crate) struct AccountRow {
    account: String,
    currency: String,
    debits_posted: i64,
    credits_posted: i64,
    debits_pending: i64,
    credits_pending: i64,
    floor_minor: Option<i64>,
    ceiling_minor: Option<i64>,
}

impl PendingRow {
    pub(crate) fn movement(&self) -> Result<Movement, LedgerError> {
        movement(
            &format!("pending transfer {}", self.id),
            [&self.debit, &self.credit],
            self.amount_minor,
            &self.currency,
        )
    }
}

impl AccountRow {
    pub(crate) fn key(&self) -> Result<AccountKey, LedgerError> {
        account_key(&self.account, &self.currency)
    }

    pub(crate) const fn totals(&self) -> Totals {
        Totals {
            debits_posted: self.debits_posted,
            credits_posted: self.credits_posted,
            debits_pending: self.debits_pending,
            credits_pending: self.credits_pending,
        }
    }

    pub(crate) const fn limits(&self) -> Limits {
        Limits {
            floor: self.floor_minor,
            ceiling: self.ceiling_minor,
        }
    }
}

pub(crate) fn account_key(account: &str, currency: &str) -> Result<AccountKey, LedgerError> {
    let unreadable = || LedgerError::Unreadable(format!("account {account} in {currency}"));
    let key: (Account, Currency) = (
        account.parse().map_err(|_| unreadable())?,
        currency.parse().map_err(|_| unreadable())?,
    );
    Ok(key)
}

fn movement(
    what: &str,
    [debit, credit]: [&str; 2],
    minor: i64,
    currency: &str,
) -> Result<Movement, LedgerError> {
    let unreadable = || LedgerError::Unreadable(what.to_owned());
    let currency: Currency = currency.parse().map_err(|_| unreadable())?;
    Ok(Movement {
        debit: debit.parse().map_err(|_| unreadable())?,
        credit: credit.parse().map_err(|_| unreadable())?,
        amount: Money::new(minor, currency),
    })
}

/// Locks those of the promises that are open.
pub(crate) async fn take(
    conn: &mut PgConnection,
    wanted: &BTreeSet<TransferId>,
) -> Result<Vec<PendingRow>, LedgerError> {
    let wanted: Vec<Uuid> = wanted.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as(
        "SELECT id, debit::text, credit::text, currency::text, amount_minor, expires_at, reference FROM ledger.take($1)",
    )
    .bind(wanted)
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Locks promises whose time is over.
pub(crate) async fn due(
    conn: &mut PgConnection,
    now: Timestamp,
    most: u32,
) -> Result<Vec<PendingRow>, LedgerError> {
    let rows = sqlx::query_as(
        "SELECT id, debit::text, credit::text, currency::text, amount_minor, expires_at, reference
         FROM ledger.due($1, $2)",
    )
    .bind(now)
    .bind(i64::from(most))
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Locks accounts that are not hot, and opens those that are new.
pub(crate) async fn open(
    conn: &mut PgConnection,
    keys: &BTreeSet<AccountKey>,
) -> Result<Vec<AccountRow>, LedgerError> {
    let accounts: Vec<String> = keys
        .iter()
        .map(|(account, _)| account.to_string())
        .collect();
    let currencies: Vec<&str> = keys.iter().map(|(_, currency)| currency.code()).collect();
    let rows = sqlx::query_as(
        "SELECT account::text, currency::text, debits_posted, credits_posted, debits_pending, credits_pending,
                floor_minor, ceiling_minor
         FROM ledger.open($1, $2)",
    )
    .bind(accounts)
    .bind(currencies)
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

pub(crate) async fn set_limits(
    conn: &mut PgConnection,
    (account, currency): AccountKey,
    limits: Limits,
) -> Result<(), LedgerError> {
    sqlx::query("SELECT ledger.set_limits($1, $2, $3, $4)")
        .bind(account.to_string())
        .bind(currency.code())
        .bind(limits.floor)
        .bind(limits.ceiling)
        .execute(conn)
        .await?;
    Ok(())
}
