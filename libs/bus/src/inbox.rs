//! What makes a repeated event harmless: a row per consumer and event, in the transaction of the effect.
//!
//! - [`first_time`] for every effect: one event, one effect
//! - [`is_newer`] beside it for effects that replace what was known of an aggregate: what is outdated has none. Not for
//!   facts that count by themselves (a request, a hold): one that comes late is a fact all the same.
//!
//! Invariant: an event from before the inbox's memory (`inbox_keep_hours`) is refused, for nobody knows whether it had its
//! effect; the [`crate::Consumer`] puts it aside, whatever failure the handler makes of it.

use hexcab_pg::PgError;
use sqlx::PgConnection;

use crate::{Incoming, consumer::is_said};

/// The constraint that refuses an event from before the inbox's memory.
const REMEMBERS: &str = "inbox_remembers";

/// Records the event as consumed in the open transaction. False when it was already: then there is nothing to do.
///
/// # Errors
/// When Postgres refuses, by constraint `inbox_remembers` for an event from before the inbox's memory.
pub async fn first_time(
    connection: &mut PgConnection,
    consumer: &str,
    event: &Incoming,
) -> Result<bool, PgError> {
    let done = sqlx::query(
        "INSERT INTO inbox (consumer, event_id, kind, subject) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind(consumer)
    .bind(event.id.uuid())
    .bind(&event.kind)
    .bind(&event.subject)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Records in the open transaction that this consumer has seen the event's subject at this version. False when it has seen
/// that version or a later one: what the event says is outdated, and there is nothing to do.
///
/// # Errors
/// When Postgres refuses.
pub async fn is_newer(
    connection: &mut PgConnection,
    consumer: &str,
    event: &Incoming,
    version: i64,
) -> Result<bool, PgError> {
    let moved = sqlx::query(
        "INSERT INTO inbox_versions AS seen (consumer, subject, version) VALUES ($1, $2, $3) \
         ON CONFLICT (consumer, subject) DO UPDATE SET version = excluded.version, consume_time = excluded.consume_time \
         WHERE seen.version < excluded.version",
    )
    .bind(consumer)
    .bind(&event.subject)
    .bind(version)
    .execute(connection)
    .await?;
    Ok(moved.rows_affected() > 0)
}

/// Whether the inbox refused an event as older than its memory, somewhere in this chain of errors.
pub(crate) fn is_forgotten(error: &anyhow::Error) -> bool {
    is_said(error, |refused| refused.constraint() == Some(REMEMBERS))
}
