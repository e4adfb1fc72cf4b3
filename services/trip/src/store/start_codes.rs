//! How often a wrong start code was tried: a count beside the trip, kept with the refusal it belongs to.
//!
//! Read for a start only, so that other commands do not pay for it. Does not: know the limit (the domain and a CHECK do).

use hexcab_types::TripId;
use sqlx::PgConnection;

use super::ExecuteError;

/// Wrong codes so far.
pub async fn wrong(conn: &mut PgConnection, trip: TripId) -> Result<i32, ExecuteError> {
    let wrong: Option<i32> =
        sqlx::query_scalar("SELECT wrong FROM start_code_attempts WHERE trip = $1")
            .bind(trip.uuid())
            .fetch_optional(conn)
            .await?;
    Ok(wrong.unwrap_or(0))
}

/// Counts one more.
pub async fn count(conn: &mut PgConnection, trip: TripId, before: i32) -> Result<(), ExecuteError> {
    let sql = if before == 0 {
        "INSERT INTO start_code_attempts (trip, wrong) VALUES ($1, 1)"
    } else {
        "UPDATE start_code_attempts SET wrong = wrong + 1 WHERE trip = $1"
    };
    sqlx::query(sql).bind(trip.uuid()).execute(conn).await?;
    Ok(())
}
