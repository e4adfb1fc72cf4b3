//! Rows of `work`: steps that are outstanding, their leases and their end. Times here are real, and the database's.

use std::time::Duration;

use hexcab_types::{IntentId, Money};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Claim, StoreError, beside, intents};
use crate::domain::{Intent, Order, Step};

#[derive(sqlx::FromRow)]
struct Row {
    intent: Uuid,
    ordinal: i16,
    step: String,
    raise_to: Option<i64>,
    extra: Option<Uuid>,
    refund: Option<Uuid>,
    traceparent: Option<String>,
    attempts: i32,
    begun_s: f64,
}

impl Row {
    async fn order(&self, conn: &mut PgConnection, intent: &Intent) -> Result<Order, StoreError> {
        let unreadable =
            || StoreError::Unreadable(format!("work {} of intent {}", self.step, self.intent));
        let order = match (Step::parse(&self.step), self.raise_to) {
            (Some(Step::Hold), None) => Order::Hold,
            (Some(Step::Raise), Some(to)) => Order::Raise {
                to: Money::new(to, intent.amount.currency),
            },
            (Some(Step::Capture), None) => Order::Capture,
            (Some(Step::Void), None) => Order::Void,
            (Some(step @ (Step::Charge | Step::Tip)), None) => {
                let extras = beside::of(conn, intent).await?.extras.into_iter();
                let mut of = extras.filter(|extra| Some(extra.id.uuid()) == self.extra);
                let extra = of.next().ok_or_else(unreadable)?;
                if step == Step::Tip {
                    Order::Tip(extra)
                } else {
                    Order::Charge(extra)
                }
            }
            (Some(Step::Refund), None) => {
                let refunds = beside::of(conn, intent).await?.refunds.into_iter();
                let mut of = refunds.filter(|refund| Some(refund.id.uuid()) == self.refund);
                Order::Refund(of.next().ok_or_else(unreadable)?)
            }
            _ => return Err(unreadable()),
        };
        Ok(order)
    }
}

/// Adds a step in its place; refunds and tips after everything else. False when the intent has one in that place already
/// (a hold, a raise, a settlement): that one stands.
pub async fn add(
    conn: &mut PgConnection,
    intent: IntentId,
    order: &Order,
    traceparent: Option<&str>,
) -> Result<bool, StoreError> {
    let (mut raise_to, mut extra, mut refund) = (None, None, None);
    let place = match order {
        Order::Hold => Some(1_i16),
        Order::Raise { to } => {
            raise_to = Some(to.minor);
            Some(2)
        }
        Order::Capture | Order::Void => Some(3),
        Order::Charge(rest) => {
            extra = Some(rest.id.uuid());
            Some(4)
        }
        Order::Tip(tip) => {
            extra = Some(tip.id.uuid());
            None
        }
        Order::Refund(given) => {
            refund = Some(given.id.uuid());
            None
        }
    };
    let added = sqlx::query(
        "INSERT INTO work (intent, ordinal, step, raise_to, extra, refund, traceparent)
         VALUES ($1, coalesce($2, (SELECT greatest(4, max(ordinal)) + 1 FROM work WHERE intent = $1)), $3, $4, $5, $6, $7)
         ON CONFLICT ON CONSTRAINT one_step_per_place DO NOTHING",
    )
    .bind(intent.uuid())
    .bind(place)
    .bind(order.step().as_str())
    .bind(raise_to)
    .bind(extra)
    .bind(refund)
    .bind(traceparent)
    .execute(conn)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// Leases the step that has been due longest: not leased by a living worker, and its intent's earlier steps finished.
/// One statement, so it needs no transaction of its own.
pub async fn claim(pool: &PgPool, lease: Duration) -> Result<Option<Claim>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "UPDATE work SET lease_until = now() + $1 * interval '1 millisecond', attempts = attempts + 1,
                         begun_at = coalesce(begun_at, now())
         WHERE (intent, ordinal) = (
             SELECT w.intent, w.ordinal FROM work w
             WHERE w.finished_at IS NULL AND w.due_at <= now() AND (w.lease_until IS NULL OR w.lease_until < now())
               AND NOT EXISTS (SELECT 1 FROM work e
                               WHERE e.intent = w.intent AND e.ordinal < w.ordinal AND e.finished_at IS NULL)
             ORDER BY w.due_at LIMIT 1
             FOR UPDATE OF w SKIP LOCKED)
         RETURNING intent, ordinal, step, raise_to, extra, refund, traceparent, attempts,
                   extract(epoch FROM now() - begun_at)::float8 AS begun_s",
    )
    .bind(millis(lease))
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let mut conn = pool.acquire().await?;
    let intent = intents::fetch(&mut conn, row.intent.into()).await?;
    let order = row.order(&mut conn, &intent).await?;
    Ok(Some(Claim {
        intent,
        order,
        ordinal: row.ordinal,
        attempt: row.attempts,
        begun: Duration::from_secs_f64(row.begun_s.max(0.0)),
        traceparent: row.traceparent,
    }))
}

/// Ends a step, if the lease still holds.
pub async fn finish(conn: &mut PgConnection, claim: &Claim) -> Result<(), StoreError> {
    let ended = sqlx::query(
        "UPDATE work SET finished_at = now(), lease_until = NULL, last_error = NULL
         WHERE intent = $1 AND ordinal = $2 AND attempts = $3 AND finished_at IS NULL",
    )
    .bind(claim.intent.id.uuid())
    .bind(claim.ordinal)
    .bind(claim.attempt)
    .execute(conn)
    .await?;
    held(ended.rows_affected())
}

/// Gives the lease back; the step is due again after `pause`.
pub async fn postpone(
    conn: &mut PgConnection,
    claim: &Claim,
    why: &str,
    pause: Duration,
) -> Result<(), StoreError> {
    let postponed = sqlx::query(
        "UPDATE work SET due_at = now() + $4 * interval '1 millisecond', lease_until = NULL, last_error = $5
         WHERE intent = $1 AND ordinal = $2 AND attempts = $3 AND finished_at IS NULL",
    )
    .bind(claim.intent.id.uuid())
    .bind(claim.ordinal)
    .bind(claim.attempt)
    .bind(millis(pause))
    .bind(why)
    .execute(conn)
    .await?;
    held(postponed.rows_affected())
}

const fn held(rows: u64) -> Result<(), StoreError> {
    if rows == 1 {
        Ok(())
    } else {
        Err(StoreError::LeaseLost)
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
