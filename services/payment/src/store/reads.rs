//! What can be read: intents, the trial balance, a driver's statement.
//!
//! Does not: lock anything, or change it.

use hexcab_ledger::{Account, Code, Cursor, Period, TrialBalance};
use hexcab_types::{Currency, DriverId, Money as Amount, PayoutId, Timestamp, TripId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Page, Store, StoreError,
    beside::{self, Beside},
    intents,
};
use crate::domain::Intent;

/// Lines of a statement at most.
const LINES_MAX: usize = 10_000;
/// Lines that are read at once.
const LINES_READ: u32 = 1_000;

/// The money of a trip: its intent and everything beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// The hold, and how the trip ended.
    pub intent: Intent,
    /// Charges beside the hold, refunds, disputes.
    pub beside: Beside,
}

/// A driver's account in one currency over a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What was owed to him when it began.
    pub opening: Amount,
    /// What was owed to him when it ended.
    pub closing: Amount,
    /// What was posted, oldest first. None when there was too much to tell.
    pub lines: Option<Vec<StatementLine>>,
}

/// One posted transfer on a driver's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatementLine {
    /// City clock.
    pub at: Timestamp,
    /// What for.
    pub code: Code,
    /// What it adds to what he is owed.
    pub amount: Amount,
    /// What he is owed after it.
    pub balance: Amount,
    /// The trip or payout batch it is about; none for a correction.
    pub about: About,
}

/// What a line of a statement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// A trip.
    Trip(TripId),
    /// A payout batch.
    Payout(PayoutId),
    /// Neither.
    Other,
}

impl Store {
    /// The intent of a trip.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn of_trip(&self, trip: TripId) -> Result<Option<Intent>, StoreError> {
        intents::by_trip(&mut *self.pg.pool().acquire().await?, trip).await
    }

    /// The money of a trip.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn money_of(&self, trip: TripId) -> Result<Option<Money>, StoreError> {
        let conn = &mut *self.pg.pool().acquire().await?;
        let Some(intent) = intents::by_trip(conn, trip).await? else {
            return Ok(None);
        };
        let beside = beside::of(conn, &intent).await?;
        Ok(Some(Money { intent, beside }))
    }

    /// Intents in any of these states (any at all when empty), newest first.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn list(
        &self,
        states: &[&str],
        after: Option<Page>,
        limit: i64,
    ) -> Result<Vec<Intent>, StoreError> {
        intents::list(&mut *self.pg.pool().acquire().await?, states, after, limit).await
    }

    /// Every account's balances.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn trial_balance(&self) -> Result<TrialBalance, StoreError> {
        let conn = &mut *self.pg.pool().acquire().await?;
        Ok(hexcab_ledger::trial_balance(conn).await?)
    }

    /// A driver's account in every currency that he has one in, from a time until before another (now when absent).
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn statements(
        &self,
        driver: DriverId,
        from: Timestamp,
        to: Option<Timestamp>,
    ) -> Result<Vec<Statement>, StoreError> {
        let period = Period {
            from,
            to: to.unwrap_or_else(|| self.clock.now()),
        };
        let conn = &mut *self.pg.pool().acquire().await?;
        let account = Account::Driver(driver);
        let currencies: Vec<String> = sqlx::query_scalar(
            "SELECT currency::text FROM ledger.balances WHERE account = $1 ORDER BY currency",
        )
        .bind(account.to_string())
        .fetch_all(&mut *conn)
        .await?;
        let mut statements = Vec::with_capacity(currencies.len());
        for currency in currencies {
            let unreadable = |_| StoreError::Unreadable(format!("currency {currency}"));
            let currency: Currency = currency.parse().map_err(unreadable)?;
            statements.push(statement(conn, (account, currency), period).await?);
        }
        Ok(statements)
    }
}

async fn statement(
    conn: &mut PgConnection,
    key: (Account, Currency),
    period: Period,
) -> Result<Statement, StoreError> {
    let (mut lines, mut after): (Vec<hexcab_ledger::StatementLine>, Option<Cursor>) =
        (Vec::new(), None);
    loop {
        let page = hexcab_ledger::Page {
            after,
            limit: LINES_READ,
        };
        let read = hexcab_ledger::statement(conn, key, period, page).await?;
        lines.extend(read.lines);
        after = read.next;
        let too_long = lines.len() > LINES_MAX;
        if after.is_some() && !too_long {
            continue;
        }
        // Pages are read one after the other: what counts is what the lines say.
        let closing = lines.last().map_or(read.opening, |line| line.balance);
        let first = lines.first().map(|line| line.balance.minus(line.amount));
        return Ok(Statement {
            opening: first.transpose()?.unwrap_or(read.opening),
            closing,
            lines: if too_long {
                None
            } else {
                Some(about(conn, lines).await?)
            },
        });
    }
}

/// The lines, with what each is about.
async fn about(
    conn: &mut PgConnection,
    lines: Vec<hexcab_ledger::StatementLine>,
) -> Result<Vec<StatementLine>, StoreError> {
    let references: Vec<Uuid> = lines.iter().map(|line| line.reference).collect();
    let trips: Vec<(Uuid, Uuid)> =
        sqlx::query_as("SELECT id, trip FROM intents WHERE id = ANY($1)")
            .bind(&references)
            .fetch_all(&mut *conn)
            .await?;
    let trips: std::collections::HashMap<Uuid, Uuid> = trips.into_iter().collect();
    let lines = lines.into_iter().map(|line| StatementLine {
        at: line.at,
        code: line.code,
        amount: line.amount,
        balance: line.balance,
        about: match (trips.get(&line.reference), line.code) {
            (Some(trip), _) => About::Trip((*trip).into()),
            (None, Code::Payout) => About::Payout(line.reference.into()),
            (None, _) => About::Other,
        },
    });
    Ok(lines.collect())
}
