//! What was asked under which id, and what was answered (I6).
//!
//! A request is claimed by inserting its row before anything is decided: a second one with the same id waits for the
//! first to commit, and then finds its answer. An answer is the refusal, or the trip as a version left it: that is what
//! the event of that version says, which is kept for ever and in a form that later releases still read.

use hexcab_types::Timestamp;
use sqlx::PgConnection;

use super::{Answer, ExecuteError, RequestKey};
use crate::domain::Refusal;

/// SQLSTATE of a lock that was not had in time: on a claim it means that the first request is still at work.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Body hash, refusal and event of a request's row.
type Kept = (Vec<u8>, Option<String>, Option<Vec<u8>>);

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
pub async fn replay(
    conn: &mut PgConnection,
    key: &RequestKey,
) -> Result<Result<Answer, Refusal>, ExecuteError> {
    let row: Option<Kept> = sqlx::query_as(
        "SELECT r.body_hash, r.refusal, e.payload FROM requests r
         LEFT JOIN trip_events e ON e.trip = r.trip AND e.version = r.version WHERE r.request_id = $1",
    )
    .bind(key.id.uuid())
    .fetch_optional(conn)
    .await?;
    let Some((body_hash, refusal, event)) = row else {
        return Err(ExecuteError::RequestInFlight);
    };
    if body_hash != key.body_hash {
        return Err(ExecuteError::RequestIdReused);
    }
    match (event, refusal) {
        (Some(event), _) => Ok(Ok(Answer::Before(event))),
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
