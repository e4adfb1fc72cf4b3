//! What a replica knew before it was started anew: everybody's newest position is read once, as soon as the store is there.
//! Queries are answered meanwhile with what is known so far.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Keeper, StoreError, cql::Cql};

/// Spans of tokens, and how many are read at once.
const SPANS: u64 = 64;
const AT_ONCE: usize = 4;
/// Between two tries.
const RETRY: Duration = Duration::from_secs(1);
/// Tries: after so long everybody who is out has pinged.
const TRIES_MAX: u32 = 60;

/// Reads everything once.
pub struct Warmer {
    keeper: Keeper,
}

impl Warmer {
    /// Into this index.
    pub const fn new(keeper: Keeper) -> Self {
        Self { keeper }
    }

    /// Does so, or gives up.
    ///
    /// # Errors
    /// Never; the signature is a task's.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        shutdown.run_until_cancelled(self.warm()).await;
        Ok(())
    }

    async fn warm(&self) {
        let cql = self.keeper.link.connected().await;
        let begun = Instant::now();
        let mut left: Vec<u64> = (0..SPANS).collect();
        for _ in 0..TRIES_MAX {
            let read: Vec<(u64, Result<(), StoreError>)> = stream::iter(left)
                .map(async |span| (span, self.read(&cql, span).await))
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
            left = read
                .iter()
                .filter(|(_, read)| read.is_err())
                .map(|(span, _)| *span)
                .collect();
            let Some(failed) = read.iter().map(|(_, read)| read).find(|read| read.is_err()) else {
                let drivers = self.keeper.index.len();
                let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(drivers, took_ms, "warm: what was kept is known");
                return;
            };
            self.keeper.link.said(failed);
            tokio::time::sleep(RETRY).await;
        }
        tracing::warn!("what was kept could not be read; drivers are known as they ping");
    }

    async fn read(&self, cql: &Cql, span: u64) -> Result<(), StoreError> {
        cql.scan(tokens(span), |rows| self.keeper.take(rows)).await
    }
}

/// The tokens of a span, of all from the least to the greatest.
fn tokens(span: u64) -> std::ops::RangeInclusive<i64> {
    let width = (1_u128 << 64) / u128::from(SPANS);
    let at = |offset: u128| (i128::from(i64::MIN) + offset.cast_signed()) as i64;
    let first = u128::from(span) * width;
    at(first)..=at(first + width - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spans_are_all_tokens_once() {
        let spans: Vec<_> = (0..SPANS).map(tokens).collect();
        assert_eq!(*spans[0].start(), i64::MIN);
        assert_eq!(*spans[spans.len() - 1].end(), i64::MAX);
        for pair in spans.windows(2) {
            assert_eq!(*pair[0].end() + 1, *pair[1].start());
        }
    }
}
