//! Events written in the transaction of the change they report: with it or not at all.
//!
//! [`append`] is one statement of its own. Who writes a change in one statement may write its event in the same one: with
//! [`INSERT`] as a part of it, its nine values bound by [`bind`] in their order, and an id from [`new_id`]. That is a
//! contract: the other columns have defaults and are the relay's.

use hexcab_pg::PgError;
use hexcab_types::EventId;
use sqlx::{PgConnection, Postgres, postgres::PgArguments, query::Query};
use uuid::Uuid;

use crate::Outgoing;

/// What is given of a row, in the order of [`bind`].
pub const COLUMNS: &str =
    "event_id, topic, key, kind, source, subject, occur_time, traceparent, payload";

/// Appends a row, its values as $1 to $9.
pub const INSERT: &str = "INSERT INTO outbox (event_id, topic, key, kind, source, subject, occur_time, traceparent, payload) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

/// An event's id. It carries the time (UUID version 7), by which the outbox and every inbox are partitioned.
pub fn new_id() -> EventId {
    Uuid::now_v7().into()
}

/// Binds the next nine parameters: [`COLUMNS`] of this event under this id.
pub fn bind<'q>(
    query: Query<'q, Postgres, PgArguments>,
    id: EventId,
    event: &'q Outgoing,
) -> Query<'q, Postgres, PgArguments> {
    query
        .bind(id.uuid())
        .bind(event.topic)
        .bind(&event.key)
        .bind(&event.kind)
        .bind(event.source)
        .bind(&event.subject)
        .bind(event.time)
        .bind(&event.traceparent)
        .bind(&event.payload)
}

/// Appends an event to the outbox of the open transaction.
///
/// # Errors
/// When Postgres refuses.
pub async fn append(connection: &mut PgConnection, event: &Outgoing) -> Result<EventId, PgError> {
    let id = new_id();
    bind(sqlx::query(INSERT), id, event)
        .execute(connection)
        .await?;
    Ok(id)
}
