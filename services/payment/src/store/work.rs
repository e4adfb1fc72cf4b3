//! Rows of `work`: steps that are outstanding, their leases and their end. Times here are real, and the database's.

use std::time::Duration;

use hexcab_types::{DriverId, IntentId, Money};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Claim, StoreError, intents};
use crate::domain::{Charge, DriverPay, Intent, Order, Step};

#[derive(sqlx::FromRow)]
struct Row {
    intent: Uuid,
    step: String,
    charge_minor: Option<i64>,
    driver: Option<Uuid>,
    driver_pay_minor: Option<i64>,
    tax_minor: Option<i64>,
    traceparent: Option<String>,
    attempts: i32,
}

impl Row {
    fn order(&self, intent: &Intent) -> Result<Order, StoreError> {
        let money = |minor| Money::new(minor, intent.amount.currency);
        let step = Step::parse(&self.step);
        match (step, self.charge_minor, self.tax_minor) {
            (Some(Step::Hold), None, None) => Ok(Order::Hold),
            (Some(Step::Void), None, None) => Ok(Order::Void),
            (Some(Step::Capture), Some(charge), Some(tax)) => {
                let driver = self.driver.zip(self.driver_pay_minor);
                let driver = driver.map(|(driver, pay)| DriverPay {
                    driver: DriverId::from(driver),
                    amount: money(pay),
                });
                Ok(Order::Capture(Charge {
                    amount: money(charge),
                    driver,
                    tax: money(tax),
                }))
            }
            _ => Err(StoreError::Unreadable(format!(
                "work {} of intent {}",
                self.step, self.intent
            ))),
        }
    }
}

/// Adds a step. False when the intent has one of its kind already (a hold, or a settlement): that one stands.
pub async fn add(
    conn: &mut PgConnection,
    intent: IntentId,
    order: &Order,
    traceparent: Option<&str>,
) -> Result<bool, StoreError> {
    let charge = match order {
        Order::Capture(charge) => Some(charge),
        Order::Hold | Order::Void => None,
    };
    let pay = charge.and_then(|charge| charge.driver);
    let added = sqlx::query(
        "INSERT INTO work (intent, step, charge_minor, driver, driver_pay_minor, tax_minor, traceparent)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT ON CONSTRAINT one_hold_and_one_settlement DO NOTHING",
    )
    .bind(intent.uuid())
    .bind(order.step().as_str())
    .bind(charge.map(|charge| charge.amount.minor))
    .bind(pay.map(|pay| pay.driver.uuid()))
    .bind(pay.map(|pay| pay.amount.minor))
    .bind(charge.map(|charge| charge.tax.minor))
    .bind(traceparent)
    .execute(conn)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// Leases the step that has been due longest: not leased by a living worker, and its intent's earlier step finished.
/// One statement, so it needs no transaction of its own.
pub async fn claim(pool: &PgPool, lease: Duration) -> Result<Option<Claim>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "UPDATE work SET lease_until = now() + $1 * interval '1 millisecond', attempts = attempts + 1
         WHERE (intent, ordinal) = (
             SELECT w.intent, w.ordinal FROM work w
             WHERE w.finished_at IS NULL AND w.due_at <= now() AND (w.lease_until IS NULL OR w.lease_until < now())
               AND NOT EXISTS (SELECT 1 FROM work e
                               WHERE e.intent = w.intent AND e.ordinal < w.ordinal AND e.finished_at IS NULL)
             ORDER BY w.due_at LIMIT 1
             FOR UPDATE OF w SKIP LOCKED)
         RETURNING intent, step, charge_minor, driver, driver_pay_minor, tax_minor, traceparent, attempts",
    )
    .bind(millis(lease))
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let intent = intents::fetch(&mut *pool.acquire().await?, row.intent.into()).await?;
    let order = row.order(&intent)?;
    Ok(Some(Claim {
        intent,
        order,
        attempt: row.attempts,
        traceparent: row.traceparent,
    }))
}

/// Ends a step, if the lease still holds.
pub async fn finish(conn: &mut PgConnection, claim: &Claim) -> Result<(), StoreError> {
    let ended = sqlx::query(
        "UPDATE work SET finished_at = now(), lease_until = NULL, last_error = NULL
         WHERE intent = $1 AND step = $2 AND attempts = $3 AND finished_at IS NULL",
    )
    .bind(claim.intent.id.uuid())
    .bind(claim.order.step().as_str())
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
         WHERE intent = $1 AND step = $2 AND attempts = $3 AND finished_at IS NULL",
    )
    .bind(claim.intent.id.uuid())
    .bind(claim.order.step().as_str())
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
