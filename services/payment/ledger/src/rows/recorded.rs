//! Transfers as they stand in the ledger.
//!
//! Looks for rows on pages that others append to: for reads, and for groups that are not new.

use hexcab_types::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use super::movement;
use crate::{Action, Fate, LedgerError, Movement, Transfer, TransferId};

/// A transfer as it stands in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// As it was stated.
    pub transfer: Transfer,
    /// Between whom, and how much is posted or promised (zero for a void).
    pub movement: Movement,
    /// When the promise it made expires.
    pub expires_at: Option<Timestamp>,
    /// The first transfer of its group.
    pub group: TransferId,
}

#[derive(sqlx::FromRow)]
struct TransferRow {
    id: Uuid,
    kind: String,
    debit: String,
    credit: String,
    currency: String,
    amount_minor: i64,
    pending_id: Option<Uuid>,
    expires_at: Option<Timestamp>,
    code: String,
    reference: Uuid,
    at: Timestamp,
    group_id: Uuid,
}

impl TransferRow {
    fn read(self) -> Result<Recorded, LedgerError> {
        let what = format!("transfer {}", self.id);
        let unreadable = || LedgerError::Unreadable(what.clone());
        let movement = movement(
            &what,
            [&self.debit, &self.credit],
            self.amount_minor,
            &self.currency,
        )?;
        let action = match (self.kind.as_str(), self.pending_id.map(TransferId::from)) {
            ("posted", None) => Action::Post(movement),
            ("pending", None) => Action::Pend {
                movement,
                expires_after: self
                    .expires_at
                    .map(|end| (end - self.at).to_std())
                    .transpose()
                    .map_err(|_| unreadable())?,
            },
            ("post_pending", Some(pending)) => Action::PostPending {
                pending,
                amount: movement.amount,
            },
            ("void_pending", Some(pending)) => Action::VoidPending { pending },
            _ => return Err(unreadable()),
        };
        Ok(Recorded {
            transfer: Transfer {
                id: TransferId::from(self.id),
                action,
                code: self.code.parse().map_err(|_| unreadable())?,
                reference: self.reference,
                at: self.at,
            },
            movement,
            expires_at: self.expires_at,
            group: TransferId::from(self.group_id),
        })
    }
}

const COLUMNS: &str =
    "t.id, t.kind, t.debit::text, t.credit::text, t.currency::text, t.amount_minor, t.pending_id,
    t.expires_at, t.code::text, t.reference, t.at, t.group_id";

/// The transfer with this id.
///
/// # Errors
/// As Postgres says it.
pub async fn fetch(
    conn: &mut PgConnection,
    id: TransferId,
) -> Result<Option<Recorded>, LedgerError> {
    Ok(by_ids(conn, &[id]).await?.pop())
}

/// Every transfer of a trip, intent or batch, in the order they were made.
///
/// # Errors
/// As Postgres says it.
pub async fn of_reference(
    conn: &mut PgConnection,
    reference: Uuid,
) -> Result<Vec<Recorded>, LedgerError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM ledger.transfers t WHERE t.reference = $1 ORDER BY t.at, t.group_id, t.group_line"
    );
    read(
        sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(reference)
            .fetch_all(conn)
            .await?,
    )
}

/// The transfer that ended a promise, if one did.
///
/// # Errors
/// As Postgres says it.
pub async fn resolution(
    conn: &mut PgConnection,
    pending: TransferId,
) -> Result<Option<Recorded>, LedgerError> {
    let sql = format!("SELECT {COLUMNS} FROM ledger.transfers t WHERE t.pending_id = $1");
    let row: Option<TransferRow> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(pending.uuid())
        .fetch_optional(conn)
        .await?;
    row.map(TransferRow::read).transpose()
}

/// Those of the transfers that are there.
pub(crate) async fn by_ids(
    conn: &mut PgConnection,
    ids: &[TransferId],
) -> Result<Vec<Recorded>, LedgerError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let sql = format!("SELECT {COLUMNS} FROM ledger.transfers t WHERE t.id = ANY($1)");
    read(
        sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(ids)
            .fetch_all(conn)
            .await?,
    )
}

/// Those of the transfers that are there, and what became of those that are promises.
pub(crate) async fn fates(
    conn: &mut PgConnection,
    ids: &[TransferId],
) -> Result<Vec<(Recorded, Option<Fate>)>, LedgerError> {
    let mut fates = Vec::with_capacity(ids.len());
    for recorded in by_ids(conn, ids).await? {
        let fate = match recorded.transfer.action {
            Action::Pend { .. } => match resolution(conn, recorded.transfer.id).await? {
                None => Some(Fate::Open),
                Some(end) => match end.transfer.action {
                    Action::PostPending { .. } => Some(Fate::Posted),
                    Action::VoidPending { .. } => Some(Fate::Voided),
                    Action::Post(_) | Action::Pend { .. } => None,
                },
            },
            Action::Post(_) | Action::PostPending { .. } | Action::VoidPending { .. } => None,
        };
        fates.push((recorded, fate));
    }
    Ok(fates)
}

fn read(rows: Vec<TransferRow>) -> Result<Vec<Recorded>, LedgerError> {
    rows.into_iter().map(TransferRow::read).collect()
}
