//! What can be asked of the ledger: balances, the trial balance, and whether it is all right.
//!
//! Read them outside of a SERIALIZABLE transaction, or in one that is read only: they look at whole accounts.
//! Does not: change anything.

use std::collections::BTreeMap;

use hexcab_types::{Currency, Money};
use sqlx::PgConnection;

use crate::{Account, LedgerError, Totals, rows::account_key};

/// The sums of an account in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// Whose.
    pub account: Account,
    /// In which currency.
    pub currency: Currency,
    /// How much.
    pub totals: Totals,
}

impl Balance {
    /// Credits minus debits of what came true.
    pub const fn net(&self) -> Money {
        Money::new(self.totals.net(), self.currency)
    }
}

/// Every account, and what they sum to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrialBalance {
    /// By account and currency.
    pub accounts: Vec<Balance>,
    /// Per currency; debits equal credits, the posted and the pending ones each.
    pub totals: Vec<(Currency, Totals)>,
}

/// Something that must be true of the ledger and is not.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Violation {
    /// What must be true.
    pub rule: String,
    /// Of what it is not.
    pub subject: String,
}

/// The sums of one account; zeros when it was never used.
///
/// # Errors
/// As Postgres says it.
pub async fn balance(
    conn: &mut PgConnection,
    account: Account,
    currency: Currency,
) -> Result<Balance, LedgerError> {
    let sums: Option<[i64; 4]> = sqlx::query_scalar(
        "SELECT ARRAY[debits_posted, credits_posted, debits_pending, credits_pending]
         FROM ledger.trial_balance WHERE account = $1 AND currency = $2",
    )
    .bind(account.to_string())
    .bind(currency.code())
    .fetch_optional(conn)
    .await?;
    Ok(Balance {
        account,
        currency,
        totals: sums.map_or_else(Totals::default, totals),
    })
}

/// The sums of one account, in each currency that it was used in.
///
/// # Errors
/// As Postgres says it.
pub async fn balances(
    conn: &mut PgConnection,
    account: Account,
) -> Result<Vec<Balance>, LedgerError> {
    let rows: Vec<(String, String, [i64; 4])> = sqlx::query_as(
        "SELECT account, currency, ARRAY[debits_posted, credits_posted, debits_pending, credits_pending]
         FROM ledger.trial_balance WHERE account = $1 ORDER BY currency",
    )
    .bind(account.to_string())
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(read).collect()
}

/// Every account that was used.
///
/// # Errors
/// As Postgres says it; when a currency's sums do not fit 64 bits.
pub async fn trial_balance(conn: &mut PgConnection) -> Result<TrialBalance, LedgerError> {
    let rows: Vec<(String, String, [i64; 4])> = sqlx::query_as(
        "SELECT account, currency, ARRAY[debits_posted, credits_posted, debits_pending, credits_pending]
         FROM ledger.trial_balance ORDER BY account, currency",
    )
    .fetch_all(conn)
    .await?;
    let accounts: Vec<Balance> = rows.into_iter().map(read).collect::<Result<_, _>>()?;
    let totals = totals_of(&accounts)?;
    Ok(TrialBalance { accounts, totals })
}

fn read((account, currency, sums): (String, String, [i64; 4])) -> Result<Balance, LedgerError> {
    let (account, currency) = account_key(&account, &currency)?;
    Ok(Balance {
        account,
        currency,
        totals: totals(sums),
    })
}

/// The sums of the accounts by currency, in the currencies' order.
fn totals_of(accounts: &[Balance]) -> Result<Vec<(Currency, Totals)>, LedgerError> {
    let mut sums: BTreeMap<Currency, Totals> = BTreeMap::new();
    for Balance {
        currency, totals, ..
    } in accounts
    {
        let sum = sums.entry(*currency).or_default();
        *sum = sum
            .plus(*totals)
            .ok_or_else(|| LedgerError::Unreadable(format!("the sum of {currency}")))?;
    }
    Ok(sums.into_iter().collect())
}

const fn totals(
    [
        debits_posted,
        credits_posted,
        debits_pending,
        credits_pending,
    ]: [i64; 4],
) -> Totals {
    Totals {
        debits_posted,
        credits_posted,
        debits_pending,
        credits_pending,
    }
}

/// Everything that must be true of the whole ledger and is not: nothing, on any day. Reads all of it.
///
/// # Errors
/// As Postgres says it.
pub async fn violations(conn: &mut PgConnection) -> Result<Vec<Violation>, LedgerError> {
    let rows = sqlx::query_as("SELECT rule, subject FROM ledger.violations ORDER BY rule, subject")
        .fetch_all(conn)
        .await?;
    Ok(rows)
}
