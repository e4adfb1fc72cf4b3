//! What location says about itself in numbers. Names are listed in docs/telemetry.md.

use hexcab_telemetry::metrics::{Counter, Gauge};

/// Questions to the store, reads and flushes, that it did not answer.
pub static STORE_FAILURES: Counter = Counter::new(
    "hexcab.location.store.failures",
    "{failure}",
    "reads and flushes that the store did not answer, or with an error",
);
/// How long the store is away.
pub static STORE_AWAY: Gauge = Gauge::new(
    "hexcab.location.store.away",
    "s",
    "how long the store has been away; 0 while it answers",
);
