//! Compares the processor's books with our intents, and these with the ledger; what does not fit is a mismatch that
//! somebody must see.
//!
//! - [`compare`] both sides of one payment, refund or dispute, as tables; [`finding`] what does not fit
//! - [`ours`] our side of the books; [`open_ended`] what stands still, or is in no list of the processor's
//! - [`survey`] one comparison of everything; [`look`] a second look at what does not seem to fit
//! - [`mismatches`], [`runs`] what is kept; [`job`] when it runs; [`grpc`] for operators
//!
//! Invariants: what is in flight is no mismatch: whatever does not seem to fit is looked at again by itself, and counts only
//! if our side did not move meanwhile and no step of it is outstanding; a mismatch goes away only when it was looked at and
//! is not there; what could not be read resolves nothing.
//! Does not: mend anything. Disputes that no webhook told of are the exception: they are handed over as a webhook would.

use std::{sync::Arc, time::Duration};

use hexcab_chassis::Clock;
use hexcab_ledger::Balance;
use hexcab_pg::{Pg, PgError};
use hexcab_telemetry::metrics::{Counter, Gauge, KeyValue};
use hexcab_types::IntentId;
use uuid::Uuid;

use crate::{
    config::ReconcilerConfig,
    domain::ProcessorId,
    processor::{Failure, Processor},
    store::{Store, StoreError},
};

pub mod compare;
pub mod finding;
pub mod grpc;
pub mod job;
mod look;
pub mod mismatches;
pub mod open_ended;
pub mod ours;
pub mod runs;
mod survey;

pub use mismatches::{Mismatch, Mismatches};
pub use runs::{Begun, Run, Runs, Tally};

static OPEN: Gauge = Gauge::new(
    "hexcab.reconciler.mismatches",
    "{mismatch}",
    "Mismatches between processor, intents and ledger that are open, by kind; must be 0",
);
static RUNS: Counter = Counter::new(
    "hexcab.reconciler.runs",
    "{run}",
    "Comparisons of all books, by whether they were ended",
);

static HELD: Gauge = Gauge::new(
    "hexcab.money.held",
    "{minor_unit}",
    "money on hold for rides, by currency, minor units",
);
static CAPTURED: Gauge = Gauge::new(
    "hexcab.money.captured",
    "{minor_unit}",
    "money taken from riders since the beginning, by currency, minor units",
);

/// Compares the books.
#[derive(Clone)]
pub struct Reconciler {
    books: ours::Books,
    mismatches: Mismatches,
    runs: Runs,
    store: Store,
    processor: Arc<dyn Processor>,
    config: ReconcilerConfig,
    /// Real time.
    clock: Clock,
}

/// Why a comparison could not be ended.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Its books could not be read.
    #[error("the processor: {0}")]
    Processor(Failure),
    /// Ours could not be read, or what was found could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It took so long that it was taken for dead.
    #[error("it was taken for dead")]
    TakenForDead,
}

impl From<PgError> for ReconcileError {
    fn from(error: PgError) -> Self {
        Self::Store(StoreError::Pg(error))
    }
}

impl From<Failure> for ReconcileError {
    fn from(failure: Failure) -> Self {
        Self::Processor(failure)
    }
}

impl Reconciler {
    /// A reconciler of this store with this processor. `city` is the city's clock, for events; leases, windows and grace
    /// are real time.
    pub fn new(
        pg: Pg,
        store: Store,
        processor: Arc<dyn Processor>,
        config: &ReconcilerConfig,
        city: Clock,
    ) -> Self {
        Self {
            books: ours::Books::new(pg.clone()),
            mismatches: Mismatches::new(pg.clone(), city),
            runs: Runs::new(pg),
            store,
            processor,
            config: config.clone(),
            clock: Clock::system(),
        }
    }

    /// What did not fit.
    pub const fn mismatches(&self) -> &Mismatches {
        &self.mismatches
    }

    /// The comparisons.
    pub const fn runs(&self) -> &Runs {
        &self.runs
    }

    /// Compares all books now. None when another comparison runs.
    ///
    /// # Errors
    /// When Postgres refuses. A comparison that could not be ended is a run with an error.
    pub async fn run(&self, id: Uuid) -> Result<Option<Run>, PgError> {
        match self.runs.begin(id).await? {
            Begun::Now(run) => self.carry_out(&run).await.map(Some),
            Begun::Before(run) => Ok(Some(run)),
            Begun::Another => Ok(None),
        }
    }

    /// Carries out a run that was begun.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn carry_out(&self, run: &Run) -> Result<Run, PgError> {
        let mut tally = Tally::default();
        let ended = self.survey(run, &mut tally).await;
        let error = ended
            .err()
            .map(|error| format!("{:#}", anyhow::Error::from(error)));
        match &error {
            None => tracing::info!(?tally, "the books were compared"),
            Some(error) => tracing::warn!(error, ?tally, "the books could not be compared"),
        }
        let outcome = if error.is_some() { "failed" } else { "done" };
        RUNS.add(1, &[KeyValue::new("outcome", outcome)]);
        let kept = self.runs.end(run.id, &tally, error.as_deref()).await?;
        self.measure().await;
        Ok(match kept {
            Some(run) => run,
            None => self.runs.get(run.id).await?.unwrap_or_else(|| run.clone()),
        })
    }

    /// Looks at one payment, because somebody hinted at it.
    ///
    /// # Errors
    /// When either side could not be read, or what was found could not be kept.
    pub async fn examine(
        &self,
        payment: &ProcessorId,
        intent: Option<IntentId>,
    ) -> Result<(), ReconcileError> {
        let mut tally = Tally::default();
        self.second_look(&payment.0, intent, &mut tally).await?;
        if tally != Tally::default() {
            self.measure().await;
        }
        Ok(())
    }

    /// Says how many mismatches are open, and how much money the processor holds and took.
    pub async fn measure(&self) {
        match self.books.of_processor().await {
            Ok(balances) => {
                for Balance {
                    currency, totals, ..
                } in balances
                {
                    let currency = [KeyValue::new("hexcab.currency", currency.code())];
                    HELD.set(totals.debits_pending as f64, &currency);
                    CAPTURED.set(totals.debits_posted as f64, &currency);
                }
            }
            Err(error) => tracing::warn!(%error, "the money cannot be counted"),
        }
        match self.mismatches.open_by_kind().await {
            Ok(kinds) => {
                for (kind, count) in kinds {
                    let count = u32::try_from(count).unwrap_or(u32::MAX);
                    OPEN.set(count.into(), &[KeyValue::new("kind", kind.as_str())]);
                }
            }
            Err(error) => tracing::warn!(%error, "mismatches cannot be counted"),
        }
    }

    /// Younger than this nothing that only the processor knows is a mismatch.
    fn grace(&self) -> Duration {
        Duration::from_secs(self.config.grace_s.into())
    }
}
