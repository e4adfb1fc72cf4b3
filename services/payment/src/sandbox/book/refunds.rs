//! What is given back of what was taken.
//!
//! Invariant: never more than was taken, failed refunds aside.

use std::collections::BTreeMap;

use hexcab_pg::PgError;
use hexcab_types::Timestamp;
use sqlx::{PgConnection, types::Json};

use super::{Ids, Outcome, events::Happened, payments};
use crate::sandbox::{
    answer::{Answer, ErrorType},
    operation::NewRefund,
};

/// A refund.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Refund {
    /// `re_…`
    pub id: String,
    /// Of which payment.
    pub payment_intent: String,
    /// Minor units.
    pub amount: i64,
    /// ISO 4217 in lower case.
    pub currency: String,
    /// `succeeded` or `failed`.
    pub status: String,
    /// Why it failed, when it did.
    pub failure_reason: Option<String>,
    /// Why, as the caller said.
    pub reason: Option<String>,
    /// What the caller attached.
    pub metadata: Json<BTreeMap<String, String>>,
    /// Real time.
    pub created_at: Timestamp,
}

/// The columns of [`Refund`], of a row `r` joined with its payment `p`.
pub(super) const COLUMNS: &str = "r.id, r.payment_intent, r.amount, p.currency, r.status, r.failure_reason, r.reason, r.metadata, \
                                  r.created_at";

pub(super) async fn create(
    conn: &mut PgConnection,
    new: &NewRefund,
    ids: &Ids,
    now: Timestamp,
) -> Result<Outcome, PgError> {
    let Some(payment) = payments::lock(conn, &new.payment).await? else {
        return Ok(Answer::missing("payment_intent", &new.payment).into());
    };
    let left = payment.amount_received - payment.amount_refunded;
    let amount = new.amount.unwrap_or(left);
    if let Some((code, message)) = refusal(left, amount, &payment) {
        return Ok(Answer::error(400, ErrorType::InvalidRequest, code, message).into());
    }
    let id = ids.object("re");
    sqlx::query(
        "INSERT INTO refunds (id, payment_intent, amount, status, failure_reason, reason, metadata, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&id)
    .bind(&new.payment)
    .bind(amount)
    .bind(if new.failure.is_some() { "failed" } else { "succeeded" })
    .bind(&new.failure)
    .bind(&new.reason)
    .bind(Json(&new.metadata))
    .bind(now)
    .execute(&mut *conn)
    .await?;
    let refund = after(conn, &id).await?;
    let Some(payment) = payments::lock(conn, &new.payment).await? else {
        return Ok(Answer::missing("payment_intent", &new.payment).into());
    };
    let happened = match new.failure {
        Some(_) => Happened::new("refund.failed", &payment.id, refund.json()),
        None => Happened::new("charge.refunded", &payment.id, payment.charge_json()),
    };
    Ok(Outcome {
        answer: Answer::ok(refund.json()),
        happened: Some(happened),
    })
}

/// Why nothing is given back.
fn refusal(left: i64, amount: i64, payment: &payments::Payment) -> Option<(&'static str, String)> {
    if payment.amount_received == 0 {
        let message = format!("This PaymentIntent has a status of {}.", payment.status);
        Some(("payment_intent_unexpected_state", message))
    } else if payment.disputed {
        Some((
            "charge_disputed",
            "The charge was charged back; you cannot issue a refund.".to_owned(),
        ))
    } else if left == 0 {
        Some((
            "charge_already_refunded",
            "The charge has already been refunded.".to_owned(),
        ))
    } else if amount > left {
        let message =
            format!("Refund amount ({amount}) is greater than unrefunded amount ({left}).");
        Some(("amount_too_large", message))
    } else {
        None
    }
}

/// The rider's bank does not take it: the money is ours again.
pub(super) async fn fail(
    conn: &mut PgConnection,
    id: &str,
    reason: &str,
) -> Result<Outcome, PgError> {
    let failed = sqlx::query(
        "UPDATE refunds SET status = 'failed', failure_reason = $2 WHERE id = $1 AND status = 'succeeded'",
    )
    .bind(id)
    .bind(reason)
    .execute(&mut *conn)
    .await?;
    if failed.rows_affected() == 0 {
        return Ok(Answer::missing("refund", id).into());
    }
    let refund = after(conn, id).await?;
    Ok(Outcome {
        answer: Answer::ok(refund.json()),
        happened: Some(Happened::new(
            "refund.failed",
            &refund.payment_intent,
            refund.json(),
        )),
    })
}

async fn after(conn: &mut PgConnection, id: &str) -> Result<Refund, PgError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM refunds r JOIN payment_intents p ON p.id = r.payment_intent WHERE r.id = $1"
    );
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .fetch_one(conn)
        .await?)
}
