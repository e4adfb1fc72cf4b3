//! Reading without changing: one trip, a page of trips, a trip's events, the trips that are due.
//!
//! Plain reads outside of any transaction: what they say may be old by the time it arrives, and no rule rests on it.

use hexcab_types::{Timestamp, TripId};
use sqlx::{PgPool, Postgres, QueryBuilder};
use uuid::Uuid;

use super::{
    Due, ExecuteError, Filter, PageToken,
    row::{TripRow, columns},
};
use crate::domain::Trip;

/// One trip.
pub async fn get(pool: &PgPool, id: TripId) -> Result<Trip, ExecuteError> {
    let row: Option<TripRow> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM trips t WHERE t.id = $1"
    ))
    .bind(id.uuid())
    .fetch_optional(pool)
    .await?;
    row.ok_or(ExecuteError::NoSuchTrip)?.trip()
}

/// A page of trips, newest first, and where the next one goes on.
pub async fn list(
    pool: &PgPool,
    filter: &Filter,
) -> Result<(Vec<Trip>, Option<PageToken>), ExecuteError> {
    let mut query =
        QueryBuilder::<Postgres>::new(concat!("SELECT ", columns!(), " FROM trips t WHERE true"));
    if let Some(city) = &filter.city {
        query.push(" AND t.city = ").push_bind(city.as_str());
    }
    if let Some(rider) = filter.rider {
        query.push(" AND t.rider = ").push_bind(rider.uuid());
    }
    if let Some(driver) = filter.driver {
        query.push(" AND (t.driver = ").push_bind(driver.uuid());
        query
            .push(" OR t.engaged_driver = ")
            .push_bind(driver.uuid())
            .push(")");
    }
    if !filter.states.is_empty() {
        query
            .push(" AND t.state = ANY (")
            .push_bind(&filter.states)
            .push(")");
    }
    if let Some(after) = filter.after {
        query
            .push(" AND (t.created_at, t.id) < (")
            .push_bind(after.created_at);
        query.push(", ").push_bind(after.trip.uuid()).push(")");
    }
    query
        .push(" ORDER BY t.created_at DESC, t.id DESC LIMIT ")
        .push_bind(i64::from(filter.limit) + 1);
    let rows: Vec<TripRow> = query.build_query_as().fetch_all(pool).await?;
    let mut trips = rows
        .into_iter()
        .map(TripRow::trip)
        .collect::<Result<Vec<_>, _>>()?;
    let more = trips.len() > filter.limit as usize;
    trips.truncate(filter.limit as usize);
    let next = trips.last().filter(|_| more).map(|last| PageToken {
        created_at: last.created_at,
        trip: last.id,
    });
    Ok((trips, next))
}

/// The payloads of a trip's events, in order.
pub async fn events(pool: &PgPool, id: TripId) -> Result<Vec<Vec<u8>>, ExecuteError> {
    let payloads: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT payload FROM trip_events WHERE trip = $1 ORDER BY version")
            .bind(id.uuid())
            .fetch_all(pool)
            .await?;
    // Every trip has its first event.
    if payloads.is_empty() {
        Err(ExecuteError::NoSuchTrip)
    } else {
        Ok(payloads)
    }
}

/// Trips whose deadline is before `now`, the longest overdue first, `without` these.
pub async fn due(
    pool: &PgPool,
    now: Timestamp,
    limit: u32,
    without: &[TripId],
) -> Result<Vec<Due>, ExecuteError> {
    let without: Vec<Uuid> = without.iter().map(|trip| trip.uuid()).collect();
    let rows: Vec<(Uuid, Option<String>)> = sqlx::query_as(
        "SELECT id, traceparent FROM trips WHERE due_at < $1 AND id <> ALL ($3) ORDER BY due_at LIMIT $2",
    )
    .bind(now)
    .bind(i64::from(limit))
    .bind(without)
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(trip, traceparent)| Due {
            trip: trip.into(),
            traceparent,
        })
        .collect())
}
