//! Rows of `webhook_events`: each event once, leased while it is followed up. Times here are real, and the database's.

use std::time::Duration;

use hexcab_pg::{Pg, PgError};

use super::event::{About, Hint};

/// The table.
#[derive(Debug, Clone)]
pub struct Hints {
    pg: Pg,
}

/// A hint about to be followed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The processor's id of the event.
    pub id: String,
    /// Such as `payment_intent.succeeded`.
    pub kind: String,
    /// What to look at.
    pub about: About,
    /// 1 for the first try. Also the lease's fencing token.
    pub attempt: i32,
}

/// What came of a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Somebody was told to look.
    Told,
    /// It is about nothing that is ours, or that is still open.
    Nothing,
    /// The processor does not know what it spoke of.
    Missing,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Nothing => "nothing",
            Self::Missing => "missing",
        }
    }
}

impl Hints {
    /// The table in this database.
    pub const fn new(pg: Pg) -> Self {
        Self { pg }
    }

    /// Keeps a hint. False when it was heard before.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn keep(&self, hint: &Hint) -> Result<bool, PgError> {
        let kept = sqlx::query(
            "INSERT INTO webhook_events (id, type, about, object, created_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT ON CONSTRAINT webhook_event_heard_once DO NOTHING",
        )
        .bind(&hint.id)
        .bind(&hint.kind)
        .bind(hint.about.as_str())
        .bind(hint.about.object())
        .bind(hint.created_at)
        .execute(self.pg.pool())
        .await?;
        Ok(kept.rows_affected() == 1)
    }

    /// Leases the hint that has been due longest, if there is one.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn claim(&self, lease: Duration) -> Result<Option<Claim>, PgError> {
        let row: Option<(String, String, String, String, i32)> = sqlx::query_as(
            "UPDATE webhook_events SET lease_until = now() + $1 * interval '1 millisecond', attempts = attempts + 1
             WHERE id = (
                 SELECT id FROM webhook_events
                 WHERE followed_at IS NULL AND due_at <= now() AND (lease_until IS NULL OR lease_until < now())
                 ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
             RETURNING id, type, about, object, attempts",
        )
        .bind(millis(lease))
        .fetch_optional(self.pg.pool())
        .await?;
        Ok(row.and_then(|(id, kind, about, object, attempt)| {
            Some(Claim {
                id,
                kind,
                about: About::parse(&about, object)?,
                attempt,
            })
        }))
    }

    /// Something came of it. False when the lease was lost: somebody else follows it up.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn followed(&self, claim: &Claim, outcome: Outcome) -> Result<bool, PgError> {
        let followed = sqlx::query(
            "UPDATE webhook_events SET followed_at = now(), outcome = $3, lease_until = NULL, last_error = NULL
             WHERE id = $1 AND attempts = $2 AND followed_at IS NULL",
        )
        .bind(&claim.id)
        .bind(claim.attempt)
        .bind(outcome.as_str())
        .execute(self.pg.pool())
        .await?;
        Ok(followed.rows_affected() == 1)
    }

    /// It is due again after `pause`.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn postpone(&self, claim: &Claim, why: &str, pause: Duration) -> Result<(), PgError> {
        sqlx::query(
            "UPDATE webhook_events SET due_at = now() + $3 * interval '1 millisecond', lease_until = NULL, last_error = $4
             WHERE id = $1 AND attempts = $2 AND followed_at IS NULL",
        )
        .bind(&claim.id)
        .bind(claim.attempt)
        .bind(millis(pause))
        .bind(why)
        .execute(self.pg.pool())
        .await?;
        Ok(())
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
