//! What a rider's bank does to a payment: disputes, as they were read again at the processor.
//!
//! Invariants: a dispute is opened once and closed once, however often and in whatever order it is heard of; its money
//! moves with it.

use hexcab_types::Timestamp;
use sqlx::PgConnection;

use super::{Store, StoreError, beside, intents, postgres::happen};
use crate::{
    domain::{
        Intent,
        decide::Event,
        dispute::{Dispute, DisputeState, Move, hear},
    },
    processor::{self, DisputeStatus},
};

/// What hearing of a dispute did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disputed {
    /// It is of a payment that is none of ours.
    NotOurs,
    /// No money has moved, or all of it is known.
    Unchanged,
    /// The ledger and the world were told.
    Changed,
}

impl Store {
    /// A dispute was heard of, and read again at the processor: its money moves, once per dispute and state.
    ///
    /// # Errors
    /// When it was closed otherwise before, or Postgres refuses.
    pub async fn dispute(&self, told: &processor::Dispute) -> Result<Disputed, StoreError> {
        let now = self.clock.now();
        let Some((payment, said)) = told.payment.clone().zip(said(told.status)) else {
            return Ok(if told.payment.is_none() {
                Disputed::NotOurs
            } else {
                Disputed::Unchanged
            });
        };
        let opened = &Dispute {
            id: told.id.clone(),
            payment,
            amount: told.amount,
            reason: told.reason.clone(),
            state: DisputeState::Open,
            opened_at: now,
            closed_at: None,
        };
        self.pg
            .serializable("payment.dispute", |mut tx| async move {
                let Some(intent) = intents::lock_by_payment(&mut tx, &opened.payment).await? else {
                    return Ok(Disputed::NotOurs);
                };
                follow(&mut tx, intent, opened, said, now).await
            })
            .await
    }
}

async fn follow(
    conn: &mut PgConnection,
    mut intent: Intent,
    opened: &Dispute,
    said: DisputeState,
    now: Timestamp,
) -> Result<Disputed, StoreError> {
    if opened.amount.currency != intent.amount.currency {
        let what = format!("dispute {} of {}", opened.id, opened.amount);
        return Err(StoreError::Unreadable(what));
    }
    let mut disputes = beside::of(conn, &intent).await?.disputes.into_iter();
    let known = disputes.find(|known| known.id == opened.id);
    let moves = hear(known.as_ref().map(|known| known.state), said)?;
    let unchanged = moves.is_empty();
    let mut dispute = known.unwrap_or_else(|| opened.clone());
    for step in moves {
        let state = match step {
            Move::Open => DisputeState::Open,
            Move::Win => DisputeState::Won,
            Move::Lose => DisputeState::Lost,
        };
        dispute.state = state;
        dispute.closed_at = (state != DisputeState::Open).then_some(now);
        beside::save_dispute(conn, intent.id, &dispute).await?;
        let event = match state {
            DisputeState::Open => Event::ChargebackOpened(dispute.clone()),
            DisputeState::Won | DisputeState::Lost => Event::ChargebackClosed(dispute.clone()),
        };
        intent = happen(conn, intent, &event, now).await?;
    }
    Ok(if unchanged {
        Disputed::Unchanged
    } else {
        Disputed::Changed
    })
}

/// Where the money is; none while the bank only asks.
const fn said(status: DisputeStatus) -> Option<DisputeState> {
    match status {
        DisputeStatus::Inquiry => None,
        DisputeStatus::Open => Some(DisputeState::Open),
        DisputeStatus::Won => Some(DisputeState::Won),
        DisputeStatus::Lost => Some(DisputeState::Lost),
    }
}
