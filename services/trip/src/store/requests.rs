//! What was asked under which id, and what was answered (I6).
//!
//! A request is claimed by inserting its row before anything is decided: a second one with the same id waits for the
//! first to commit, and then finds its answer. An answer is the trip as it was then, or the refusal.

use hexcab_types::Timestamp;
use sqlx::PgConnection;

use super::{ExecuteError, RequestKey};
use crate::domain::{Refusal, Trip};

/// SQLSTATE of a lock that was not had in time: on a claim it means that the first request is still at work.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// What was answered: kept, so that it can be given again.
pub type Answer = Result<Trip, Refusal>;

/// Body hash, trip and refusal of a request's row.
type Kept = (Vec<u8>, Option<Vec<u8>>, Option<String>);

/// Claims the id. False when it was claimed before.
pub async fn claim(
    conn: &mut PgConnection,
    key: &RequestKey,
    now: Timestamp,
) -> Result<bool, ExecuteError> {
    let claimed = sqlx::query(
        "INSERT INTO requests (request_id, body_hash, asked_at) VALUES ($1, $2, $3) ON CONFLICT (request_id) DO NOTHING",
    )
    .bind(key.id.uuid())
    .bind(key.body_hash.as_slice())
    .bind(now)
    .execute(conn)
    .await
    .map_err(while_claiming)?;
    Ok(claimed.rows_affected() == 1)
}

/// An error of the statement that claims.
pub fn while_claiming(error: sqlx::Error) -> ExecuteError {
    let waited = error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| code == LOCK_NOT_AVAILABLE);
    if waited {
        ExecuteError::RequestInFlight
    } else {
        error.into()
    }
}

/// The answer given to an id that was claimed before.
pub async fn replay(conn: &mut PgConnection, key: &RequestKey) -> Result<Answer, ExecuteError> {
    let row: Option<Kept> =
        sqlx::query_as("SELECT body_hash, trip, refusal FROM requests WHERE request_id = $1")
            .bind(key.id.uuid())
            .fetch_optional(conn)
            .await?;
    let Some((body_hash, trip, refusal)) = row else {
        return Err(ExecuteError::RequestInFlight);
    };
    if body_hash != key.body_hash {
        return Err(ExecuteError::RequestIdReused);
    }
    match (trip, refusal) {
        (Some(trip), _) => read(&trip).map(Ok),
        (None, Some(reason)) => Refusal::from_reason(&reason)
            .map(Err)
            .ok_or(ExecuteError::Unreadable(format!("refusal {reason}"))),
        (None, None) => Err(ExecuteError::Unreadable(format!(
            "the answer to request {}",
            key.id
        ))),
    }
}

/// Keeps a refusal as the answer.
pub async fn refuse(
    conn: &mut PgConnection,
    key: &RequestKey,
    refusal: Refusal,
) -> Result<(), ExecuteError> {
    sqlx::query("UPDATE requests SET refusal = $2 WHERE request_id = $1")
        .bind(key.id.uuid())
        .bind(refusal.reason())
        .execute(conn)
        .await?;
    Ok(())
}

/// A trip as an answer keeps it.
pub fn write(trip: &Trip) -> Result<Vec<u8>, ExecuteError> {
    serde_json::to_vec(trip).map_err(|error| ExecuteError::Unreadable(error.to_string()))
}

fn read(bytes: &[u8]) -> Result<Trip, ExecuteError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ExecuteError::Unreadable(format!("an answer: {error}")))
}
