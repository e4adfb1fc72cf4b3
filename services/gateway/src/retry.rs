//! Trying again, at this layer only: UNAVAILABLE, at most [`TRIES`], full jitter, within a budget and the deadline.
//!
//! Invariant: retries of a peer never exceed [`RETRY_RATIO`] of the calls to it plus [`RETRIES_PER_SECOND`], so that a
//! service that is down is not buried under them. Each peer has a budget of its own: one's outage costs the others none.
//! Does not: retry anything but UNAVAILABLE; a mutation keeps its request_id, because the caller passes the same
//! request again.

use std::{future::Future, time::Duration};

use hexcab_chassis::{deadline, status};
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::{Code, Status};

/// How often a call is tried in all.
pub const TRIES: u32 = 3;
/// Retries that each call earns.
const RETRY_RATIO: f64 = 0.2;
/// Retries earned by time alone.
const RETRIES_PER_SECOND: f64 = 10.0;
/// Retries that can be saved up.
const BUDGET_MAX: f64 = 100.0;
/// Longest wait before the second try; doubles for the third.
const BACKOFF_BASE: Duration = Duration::from_millis(100);
/// Longest hint of a callee that is followed.
const HINT_MAX: Duration = Duration::from_secs(1);

/// How many retries of one peer may still be made.
#[derive(Debug)]
pub struct RetryBudget(Mutex<Saved>);

#[derive(Debug)]
struct Saved {
    retries: f64,
    at: Instant,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self(Mutex::new(Saved {
            retries: RETRIES_PER_SECOND,
            at: Instant::now(),
        }))
    }
}

impl RetryBudget {
    /// A call is made.
    fn earn(&self) {
        let mut saved = self.0.lock();
        saved.retries = (saved.retries + RETRY_RATIO).min(BUDGET_MAX);
    }

    /// Whether one more retry may be made; it is then spent.
    fn spend(&self) -> bool {
        let mut saved = self.0.lock();
        let now = Instant::now();
        let earned = now.duration_since(saved.at).as_secs_f64() * RETRIES_PER_SECOND;
        saved.at = now;
        saved.retries = (saved.retries + earned).min(BUDGET_MAX);
        let may = saved.retries >= 1.0;
        if may {
            saved.retries -= 1.0;
        }
        may
    }

    /// Makes a call, and makes it again while the callee is unavailable and the budget lasts.
    ///
    /// # Errors
    /// The last answer.
    pub async fn retrying<A, F>(&self, call: impl Fn() -> F) -> Result<A, Status>
    where
        F: Future<Output = Result<A, Status>>,
    {
        self.earn();
        let mut tries = 1;
        loop {
            let failure = match call().await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if failure.code() != Code::Unavailable || tries == TRIES || !self.spend() {
                return Err(failure);
            }
            let wait = wait_before_next(tries, &failure);
            if deadline::remaining().is_some_and(|left| left <= wait) {
                return Err(failure);
            }
            tracing::debug!(
                tries,
                error = failure.message(),
                "a peer is unavailable, trying again"
            );
            tokio::time::sleep(wait).await;
            tries += 1;
        }
    }
}

/// Full jitter up to the back-off, and no sooner than the callee asked for.
fn wait_before_next(tries: u32, failure: &Status) -> Duration {
    let longest = BACKOFF_BASE * 2u32.pow(tries - 1);
    let jitter = longest.mul_f64(rand::random::<f64>());
    let hint = status::retry_after(failure)
        .unwrap_or_default()
        .min(HINT_MAX);
    hint + jitter
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    async fn tries_until_given_up(budget: &RetryBudget, code: Code) -> u32 {
        let calls = AtomicU32::new(0);
        let answer: Result<(), Status> = budget
            .retrying(|| {
                calls.fetch_add(1, Ordering::Relaxed);
                async { Err(Status::new(code, "no")) }
            })
            .await;
        assert_eq!(answer.unwrap_err().code(), code);
        calls.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn only_unavailable_is_tried_again() {
        let budget = RetryBudget::default();
        assert_eq!(
            tries_until_given_up(&budget, Code::Unavailable).await,
            TRIES
        );
        for code in [
            Code::Internal,
            Code::Aborted,
            Code::DeadlineExceeded,
            Code::ResourceExhausted,
        ] {
            assert_eq!(tries_until_given_up(&budget, code).await, 1, "{code:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_spent_budget_ends_the_retries() {
        let budget = RetryBudget::default();
        while budget.spend() {}
        assert_eq!(tries_until_given_up(&budget, Code::Unavailable).await, 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(
            tries_until_given_up(&budget, Code::Unavailable).await,
            TRIES
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_is_near_ends_the_retries() {
        let budget = RetryBudget::default();
        let tries = deadline::scope(
            Duration::ZERO,
            tries_until_given_up(&budget, Code::Unavailable),
        );
        assert_eq!(tries.await, 1);
    }
}
