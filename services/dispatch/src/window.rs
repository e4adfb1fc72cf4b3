//! A window from its close to its last offer: look up what is in doubt → search → plan → decide → offer.
//!
//! Invariants: a decision is kept before its offer is sent; a request leaves the window open, offered, or named for a
//! look-up, never lost. Does not: decide when a window closes.

mod offer;
mod search;

use std::sync::Arc;

use hexcab_bus::Outgoing;
use hexcab_chassis::Clock;
use hexcab_telemetry::metrics::{Counter, Histogram, KeyValue};
use hexcab_types::{DecisionId, Timestamp};
use tokio::{sync::mpsc, time::Instant};
use uuid::Uuid;

use crate::{
    desk::CityDesk,
    domain::{self, Decision, Planned},
    events,
    peers::{Heard, Location, Trips},
    resync,
};

static WINDOWS: Histogram = Histogram::new(
    "hexcab.dispatch.window.duration",
    "s",
    "a window from its close to its last offer, by city",
);
static REQUESTS: Counter = Counter::new(
    "hexcab.dispatch.requests",
    "{request}",
    "requests in windows, by city; one that is not matched is in the next again",
);

/// What closing a window came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Whatever could be done was done.
    Done,
    /// A peer answered none of its calls: better wait before the next.
    PeerAway,
}

/// Runs windows.
#[derive(Clone)]
pub struct WindowRun {
    clock: Clock,
    trips: Trips,
    location: Location,
    publish: mpsc::Sender<Outgoing>,
}

/// A window that is being run.
struct Window<'a> {
    desk: &'a Arc<CityDesk>,
    run: &'a WindowRun,
    number: u64,
    requests: usize,
    now: Timestamp,
}

impl WindowRun {
    /// Searches and offers by these peers; decisions go to `publish`, as long as there is room.
    pub fn new(
        clock: Clock,
        trips: Trips,
        location: Location,
        publish: mpsc::Sender<Outgoing>,
    ) -> Self {
        Self {
            clock,
            trips,
            location,
            publish,
        }
    }

    /// Closes a window of this city.
    ///
    /// # Errors
    /// When the plan could not be made: our bug.
    pub async fn close(&self, desk: &Arc<CityDesk>) -> anyhow::Result<Outcome> {
        let doubts = desk.with(|book| book.in_doubt()).unwrap_or_default();
        let known = resync::look_up(desk, &self.trips, doubts).await;
        let now = self.clock.now();
        let Some((number, taken)) = desk.take_window(now) else {
            return Ok(outcome(&[known]));
        };
        let started = Instant::now();
        let window = Window {
            desk,
            run: self,
            number,
            requests: taken.requests.len(),
            now,
        };
        let searched = window.search(&taken).await;
        let planned = window.plan(searched.found).await?;
        let told = known.and(window.offer_all(planned).await);
        desk.note_window(started.elapsed());
        let city = [KeyValue::new("hexcab.city", desk.city.id.to_string())];
        WINDOWS.record(started.elapsed().as_secs_f64(), &city);
        REQUESTS.add(window.requests as u64, &city);
        tracing::debug!(city = %desk.city.id, window = number, requests = window.requests, took = ?started.elapsed(), "window closed");
        Ok(outcome(&[told, searched.heard]))
    }
}

/// What a window came to that heard this of its peers.
fn outcome(peers: &[Heard]) -> Outcome {
    if peers.iter().any(Heard::is_away) {
        Outcome::PeerAway
    } else {
        Outcome::Done
    }
}

impl Window<'_> {
    async fn plan(&self, found: Vec<domain::Found>) -> anyhow::Result<Vec<Planned>> {
        if found.iter().all(|found| found.nearby.is_empty()) {
            return Ok(found.into_iter().map(nobody_near).collect());
        }
        let (desk, now) = (self.desk.clone(), self.now);
        let hour = desk.city.hour_of_week(now);
        let solved = tokio::task::spawn_blocking(move || {
            domain::plan(found, desk.policy.as_ref(), desk.road.as_ref(), hour, now)
        });
        Ok(solved.await?)
    }

    /// Makes the decision for a request and keeps it. A request that is left over again at the same version keeps its
    /// decision, with the figures of now; it is new (and worth telling) the first time only.
    fn decide(&self, planned: &Planned) -> (Arc<Decision>, bool) {
        let (desk, request) = (self.desk, &planned.request);
        let left_over = |before: &Arc<Decision>| {
            before.driver.is_none() && before.trip_version == request.version
        };
        let again = desk
            .last_decision(request.trip)
            .filter(|before| planned.chosen.is_none() && left_over(before));
        let decision = Arc::new(Decision {
            id: again
                .as_ref()
                .map_or_else(|| DecisionId::from(Uuid::now_v7()), |before| before.id),
            trip: request.trip,
            trip_version: request.version,
            at: self.now,
            policy: desk.policy.name(),
            policy_version: desk.policy.version(),
            window: self.number,
            window_requests: self.requests,
            driver: planned.chosen.map(|chosen| chosen.driver),
            considered: planned.considered.clone(),
        });
        desk.record(decision.clone());
        (decision, again.is_none())
    }

    /// Tells a decision, as long as there is room: it is no durable state.
    fn tell(&self, decision: &Decision, traceparent: Option<String>) {
        let event = events::decision_made(&self.desk.city.id, decision, traceparent);
        if self.run.publish.try_send(event).is_err() {
            tracing::debug!(decision = %decision.id, "a decision is not told: too many are waiting");
        }
    }
}

fn nobody_near(found: domain::Found) -> Planned {
    let (request, searched_in) = (found.request, found.searched_in);
    Planned {
        request,
        considered: Vec::new(),
        chosen: None,
        searched_in,
    }
}
