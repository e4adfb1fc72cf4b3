//! How long outbox and inbox are kept: partitions made ahead of time and dropped after it.
//!
//! The statements are functions of the database (migrations/0001), so that the lock under which a partition goes is held
//! for no round trip, and a service needs no right to its tables. Invariants: a partition of the outbox with a row that
//! the relay has not passed is never dropped; an event that the inbox has forgotten is refused by it, not taken for new;
//! no append fails for want of a partition. Does not: prune a service's own tables.

use std::time::Duration;

use hexcab_pg::{Pg, PgError};
use hexcab_types::Timestamp;
use uuid::Uuid;

use crate::BusConfig;

/// Rows without a partition that are deleted at once.
const SWEEP_MAX: i32 = 1_000;
/// SQLSTATE of a lock that was not had in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// A table that is kept for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Events to be published.
    Outbox,
    /// Events that had their effect.
    Inbox,
}

impl Table {
    const fn name(self) -> &'static str {
        match self {
            Self::Outbox => "outbox",
            Self::Inbox => "inbox",
        }
    }
}

/// How long a row is kept at least; it goes with its partition, up to a day (outbox) or a week (inbox) later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Events to be published, after they were.
    pub outbox: Duration,
    /// Events that had their effect.
    pub inbox: Duration,
}

impl Keep {
    /// As configured.
    pub fn of(config: &BusConfig) -> Self {
        let hours = |hours: u32| Duration::from_secs(u64::from(hours) * 3_600);
        Self {
            outbox: hours(config.outbox_keep_hours),
            inbox: hours(config.inbox_keep_hours),
        }
    }
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tended {
    /// Partitions that were made ahead.
    pub made: i32,
    /// Partitions that were dropped.
    pub dropped: Vec<String>,
    /// A partition of the outbox whose time is over and that holds what the relay has not passed.
    pub held: Option<String>,
    /// Rows that were deleted one by one.
    pub swept: i64,
}

/// Makes the partitions of this time (the machine's) and the next.
///
/// # Errors
/// When Postgres refuses.
pub async fn prepare(pg: &Pg, now: Timestamp) -> Result<i32, PgError> {
    let made = sqlx::query_scalar("SELECT bus_prepare($1)").bind(now);
    Ok(made.fetch_one(pg.pool()).await?)
}

/// Makes partitions ahead and drops those whose time is over, at this time (the machine's). One that is being read is
/// dropped another time.
///
/// # Errors
/// When Postgres refuses.
pub async fn tend(pg: &Pg, keep: Keep, now: Timestamp) -> Result<Tended, PgError> {
    let mut tended = Tended {
        made: prepare(pg, now).await?,
        ..Tended::default()
    };
    for (table, keep) in [(Table::Outbox, keep.outbox), (Table::Inbox, keep.inbox)] {
        let before = now - keep;
        drop_old(pg, table, before, &mut tended).await?;
        tended.swept += sweep(pg, table, before).await?;
    }
    Ok(tended)
}

async fn drop_old(
    pg: &Pg,
    table: Table,
    before: Timestamp,
    tended: &mut Tended,
) -> Result<(), PgError> {
    loop {
        // In no transaction: it must see what is committed when it has its lock.
        let asked = sqlx::query_as("SELECT name, dropped FROM bus_drop_oldest($1, $2)")
            .bind(table.name())
            .bind(before)
            .fetch_one(pg.pool());
        let (name, dropped): (Option<String>, Option<bool>) =
            match asked.await.map_err(PgError::from) {
                Ok(answer) => answer,
                Err(error) if error.sqlstate().as_deref() == Some(LOCK_NOT_AVAILABLE) => {
                    tracing::debug!(
                        table = table.name(),
                        "an old partition is in use: another time"
                    );
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
        match (name, dropped) {
            (Some(name), Some(true)) => tended.dropped.push(name),
            (name, _) => {
                tended.held = tended.held.take().or(name);
                return Ok(());
            }
        }
    }
}

async fn sweep(pg: &Pg, table: Table, before: Timestamp) -> Result<i64, PgError> {
    let swept = sqlx::query_scalar("SELECT bus_sweep($1, $2, $3)")
        .bind(table.name())
        .bind(before)
        .bind(SWEEP_MAX);
    Ok(swept.fetch_one(pg.pool()).await?)
}

/// From when on (the machine's time) a table has everything; none when nothing was ever dropped.
///
/// # Errors
/// When Postgres refuses.
pub async fn goes_back_to(pg: &Pg, table: Table) -> Result<Option<Timestamp>, PgError> {
    let kept_from: Uuid = sqlx::query_scalar("SELECT kept_from FROM bus_tables WHERE name = $1")
        .bind(table.name())
        .fetch_one(pg.pool())
        .await?;
    Ok(made_at(kept_from).filter(|at| *at > Timestamp::UNIX_EPOCH))
}

/// The time in an id: its first 48 bits, milliseconds.
fn made_at(id: Uuid) -> Option<Timestamp> {
    let ms = i64::try_from(id.as_u128() >> 80).ok()?;
    Timestamp::from_timestamp_millis(ms)
}

/// The database's clock.
pub(crate) async fn clock(pg: &Pg) -> Result<Timestamp, PgError> {
    let now = sqlx::query_scalar("SELECT clock_timestamp()");
    Ok(now.fetch_one(pg.pool()).await?)
}
