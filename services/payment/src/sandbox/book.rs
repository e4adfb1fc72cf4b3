//! What the sandbox keeps: payments, refunds, disputes, what happened to them, and its answers by idempotency key. A
//! change, its answer and its event are one transaction.
//!
//! - [`payments`], [`refunds`], [`disputes`] what a mutation does to each
//! - [`events`] what happened and whom it is still to be told
//! - [`lists`] reads
//!
//! Invariants: the first answer to a key is its answer for ever after; the same key with another request is refused;
//! a payment leaves `requires_capture` once.

use hexcab_pg::{Pg, PgError};
use hexcab_types::Timestamp;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    answer::{Answer, ErrorType},
    operation::Operation,
};

mod disputes;
mod events;
mod lists;
mod payments;
mod refunds;

pub use disputes::Dispute;
pub use events::{Delivery, Event};
pub use payments::Payment;
pub use refunds::Refund;

use events::Happened;

/// One request under its key.
#[derive(Debug, Clone, Copy)]
pub struct Keyed<'a> {
    /// `Idempotency-Key`, if there was one.
    pub key: Option<&'a str>,
    /// What tells it from others.
    pub fingerprint: &'a str,
    /// What is asked.
    pub ask: Ask<'a>,
}

/// What is asked of the book.
#[derive(Debug, Clone, Copy)]
pub enum Ask<'a> {
    /// To do this.
    Do(&'a Operation),
    /// To fail so, and to remember it.
    Fail(&'a Answer),
}

/// What befalls a processor that nobody asked it for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// A rider's bank takes a payment back.
    Disputed {
        /// Which payment.
        payment: String,
        /// Minor units; the whole when absent.
        amount: Option<i64>,
        /// Such as `fraudulent`.
        reason: String,
    },
    /// A dispute ends.
    DisputeClosed {
        /// Which dispute.
        id: String,
        /// Whether the money comes back.
        won: bool,
    },
    /// A hold is given back because it was not captured in time.
    HoldExpired {
        /// Which payment.
        payment: String,
    },
    /// The rider's bank does not take a refund.
    RefundFailed {
        /// Which refund.
        id: String,
        /// Such as `expired_or_canceled_card`.
        reason: String,
    },
}

/// What came of a mutation.
#[derive(Debug)]
struct Outcome {
    answer: Answer,
    happened: Option<Happened>,
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        Self {
            answer,
            happened: None,
        }
    }
}

/// Ids for what a mutation may make; drawn once, however often its transaction runs.
#[derive(Debug)]
struct Ids {
    object: Uuid,
    event: Uuid,
}

impl Ids {
    fn new() -> Self {
        Self {
            object: Uuid::now_v7(),
            event: Uuid::now_v7(),
        }
    }

    fn object(&self, prefix: &str) -> String {
        format!("{prefix}_{}", self.object.simple())
    }
}

/// The sandbox's database.
#[derive(Debug, Clone)]
pub struct Book {
    pg: Pg,
    /// Whether somebody is to be told by webhook.
    tells: bool,
}

impl Book {
    /// The book in this database. `tells` says whether events are to be told by webhook.
    pub const fn new(pg: Pg, tells: bool) -> Self {
        Self { pg, tells }
    }

    /// The answer to a mutation: the first one its key was given, or that of doing it now.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn answer(&self, request: Keyed<'_>, now: Timestamp) -> Result<Answer, PgError> {
        let ids = &Ids::new();
        self.pg
            .serializable("sandbox.answer", |mut tx| async move {
                if let Some(key) = request.key
                    && let Some(answer) = replay(&mut tx, key, request.fingerprint).await?
                {
                    return Ok(answer);
                }
                let outcome = match request.ask {
                    Ask::Do(operation) => carry_out(&mut tx, operation, ids, now).await?,
                    Ask::Fail(answer) => answer.clone().into(),
                };
                if let Some(key) = request.key {
                    remember(&mut tx, key, request.fingerprint, &outcome.answer).await?;
                }
                if let Some(happened) = outcome.happened {
                    let happened = happened.asked_by(request.key);
                    events::append(&mut tx, ids, happened, self.tells, now).await?;
                }
                Ok(outcome.answer)
            })
            .await
    }

    /// Lets something happen that nobody asked for.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn befall(&self, fate: &Fate, now: Timestamp) -> Result<Answer, PgError> {
        let ids = &Ids::new();
        self.pg
            .serializable("sandbox.befall", |mut tx| async move {
                let outcome = match fate {
                    Fate::Disputed {
                        payment,
                        amount,
                        reason,
                    } => disputes::open(&mut tx, ids, payment, *amount, reason, now).await?,
                    Fate::DisputeClosed { id, won } => disputes::close(&mut tx, id, *won).await?,
                    Fate::HoldExpired { payment } => {
                        payments::cancel(&mut tx, payment, Some("automatic"), now).await?
                    }
                    Fate::RefundFailed { id, reason } => refunds::fail(&mut tx, id, reason).await?,
                };
                if let Some(happened) = outcome.happened {
                    events::append(&mut tx, ids, happened, self.tells, now).await?;
                }
                Ok(outcome.answer)
            })
            .await
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
            Answer { status: status.unsigned_abs(), body, replayed: true }
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
    ids: &Ids,
    now: Timestamp,
) -> Result<Outcome, PgError> {
    match operation {
        Operation::Create(new) => payments::create(conn, new, ids, now).await,
        Operation::Raise {
            id,
            amount,
            decline,
        } => payments::raise(conn, id, *amount, decline.as_deref()).await,
        Operation::Capture {
            id,
            amount,
            decline,
        } => payments::capture(conn, id, *amount, decline.as_deref()).await,
        Operation::Cancel { id, reason } => {
            payments::cancel(conn, id, reason.as_deref(), now).await
        }
        Operation::Refund(new) => refunds::create(conn, new, ids, now).await,
    }
}
