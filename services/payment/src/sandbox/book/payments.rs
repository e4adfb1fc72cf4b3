//! What happens to a payment: held or charged, raised, captured, canceled.
//!
//! Invariants: a hold ends once; a raise only grows, ten times at most; a capture is within the hold.

use std::collections::BTreeMap;

use hexcab_pg::PgError;
use hexcab_types::Timestamp;
use sqlx::{PgConnection, types::Json};

use super::{Ids, Outcome, events::Happened};
use crate::sandbox::{
    answer::{Answer, ErrorType},
    operation::NewPayment,
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
    /// Minor units that were given back of what was taken.
    pub amount_refunded: i64,
    /// ISO 4217 in lower case.
    pub currency: String,
    /// `requires_capture`, `succeeded`, `canceled` or `requires_payment_method`.
    pub status: String,
    /// `manual` or `automatic`.
    pub capture_method: String,
    /// The card.
    pub payment_method: String,
    /// Whether the hold may be raised.
    pub raisable: bool,
    /// How often it was tried.
    pub raises: i16,
    /// What the caller attached.
    pub metadata: Json<BTreeMap<String, String>>,
    /// Why it was refused, when it was.
    pub decline_code: Option<String>,
    /// Whether the rider's bank took it back.
    pub disputed: bool,
    /// Real time.
    pub created_at: Timestamp,
    /// Real time.
    pub canceled_at: Option<Timestamp>,
    /// Why.
    pub cancellation_reason: Option<String>,
}

/// The columns of [`Payment`], of a row `p`.
pub(super) const COLUMNS: &str = "p.id, p.amount, p.amount_received, p.currency, p.status, p.capture_method, p.payment_method, \
    p.raisable, p.raises, p.metadata, p.decline_code, p.created_at, p.canceled_at, p.cancellation_reason, \
    (SELECT coalesce(sum(r.amount), 0)::bigint FROM refunds r WHERE r.payment_intent = p.id AND r.status <> 'failed') AS amount_refunded, \
    EXISTS (SELECT 1 FROM disputes d WHERE d.payment_intent = p.id) AS disputed";

/// Raises of one payment, refused ones included, as at Stripe.
const RAISES_MAX: i16 = 10;

impl Payment {
    /// Whether it waits for a capture or a cancel.
    pub fn is_held(&self) -> bool {
        self.status == "requires_capture"
    }

    fn happened(&self, kind: &'static str) -> Option<Happened> {
        Some(Happened::new(kind, &self.id, self.json(false)))
    }

    fn done(&self, kind: &'static str) -> Outcome {
        Outcome {
            answer: Answer::ok(self.json(true)),
            happened: self.happened(kind),
        }
    }

    fn declined(&self, code: &str) -> Outcome {
        Outcome {
            answer: Answer::declined(code, self.json(false)),
            happened: self.happened("payment_intent.payment_failed"),
        }
    }
}

/// One payment, locked until the transaction ends.
pub(super) async fn lock(conn: &mut PgConnection, id: &str) -> Result<Option<Payment>, PgError> {
    let sql = format!("SELECT {COLUMNS} FROM payment_intents p WHERE id = $1 FOR UPDATE OF p");
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(conn)
        .await?)
}

async fn after(conn: &mut PgConnection, id: &str) -> Result<Payment, PgError> {
    let sql = format!("SELECT {COLUMNS} FROM payment_intents p WHERE id = $1");
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .fetch_one(conn)
        .await?)
}

pub(super) async fn create(
    conn: &mut PgConnection,
    new: &NewPayment,
    ids: &Ids,
    now: Timestamp,
) -> Result<Outcome, PgError> {
    let id = ids.object("pi");
    let (status, received) = match (&new.decline, new.manual) {
        (Some(_), _) => ("requires_payment_method", 0),
        (None, true) => ("requires_capture", 0),
        (None, false) => ("succeeded", new.amount),
    };
    sqlx::query(
        "INSERT INTO payment_intents (id, amount, amount_received, currency, status, capture_method, payment_method, raisable,
                                      metadata, decline_code, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(&id)
    .bind(new.amount)
    .bind(received)
    .bind(&new.currency)
    .bind(status)
    .bind(if new.manual { "manual" } else { "automatic" })
    .bind(&new.payment_method)
    .bind(new.raisable && new.decline.is_none())
    .bind(Json(&new.metadata))
    .bind(&new.decline)
    .bind(now)
    .execute(&mut *conn)
    .await?;
    let payment = after(conn, &id).await?;
    Ok(match &new.decline {
        Some(code) => payment.declined(code),
        None if new.manual => payment.done("payment_intent.amount_capturable_updated"),
        None => payment.done("payment_intent.succeeded"),
    })
}

pub(super) async fn raise(
    conn: &mut PgConnection,
    id: &str,
    amount: i64,
    decline: Option<&str>,
) -> Result<Outcome, PgError> {
    let payment = match held(conn, id, "increment the authorization of").await? {
        Ok(payment) => payment,
        Err(answer) => return Ok(answer.into()),
    };
    let wrong = if !payment.raisable {
        Some("This PaymentIntent is not eligible for incremental authorization.".to_owned())
    } else if amount <= payment.amount {
        let now = payment.amount;
        Some(format!(
            "The amount {amount} is not more than the {now} that are authorized."
        ))
    } else if payment.raises >= RAISES_MAX {
        Some(format!(
            "This PaymentIntent was incremented {RAISES_MAX} times already."
        ))
    } else {
        None
    };
    if let Some(message) = wrong {
        let code = "parameter_invalid";
        return Ok(Answer::error(400, ErrorType::InvalidRequest, code, message).into());
    }
    sqlx::query("UPDATE payment_intents SET amount = coalesce($2, amount), raises = raises + 1 WHERE id = $1")
        .bind(id)
        .bind(decline.is_none().then_some(amount))
        .execute(&mut *conn)
        .await?;
    let payment = after(conn, id).await?;
    // A refused raise leaves the payment as it was, so nothing happened to it.
    Ok(match decline {
        Some(code) => Answer::declined(code, payment.json(false)).into(),
        None => payment.done("payment_intent.amount_capturable_updated"),
    })
}

pub(super) async fn capture(
    conn: &mut PgConnection,
    id: &str,
    amount: Option<i64>,
    decline: Option<&str>,
) -> Result<Outcome, PgError> {
    let payment = match held(conn, id, "capture").await? {
        Ok(payment) => payment,
        Err(answer) => return Ok(answer.into()),
    };
    let received = amount.unwrap_or(payment.amount);
    if received > payment.amount {
        let message = format!(
            "The amount {received} is more than the {} that can be captured.",
            payment.amount
        );
        let code = "amount_too_large";
        return Ok(Answer::error(400, ErrorType::InvalidRequest, code, message).into());
    }
    let (status, received) = match decline {
        Some(_) => ("requires_payment_method", 0),
        None => ("succeeded", received),
    };
    sqlx::query(
        "UPDATE payment_intents SET status = $2, amount_received = $3, decline_code = $4 WHERE id = $1",
    )
    .bind(id)
    .bind(status)
    .bind(received)
    .bind(decline)
    .execute(&mut *conn)
    .await?;
    let payment = after(conn, id).await?;
    Ok(match decline {
        Some(code) => payment.declined(code),
        None => payment.done("payment_intent.succeeded"),
    })
}

pub(super) async fn cancel(
    conn: &mut PgConnection,
    id: &str,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<Outcome, PgError> {
    if let Err(answer) = held(conn, id, "cancel").await? {
        return Ok(answer.into());
    }
    sqlx::query(
        "UPDATE payment_intents SET status = 'canceled', canceled_at = $2, cancellation_reason = $3 WHERE id = $1",
    )
    .bind(id)
    .bind(now)
    .bind(reason)
    .execute(&mut *conn)
    .await?;
    Ok(after(conn, id).await?.done("payment_intent.canceled"))
}

/// The payment, if it is held; from any other state 400 `payment_intent_unexpected_state`, as Stripe does.
async fn held(
    conn: &mut PgConnection,
    id: &str,
    verb: &str,
) -> Result<Result<Payment, Answer>, PgError> {
    Ok(match lock(conn, id).await? {
        None => Err(Answer::missing("payment_intent", id)),
        Some(payment) if payment.is_held() => Ok(payment),
        Some(payment) => Err(Answer::unexpected_state(verb, &payment.status)),
    })
}
