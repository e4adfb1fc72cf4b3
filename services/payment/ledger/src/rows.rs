//! Rows of the ledger and the statements that write or lock them.
//!
//! Invariant: nothing here looks for rows on a page that others append to while it writes; the exceptions ([`by_ids`],
//! [`fates`]) run when a group is not new.
//! Does not: decide.

use std::collections::BTreeSet;

use hexcab_pg::PgError;
use hexcab_types::{Currency, Money, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    Account, AccountKey, Action, Decision, Fate, LedgerError, Limits, Line, Movement, Refusal,
    Totals, Transfer, TransferId,
};

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

/// Columns of rows to be added, one vector each.
#[derive(Default)]
struct Columns {
    ids: Vec<Uuid>,
    kinds: Vec<&'static str>,
    debits: Vec<String>,
    credits: Vec<String>,
    currencies: Vec<&'static str>,
    amounts: Vec<i64>,
    pending_ids: Vec<Option<Uuid>>,
    pending_minors: Vec<Option<i64>>,
    expiries: Vec<Option<Timestamp>>,
    codes: Vec<&'static str>,
    references: Vec<Uuid>,
    ats: Vec<Timestamp>,
    groups: Vec<Uuid>,
    lines: Vec<i16>,
    sizes: Vec<i16>,
}

impl Columns {
    fn push(&mut self, group: Uuid, [line, size]: [usize; 2], row: &Line) {
        let small = |n: usize| i16::try_from(n).expect("groups are bounded by GROUP_MAX");
        let transfer = &row.transfer;
        self.ids.push(transfer.id.uuid());
        self.kinds.push(match transfer.action {
            Action::Post(_) => "posted",
            Action::Pend { .. } => "pending",
            Action::PostPending { .. } => "post_pending",
            Action::VoidPending { .. } => "void_pending",
        });
        self.debits.push(row.movement.debit.to_string());
        self.credits.push(row.movement.credit.to_string());
        self.currencies.push(row.movement.amount.currency.code());
        self.amounts.push(row.movement.amount.minor);
        self.pending_ids
            .push(transfer.resolves().map(TransferId::uuid));
        self.pending_minors.push(row.released_minor);
        self.expiries.push(row.expires_at);
        self.codes.push(transfer.code.word());
        self.references.push(transfer.reference);
        self.ats.push(transfer.at);
        self.groups.push(group);
        self.lines.push(small(line));
        self.sizes.push(small(size));
    }
}

/// Adds the transfers of the groups; says how many were new. A group that is there in part is refused by the schema.
pub(crate) async fn add(
    conn: &mut PgConnection,
    decisions: &[Decision],
) -> Result<u64, LedgerError> {
    let mut columns = Columns::default();
    for Decision { lines, .. } in decisions {
        for (n, line) in lines.iter().enumerate() {
            columns.push(lines[0].transfer.id.uuid(), [n + 1, lines.len()], line);
        }
    }
    let added = sqlx::query(
        "INSERT INTO ledger.transfers (id, kind, debit, credit, currency, amount_minor, pending_id, pending_minor,
             expires_at, code, reference, at, group_id, group_line, group_size)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::uuid[],
             $8::bigint[], $9::timestamptz[], $10::text[], $11::uuid[], $12::timestamptz[], $13::uuid[],
             $14::smallint[], $15::smallint[])
         ON CONFLICT ON CONSTRAINT transfer_once DO NOTHING",
    )
    .bind(columns.ids)
    .bind(columns.kinds)
    .bind(columns.debits)
    .bind(columns.credits)
    .bind(columns.currencies)
    .bind(columns.amounts)
    .bind(columns.pending_ids)
    .bind(columns.pending_minors)
    .bind(columns.expiries)
    .bind(columns.codes)
    .bind(columns.references)
    .bind(columns.ats)
    .bind(columns.groups)
    .bind(columns.lines)
    .bind(columns.sizes)
    .execute(conn)
    .await;
    match added.map_err(PgError::Sql) {
        Ok(done) => Ok(done.rows_affected()),
        Err(error) if error.constraint() == Some("group_complete") => {
            Err(Refusal::PartlyThere.into())
        }
        Err(error) => Err(error.into()),
    }
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
