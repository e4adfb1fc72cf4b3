//! What the sandbox keeps: payments, and its answers by idempotency key, in one transaction.
//!
//! Invariants: the first answer to a key is its answer for ever after; the same key with another request is refused;
//! a payment leaves `requires_capture` once.

use std::collections::BTreeMap;

use hexcab_pg::{Pg, PgError};
use hexcab_types::Timestamp;
use serde_json::{Value, json};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{
    answer::{Answer, ErrorType},
    operation::{Metadata, NewPayment, Operation},
};

/// A payment.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Payment {
    /// `pi_…`
    pub id: String,
    /// Minor units that were held.
    pub amount: i64,
    /// Minor units that were taken.
    pub amount_received: i64,
    /// ISO 4217 in lower case.
    pub currency: String,
    /// `requires_capture`, `succeeded`, `canceled` or `requires_payment_method`.
    pub status: String,
    /// The card.
    pub payment_method: String,
    /// What the caller attached.
    pub metadata: Json<BTreeMap<String, String>>,
    /// Why it was refused, when it was.
    pub decline_code: Option<String>,
    /// City clock.
    pub created_at: Timestamp,
}

impl Payment {
    /// In Stripe's shape.
    pub fn json(&self) -> Value {
        let capturable = if self.status == "requires_capture" {
            self.amount
        } else {
            0
        };
        json!({
            "id": self.id,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_capturable": capturable,
            "amount_received": self.amount_received,
            "capture_method": "manual",
            "created": self.created_at.timestamp(),
            "currency": self.currency,
            "last_payment_error": self.decline_code.is_some().then(|| self.decline_json()),
            "livemode": false,
            "metadata": self.metadata.0,
            "payment_method": self.payment_method,
            "status": self.status,
        })
    }

    /// Why it was refused, in Stripe's shape.
    pub fn decline_json(&self) -> Value {
        json!({
            "type": "card_error",
            "code": "card_declined",
            "decline_code": self.decline_code,
            "message": "Your card was declined.",
        })
    }
}

/// One request under its key.
#[derive(Debug, Clone, Copy)]
pub struct Keyed<'a> {
    /// `Idempotency-Key`, if there was one.
    pub key: Option<&'a str>,
    /// What tells it from others.
    pub fingerprint: &'a str,
    /// What is asked.
    pub operation: &'a Operation,
}

/// The sandbox's database.
#[derive(Debug, Clone)]
pub struct Book {
    pg: Pg,
}

const COLUMNS: &str = "id, amount, amount_received, currency, status, payment_method, metadata, decline_code, created_at";

impl Book {
    /// The book in this database.
    pub const fn new(pg: Pg) -> Self {
        Self { pg }
    }

    /// The answer to a mutation: the first one its key was given, or that of doing it now.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn answer(&self, request: Keyed<'_>, now: Timestamp) -> Result<Answer, PgError> {
        let new_id = &format!("pi_{}", Uuid::now_v7().simple());
        self.pg
            .serializable("sandbox.answer", |mut tx| async move {
                if let Some(key) = request.key
                    && let Some(answer) = replay(&mut tx, key, request.fingerprint).await?
                {
                    return Ok(answer);
                }
                let answer = carry_out(&mut tx, request.operation, new_id, now).await?;
                if let Some(key) = request.key {
                    remember(&mut tx, key, request.fingerprint, &answer).await?;
                }
                Ok(answer)
            })
            .await
    }

    /// One payment.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn get(&self, id: &str) -> Result<Option<Payment>, PgError> {
        let sql = format!("SELECT {COLUMNS} FROM payment_intents WHERE id = $1");
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(id)
            .fetch_optional(self.pg.pool())
            .await?)
    }

    /// Payments, newest first, after `after` in that order.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn list(&self, limit: i64, after: Option<&str>) -> Result<Vec<Payment>, PgError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM payment_intents
             WHERE $2::text IS NULL OR seq < (SELECT seq FROM payment_intents WHERE id = $2)
             ORDER BY seq DESC LIMIT $1"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(limit)
            .bind(after)
            .fetch_all(self.pg.pool())
            .await?)
    }

    /// Payments with all of this metadata, newest first.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn search(&self, metadata: &Metadata, limit: i64) -> Result<Vec<Payment>, PgError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM payment_intents WHERE metadata @> $1 ORDER BY seq DESC LIMIT $2"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(Json(metadata))
            .bind(limit);
        Ok(query.fetch_all(self.pg.pool()).await?)
    }

    /// Whether the database answers.
    pub async fn is_there(&self) -> bool {
        self.pg.is_there().await
    }
}

async fn replay(
    conn: &mut PgConnection,
    key: &str,
    fingerprint: &str,
) -> Result<Option<Answer>, PgError> {
    let row: Option<(String, i16, Value)> =
        sqlx::query_as("SELECT fingerprint, status, body FROM idempotency_keys WHERE key = $1")
            .bind(key)
            .fetch_optional(conn)
            .await?;
    Ok(row.map(|(first, status, body)| {
        if first == fingerprint {
            Answer { status: status.unsigned_abs(), body }
        } else {
            let message = "Keys for idempotent requests can only be used with the same parameters they were first used with.";
            Answer::error(400, ErrorType::Idempotency, "idempotency_key_reused", message)
        }
    }))
}

async fn remember(
    conn: &mut PgConnection,
    key: &str,
    fingerprint: &str,
    answer: &Answer,
) -> Result<(), PgError> {
    sqlx::query(
        "INSERT INTO idempotency_keys (key, fingerprint, status, body) VALUES ($1, $2, $3, $4)",
    )
    .bind(key)
    .bind(fingerprint)
    .bind(i16::try_from(answer.status).unwrap_or(500))
    .bind(&answer.body)
    .execute(conn)
    .await?;
    Ok(())
}

async fn carry_out(
    conn: &mut PgConnection,
    operation: &Operation,
    new_id: &str,
    now: Timestamp,
) -> Result<Answer, PgError> {
    match operation {
        Operation::Create(new) => create(conn, new, new_id, now).await,
        Operation::Capture { id, amount } => end(conn, id, "succeeded", *amount).await,
        Operation::Cancel { id } => end(conn, id, "canceled", None).await,
    }
}

async fn create(
    conn: &mut PgConnection,
    new: &NewPayment,
    id: &str,
    now: Timestamp,
) -> Result<Answer, PgError> {
    let status = if new.decline.is_some() {
        "requires_payment_method"
    } else {
        "requires_capture"
    };
    let sql = format!(
        "INSERT INTO payment_intents (id, amount, currency, status, payment_method, metadata, decline_code, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING {COLUMNS}"
    );
    let payment: Payment = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .bind(new.amount)
        .bind(&new.currency)
        .bind(status)
        .bind(&new.payment_method)
        .bind(Json(&new.metadata))
        .bind(&new.decline)
        .bind(now)
        .fetch_one(conn)
        .await?;
    Ok(if new.decline.is_some() {
        Answer::declined(&payment)
    } else {
        Answer::payment(&payment)
    })
}

/// Captures or cancels. From any state but `requires_capture`: 400 `payment_intent_unexpected_state`, as Stripe does.
async fn end(
    conn: &mut PgConnection,
    id: &str,
    status: &str,
    amount: Option<i64>,
) -> Result<Answer, PgError> {
    let sql = format!("SELECT {COLUMNS} FROM payment_intents WHERE id = $1 FOR UPDATE");
    let found: Option<Payment> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(&mut *conn)
        .await?;
    let Some(payment) = found else {
        return Ok(Answer::missing(id));
    };
    if payment.status != "requires_capture" {
        let message = format!(
            "This PaymentIntent cannot become {status} because it has a status of {}.",
            payment.status
        );
        return Ok(Answer::error(
            400,
            ErrorType::InvalidRequest,
            "payment_intent_unexpected_state",
            message,
        ));
    }
    let received = if status == "succeeded" {
        amount.unwrap_or(payment.amount)
    } else {
        0
    };
    if received > payment.amount {
        let message = format!(
            "The amount {received} is more than the {} that can be captured.",
            payment.amount
        );
        return Ok(Answer::error(
            400,
            ErrorType::InvalidRequest,
            "amount_too_large",
            message,
        ));
    }
    let sql = format!(
        "UPDATE payment_intents SET status = $2, amount_received = $3 WHERE id = $1 RETURNING {COLUMNS}"
    );
    let payment: Payment = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .bind(status)
        .bind(received)
        .fetch_one(conn)
        .await?;
    Ok(Answer::payment(&payment))
}
