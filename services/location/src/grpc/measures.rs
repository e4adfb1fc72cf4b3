//! The hot paths in numbers: one for each batch of pings and each search, never one for a ping. Names are listed in
//! docs/telemetry.md.

use hexcab_telemetry::metrics::{Counter, Histogram, KeyValue};

use crate::domain::{Answer, Taken};

static PINGS: Counter = Counter::new(
    "hexcab.location.pings",
    "{ping}",
    "pings by what became of them: accepted, stale (an older one than is known), rejected",
);
static AGE: Histogram = Histogram::new(
    "hexcab.location.nearby.age",
    "s",
    "age of the oldest position in an answer to a search",
);

/// A batch was taken in.
pub fn taken(taken: &Taken, rejected: usize) {
    for (outcome, many) in [
        ("accepted", u64::from(taken.accepted)),
        ("stale", u64::from(taken.stale)),
        ("rejected", rejected as u64),
    ] {
        if many > 0 {
            PINGS.add(many, &[KeyValue::new("outcome", outcome)]);
        }
    }
}

/// Somebody was told who is near.
pub fn answered(answers: &[Answer]) {
    let oldest = answers.iter().map(|answer| answer.age_ms).max();
    if let Some(oldest) = oldest {
        AGE.record(oldest as f64 / 1_000.0, &[]);
    }
}
