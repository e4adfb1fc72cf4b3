//! The store's promises kept by Postgres: every change in one SERIALIZABLE transaction, run again as a whole when others
//! won.
//!
//! - here: what trip events and the processor's answers do; [`super::asks`], [`super::payouts`] and [`super::bank`] what
//!   people, their payouts and their banks do; [`super::reads`] what can be read

use std::time::Duration;

use hexcab_bus::{Incoming, inbox, outbox};
use hexcab_chassis::Clock;
use hexcab_ledger::Transfer;
use hexcab_pg::Pg;
use hexcab_types::{ChargeId, IntentId, Money, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Claim, StoreError,
    beside::{self, Asked},
    intents, work,
};
use crate::{
    crash,
    domain::{
        Answer, Extra, ExtraKind, Intent, Method, Order, State,
        decide::{Command, Event, decide},
        settlement::{self, News, Notice},
        tip::TipRules,
    },
    events::outgoing,
    journal,
};

/// Who consumes, in the inbox and as consumer group.
pub const CONSUMER: &str = "payment";

/// What the store goes by.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// A worker that has not finished its step within this is taken for dead, real time.
    pub lease: Duration,
    /// How late and how high a tip may be.
    pub tip: TipRules,
}

/// The payment service's database.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) pg: Pg,
    pub(super) clock: Clock,
    pub(super) rules: Rules,
}

impl Store {
    /// The store in this database, by this clock and these rules.
    pub const fn new(pg: Pg, clock: Clock, rules: Rules) -> Self {
        Self { pg, clock, rules }
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
        let begun = self
            .pg
            .serializable("payment.note", |mut tx| async move {
                if !inbox::first_time(&mut tx, CONSUMER, event).await? {
                    return Ok(Vec::new());
                }
                follow(&mut tx, notice, fresh, traceparent, now).await
            })
            .await?;
        for order in begun {
            crash::point(order.step(), crash::At::Noted);
        }
        Ok(())
    }

    /// Leases the step of work that has been due longest, if there is one.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn claim(&self) -> Result<Option<Claim>, StoreError> {
        work::claim(self.pg.pool(), self.rules.lease).await
    }

    /// Phase C: what is known to have happened, its transfers, its event and the end of the work, together.
    ///
    /// # Errors
    /// When the lease was lost, the answer does not fit, or Postgres refuses.
    pub async fn record(&self, claim: &Claim, command: &Command) -> Result<(), StoreError> {
        let (now, rest) = (self.clock.now(), ChargeId::from(Uuid::now_v7()));
        self.pg
            .serializable("payment.record", |mut tx| async move {
                work::finish(&mut tx, claim).await?;
                let before = intents::fetch(&mut tx, claim.intent.id).await?;
                let event = decide(&before, command.clone())?;
                if let Some((asked, answer)) = answered(command)? {
                    beside::save_answer(&mut tx, asked, &answer).await?;
                }
                let after = happen(&mut tx, before, &event, now).await?;
                if let Event::Captured { rest: above, .. } = event
                    && above.minor > 0
                {
                    let traceparent = claim.traceparent.as_deref();
                    charge_rest(&mut tx, &after, (rest, above), traceparent, now).await?;
                }
                Ok(())
            })
            .await
    }

    /// Phase C without an answer: it is unknown what happened until the processor is asked, after `pause`.
    ///
    /// # Errors
    /// When the lease was lost or Postgres refuses.
    pub async fn lose(&self, claim: &Claim, why: &str, pause: Duration) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.pg
            .serializable("payment.lose", |mut tx| async move {
                work::postpone(&mut tx, claim, why, pause).await?;
                let before = intents::fetch(&mut tx, claim.intent.id).await?;
                match (&claim.order, claim.order.hold_step()) {
                    (_, Some(step)) => {
                        let event = decide(&before, Command::LoseAnswer(step))?;
                        happen(&mut tx, before, &event, now).await?;
                    }
                    (Order::Charge(extra) | Order::Tip(extra), None) => {
                        let asked = Asked::Extra(extra.id.uuid());
                        beside::save_answer(&mut tx, asked, &extra.answer.lose()?).await?;
                    }
                    (Order::Refund(refund), None) => {
                        let asked = Asked::Refund(refund.id.uuid());
                        beside::save_answer(&mut tx, asked, &refund.answer.lose()?).await?;
                    }
                    (Order::Hold | Order::Raise { .. } | Order::Capture | Order::Void, None) => {}
                }
                Ok(())
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

    /// Ends the step; there was nothing to do for it.
    ///
    /// # Errors
    /// When the lease was lost or Postgres refuses.
    pub async fn close(&self, claim: &Claim) -> Result<(), StoreError> {
        work::finish(&mut *self.pg.pool().acquire().await?, claim).await
    }
}

/// What a notice asks for, kept: the intent, its promises, its work. Returns the work.
async fn follow(
    conn: &mut PgConnection,
    notice: &Notice,
    fresh: IntentId,
    traceparent: Option<&str>,
    now: Timestamp,
) -> Result<Vec<Order>, StoreError> {
    let known = intents::by_trip(conn, notice.trip).await?;
    let asked = settlement::asked(known.as_ref(), notice)?;
    warn_of_another_ending(known.as_ref(), notice);
    let mut intent = match (known, asked.open) {
        (Some(intent), _) => intent,
        (None, Some(amount)) => open(conn, fresh, notice, amount, now).await?,
        (None, None) => return Ok(Vec::new()),
    };
    if let Some(ending) = asked.ending {
        intents::end(conn, intent.id, &ending).await?;
        intent.ending = Some(ending);
    }
    for order in &asked.orders {
        let added = work::add(conn, intent.id, order, traceparent).await?;
        if let Order::Raise { to } = order
            && added
        {
            intent.raise = to.minus(intent.amount)?;
            intents::raise(conn, intent.id, intent.raise).await?;
            submit(conn, &journal::raise(&intent, now)).await?;
        }
    }
    if let Some(command) = asked.command {
        let event = decide(&intent, command)?;
        happen(conn, intent, &event, now).await?;
    }
    Ok(asked.orders)
}

fn warn_of_another_ending(known: Option<&Intent>, notice: &Notice) {
    let (Some(before), News::Ended(ending)) = (known.and_then(|one| one.ending), notice.news)
    else {
        return;
    };
    if (before.charge, before.kind) != (ending.charge, ending.kind) {
        tracing::error!(trip.id = %notice.trip, ?before, ?ending, "a trip was settled twice; the first one stands");
    }
}

async fn open(
    conn: &mut PgConnection,
    id: IntentId,
    notice: &Notice,
    amount: Money,
    now: Timestamp,
) -> Result<Intent, StoreError> {
    let intent = Intent {
        id,
        trip: notice.trip,
        rider: notice.rider,
        method: notice.method,
        amount,
        raise: Money::zero(amount.currency),
        state: match notice.method {
            Method::Card => State::RequiresHold,
            Method::Cash => State::AwaitsCash,
        },
        ending: None,
        version: 0,
        created_at: now,
        updated_at: now,
    };
    intents::insert(conn, &intent).await?;
    if intent.method == Method::Card {
        submit(conn, &journal::hold(&intent, now)).await?;
    }
    Ok(intent)
}

/// An event happens to an intent: its row, its transfers and its outbox row.
pub(super) async fn happen(
    conn: &mut PgConnection,
    before: Intent,
    event: &Event,
    now: Timestamp,
) -> Result<Intent, StoreError> {
    let group = journal::of_event(&before, event, now)?;
    let after = Intent {
        updated_at: now,
        ..before.clone().apply(event)
    };
    if after.state == before.state && after.version == before.version {
        return Ok(before); // An answer that was lost before is lost again.
    }
    intents::save(conn, &before, &after).await?;
    submit(conn, &group).await?;
    if let Some(told) = outgoing::of_intent(&after, event, now) {
        outbox::append(conn, &told).await?;
    }
    Ok(after)
}

/// States a group of transfers, if there are any.
pub(super) async fn submit(conn: &mut PgConnection, group: &[Transfer]) -> Result<(), StoreError> {
    if !group.is_empty() {
        hexcab_ledger::submit(conn, group).await?;
    }
    Ok(())
}

/// What a trip cost above its hold becomes a charge of its own.
async fn charge_rest(
    conn: &mut PgConnection,
    intent: &Intent,
    (id, amount): (ChargeId, Money),
    traceparent: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let rest = Extra {
        id,
        kind: ExtraKind::Rest,
        amount,
        answer: Answer::Awaited,
        created_at: now,
    };
    beside::insert_extra(conn, intent.id, &rest).await?;
    submit(conn, &journal::extra(intent, &rest, now)).await?;
    work::add(conn, intent.id, &Order::Charge(rest), traceparent).await?;
    Ok(())
}

/// The answer that a command keeps beside the intent.
fn answered(command: &Command) -> Result<Option<(Asked, Answer)>, StoreError> {
    Ok(match command {
        Command::AnswerRest(extra, said) | Command::AnswerTip(extra, said) => {
            Some((Asked::Extra(extra.id.uuid()), extra.answer.hear(said)?))
        }
        Command::AnswerRefund(refund, said) => {
            Some((Asked::Refund(refund.id.uuid()), refund.answer.hear(said)?))
        }
        Command::PlaceHold { .. }
        | Command::DeclineHold { .. }
        | Command::RaiseHold { .. }
        | Command::DeclineRaise { .. }
        | Command::Capture { .. }
        | Command::FailCapture { .. }
        | Command::Void
        | Command::LoseAnswer(_)
        | Command::CollectCash
        | Command::Owe => None,
    })
}
