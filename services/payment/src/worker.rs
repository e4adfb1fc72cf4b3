//! Carries out outstanding steps: leases one, calls the processor with no transaction open (phase B), records the answer
//! (phase C). A step that was begun before is asked about first, whoever began it: so this is also the completer of
//! workers that died.
//!
//! Invariants: one key per step, whatever the attempt; an outcome that is not known is never taken for a refusal; a step
//! whose answer cannot be kept is asked about again.
//! Does not: decide what an answer means ([`crate::domain::plan`]).

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use crate::{
    crash,
    domain::{
        Step,
        plan::{self, Call, Meaning, Next},
    },
    processor::{PaymentRequest, Processor, RefundRequest},
    store::{Claim, Store, StoreError},
};

/// The pause after the first try, doubled with each further one …
const PAUSE_FROM: Duration = Duration::from_millis(100);
/// … up to this.
const PAUSE_CAP: Duration = Duration::from_secs(30);
/// The pause while the processor is at it and says so, which may take it days.
const PENDING_PAUSE: Duration = Duration::from_secs(300);
/// The pause of a worker whose database is away.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// One of a pool of workers.
#[derive(Clone)]
pub struct Worker {
    store: Store,
    processor: Arc<dyn Processor>,
    wake: Arc<Notify>,
    search_lag: Duration,
}

impl Worker {
    /// A worker on this store, woken by this. What was made at the processor is found there after `search_lag` at the
    /// latest.
    pub const fn new(
        store: Store,
        processor: Arc<dyn Processor>,
        wake: Arc<Notify>,
        search_lag: Duration,
    ) -> Self {
        Self {
            store,
            processor,
            wake,
            search_lag,
        }
    }

    /// Works until shutdown; a step that was begun is finished first.
    ///
    /// # Errors
    /// Never: what goes wrong is logged and tried again. The type is that of a task.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        while !shutdown.is_cancelled() {
            let idle = match self.work_once().await {
                Ok(true) => continue,
                Ok(false) => None,
                Err(error) => {
                    tracing::warn!(
                        error = format!("{:#}", anyhow::Error::from(error)),
                        "no work can be had"
                    );
                    Some(STORE_PAUSE)
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.wake.notified(), if idle.is_none() => {}
                () = tokio::time::sleep(idle.unwrap_or_default()), if idle.is_some() => {}
            }
        }
        Ok(())
    }

    /// Carries out one step, if one is due. False when there is none.
    ///
    /// # Errors
    /// When no step could be leased.
    pub async fn work_once(&self) -> Result<bool, StoreError> {
        let Some(claim) = self.store.claim().await? else {
            return Ok(false);
        };
        self.wake.notify_one(); // There may be more: wake the next.
        let span = span(&claim);
        if let Some(parent) = &claim.traceparent {
            hexcab_telemetry::set_parent(&span, parent);
        }
        self.carry_out(&claim).instrument(span).await;
        Ok(true)
    }

    async fn carry_out(&self, claim: &Claim) {
        crash::point(step(claim), crash::At::Claimed);
        let kept = match plan::next(&claim.intent, &claim.order) {
            Next::Call(call) => self.call(claim, &call).await,
            Next::Record(command) => self.store.record(claim, &command).await,
            Next::Close => self.store.close(claim).await,
            Next::Stuck => {
                self.wrong(claim, "the step does not fit the intent's state")
                    .await
            }
        };
        crash::point(step(claim), crash::At::Recorded);
        match kept {
            Ok(()) => {}
            Err(StoreError::LeaseLost) => {
                tracing::warn!("the lease ran out; whoever took over finds out")
            }
            Err(error) => self.not_kept(claim, error).await,
        }
    }

    /// Phases B and C.
    async fn call(&self, claim: &Claim, call: &Call) -> Result<(), StoreError> {
        let meaning = self.outcome(claim, call).await;
        crash::point(step(claim), crash::At::Answered);
        match meaning {
            Meaning::Known(command) => {
                tracing::info!(?command, "the processor answered");
                self.store.record(claim, &command).await
            }
            // What it made and failed to tell of may not be found yet.
            Meaning::Spent(_) if self.may_be_found(claim, call) => {
                let why = "the processor failed; it is asked once more what became of it";
                tracing::warn!(why);
                self.store.lose(claim, why, pause(claim.attempt)).await
            }
            Meaning::Spent(command) => {
                tracing::warn!(?command, "the processor failed, and made nothing");
                self.store.record(claim, &command).await
            }
            Meaning::Lost(why) => {
                tracing::warn!(why, "the processor did not answer; it will be asked");
                self.store.lose(claim, &why, pause(claim.attempt)).await
            }
            Meaning::Pending(why) => {
                tracing::info!(why, "the processor takes its time");
                self.store.lose(claim, &why, PENDING_PAUSE).await
            }
            Meaning::NotYet => {
                self.wrong(claim, "the processor took the step and did not do it")
                    .await
            }
            Meaning::Wrong(why) => self.wrong(claim, &why).await,
        }
    }

    /// Whether a payment that the search did not find may have been made all the same. Whatever is asked for by its id,
    /// and refunds, are found at once.
    fn may_be_found(&self, claim: &Claim, call: &Call) -> bool {
        match call {
            Call::Hold { .. } | Call::Charge(_) => claim.begun < self.search_lag,
            Call::Raise { .. } | Call::Capture { .. } | Call::Void { .. } | Call::Refund { .. } => {
                false
            }
        }
    }

    /// Asks what became of an earlier try, then sends if nothing did.
    async fn outcome(&self, claim: &Claim, call: &Call) -> Meaning {
        let key = claim.order.key(claim.intent.id);
        if claim.attempt > 1 {
            let asked = self.ask(&key, call).await;
            if asked != Meaning::NotYet {
                return asked;
            }
        }
        self.send(claim, &key, call).await
    }

    async fn ask(&self, key: &str, call: &Call) -> Meaning {
        let found = match call {
            Call::Hold { .. } | Call::Charge(_) => self.processor.find(key).await.transpose(),
            Call::Raise { id, .. } | Call::Capture { id, .. } | Call::Void { id } => {
                Some(self.processor.get(id).await)
            }
            Call::Refund { payment, .. } => {
                let found = self.processor.find_refund(payment, key).await.transpose();
                return found.map_or(Meaning::NotYet, |answer| call.of_refund(answer));
            }
        };
        found.map_or(Meaning::NotYet, |answer| call.of_payment(answer))
    }

    async fn send(&self, claim: &Claim, key: &str, call: &Call) -> Meaning {
        let intent = &claim.intent;
        let request = |amount| PaymentRequest {
            intent: intent.id,
            trip: intent.trip,
            rider: intent.rider,
            amount,
        };
        let answer = match call {
            Call::Hold { amount } => self.processor.hold(key, &request(*amount)).await,
            Call::Charge(extra) => self.processor.charge(key, &request(extra.amount)).await,
            Call::Raise { id, to } => self.processor.raise(key, id, *to).await,
            Call::Capture { id, amount } => self.processor.capture(key, id, *amount).await,
            Call::Void { id } => self.processor.cancel(key, id).await,
            Call::Refund { refund, payment } => {
                let request = RefundRequest {
                    payment: payment.clone(),
                    intent: intent.id,
                    amount: refund.amount,
                };
                return call.of_refund(self.processor.refund(key, &request).await);
            }
        };
        call.of_payment(answer)
    }

    /// Wakes somebody and tries again later: the fault may be mended by then.
    async fn wrong(&self, claim: &Claim, why: &str) -> Result<(), StoreError> {
        Span::current().record("otel.status_code", "ERROR");
        tracing::error!(intent.id = %claim.intent.id, step = claim.order.step().as_str(), why, "a payment step is wrong");
        self.store.postpone(claim, why, pause(claim.attempt)).await
    }

    /// The answer could not be kept. The step is tried again soon, and asks first; if even that cannot be kept, its
    /// lease runs out.
    async fn not_kept(&self, claim: &Claim, error: StoreError) {
        Span::current().record("otel.status_code", "ERROR");
        let error = format!("{:#}", anyhow::Error::from(error));
        tracing::error!(intent.id = %claim.intent.id, error, "an answer could not be kept");
        if let Err(error) = self
            .store
            .postpone(claim, &error, pause(claim.attempt))
            .await
        {
            tracing::warn!(error = %error, "its lease will run out");
        }
    }
}

/// Looks for work that nobody announced: retries that are due, leases that ran out. Wakes one worker, who wakes others.
///
/// # Errors
/// Never; the type is that of a task.
pub async fn poll(
    wake: Arc<Notify>,
    every: Duration,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    while !shutdown.is_cancelled() {
        wake.notify_one();
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(every) => {}
        }
    }
    Ok(())
}

/// Doubles with each try, and is drawn from its upper half so that many do not come back at once.
fn pause(attempt: i32) -> Duration {
    let doublings = u32::try_from(attempt.saturating_sub(1))
        .unwrap_or_default()
        .min(16);
    let full = PAUSE_FROM.saturating_mul(1 << doublings).min(PAUSE_CAP);
    full.mul_f64(0.5 + rand::random::<f64>() / 2.0)
}

const fn step(claim: &Claim) -> Step {
    claim.order.step()
}

fn span(claim: &Claim) -> Span {
    let step = claim.order.step().as_str();
    tracing::info_span!(
        "payment.step",
        otel.name = %format!("payment.{step}"),
        otel.status_code = tracing::field::Empty,
        hexcab.trip.id = %claim.intent.trip,
        hexcab.intent.id = %claim.intent.id,
        hexcab.payment.attempt = claim.attempt,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_within_their_cap() {
        for attempt in 1..100 {
            let pause = pause(attempt);
            assert!(
                pause >= PAUSE_FROM / 2 && pause <= PAUSE_CAP,
                "{attempt}: {pause:?}"
            );
        }
        assert!(pause(20) >= PAUSE_CAP / 2);
    }
}
