//! What makes a repeated event harmless: a row per consumer and event, in the transaction of the effect.

use hexcab_pg::PgError;
use sqlx::PgConnection;

use crate::Incoming;

/// Records the event as consumed in the open transaction. False when it was already: then there is nothing to do.
///
/// # Errors
/// When Postgres refuses.
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
