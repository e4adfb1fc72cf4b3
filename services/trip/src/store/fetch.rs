//! Reading a trip in the transaction that will change it.

use hexcab_types::{Timestamp, TripId};
use sqlx::{FromRow as _, PgConnection, Row as _};

use super::{
    ExecuteError, RequestKey, requests,
    row::{TripRow, columns},
};
use crate::domain::Trip;

/// Claims the request and reads the trip in one statement.
pub async fn claim_and_fetch(
    conn: &mut PgConnection,
    key: &RequestKey,
    id: TripId,
    now: Timestamp,
) -> Result<(bool, Option<Trip>), ExecuteError> {
    let row = sqlx::query(concat!(
        "WITH claim AS (
            INSERT INTO requests (request_id, body_hash, asked_at) VALUES ($1, $2, $3)
            ON CONFLICT (request_id) DO NOTHING RETURNING request_id)
        SELECT EXISTS (SELECT FROM claim) AS claimed, t.id IS NOT NULL AS there, ",
        columns!(),
        " FROM (SELECT $4::uuid AS id) AS asked LEFT JOIN trips t ON t.id = asked.id"
    ))
    .bind(key.id.uuid())
    .bind(key.body_hash.as_slice())
    .bind(now)
    .bind(id.uuid())
    .fetch_one(conn)
    .await
    .map_err(requests::while_claiming)?;
    let there = row.try_get("there")?;
    let trip = if there {
        Some(TripRow::from_row(&row)?.trip()?)
    } else {
        None
    };
    Ok((row.try_get("claimed")?, trip))
}

/// One trip.
pub async fn fetch(conn: &mut PgConnection, id: TripId) -> Result<Option<Trip>, ExecuteError> {
    let row: Option<TripRow> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM trips t WHERE t.id = $1"
    ))
    .bind(id.uuid())
    .fetch_optional(conn)
    .await?;
    row.map(TripRow::trip).transpose()
}

/// One trip that is due, locked; none when it is not, or when somebody else is at it.
pub async fn lock_due(
    conn: &mut PgConnection,
    id: TripId,
    now: Timestamp,
) -> Result<Option<Trip>, ExecuteError> {
    let row: Option<TripRow> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM trips t WHERE t.id = $1 AND t.due_at < $2 FOR UPDATE SKIP LOCKED"
    ))
    .bind(id.uuid())
    .bind(now)
    .fetch_optional(conn)
    .await?;
    row.map(TripRow::trip).transpose()
}
