//! The store's promises kept by Postgres: every change in one SERIALIZABLE transaction, run again as a whole when others
//! won.

use std::time::Duration;

use hexcab_bus::{Incoming, inbox, outbox};
use hexcab_chassis::Clock;
use hexcab_pg::Pg;
use hexcab_types::{IntentId, Timestamp, TripId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Balance, Claim, Page, StoreError, intents, ledger, work};
use crate::{
    domain::{
        Charge, Intent, Order, State,
        decide::{Command, Event, decide},
        settlement,
    },
    events::{self, Notice},
};

/// Who consumes, in the inbox and as consumer group.
pub const CONSUMER: &str = "payment";

/// The payment service's database.
#[derive(Debug, Clone)]
pub struct Store {
    pg: Pg,
    clock: Clock,
    lease: Duration,
}

impl Store {
    /// The store in this database; leases last this long in real time.
    pub const fn new(pg: Pg, clock: Clock, lease: Duration) -> Self {
        Self { pg, clock, lease }
    }

    /// Phase A: what a trip event asks for becomes outstanding work, once per event. Nobody is called.
    ///
    /// # Errors
    /// When the event is nonsense or Postgres refuses.
    pub async fn note(&self, event: &Incoming, notice: &Notice) -> Result<(), StoreError> {
        let (now, fresh) = (self.clock.now(), IntentId::from(Uuid::now_v7()));
        let traceparent =
            hexcab_telemetry::current_traceparent().or_else(|| event.traceparent.clone());
        let traceparent = traceparent.as_deref();
        self.pg
            .serializable("payment.note", |mut tx| async move {
                if !inbox::first_time(&mut tx, CONSUMER, event).await? {
                    return Ok(());
                }
                let known = intents::by_trip(&mut tx, notice.trip).await?;
                let held = known.as_ref().map_or(notice.fare, |intent| intent.amount);
                let settlement = notice.ending.map(|ending| settlement::order(ending, held)).transpose()?;
                if let Some((charge, excess)) = notice.ending.and_then(|ending| settlement::excess(ending, held)) {
                    tracing::warn!(trip.id = %notice.trip, %charge, %held, %excess, "a trip costs more than its hold; the rest is given up");
                }
                let orders = settlement::outstanding(known.is_some(), settlement);
                let intent = match known {
                    Some(intent) => intent,
                    None => open(&mut tx, fresh, notice, now).await?,
                };
                for order in &orders {
                    if !work::add(&mut tx, intent.id, order, traceparent).await? {
                        tracing::error!(trip.id = %intent.trip, ?order, "a trip was settled twice; the first one stands");
                    }
                }
                Ok(())
            })
            .await
    }

    /// Leases the step of work that has been due longest, if there is one.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn claim(&self) -> Result<Option<Claim>, StoreError> {
        work::claim(self.pg.pool(), self.lease).await
    }

    /// Phase C: what is known to have happened, its ledger entries, its event and the end of the work, together.
    ///
    /// # Errors
    /// When the lease was lost, the answer does not fit, or Postgres refuses.
    pub async fn record(&self, claim: &Claim, command: &Command) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.pg
            .serializable("payment.record", |mut tx| async move {
                work::finish(&mut tx, claim).await?;
                let before = intents::fetch(&mut tx, claim.intent.id).await?;
                let event = decide(&before.state, before.amount, command.clone())?;
                let after = Intent {
                    updated_at: now,
                    ..before.clone().apply(&event)
                };
                intents::save(&mut tx, &before, &after).await?;
                let charge = charge_of(&claim.order);
                enter(&mut tx, &after, &event, charge, now).await?;
                if let Some(outgoing) = events::outgoing(&after, &event, charge, now) {
                    outbox::append(&mut tx, &outgoing).await?;
                }
                Ok(())
            })
            .await
    }

    /// Phase C without an answer: the intent is UNKNOWN until it is asked what became of it, after `pause`.
    ///
    /// # Errors
    /// When the lease was lost or Postgres refuses.
    pub async fn lose(&self, claim: &Claim, why: &str, pause: Duration) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.pg
            .serializable("payment.lose", |mut tx| async move {
                work::postpone(&mut tx, claim, why, pause).await?;
                let before = intents::fetch(&mut tx, claim.intent.id).await?;
                let event = decide(
                    &before.state,
                    before.amount,
                    Command::LoseAnswer(claim.order.step()),
                )?;
                let after = Intent {
                    updated_at: now,
                    ..before.clone().apply(&event)
                };
                if after.state == before.state {
                    Ok(())
                } else {
                    intents::save(&mut tx, &before, &after).await
                }
            })
            .await
    }

    /// Tries the step again after `pause`; nothing else changes.
    ///
    /// # Errors
    /// When the lease was lost or Postgres refuses.
    pub async fn postpone(
        &self,
        claim: &Claim,
        why: &str,
        pause: Duration,
    ) -> Result<(), StoreError> {
        work::postpone(&mut *self.pg.pool().acquire().await?, claim, why, pause).await
    }

    /// Enters a charge whose hold was declined as the rider's debt and ends the step. The intent stays as it is, and
    /// nobody is told: that the hold was declined, they know.
    ///
    /// # Errors
    /// When the lease was lost or Postgres refuses.
    pub async fn owe(&self, claim: &Claim, charge: &Charge) -> Result<(), StoreError> {
        let (now, intent) = (self.clock.now(), &claim.intent);
        self.pg
            .serializable("payment.owe", |mut tx| async move {
                work::finish(&mut tx, claim).await?;
                let journal = crate::ledger::debt(intent.rider, charge)?;
                ledger::owe(&mut tx, intent.id, &journal, now).await
            })
            .await
    }

    /// Ends the step; there was nothing to do for it.
    ///
    /// # Errors
    /// When the lease was lost or Postgres refuses.
    pub async fn close(&self, claim: &Claim) -> Result<(), StoreError> {
        work::finish(&mut *self.pg.pool().acquire().await?, claim).await
    }

    /// Whatever is outstanding for an intent is due now, unless a living worker has it. True when something is.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn nudge(&self, intent: IntentId) -> Result<bool, StoreError> {
        let due = sqlx::query(
            "UPDATE work SET due_at = now() WHERE intent = $1 AND finished_at IS NULL AND due_at > now()
               AND (lease_until IS NULL OR lease_until < now())",
        )
        .bind(intent.uuid())
        .execute(self.pg.pool())
        .await?;
        Ok(due.rows_affected() > 0)
    }

    /// The intent of a trip.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn of_trip(&self, trip: TripId) -> Result<Option<Intent>, StoreError> {
        intents::by_trip(&mut *self.pg.pool().acquire().await?, trip).await
    }

    /// Intents in any of these states (any at all when empty), newest first.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn list(
        &self,
        states: &[&str],
        after: Option<Page>,
        limit: i64,
    ) -> Result<Vec<Intent>, StoreError> {
        intents::list(&mut *self.pg.pool().acquire().await?, states, after, limit).await
    }

    /// Every account's balances.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn balances(&self) -> Result<Vec<Balance>, StoreError> {
        ledger::balances(self.pg.pool()).await
    }
}

async fn open(
    conn: &mut PgConnection,
    id: IntentId,
    notice: &Notice,
    now: Timestamp,
) -> Result<Intent, StoreError> {
    let intent = Intent {
        id,
        trip: notice.trip,
        rider: notice.rider,
        amount: notice.fare,
        state: State::RequiresHold,
        version: 0,
        created_at: now,
        updated_at: now,
    };
    intents::insert(conn, &intent).await?;
    ledger::open(
        conn,
        id,
        &crate::ledger::hold(notice.rider, notice.fare),
        now,
    )
    .await?;
    Ok(intent)
}

/// What an event does to the ledger.
async fn enter(
    conn: &mut PgConnection,
    intent: &Intent,
    event: &Event,
    charge: Option<&Charge>,
    now: Timestamp,
) -> Result<(), StoreError> {
    match (event, charge) {
        (Event::HoldPlaced { .. } | Event::AnswerLost(_), _) => Ok(()),
        (Event::HoldDeclined { .. } | Event::Voided, _) => ledger::void(conn, intent.id, now).await,
        (Event::Captured { amount }, Some(charge)) => {
            let journal = crate::ledger::capture(intent.rider, charge)?;
            ledger::post(conn, intent.id, *amount, &journal, now).await
        }
        (Event::Captured { .. }, None) => Err(StoreError::Unreadable(format!(
            "{} captured without a charge",
            intent.id
        ))),
    }
}

const fn charge_of(order: &Order) -> Option<&Charge> {
    match order {
        Order::Capture(charge) => Some(charge),
        Order::Hold | Order::Void => None,
    }
}
