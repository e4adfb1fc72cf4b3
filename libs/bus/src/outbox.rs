//! Events written in the transaction of the change they report: with it or not at all.

use hexcab_pg::PgError;
use hexcab_types::EventId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Outgoing;

/// Appends an event to the outbox of the open transaction.
///
/// # Errors
/// When Postgres refuses.
pub async fn append(connection: &mut PgConnection, event: &Outgoing) -> Result<EventId, PgError> {
    let id = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO outbox (event_id, topic, key, kind, source, subject, occur_time, traceparent, payload) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(id)
    .bind(event.topic)
    .bind(&event.key)
    .bind(&event.kind)
    .bind(event.source)
    .bind(&event.subject)
    .bind(event.time)
    .bind(&event.traceparent)
    .bind(&event.payload)
    .execute(connection)
    .await?;
    Ok(id.into())
}
