//! What was asked under which id, and what was answered.
//!
//! A request is claimed by inserting its row before anything is decided: a second one with the same id waits for the first
//! to commit, and then finds its answer: what was made of it, or the refusal. What was made changes later (a refund is
//! done), but not the answer: it is what was begun.

use hexcab_types::{RequestId, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{AskError, StoreError};
use crate::domain::Refused;

/// SQLSTATE of a lock that was not had in time: on a claim it means that the first request is still at work.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Under which id something is asked, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestKey {
    /// Chosen by the caller.
    pub id: RequestId,
    /// SHA-256 of the operation and its request.
    pub body_hash: [u8; 32],
}

/// Body hash, what was made, and the refusal of a request's row.
type Kept = (Vec<u8>, Option<Vec<Uuid>>, Option<String>);

/// Claims the id. False when it was claimed before.
pub async fn claim(
    conn: &mut PgConnection,
    key: &RequestKey,
    now: Timestamp,
) -> Result<bool, AskError> {
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

fn while_claiming(error: sqlx::Error) -> AskError {
    let waited = error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| code == LOCK_NOT_AVAILABLE);
    if waited {
        AskError::RequestInFlight
    } else {
        error.into()
    }
}

/// What was made of a request that was claimed before, or why it was refused.
pub async fn replay(
    conn: &mut PgConnection,
    key: &RequestKey,
) -> Result<Result<Vec<Uuid>, Refused>, AskError> {
    let row: Option<Kept> =
        sqlx::query_as("SELECT body_hash, made, refusal FROM requests WHERE request_id = $1")
            .bind(key.id.uuid())
            .fetch_optional(conn)
            .await?;
    let Some((body_hash, made, refusal)) = row else {
        return Err(AskError::RequestInFlight);
    };
    if body_hash != key.body_hash {
        return Err(AskError::RequestIdReused);
    }
    let unreadable = || StoreError::Unreadable(format!("the answer to request {}", key.id));
    match (made, refusal) {
        (Some(made), None) => Ok(Ok(made)),
        (None, Some(reason)) => Ok(Err(Refused::from_reason(&reason).ok_or_else(unreadable)?)),
        (None, None) | (Some(_), Some(_)) => Err(unreadable().into()),
    }
}

/// Keeps what was made as the answer.
pub async fn keep(
    conn: &mut PgConnection,
    key: &RequestKey,
    made: &[Uuid],
) -> Result<(), AskError> {
    sqlx::query("UPDATE requests SET made = $2 WHERE request_id = $1")
        .bind(key.id.uuid())
        .bind(made)
        .execute(conn)
        .await?;
    Ok(())
}

/// Keeps a refusal as the answer.
pub async fn refuse(
    conn: &mut PgConnection,
    key: &RequestKey,
    refused: Refused,
) -> Result<(), AskError> {
    sqlx::query("UPDATE requests SET refusal = $2 WHERE request_id = $1")
        .bind(key.id.uuid())
        .bind(refused.reason())
        .execute(conn)
        .await?;
    Ok(())
}
