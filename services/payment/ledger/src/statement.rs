//! An account's statement: what came true in a period, in pages, with the balance after each line.
//!
//! Lines are in the order of the city's time, then in that of the ledger. The sums are today's less what came since, so
//! that a recent statement is cheap however long the account's history is.
//! Does not: show promises.

use std::{fmt, str::FromStr};

use hexcab_types::{Currency, Money, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Account, AccountKey, Code, LedgerError, Side, TransferId};

/// The most lines on a page of a statement.
pub const PAGE_MAX: u32 = 1_000;

/// From this time on, and before that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Included.
    pub from: Timestamp,
    /// Not included.
    pub to: Timestamp,
}

/// Which lines of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// After this line; from the first one when `None`.
    pub after: Option<Cursor>,
    /// At most this many, 1 to [`PAGE_MAX`]; brought within.
    pub limit: u32,
}

/// A place between two lines of a statement. As text, it is a page token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    at: Timestamp,
    seq: i64,
}

/// Not the text of a cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a page token of a statement")]
pub struct CursorError(pub String);

/// What came true on an account in a period, in the order of the city's time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The balance when the period began.
    pub opening: Money,
    /// The lines of this page.
    pub lines: Vec<StatementLine>,
    /// The balance when the period ended.
    pub closing: Money,
    /// Where the next page begins; none after the last one.
    pub next: Option<Cursor>,
}

/// One movement on an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatementLine {
    /// The transfer.
    pub transfer: TransferId,
    /// When.
    pub at: Timestamp,
    /// What for.
    pub code: Code,
    /// The trip, intent or batch it is about.
    pub reference: Uuid,
    /// The account on the other side.
    pub other: Account,
    /// Credits positive, debits negative.
    pub amount: Money,
    /// The balance after it.
    pub balance: Money,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at.timestamp_micros(), self.seq)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;
    fn from_str(text: &str) -> Result<Self, CursorError> {
        let parts = text
            .split_once('.')
            .and_then(|(at, seq)| Some((at.parse().ok()?, seq.parse().ok()?)));
        parts
            .and_then(|(at, seq)| {
                let at = Timestamp::from_timestamp_micros(at)?;
                Some(Self { at, seq })
            })
            .ok_or_else(|| CursorError(text.to_owned()))
    }
}

impl StatementLine {
    /// Which side of the account it stands on.
    pub const fn side(&self) -> Side {
        if self.amount.minor < 0 {
            Side::Debit
        } else {
            Side::Credit
        }
    }
}

#[derive(sqlx::FromRow)]
struct LineRow {
    transfer: Uuid,
    at: Timestamp,
    seq: i64,
    code: String,
    reference: Uuid,
    other: String,
    amount: i64,
    running: i64,
}

/// What came true on an account from `period.from` until before `period.to`, with the balance after each line.
///
/// # Errors
/// As Postgres says it.
pub async fn statement(
    conn: &mut PgConnection,
    (account, currency): AccountKey,
    period: Period,
    page: Page,
) -> Result<Statement, LedgerError> {
    let edges = edges(conn, (account, currency), period, page.after).await?;
    let limit = page.limit.clamp(1, PAGE_MAX);
    let after = page.after.unwrap_or(Cursor {
        at: period.from,
        seq: i64::MIN,
    });
    let rows: Vec<LineRow> = sqlx::query_as(
        "SELECT e.transfer, e.at, e.seq, t.code::text, t.reference,
                (CASE e.side WHEN 'credit' THEN t.debit ELSE t.credit END)::text AS other, e.amount,
                (sum(e.amount) OVER (ORDER BY e.at, e.seq))::bigint AS running
         FROM (SELECT transfer, at, seq, side, CASE side WHEN 'credit' THEN posted_minor ELSE -posted_minor END AS amount
               FROM ledger.entries
               WHERE account = $1 AND currency = $2 AND posted_minor > 0 AND (at, seq) > ($3, $4) AND at < $5
               ORDER BY at, seq LIMIT $6) AS e
         JOIN ledger.transfers t ON t.id = e.transfer
         ORDER BY e.at, e.seq",
    )
    .bind(account.to_string())
    .bind(currency.code())
    .bind(after.at)
    .bind(after.seq)
    .bind(period.to)
    .bind(i64::from(limit) + 1)
    .fetch_all(conn)
    .await?;
    let shown = usize::try_from(limit).expect("a page fits memory");
    let next = (rows.len() > shown).then(|| Cursor {
        at: rows[shown - 1].at,
        seq: rows[shown - 1].seq,
    });
    let lines = rows
        .into_iter()
        .take(shown)
        .map(|row| line(row, currency, edges.before_page))
        .collect::<Result<_, _>>()?;
    Ok(Statement {
        opening: Money::new(edges.opening, currency),
        lines,
        closing: Money::new(edges.closing, currency),
        next,
    })
}

fn line(row: LineRow, currency: Currency, before: i64) -> Result<StatementLine, LedgerError> {
    let unreadable = || LedgerError::Unreadable(format!("transfer {}", row.transfer));
    Ok(StatementLine {
        transfer: TransferId::from(row.transfer),
        at: row.at,
        code: row.code.parse().map_err(|_| unreadable())?,
        reference: row.reference,
        other: row.other.parse().map_err(|_| unreadable())?,
        amount: Money::new(row.amount, currency),
        balance: Money::new(before + row.running, currency),
    })
}

/// Balances, minor units.
struct Edges {
    opening: i64,
    closing: i64,
    before_page: i64,
}

/// The balances when the period begins, when it ends, and where the page begins: today's, less what came since.
async fn edges(
    conn: &mut PgConnection,
    (account, currency): AccountKey,
    period: Period,
    after: Option<Cursor>,
) -> Result<Edges, LedgerError> {
    let (opening, closing, paged): (i64, i64, i64) = sqlx::query_as(
        "WITH today AS (
             SELECT coalesce(sum(credits_posted - debits_posted), 0) AS net FROM ledger.balances
             WHERE account = $1 AND currency = $2),
         since AS (
             SELECT coalesce(sum(amount), 0) AS opening,
                    coalesce(sum(amount) FILTER (WHERE at >= $4), 0) AS closing,
                    coalesce(sum(amount) FILTER (WHERE at < $4 AND (at, seq) <= ($5, $6)), 0) AS paged
             FROM (SELECT at, seq, CASE side WHEN 'credit' THEN posted_minor ELSE -posted_minor END AS amount
                   FROM ledger.entries WHERE account = $1 AND currency = $2 AND posted_minor > 0 AND at >= $3) AS e)
         SELECT (net - opening)::bigint, (net - closing)::bigint, paged::bigint FROM today, since",
    )
    .bind(account.to_string())
    .bind(currency.code())
    .bind(period.from)
    .bind(period.to)
    .bind(after.map(|cursor| cursor.at))
    .bind(after.map(|cursor| cursor.seq))
    .fetch_one(conn)
    .await?;
    Ok(Edges {
        opening,
        closing,
        before_page: opening + paged,
    })
}
