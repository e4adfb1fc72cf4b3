//! Carries deadlines out: no rider is forgotten, whatever crashed (I9).
//!
//! The deadlines are the trips' own rows, so nothing is lost with a process. Any number of replicas may sweep: each trip
//! is a transaction of its own, and one that another is at is skipped. What is due is a matter of the city's clock; how
//! often one looks is a matter of the machine's.
//!
//! Invariant: a trip that cannot be carried out keeps nobody waiting: it rests, longer each time, and is not looked at
//! meanwhile. Does not: decide (the domain does, again, under the lock).

use std::{collections::HashMap, time::Duration};

use hexcab_chassis::crash;
use hexcab_types::TripId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::store::{Due, ExecuteError, Trips};

/// How often one looks, real time.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long to wait when Postgres does not say what is due, real time.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Trips taken on at once.
const BATCH_MAX: u32 = 64;
/// How long a trip rests that was not carried out, real time, doubled with each further try in vain …
const REST_FROM: Duration = Duration::from_millis(100);
/// … up to this. One that is not due again within as much more is forgotten.
const REST_CAP: Duration = Duration::from_secs(30);

/// What a look at the deadlines came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Trips that were due and not resting.
    pub due: usize,
    /// Those of them that were carried out.
    pub carried_out: usize,
}

/// A trip that was not carried out.
#[derive(Debug, Clone, Copy)]
struct Rest {
    until: Instant,
    lasts: Duration,
}

/// Sweeps, and remembers which trips rest.
pub struct Sweeper {
    trips: Trips,
    resting: HashMap<TripId, Rest>,
}

/// Sweeps until shutdown; waits failures out.
///
/// # Errors
/// Never; the type is that of a task.
pub async fn run(trips: Trips, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut sweeper = Sweeper::new(trips);
    loop {
        let swept = sweeper.sweep(Instant::now()).await;
        if let Err(error) = &swept {
            tracing::warn!(%error, "deadlines wait");
        }
        tokio::select! {
            () = tokio::time::sleep(pause(&swept)) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

/// How long until the next look.
fn pause(swept: &Result<Swept, ExecuteError>) -> Duration {
    match swept {
        Ok(swept) if swept.due >= BATCH_MAX as usize && swept.carried_out > 0 => Duration::ZERO,
        Ok(_) => LOOK_EVERY,
        Err(_) => AFTER_FAILURE,
    }
}

impl Sweeper {
    /// Sweeps these; nobody rests.
    pub fn new(trips: Trips) -> Self {
        Self {
            trips,
            resting: HashMap::new(),
        }
    }

    /// Carries out what is due and does not rest at `now`, a batch at most.
    ///
    /// # Errors
    /// When Postgres does not say what is due. One trip that fails is logged, and rests.
    pub async fn sweep(&mut self, now: Instant) -> Result<Swept, ExecuteError> {
        self.resting.retain(|_, rest| rest.until + REST_CAP > now);
        let asleep: Vec<TripId> = self
            .resting
            .iter()
            .filter(|(_, rest)| rest.until > now)
            .map(|(trip, _)| *trip)
            .collect();
        let due = self.trips.due(BATCH_MAX, &asleep).await?;
        let mut carried_out = 0;
        for one in &due {
            crash::point("trip.sweep.due");
            if expire(&self.trips, one).await {
                crash::point("trip.sweep.carried_out");
                self.resting.remove(&one.trip);
                carried_out += 1;
            } else {
                self.rest(one.trip, now);
            }
        }
        Ok(Swept {
            due: due.len(),
            carried_out,
        })
    }

    fn rest(&mut self, trip: TripId, now: Instant) {
        let before = self.resting.get(&trip).map(|rest| rest.lasts);
        let lasts = before.map_or(REST_FROM, |lasts| (lasts * 2).min(REST_CAP));
        let until = now + lasts;
        self.resting.insert(trip, Rest { until, lasts });
    }
}

/// One deadline, in the trace of its ride. False when it was not carried out: it failed, or another is at it.
async fn expire(trips: &Trips, due: &Due) -> bool {
    let span = tracing::info_span!(parent: None, "trip.deadline", hexcab.trip.id = %due.trip);
    if let Some(traceparent) = &due.traceparent {
        hexcab_telemetry::set_parent(&span, traceparent);
    }
    async {
        match trips.carry_out_deadline(due.trip).await {
            Ok(Some(trip)) => {
                tracing::info!(trip.id = %trip.id, trip.state = trip.state.name(), trip.version = trip.version, "a deadline passed");
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(trip.id = %due.trip, %error, "a deadline waits");
                false
            }
        }
    }
    .instrument(span)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_to_ask_holds_everybody_up_and_a_batch_in_vain_is_no_hurry() {
        let swept = |due, carried_out| Ok(Swept { due, carried_out });
        for (swept, expected) in [
            (swept(64, 64), Duration::ZERO),
            (swept(64, 1), Duration::ZERO),
            (swept(64, 0), LOOK_EVERY),
            (swept(1, 0), LOOK_EVERY),
            (swept(0, 0), LOOK_EVERY),
            (Err(ExecuteError::NoSuchTrip), AFTER_FAILURE),
        ] {
            assert_eq!(pause(&swept), expected, "{swept:?}");
        }
    }
}
