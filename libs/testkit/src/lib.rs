//! What tests share: a database per test on one real Postgres, a broker per process, seeded chance, waiting for a fact.
//!
//! Only ever a dev-dependency. Nothing here is a mock: the broker is librdkafka's own cluster over real TCP, Postgres is
//! Postgres, Cassandra is Cassandra.

mod broker;
mod cassandra;
mod database;

use std::{future::Future, time::Duration};

use rand::{RngExt as _, SeedableRng as _};
pub use rand_chacha::ChaCha8Rng;

pub use broker::{Broker, broker};
pub use cassandra::{Cassandra, cassandra};
pub use database::TestDb;

/// How long [`eventually`] waits.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks every 10 ms until the fact is there, and panics after 20 s: what a test does instead of sleeping.
pub async fn eventually<T, F, Fut>(look: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    within(PATIENCE, || "the fact", look).await
}

/// The same with another patience, for what takes its time; panics with what was waited for, as it is then.
pub async fn within<T, F, Fut, W>(patience: Duration, what: impl Fn() -> W, mut look: F) -> T
where
    W: std::fmt::Display,
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let until = tokio::time::Instant::now() + patience;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < until,
            "not within {patience:?}: {}",
            what()
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Chance with a seed that is printed: `HEXCAB_TEST_SEED` repeats a run.
pub fn seeded(name: &str) -> (u64, ChaCha8Rng) {
    #[expect(clippy::disallowed_methods, reason = "tests read their seed here")]
    let seed = std::env::var("HEXCAB_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| rand::rng().random());
    println!("{name}: HEXCAB_TEST_SEED={seed}");
    (seed, ChaCha8Rng::seed_from_u64(seed))
}

/// Log lines of the test at hand, `RUST_LOG` or warnings only. Safe to call in every test.
pub fn telemetry() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_test_writer()
        .try_init();
}
