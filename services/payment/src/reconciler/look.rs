//! A second look at what does not seem to fit, at both sides at once: the only way to open a mismatch or to let one go.
//!
//! Invariant: nothing is concluded while a step is outstanding, or when our side moved while the processor was asked.

use std::{future::Future, time::Duration};

use hexcab_types::IntentId;

use super::{
    ReconcileError, Reconciler, Tally,
    compare::{self, Ours},
    finding::{Finding, Subject},
    mismatches::Seen,
};
use crate::{
    domain::ProcessorId,
    processor::{Failure, Payment},
};

/// Tries of a question before it counts as unanswered.
const TRIES: u32 = 4;
/// The pause after the first.
const PAUSE: Duration = Duration::from_millis(200);

/// What a second look showed.
enum Look {
    /// This does not fit; nothing, if it is empty.
    Fits(Vec<Finding>),
    /// It is in flight: nothing is to be said now.
    Moving,
}

/// Asks the processor, a few times if it does not answer: a question changes nothing.
pub(super) async fn ask<T, F, Fut>(question: F) -> Result<T, Failure>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, Failure>>,
{
    let mut tries = 1;
    loop {
        match question().await {
            Err(Failure::Unanswered(why)) if tries < TRIES => {
                tracing::debug!(why, tries, "the processor is asked again");
                tokio::time::sleep(PAUSE * tries).await;
                tries += 1;
            }
            answer => return answer,
        }
    }
}

impl Reconciler {
    /// Looks at a payment and its refunds, and keeps what does not fit. `intent` is whose it is said to be, if anybody
    /// said so.
    pub(super) async fn second_look(
        &self,
        id: &str,
        intent: Option<IntentId>,
        tally: &mut Tally,
    ) -> Result<(), ReconcileError> {
        let open = self.mismatches.open(Some(id)).await?;
        let Look::Fits(found) = self.look(id, intent).await? else {
            return Ok(());
        };
        for finding in &found {
            self.see(finding, tally).await?;
        }
        for mismatch in open {
            let is_same = |finding: &Finding| {
                finding.kind == mismatch.kind && finding.subject == mismatch.subject
            };
            if !found.iter().any(is_same) && self.mismatches.gone(mismatch.id).await? {
                tally.resolved += 1;
            }
        }
        Ok(())
    }

    async fn look(&self, id: &str, intent: Option<IntentId>) -> Result<Look, ReconcileError> {
        let payment = &ProcessorId(id.to_owned());
        let owner = self.books.owners(&[id.to_owned()]).await?.remove(id);
        let intent = match owner.or(intent) {
            Some(intent) => Some(intent),
            None => self.label_of(payment).await?,
        };
        let before = self.side(intent).await?;
        let theirs = match ask(|| self.processor.get(payment)).await {
            Ok(theirs) => Some(theirs),
            Err(Failure::Missing(_)) => None,
            Err(failure) => return Err(failure.into()),
        };
        let refunds = match theirs {
            Some(_) => ask(|| self.processor.refunds_of(payment)).await?,
            None => Vec::new(),
        };
        let after = self.side(intent).await?;
        if before != after || after.as_ref().is_some_and(|ours| ours.busy) {
            return Ok(Look::Moving);
        }
        Ok(match (&theirs, &after) {
            (Some(theirs), None) if self.is_young(theirs) => Look::Moving,
            (Some(theirs), ours) => {
                let mut found = compare::refunds(ours.as_ref(), theirs, &refunds);
                found.extend(compare::payment(ours.as_ref(), theirs));
                Look::Fits(found)
            }
            (None, Some(ours)) => {
                Look::Fits(compare::missing_payment(ours, id).into_iter().collect())
            }
            (None, None) => Look::Fits(Vec::new()),
        })
    }

    /// Looks at a dispute, hands it over if it is news, and keeps what does not fit then.
    pub(super) async fn look_at_dispute(
        &self,
        id: &str,
        intent: Option<IntentId>,
        tally: &mut Tally,
    ) -> Result<(), ReconcileError> {
        let subject = Subject::Dispute(id.to_owned());
        let theirs = match ask(|| self.processor.dispute(id)).await {
            Ok(theirs) => Some(theirs),
            Err(Failure::Missing(_)) => None,
            Err(failure) => return Err(failure.into()),
        };
        if let Some(theirs) = &theirs {
            // As if a webhook had told of it: perhaps one got lost.
            if let Err(error) = self.store.dispute(theirs).await {
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::warn!(dispute.id = id, error, "a dispute could not be handed over");
            }
        }
        let payment = theirs.as_ref().and_then(|theirs| theirs.payment.clone());
        let owner = match payment {
            Some(ProcessorId(payment)) => {
                let payments = [payment];
                self.books.owners(&payments).await?.remove(&payments[0])
            }
            None => None,
        };
        let ours = self.side(owner.or(intent)).await?;
        let found = compare::dispute(ours.as_ref(), id, theirs.as_ref());
        if let Some(finding) = &found {
            self.see(finding, tally).await?;
        }
        for mismatch in self.mismatches.open(None).await? {
            let is_same = found
                .as_ref()
                .is_some_and(|finding| finding.kind == mismatch.kind);
            if mismatch.subject == subject && !is_same && self.mismatches.gone(mismatch.id).await? {
                tally.resolved += 1;
            }
        }
        Ok(())
    }

    pub(super) async fn see(
        &self,
        finding: &Finding,
        tally: &mut Tally,
    ) -> Result<(), ReconcileError> {
        match self.mismatches.see(finding).await? {
            Seen::New => {
                tally.found += 1;
                tracing::error!(
                    kind = finding.kind.as_str(),
                    subject = finding.subject.name(),
                    ours = finding.ours,
                    theirs = finding.theirs,
                    "the books do not fit"
                );
            }
            Seen::Again | Seen::Accepted => {}
        }
        Ok(())
    }

    async fn side(&self, intent: Option<IntentId>) -> Result<Option<Ours>, ReconcileError> {
        Ok(match intent {
            Some(intent) => self.books.one(intent).await?,
            None => None,
        })
    }

    async fn label_of(&self, id: &ProcessorId) -> Result<Option<IntentId>, ReconcileError> {
        match ask(|| self.processor.get(id)).await {
            Ok(payment) => Ok(payment.label.map(|label| label.intent)),
            Err(Failure::Missing(_)) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    fn is_young(&self, theirs: &Payment) -> bool {
        self.clock.now() < theirs.created_at + self.grace()
    }
}
