//! Follows hints up: reads the object again at the processor and tells whoever may have waited for it. Hints decide
//! nothing.
//!
//! Invariants: whatever a hint says, what is done is the same as if the reconciler had come by at that time; a hint that
//! could not be followed up is due again.
//! Does not: record anything about a payment itself. The step of work that is outstanding does, after asking.

use std::{sync::Arc, time::Duration};

use hexcab_chassis::crash;
use hexcab_pg::PgError;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{
    event::About,
    hints::{Claim, Hints, Outcome},
};
use crate::{
    domain::ProcessorId,
    processor::{Dispute, Failure, Processor},
    reconciler::{ReconcileError, Reconciler},
    store::{Disputed, Store, StoreError},
};

/// A follower that has not ended within this is taken for dead.
const LEASE: Duration = Duration::from_secs(60);
/// The pause after the first try, doubled with each further one …
const PAUSE_FROM: Duration = Duration::from_millis(500);
/// … up to this.
const PAUSE_CAP: Duration = Duration::from_secs(60);
/// How often is looked for what nobody announced: retries that are due, leases that ran out.
const POLL: Duration = Duration::from_secs(1);

/// One of a pool of followers.
#[derive(Clone)]
pub struct Follower {
    hints: Hints,
    store: Store,
    processor: Arc<dyn Processor>,
    reconciler: Reconciler,
    /// Notified of new hints.
    heard: Arc<Notify>,
    /// Wakes the workers on intents.
    work: Arc<Notify>,
}

/// Why a hint was not followed up.
#[derive(Debug, thiserror::Error)]
enum NotYet {
    #[error("the processor: {0}")]
    Processor(Failure),
    #[error("the store")]
    Store(#[from] StoreError),
    #[error("a second look")]
    Look(#[from] ReconcileError),
}

impl Follower {
    /// A follower of these hints.
    pub const fn new(
        hints: Hints,
        store: Store,
        processor: Arc<dyn Processor>,
        reconciler: Reconciler,
        heard: Arc<Notify>,
        work: Arc<Notify>,
    ) -> Self {
        Self {
            hints,
            store,
            processor,
            reconciler,
            heard,
            work,
        }
    }

    /// Follows up until shutdown.
    ///
    /// # Errors
    /// Never: what goes wrong is logged and tried again. The type is that of a task.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        while !shutdown.is_cancelled() {
            match self.follow_once().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "no hint can be had"),
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.heard.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
        Ok(())
    }

    /// Follows one hint up, if one is due. False when there is none.
    ///
    /// # Errors
    /// When none could be leased, or what came of it could not be kept.
    pub async fn follow_once(&self) -> Result<bool, PgError> {
        let Some(claim) = self.hints.claim(LEASE).await? else {
            return Ok(false);
        };
        let span = tracing::info_span!("payment.hint", hint.id = claim.id, hint.kind = claim.kind);
        match self.follow(&claim).instrument(span).await {
            Ok(outcome) => {
                if !self.hints.followed(&claim, outcome).await? {
                    tracing::debug!(hint.id = claim.id, "somebody else follows it up");
                }
            }
            Err(why) => {
                let why = format!("{:#}", anyhow::Error::from(why));
                tracing::warn!(hint.id = claim.id, why, "a hint cannot be followed up yet");
                self.hints
                    .postpone(&claim, &why, pause(claim.attempt))
                    .await?;
            }
        }
        Ok(true)
    }

    async fn follow(&self, claim: &Claim) -> Result<Outcome, NotYet> {
        match &claim.about {
            About::Payment(id) => self.payment(&ProcessorId(id.clone())).await,
            About::Dispute(id) => match self.processor.dispute(id).await {
                Ok(dispute) => self.dispute(&dispute).await,
                Err(Failure::Missing(_)) => Ok(Outcome::Missing),
                Err(failure) => Err(NotYet::Processor(failure)),
            },
        }
    }

    /// What is outstanding for the payment's intent is due now. If nothing is, its books should fit.
    async fn payment(&self, id: &ProcessorId) -> Result<Outcome, NotYet> {
        let payment = match self.processor.get(id).await {
            Ok(payment) => payment,
            Err(Failure::Missing(_)) => return Ok(Outcome::Missing),
            Err(failure) => return Err(NotYet::Processor(failure)),
        };
        crash::point("payment.hint.read");
        let Some(label) = payment.label else {
            return Ok(Outcome::Nothing);
        };
        if self.store.nudge(label.intent).await? {
            self.work.notify_one();
            return Ok(Outcome::Told);
        }
        self.reconciler.examine(id, Some(label.intent)).await?;
        Ok(Outcome::Nothing)
    }

    async fn dispute(&self, dispute: &Dispute) -> Result<Outcome, NotYet> {
        crash::point("payment.hint.read");
        match self.store.dispute(dispute).await? {
            Disputed::Changed => Ok(Outcome::Told),
            Disputed::NotOurs | Disputed::Unchanged => Ok(Outcome::Nothing),
        }
    }
}

fn pause(attempt: i32) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1))
        .unwrap_or_default()
        .min(16);
    PAUSE_FROM.saturating_mul(1 << doublings).min(PAUSE_CAP)
}
