//! Rows of the ledger: transfers, journals, entries, balances.

use hexcab_types::{Currency, IntentId, Money, Timestamp};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::StoreError;
use crate::ledger::{Account, Balanced, Resolution, Transfer, TransferState};

/// The balances of an account in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// Whose.
    pub account: Account,
    /// Credits minus debits.
    pub posted: Money,
    /// The same of transfers that are not resolved.
    pub pending: Money,
}

/// The pending transfer of a new intent.
pub async fn open(
    conn: &mut PgConnection,
    intent: IntentId,
    transfer: &Transfer,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO transfers (id, intent, debit, credit, currency, amount_minor, state, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, 'pending', $7)",
    )
    .bind(Uuid::now_v7())
    .bind(intent.uuid())
    .bind(transfer.debit.to_string())
    .bind(transfer.credit.to_string())
    .bind(transfer.amount.currency.code())
    .bind(transfer.amount.minor)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

type TransferRow = (Uuid, String, String, String, i64, String, Option<i64>);

/// Voids the intent's transfer.
pub async fn void(
    conn: &mut PgConnection,
    intent: IntentId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (id, transfer) = fetch(conn, intent).await?;
    resolve(conn, id, transfer.resolve(Resolution::Void)?, now).await
}

/// Posts this much of the intent's transfer, with the journal that says whose it is.
pub async fn post(
    conn: &mut PgConnection,
    intent: IntentId,
    amount: Money,
    journal: &Balanced,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (id, transfer) = fetch(conn, intent).await?;
    resolve(conn, id, transfer.resolve(Resolution::Post(amount))?, now).await?;
    enter(conn, Of::Transfer(id), journal, now).await
}

/// Posts what the rider of a declined intent owes; its transfer is voided already.
pub async fn owe(
    conn: &mut PgConnection,
    intent: IntentId,
    journal: &Balanced,
    now: Timestamp,
) -> Result<(), StoreError> {
    enter(conn, Of::Debt(intent), journal, now).await
}

/// What a journal is of.
#[derive(Debug, Clone, Copy)]
enum Of {
    Transfer(Uuid),
    Debt(IntentId),
}

async fn fetch(conn: &mut PgConnection, intent: IntentId) -> Result<(Uuid, Transfer), StoreError> {
    let row: TransferRow = sqlx::query_as(
        "SELECT id, debit::text, credit::text, currency, amount_minor, state, posted_minor FROM transfers WHERE intent = $1",
    )
    .bind(intent.uuid())
    .fetch_one(conn)
    .await?;
    let (id, debit, credit, currency, amount, state, posted) = row;
    let unreadable = || StoreError::Unreadable(format!("transfer {id}"));
    let currency: Currency = currency.parse().map_err(|_| unreadable())?;
    let state = match (state.as_str(), posted) {
        ("pending", None) => TransferState::Pending,
        ("posted", Some(posted)) => TransferState::Posted(Money::new(posted, currency)),
        ("voided", None) => TransferState::Voided,
        _ => return Err(unreadable()),
    };
    let debit = debit.parse().map_err(|_| unreadable())?;
    let credit = credit.parse().map_err(|_| unreadable())?;
    Ok((
        id,
        Transfer {
            debit,
            credit,
            amount: Money::new(amount, currency),
            state,
        },
    ))
}

async fn resolve(
    conn: &mut PgConnection,
    id: Uuid,
    transfer: Transfer,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (state, posted) = match transfer.state {
        TransferState::Pending => ("pending", None),
        TransferState::Posted(amount) => ("posted", Some(amount.minor)),
        TransferState::Voided => ("voided", None),
    };
    sqlx::query(
        "UPDATE transfers SET state = $2, posted_minor = $3, resolved_at = $4 WHERE id = $1",
    )
    .bind(id)
    .bind(state)
    .bind(posted)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

async fn enter(
    conn: &mut PgConnection,
    of: Of,
    journal: &Balanced,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (id, (transfer, debt_of)) = (
        Uuid::now_v7(),
        match of {
            Of::Transfer(transfer) => (Some(transfer), None),
            Of::Debt(intent) => (None, Some(intent.uuid())),
        },
    );
    sqlx::query("INSERT INTO journals (id, transfer, debt_of, created_at) VALUES ($1, $2, $3, $4)")
        .bind(id)
        .bind(transfer)
        .bind(debt_of)
        .bind(now)
        .execute(&mut *conn)
        .await?;
    let entries = journal.entries();
    let accounts: Vec<String> = entries
        .iter()
        .map(|entry| entry.account.to_string())
        .collect();
    let currencies: Vec<&str> = entries
        .iter()
        .map(|entry| entry.amount.currency.code())
        .collect();
    let amounts: Vec<i64> = entries.iter().map(|entry| entry.amount.minor).collect();
    sqlx::query(
        "INSERT INTO entries (journal, line, account, currency, amount_minor)
         SELECT $1, line, account, currency, amount
         FROM unnest($2::text[], $3::text[], $4::bigint[]) WITH ORDINALITY AS e (account, currency, amount, line)",
    )
    .bind(id)
    .bind(accounts)
    .bind(currencies)
    .bind(amounts)
    .execute(conn)
    .await?;
    Ok(())
}

/// Every account's balances, by name and currency.
pub async fn balances(pool: &PgPool) -> Result<Vec<Balance>, StoreError> {
    let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(
        "SELECT account, currency, sum(posted)::bigint, sum(pending)::bigint FROM (
             SELECT account::text, currency, amount_minor AS posted, 0 AS pending FROM entries
             UNION ALL SELECT credit::text, currency, 0, amount_minor FROM transfers WHERE state = 'pending'
             UNION ALL SELECT debit::text, currency, 0, -amount_minor FROM transfers WHERE state = 'pending') AS moves
         GROUP BY account, currency ORDER BY account, currency",
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|(account, currency, posted, pending)| {
            let unreadable = || StoreError::Unreadable(format!("account {account} in {currency}"));
            let currency: Currency = currency.parse().map_err(|_| unreadable())?;
            let account = account.parse().map_err(|_| unreadable())?;
            Ok(Balance {
                account,
                posted: Money::new(posted, currency),
                pending: Money::new(pending, currency),
            })
        })
        .collect()
}
