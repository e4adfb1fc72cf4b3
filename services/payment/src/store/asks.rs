//! What people ask for: a refund, a tip. Phase A of each: decided, promised in the ledger and made into work, or refused,
//! and the answer kept under the request's id, in one transaction. Nobody is called.

use hexcab_types::{ChargeId, Money, RefundId, RiderId, TripId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    AskError, RequestKey, Store, StoreError,
    beside::{self, Beside},
    intents,
    postgres::submit,
    requests, work,
};
use crate::{
    crash,
    domain::{
        Answer, Extra, ExtraKind, Intent, Order, Refund, Refused, Step,
        refund::{self, Ask, Before, Part},
        tip,
    },
    journal,
};

impl Store {
    /// Begins to give back what was taken for a trip. The same key gets the same refunds for ever.
    ///
    /// # Errors
    /// See [`AskError`]; refusals are kept.
    pub async fn refund(
        &self,
        key: &RequestKey,
        trip: TripId,
        ask: &Ask,
    ) -> Result<Vec<Refund>, AskError> {
        let (now, ids) = (self.clock.now(), [Uuid::now_v7(), Uuid::now_v7()]);
        let traceparent = hexcab_telemetry::current_traceparent();
        let traceparent = traceparent.as_deref();
        let answer = self
            .pg
            .idempotent("payment.refund", |mut tx| async move {
                let intent = intents::lock_by_trip(&mut tx, trip).await?;
                let intent = intent.ok_or(AskError::NoIntent)?;
                let before = beside::of(&mut tx, &intent).await?;
                if !requests::claim(&mut tx, key, now).await? {
                    let made = requests::replay(&mut tx, key).await?;
                    return Ok(made.map(|made| refunds_of(before, &made)));
                }
                let parts = match refund::parts(&intent, (&before).into(), ask) {
                    Ok(parts) => parts,
                    Err(refusal) => return refused(&mut tx, key, refusal.into()).await,
                };
                let refunds: Vec<Refund> = parts
                    .into_iter()
                    .zip(ids)
                    .map(|(part, id)| made(id.into(), part, ask, now))
                    .collect();
                for refund in &refunds {
                    beside::insert_refund(&mut tx, intent.id, refund).await?;
                    submit(&mut tx, &journal::refund(&intent, refund, now)).await?;
                    let order = Order::Refund(refund.clone());
                    work::add(&mut tx, intent.id, &order, traceparent).await?;
                }
                let ids: Vec<Uuid> = refunds.iter().map(|refund| refund.id.uuid()).collect();
                requests::keep(&mut tx, key, &ids).await?;
                Ok(Ok(refunds))
            })
            .await?;
        crash::point(Step::Refund, crash::At::Noted);
        Ok(answer?)
    }

    /// Begins to take a tip. The same key gets the same tip for ever.
    ///
    /// # Errors
    /// See [`AskError`]; refusals are kept.
    pub async fn tip(
        &self,
        key: &RequestKey,
        trip: TripId,
        rider: RiderId,
        amount: Money,
    ) -> Result<Extra, AskError> {
        let (now, id) = (self.clock.now(), ChargeId::from(Uuid::now_v7()));
        let traceparent = hexcab_telemetry::current_traceparent();
        let (traceparent, rules) = (traceparent.as_deref(), self.rules.tip);
        let answer = self
            .pg
            .idempotent("payment.tip", |mut tx| async move {
                let intent = intents::lock_by_trip(&mut tx, trip).await?;
                let intent = intent.ok_or(AskError::NoIntent)?;
                let before = beside::of(&mut tx, &intent).await?;
                if !requests::claim(&mut tx, key, now).await? {
                    let made = requests::replay(&mut tx, key).await?;
                    return Ok(match made {
                        Ok(made) => Ok(tip_of(before, &made)?),
                        Err(refusal) => Err(refusal),
                    });
                }
                let driver = match tip::tip(&intent, &before.extras, rider, amount, rules, now) {
                    Ok(driver) => driver,
                    Err(refusal) => return refused(&mut tx, key, refusal.into()).await,
                };
                let tip = Extra {
                    id,
                    kind: ExtraKind::Tip { driver },
                    amount,
                    answer: Answer::Awaited,
                    created_at: now,
                };
                begin_tip(&mut tx, &intent, &tip, traceparent, now).await?;
                requests::keep(&mut tx, key, &[tip.id.uuid()]).await?;
                Ok(Ok(tip))
            })
            .await?;
        crash::point(Step::Tip, crash::At::Noted);
        Ok(answer?)
    }
}

impl<'a> From<&'a Beside> for Before<'a> {
    fn from(beside: &'a Beside) -> Self {
        Self {
            extras: &beside.extras,
            refunds: &beside.refunds,
            disputes: &beside.disputes,
        }
    }
}

async fn refused<T>(
    conn: &mut PgConnection,
    key: &RequestKey,
    refusal: Refused,
) -> Result<Result<T, Refused>, AskError> {
    requests::refuse(conn, key, refusal).await?;
    Ok(Err(refusal))
}

async fn begin_tip(
    conn: &mut PgConnection,
    intent: &Intent,
    tip: &Extra,
    traceparent: Option<&str>,
    now: hexcab_types::Timestamp,
) -> Result<(), StoreError> {
    beside::insert_extra(conn, intent.id, tip).await?;
    submit(conn, &journal::extra(intent, tip, now)).await?;
    work::add(conn, intent.id, &Order::Tip(tip.clone()), traceparent).await?;
    Ok(())
}

fn made(id: RefundId, part: Part, ask: &Ask, now: hexcab_types::Timestamp) -> Refund {
    Refund {
        id,
        of: part.of,
        amount: part.amount,
        driver_part: part.driver_part,
        tax_part: part.tax_part,
        clawback: ask.clawback,
        reason: ask.reason.clone(),
        operator: ask.operator,
        answer: Answer::Awaited,
        created_at: now,
    }
}

/// The refunds that were made of a request, as they were begun.
fn refunds_of(beside: Beside, made: &[Uuid]) -> Vec<Refund> {
    let refunds = beside.refunds.into_iter();
    refunds
        .filter(|refund| made.contains(&refund.id.uuid()))
        .map(|refund| Refund {
            answer: Answer::Awaited,
            ..refund
        })
        .collect()
}

/// The tip that was made of a request, as it was begun.
fn tip_of(beside: Beside, made: &[Uuid]) -> Result<Extra, StoreError> {
    let mut extras = beside.extras.into_iter();
    extras
        .find(|extra| made.contains(&extra.id.uuid()))
        .map(|tip| Extra {
            answer: Answer::Awaited,
            ..tip
        })
        .ok_or_else(|| StoreError::Unreadable(format!("tip {made:?}")))
}
