//! What happened, and whom it is still to be told. A delivery is leased, so that two senders do not tell it at once, and
//! given up by none: it is due again until the other side has taken it.

use std::time::Duration;

use hexcab_pg::PgError;
use hexcab_types::Timestamp;
use serde_json::Value;
use sqlx::{PgConnection, types::Json};

use super::{Book, Ids};
use crate::sandbox::operation::Metadata;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct Event {
    /// `evt_…`
    pub id: String,
    /// Such as `payment_intent.succeeded`.
    pub kind: String,
    /// The object as it was then.
    pub object: Value,
    /// Of the request that made it happen.
    pub idempotency_key: Option<String>,
    /// Real time.
    pub created_at: Timestamp,
    /// Webhooks that are still to tell it.
    pub pending: i64,
}

/// The columns of [`Event`], of a row `e`.
pub(super) const COLUMNS: &str = "e.id, e.type AS kind, e.object, e.idempotency_key, e.created_at, \
    (SELECT count(*) FROM deliveries d WHERE d.event = e.id AND d.delivered_at IS NULL) AS pending";

/// Something that is about to be written down.
#[derive(Debug)]
pub(super) struct Happened {
    kind: &'static str,
    payment: String,
    object: Value,
    key: Option<String>,
}

impl Happened {
    pub(super) fn new(kind: &'static str, payment: &str, object: Value) -> Self {
        let (payment, key) = (payment.to_owned(), None);
        Self {
            kind,
            payment,
            object,
            key,
        }
    }

    pub(super) fn asked_by(self, key: Option<&str>) -> Self {
        Self {
            key: key.map(ToOwned::to_owned),
            ..self
        }
    }
}

/// An event about to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// What is told.
    pub event: Event,
    /// 0, or the number of a copy.
    pub copy: i16,
    /// 1 for the first try.
    pub attempt: i32,
    /// Of the payment it is about, for fault rules.
    pub metadata: Metadata,
}

pub(super) async fn append(
    conn: &mut PgConnection,
    ids: &Ids,
    happened: Happened,
    tells: bool,
    now: Timestamp,
) -> Result<(), PgError> {
    let id = format!("evt_{}", ids.event.simple());
    sqlx::query(
        "INSERT INTO events (id, type, payment_intent, object, idempotency_key, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&id)
    .bind(happened.kind)
    .bind(&happened.payment)
    .bind(&happened.object)
    .bind(&happened.key)
    .bind(now)
    .execute(&mut *conn)
    .await?;
    if tells {
        sqlx::query("INSERT INTO deliveries (event) VALUES ($1)")
            .bind(&id)
            .execute(conn)
            .await?;
    }
    Ok(())
}

impl Book {
    /// Leases what has been due longest and is not being told by another.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn claim(&self, lease: Duration) -> Result<Option<Delivery>, PgError> {
        let claimed: Option<(String, i16, i32)> = sqlx::query_as(
            "UPDATE deliveries SET lease_until = now() + $1 * interval '1 millisecond', attempts = attempts + 1
             WHERE (event, copy) = (
                 SELECT event, copy FROM deliveries
                 WHERE delivered_at IS NULL AND due_at <= now() AND (lease_until IS NULL OR lease_until < now())
                 ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
             RETURNING event, copy, attempts",
        )
        .bind(millis(lease))
        .fetch_optional(self.pg.pool())
        .await?;
        let Some((id, copy, attempt)) = claimed else {
            return Ok(None);
        };
        let sql = format!("SELECT {COLUMNS} FROM events e WHERE id = $1");
        let event = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(&id)
            .fetch_one(self.pg.pool())
            .await?;
        let metadata: Json<Metadata> = sqlx::query_scalar(
            "SELECT p.metadata FROM payment_intents p JOIN events e ON e.payment_intent = p.id WHERE e.id = $1",
        )
        .bind(&id)
        .fetch_one(self.pg.pool())
        .await?;
        Ok(Some(Delivery {
            event,
            copy,
            attempt,
            metadata: metadata.0,
        }))
    }

    /// It was taken, or is taken for taken.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn delivered(&self, delivery: &Delivery, answer: &str) -> Result<(), PgError> {
        sqlx::query(
            "UPDATE deliveries SET delivered_at = now(), lease_until = NULL, last_answer = $4
             WHERE event = $1 AND copy = $2 AND attempts = $3",
        )
        .bind(&delivery.event.id)
        .bind(delivery.copy)
        .bind(delivery.attempt)
        .bind(answer)
        .execute(self.pg.pool())
        .await?;
        Ok(())
    }

    /// It is due again after `pause`.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn again(
        &self,
        delivery: &Delivery,
        why: &str,
        pause: Duration,
    ) -> Result<(), PgError> {
        sqlx::query(
            "UPDATE deliveries SET due_at = now() + $5 * interval '1 millisecond', lease_until = NULL, last_answer = $4
             WHERE event = $1 AND copy = $2 AND attempts = $3 AND delivered_at IS NULL",
        )
        .bind(&delivery.event.id)
        .bind(delivery.copy)
        .bind(delivery.attempt)
        .bind(why)
        .bind(millis(pause))
        .execute(self.pg.pool())
        .await?;
        Ok(())
    }

    /// The same event is told once more.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn copy(&self, delivery: &Delivery) -> Result<(), PgError> {
        sqlx::query(
            "INSERT INTO deliveries (event, copy) SELECT $1, max(copy) + 1 FROM deliveries WHERE event = $1
             ON CONFLICT DO NOTHING",
        )
        .bind(&delivery.event.id)
        .execute(self.pg.pool())
        .await?;
        Ok(())
    }

    /// Webhooks that are still to be sent, and those that were.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn deliveries(&self) -> Result<(i64, i64), PgError> {
        Ok(sqlx::query_as(
            "SELECT count(*) FILTER (WHERE delivered_at IS NULL), count(*) FILTER (WHERE delivered_at IS NOT NULL)
             FROM deliveries",
        )
        .fetch_one(self.pg.pool())
        .await?)
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
