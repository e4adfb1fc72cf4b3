//! Carries deadlines out: no rider is forgotten, whatever crashed (I9).
//!
//! The deadlines are the trips' own rows, so nothing is lost with a process. Any number of replicas may sweep: each trip
//! is a transaction of its own, and one that another is at is skipped. What is due is a matter of the city's clock; how
//! often one looks is a matter of the machine's. Does not: decide (the domain does, again, under the lock).

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::store::{Due, Trips};

/// How often one looks, real time.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long to wait after a failure, real time.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Trips taken on at once.
const BATCH_MAX: u32 = 64;

/// Sweeps until shutdown; waits failures out.
///
/// # Errors
/// Never; the type is that of a task.
pub async fn run(trips: Trips, shutdown: CancellationToken) -> anyhow::Result<()> {
    loop {
        let rest = match sweep(&trips).await {
            Ok(found) if found >= BATCH_MAX as usize => Duration::ZERO,
            Ok(_) => LOOK_EVERY,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "deadlines wait");
                AFTER_FAILURE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

/// Carries out what is due now, a batch at most. How many were found.
///
/// # Errors
/// When Postgres is away. One trip that fails does not keep the others waiting.
pub async fn sweep(trips: &Trips) -> anyhow::Result<usize> {
    let due = trips.due(BATCH_MAX).await?;
    let mut failed = None;
    for trip in &due {
        if let Err(error) = expire(trips, trip).await {
            failed = Some(error);
        }
    }
    failed.map_or(Ok(due.len()), Err)
}

/// One deadline, in the trace of its ride.
async fn expire(trips: &Trips, due: &Due) -> anyhow::Result<()> {
    let span = tracing::info_span!(parent: None, "trip.deadline", hexcab.trip.id = %due.trip);
    if let Some(traceparent) = &due.traceparent {
        hexcab_telemetry::set_parent(&span, traceparent);
    }
    async {
        if let Some(trip) = trips.carry_out_deadline(due.trip).await? {
            tracing::info!(trip.id = %trip.id, trip.state = trip.state.name(), trip.version = trip.version, "a deadline passed");
        }
        Ok(())
    }
    .instrument(span)
    .await
}
