//! One comparison of everything: the processor's lists against our rows, our rows against its lists, our rows against the
//! ledger, and what stands still. What does not seem to fit is looked at again ([`super::look`]).
//!
//! Invariant: lists are read page by page and forgotten; only ids are kept.

use std::collections::{BTreeMap, HashMap, HashSet};

use hexcab_types::{IntentId, Timestamp};

use super::{
    ReconcileError, Reconciler, Run, Tally,
    compare::{self, Ours},
    finding::{Finding, Kind, Subject},
    look::ask,
    mismatches::Mismatch,
};
use crate::{
    domain::ProcessorId,
    processor::{Between, Payment, Refund},
};

/// Intents compared with the ledger at once.
const LEDGER_BATCH: usize = 100;

/// Ids to look at again, and whose they are said to be.
type Suspects = BTreeMap<String, Option<IntentId>>;

/// What was read of the processor's lists: only ids are kept.
#[derive(Debug, Default)]
struct Seen {
    payments: HashSet<String>,
    refunds: HashSet<String>,
    disputes: HashSet<String>,
}

impl Reconciler {
    /// Compares everything. The tally is right however far it came.
    pub(super) async fn survey(&self, run: &Run, tally: &mut Tally) -> Result<(), ReconcileError> {
        let now = self.clock.now();
        let within = Between {
            from: now - self.window(),
            // What is made while it is read is left to the next run.
            until: now + std::time::Duration::from_secs(1),
        };
        let (mut payments, mut disputes) = (Suspects::new(), Suspects::new());
        let mut seen = Seen::default();
        let open = self.mismatches.open(None).await?;
        for mismatch in &open {
            if let Some(ProcessorId(payment)) = mismatch.subject.payment() {
                payments.insert(payment, mismatch.intent);
            }
            if let Subject::Dispute(id) = &mismatch.subject {
                disputes.insert(id.clone(), mismatch.intent);
            }
        }
        self.read_payments(run, within, &mut seen, &mut payments, tally)
            .await?;
        self.read_refunds(run, within, &mut seen, &mut payments, tally)
            .await?;
        self.read_disputes(run, within, &mut seen, &mut disputes, tally)
            .await?;
        self.not_in_lists(within.from, &seen, &mut payments, &mut disputes)
            .await?;
        for (id, intent) in &payments {
            self.second_look(id, *intent, tally).await?;
            self.go_on(run, tally).await?;
        }
        for (id, intent) in &disputes {
            self.look_at_dispute(id, *intent, tally).await?;
            self.go_on(run, tally).await?;
        }
        self.by_ourselves(run, within.from, &open, tally).await
    }

    async fn read_payments(
        &self,
        run: &Run,
        within: Between,
        seen: &mut Seen,
        suspects: &mut Suspects,
        tally: &mut Tally,
    ) -> Result<(), ReconcileError> {
        let mut after: Option<String> = None;
        loop {
            let page = ask(|| self.processor.payments(within, after.as_deref())).await?;
            let sides = self.sides(&page.items).await?;
            for payment in &page.items {
                let (intent, ours) = sides.of(payment);
                let busy = ours.is_some_and(|ours| ours.busy);
                if !busy && compare::payment(ours, payment).is_some() {
                    suspects.insert(payment.id.0.clone(), intent);
                }
                seen.payments.insert(payment.id.0.clone());
            }
            tally.payments += count(page.items.len());
            self.go_on(run, tally).await?;
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn read_refunds(
        &self,
        run: &Run,
        within: Between,
        seen: &mut Seen,
        suspects: &mut Suspects,
        tally: &mut Tally,
    ) -> Result<(), ReconcileError> {
        let mut after: Option<String> = None;
        loop {
            let page = ask(|| self.processor.refunds(within, after.as_deref())).await?;
            let payments: Vec<String> = page
                .items
                .iter()
                .filter_map(|refund| refund.payment.as_ref().map(|id| id.0.clone()))
                .collect();
            let owners = self.books.owners(&payments).await?;
            let intents: Vec<IntentId> = owners.values().copied().collect();
            let books = self.books.of(&intents).await?;
            for refund in &page.items {
                seen.refunds.insert(refund.id.clone());
                let Some(ProcessorId(payment)) = &refund.payment else {
                    continue;
                };
                let ours = owners.get(payment).and_then(|intent| books.get(intent));
                if !fits(ours, refund) {
                    suspects.insert(payment.clone(), owners.get(payment).copied());
                }
            }
            tally.refunds += count(page.items.len());
            self.go_on(run, tally).await?;
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn read_disputes(
        &self,
        run: &Run,
        within: Between,
        seen: &mut Seen,
        suspects: &mut Suspects,
        tally: &mut Tally,
    ) -> Result<(), ReconcileError> {
        let mut after: Option<String> = None;
        loop {
            let page = ask(|| self.processor.disputes(within, after.as_deref())).await?;
            let payments: Vec<String> = page
                .items
                .iter()
                .filter_map(|dispute| dispute.payment.as_ref().map(|id| id.0.clone()))
                .collect();
            let owners = self.books.owners(&payments).await?;
            let intents: Vec<IntentId> = owners.values().copied().collect();
            let books = self.books.of(&intents).await?;
            for dispute in &page.items {
                seen.disputes.insert(dispute.id.clone());
                let payment = dispute.payment.as_ref().map(|id| id.0.as_str());
                let intent = payment.and_then(|payment| owners.get(payment)).copied();
                let ours = intent.and_then(|intent| books.get(&intent));
                if compare::dispute(ours, &dispute.id, Some(dispute)).is_some() {
                    suspects.insert(dispute.id.clone(), intent);
                }
            }
            tally.disputes += count(page.items.len());
            self.go_on(run, tally).await?;
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// What we believe to be at the processor and was in none of its lists: too old for them, or not there.
    async fn not_in_lists(
        &self,
        from: Timestamp,
        seen: &Seen,
        payments: &mut Suspects,
        disputes: &mut Suspects,
    ) -> Result<(), ReconcileError> {
        let mut after = String::new();
        loop {
            let believed = self.books.believed_payments(from, &after).await?;
            let Some(last) = believed.last() else { break };
            after.clone_from(&last.id);
            for one in believed {
                if !seen.payments.contains(&one.id) {
                    payments.insert(one.payment, Some(one.intent));
                }
            }
        }
        after.clear();
        loop {
            let believed = self.books.believed_refunds(from, &after).await?;
            let Some(last) = believed.last() else { break };
            after.clone_from(&last.id);
            for one in believed {
                if !seen.refunds.contains(&one.id) {
                    payments.insert(one.payment, Some(one.intent));
                }
            }
        }
        after.clear();
        loop {
            let believed = self.books.believed_disputes(&after).await?;
            let Some(last) = believed.last() else { break };
            after.clone_from(&last.id);
            for one in believed {
                if !seen.disputes.contains(&one.id) {
                    disputes.insert(one.id, Some(one.intent));
                }
            }
        }
        Ok(())
    }

    /// Our rows against the ledger, and what stands still.
    async fn by_ourselves(
        &self,
        run: &Run,
        from: Timestamp,
        open: &[Mismatch],
        tally: &mut Tally,
    ) -> Result<(), ReconcileError> {
        let mut found = self.books.stuck_unknown(self.stuck_unknown()).await?;
        found.extend(self.books.stuck_holds(self.stuck_hold()).await?);
        let of_ledger = open
            .iter()
            .filter(|mismatch| mismatch.kind == Kind::LedgerDiffers);
        let again: Vec<IntentId> = of_ledger.filter_map(|mismatch| mismatch.intent).collect();
        found.extend(self.ledger(&again).await?);
        let mut after = None;
        loop {
            let intents = self.books.intents(from, after).await?;
            let Some(last) = intents.last() else { break };
            after = Some(*last);
            for batch in intents.chunks(LEDGER_BATCH) {
                // Once each: what is open already has been looked at above.
                let fresh: Vec<IntentId> = batch
                    .iter()
                    .filter(|intent| !again.contains(intent))
                    .copied()
                    .collect();
                found.extend(self.ledger(&fresh).await?);
                tally.intents += count(batch.len());
                self.go_on(run, tally).await?;
            }
        }
        for finding in &found {
            self.see(finding, tally).await?;
        }
        for mismatch in open {
            let own = matches!(mismatch.subject, Subject::Intent(_));
            let is_same = |finding: &Finding| {
                finding.kind == mismatch.kind && finding.subject == mismatch.subject
            };
            if own && !found.iter().any(is_same) && self.mismatches.gone(mismatch.id).await? {
                tally.resolved += 1;
            }
        }
        Ok(())
    }

    async fn ledger(&self, intents: &[IntentId]) -> Result<Vec<Finding>, ReconcileError> {
        let differing = self.books.ledger_differs(intents).await?;
        let finding = |(intent, said): (IntentId, String)| Finding {
            kind: Kind::LedgerDiffers,
            subject: Subject::Intent(intent),
            intent: Some(intent),
            ours: "as its rows say".to_owned(),
            theirs: said,
        };
        Ok(differing.into_iter().map(finding).collect())
    }

    async fn sides(&self, payments: &[Payment]) -> Result<Sides, ReconcileError> {
        let ids: Vec<String> = payments
            .iter()
            .map(|payment| payment.id.0.clone())
            .collect();
        let owners = self.books.owners(&ids).await?;
        let labels = payments
            .iter()
            .filter_map(|payment| payment.label.as_ref().map(|label| label.intent));
        let intents: HashSet<IntentId> = owners.values().copied().chain(labels).collect();
        let intents: Vec<IntentId> = intents.into_iter().collect();
        Ok(Sides {
            books: self.books.of(&intents).await?,
            owners,
        })
    }

    async fn go_on(&self, run: &Run, tally: &Tally) -> Result<(), ReconcileError> {
        if self.runs.go_on(run.id, tally).await? {
            Ok(())
        } else {
            Err(ReconcileError::TakenForDead)
        }
    }

    fn window(&self) -> std::time::Duration {
        std::time::Duration::from_secs(u64::from(self.config.window_h) * 3_600)
    }

    fn stuck_unknown(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.config.stuck_unknown_s.into())
    }

    fn stuck_hold(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.config.stuck_hold_s.into())
    }
}

/// Our side of a page of payments.
struct Sides {
    owners: HashMap<String, IntentId>,
    books: HashMap<IntentId, Ours>,
}

impl Sides {
    fn of(&self, payment: &Payment) -> (Option<IntentId>, Option<&Ours>) {
        let owner = self.owners.get(&payment.id.0).copied();
        let intent = owner.or_else(|| payment.label.as_ref().map(|label| label.intent));
        (intent, intent.and_then(|intent| self.books.get(&intent)))
    }
}

/// Whether a refund of the list is one that we know, as we know it; others are looked at with their payment.
fn fits(ours: Option<&Ours>, refund: &Refund) -> bool {
    let Some(ours) = ours else {
        // Of a payment that is none of ours, unless we made the refund.
        return refund.label.is_none();
    };
    let known = ours
        .refunds
        .iter()
        .find(|own| own.id.as_ref() == Some(&refund.id));
    ours.busy
        || known.is_some_and(|own| {
            own.done == Some(true)
                && own.amount == refund.amount.minor
                && !matches!(refund.status, crate::processor::RefundStatus::Failed { .. })
        })
}

fn count(len: usize) -> i32 {
    i32::try_from(len).unwrap_or(i32::MAX)
}
