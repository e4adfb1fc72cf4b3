//! What was heard goes to the store: the newest of every driver, a flush after the other.
//!
//! The list of who is to be kept is the index's own, one entry a driver: however long the store is away, nothing grows.
//! What could not be kept is put back, and the flush ends there; the next begins with the shard where this one ended.
//! A flush that takes longer than the interval delays the next, which then has the newer positions.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, future, future::BoxFuture, stream};
use hexcab_types::DriverId;
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Keeper, StoreError,
    cql::{BATCH_MAX, Cql, Partition},
};
use crate::domain::{CityNumber, FleetIndex, KEEP_S, Sighting, index::SHARDS};

/// Batches on their way, each with its rows of `driver_last`.
const AT_ONCE: usize = 8;
/// How long the last flush of a process may take.
const LAST_MAX: Duration = Duration::from_secs(3);

/// Flushes.
pub struct Flusher {
    keeper: Keeper,
    interval: Duration,
    next_shard: usize,
}

impl Flusher {
    /// So often.
    pub fn new(keeper: Keeper, interval: Duration) -> Self {
        Self {
            keeper,
            interval,
            next_shard: 0,
        }
    }

    /// Flushes every interval until `shutdown`, and once more.
    ///
    /// # Errors
    /// Never; the signature is a task's.
    pub async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            self.flush().await;
        }
        if tokio::time::timeout(LAST_MAX, self.flush()).await.is_err() {
            tracing::warn!("the last flush took too long; some positions are not kept");
        }
        Ok(())
    }

    async fn flush(&mut self) {
        self.keeper.link.measure();
        let Ok(cql) = self.keeper.link.session() else {
            return;
        };
        let mut nothing = true;
        for _ in 0..SHARDS {
            let flushed = self.flush_shard(&cql, self.next_shard).await;
            if flushed.as_ref().is_ok_and(|rows| *rows == 0) {
                self.next_shard = (self.next_shard + 1) % SHARDS;
                continue;
            }
            nothing = false;
            self.keeper.link.said(&flushed);
            if flushed.is_err() {
                return;
            }
            self.next_shard = (self.next_shard + 1) % SHARDS;
        }
        if nothing && !self.keeper.link.is_well() {
            // Nobody else may ask it, and it may be back.
            self.keeper
                .link
                .said(&cql.last(DriverId::from(Uuid::nil())).await);
        }
    }

    /// Keeps one shard's changes; how many.
    async fn flush_shard(&self, cql: &Cql, shard: usize) -> Result<usize, StoreError> {
        let index = &self.keeper.index;
        let oldest_ms = self.keeper.clock.now().timestamp_millis() - KEEP_S * 1_000;
        let mut rows: Vec<(CityNumber, Sighting)> = Vec::new();
        index.take_changes(shard, |city, seen| {
            if seen.recorded_ms >= oldest_ms {
                rows.push((city, *seen));
            }
        });
        let count = rows.len();
        let outcome = Outcome::default();
        let parts = parts_of(index, &mut rows).into_iter();
        let keeping: Vec<_> = parts.map(|part| outcome.keep(cql, part)).collect();
        stream::iter(keeping)
            .buffer_unordered(AT_ONCE)
            .for_each(future::ready)
            .await;
        outcome.error.into_inner().map_or(Ok(count), Err)
    }
}

/// What came of a flush so far.
#[derive(Default)]
struct Outcome {
    failed: AtomicBool,
    /// The first.
    error: Mutex<Option<StoreError>>,
}

impl Outcome {
    /// Keeps a part, unless another could not be. Whatever is dropped on its way, as at the end of the process, is put
    /// back as well.
    fn keep<'a>(&'a self, cql: &'a Cql, part: Part<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if self.failed.load(Ordering::Relaxed) {
                return;
            }
            match part.keep(cql).await {
                Ok(()) => part.done(),
                Err(error) => {
                    self.failed.store(true, Ordering::Relaxed);
                    self.error.lock().get_or_insert(error);
                }
            }
        })
    }
}

/// Rows of one partition. What is not kept when it is dropped is put back.
struct Part<'a> {
    index: &'a Arc<FleetIndex>,
    at: Partition<'a>,
    rows: Vec<(Sighting, &'a str)>,
}

impl Part<'_> {
    async fn keep(&self, cql: &Cql) -> Result<(), StoreError> {
        let mut all: Vec<BoxFuture<'_, Result<(), StoreError>>> = Vec::new();
        all.push(Box::pin(cql.keep(self.at, &self.rows)));
        for (seen, product) in &self.rows {
            all.push(Box::pin(cql.keep_last(self.at.city, seen, product)));
        }
        future::try_join_all(all).await.map(drop)
    }

    fn done(mut self) {
        self.rows.clear();
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        for (seen, _) in &self.rows {
            self.index.put_back(seen.driver);
        }
    }
}

fn parts_of<'a>(
    index: &'a Arc<FleetIndex>,
    rows: &mut Vec<(CityNumber, Sighting)>,
) -> Vec<Part<'a>> {
    let mut placed: Vec<_> = rows
        .drain(..)
        .map(|(city, seen)| {
            let product = index.products(city).get(usize::from(seen.product.0));
            let product = product.map_or("", |product| product.as_str());
            (Partition::of(index.city_id(city), &seen), seen, product)
        })
        .collect();
    placed.sort_by_key(|(at, _, _)| *at);
    placed
        .chunk_by(|(a, ..), (b, ..)| a == b)
        .flat_map(|same| same.chunks(BATCH_MAX))
        .map(|chunk| Part {
            index,
            at: chunk[0].0,
            rows: chunk
                .iter()
                .map(|(_, seen, product)| (*seen, *product))
                .collect(),
        })
        .collect()
}
