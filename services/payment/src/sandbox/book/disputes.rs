//! Chargebacks: a rider's bank takes a payment back, and it is won or lost.
//!
//! Invariants: a payment is disputed once at most; a dispute is closed once.

use hexcab_pg::PgError;
use hexcab_types::Timestamp;
use sqlx::PgConnection;

use super::{Ids, Outcome, events::Happened, payments};
use crate::sandbox::answer::{Answer, ErrorType};

/// A dispute.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Dispute {
    /// `dp_…`
    pub id: String,
    /// Which payment.
    pub payment_intent: String,
    /// Minor units.
    pub amount: i64,
    /// ISO 4217 in lower case.
    pub currency: String,
    /// `needs_response`, `won` or `lost`.
    pub status: String,
    /// Such as `fraudulent`.
    pub reason: String,
    /// Real time.
    pub created_at: Timestamp,
}

/// The columns of [`Dispute`], of a row `d` joined with its payment `p`.
pub(super) const COLUMNS: &str =
    "d.id, d.payment_intent, d.amount, p.currency, d.status, d.reason, d.created_at";

pub(super) async fn open(
    conn: &mut PgConnection,
    ids: &Ids,
    payment: &str,
    amount: Option<i64>,
    reason: &str,
    now: Timestamp,
) -> Result<Outcome, PgError> {
    let Some(payment) = payments::lock(conn, payment).await? else {
        return Ok(Answer::missing("payment_intent", payment).into());
    };
    let amount = amount.unwrap_or(payment.amount_received);
    let fits = !payment.disputed && amount > 0 && amount <= payment.amount_received;
    if !fits {
        let message = "only what was taken can be disputed, and once";
        let code = "parameter_invalid";
        return Ok(Answer::error(400, ErrorType::InvalidRequest, code, message).into());
    }
    let id = ids.object("dp");
    sqlx::query(
        "INSERT INTO disputes (id, payment_intent, amount, status, reason, created_at)
         VALUES ($1, $2, $3, 'needs_response', $4, $5)",
    )
    .bind(&id)
    .bind(&payment.id)
    .bind(amount)
    .bind(reason)
    .bind(now)
    .execute(&mut *conn)
    .await?;
    Ok(done(&after(conn, &id).await?, "charge.dispute.created"))
}

pub(super) async fn close(
    conn: &mut PgConnection,
    id: &str,
    won: bool,
) -> Result<Outcome, PgError> {
    let closed =
        sqlx::query("UPDATE disputes SET status = $2 WHERE id = $1 AND status = 'needs_response'")
            .bind(id)
            .bind(if won { "won" } else { "lost" })
            .execute(&mut *conn)
            .await?;
    if closed.rows_affected() == 0 {
        return Ok(Answer::missing("dispute", id).into());
    }
    Ok(done(&after(conn, id).await?, "charge.dispute.closed"))
}

fn done(dispute: &Dispute, kind: &'static str) -> Outcome {
    Outcome {
        answer: Answer::ok(dispute.json()),
        happened: Some(Happened::new(kind, &dispute.payment_intent, dispute.json())),
    }
}

async fn after(conn: &mut PgConnection, id: &str) -> Result<Dispute, PgError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM disputes d JOIN payment_intents p ON p.id = d.payment_intent WHERE d.id = $1"
    );
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .fetch_one(conn)
        .await?)
}
