//! How often something is tried: the same rules for whole transactions and for single statements.
//!
//! Rules (DESIGN section 4): on 40001 and 40P01, 5 tries, full jitter from 5 ms, cap 200 ms, within the caller's deadline;
//! then [`PgError::Contended`]. Does not: know what is tried.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use hexcab_chassis::deadline;
use hexcab_telemetry::metrics::{Counter, KeyValue};

use crate::{PgError, PgFailure};

/// Tries before giving up.
const TRIES: u32 = 5;
const BACKOFF_FROM: Duration = Duration::from_millis(5);
const BACKOFF_CAP: Duration = Duration::from_millis(200);

static RETRIES: Counter = Counter::new(
    "hexcab.pg.retries",
    "{retry}",
    "transactions run again because others won or the outcome was unknown",
);
static CONTENDED: Counter = Counter::new(
    "hexcab.pg.contended",
    "{transaction}",
    "transactions given up because others kept winning",
);
static UNKNOWN_OUTCOMES: Counter = Counter::new(
    "hexcab.pg.unknown_outcomes",
    "{transaction}",
    "transactions whose connection was lost before Postgres said whether they happened",
);

/// What became of one try.
pub(crate) enum Ended<T, E> {
    Done(T),
    /// Others won, or nothing is known of the COMMIT and it is safe to run again.
    Again(E),
    Failed(E),
}

/// The tries of one operation.
pub(crate) struct Tries {
    operation: &'static str,
    count: u32,
    backoff: ExponentialBackoff,
}

impl Tries {
    /// Begins the first one.
    pub fn of(operation: &'static str) -> Self {
        Self {
            operation,
            count: 1,
            backoff: ExponentialBuilder::default()
                .with_min_delay(BACKOFF_FROM)
                .with_max_delay(BACKOFF_CAP)
                .without_max_times()
                .build(),
        }
    }

    /// How many there were, this one included.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Waits for the next one after a try that failed so; or the error to end with.
    pub async fn again<E: PgFailure>(&mut self, error: E) -> Result<(), E> {
        let pause = self
            .backoff
            .next()
            .unwrap_or(BACKOFF_CAP)
            .mul_f64(rand::random());
        let too_late = deadline::remaining().is_some_and(|left| left <= pause);
        if self.count >= TRIES || too_late {
            return Err(self.give_up(error));
        }
        tracing::debug!(
            name = self.operation,
            tries = self.count,
            "transaction is run again"
        );
        RETRIES.add(1, &[operation(self.operation)]);
        self.count += 1;
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn give_up<E: PgFailure>(&self, error: E) -> E {
        if !error.pg().is_some_and(PgError::is_serialization) {
            return error;
        }
        CONTENDED.add(1, &[operation(self.operation)]);
        E::from(PgError::Contended { tries: self.count })
    }
}

/// The error of a connection that was lost before the answer came.
pub(crate) fn outcome_unknown(name: &'static str, error: sqlx::Error) -> PgError {
    UNKNOWN_OUTCOMES.add(1, &[operation(name)]);
    PgError::OutcomeUnknown(error)
}

fn operation(name: &'static str) -> KeyValue {
    KeyValue::new("db.operation.name", name)
}
