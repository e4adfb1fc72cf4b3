//! Trip events → books; a partition taken → books rebuilt; a partition given up → books dropped.
//!
//! A process owns all its configured cities while it has any partition of the trip topic: it does not know which city's
//! events are in which partition. That is exact in two cases: the topic has one partition (as shipped), or one
//! dispatcher has them all. Otherwise several processes own every city, each hears the events of some only and learns of
//! the others by comparing with trip's list ([`resync`]); it says so in its log. This is no danger (trip takes one offer
//! per version), but waste and delay. Nor may members of one group have different cities: a city's events may then come
//! to a process that does not have it, and a city whose process got no partition is nobody's. To split the cities among
//! dispatchers for good, ownership must follow the key's partition first.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::{StreamExt as _, stream::FuturesUnordered};
use hexcab_bus::{Failure, Handler, Incoming, Outgoing, Producer, topic};
use hexcab_chassis::{Clock, Component};
use hexcab_proto::trip::v1::{Trip, TripEvent};
use hexcab_types::CityId;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{desk::CityDesk, domain::Decision, peers::Trips, resync, wire};

/// Decisions on their way to the broker at once.
const PUBLISHED_AT_ONCE: usize = 100;
/// How long the last decisions may take at the end, real time.
const FLUSH: Duration = Duration::from_secs(2);

/// Reads trip events into the books of these cities.
pub struct TripEvents {
    desks: Vec<Arc<CityDesk>>,
    trips: Trips,
    clock: Clock,
    partitions: Mutex<BTreeSet<(String, i32)>>,
    books: Component,
}

impl TripEvents {
    /// `books` is ready when every book that this process owns was read from trip.
    pub fn new(desks: Vec<Arc<CityDesk>>, trips: Trips, clock: Clock, books: Component) -> Self {
        Self {
            desks,
            trips,
            clock,
            partitions: Mutex::default(),
            books,
        }
    }

    /// Adds the partitions. Whether these are the first.
    fn add(&self, partitions: &[(String, i32)]) -> bool {
        let mut all = self.partitions.lock();
        let had_none = all.is_empty();
        all.extend(partitions.iter().cloned());
        had_none && !all.is_empty()
    }

    /// Removes the partitions. Whether these were the last.
    fn remove(&self, partitions: &[(String, i32)]) -> bool {
        let mut all = self.partitions.lock();
        all.retain(|partition| !partitions.contains(partition));
        all.is_empty()
    }
}

#[async_trait]
impl Handler for TripEvents {
    async fn handle(&self, event: &Incoming) -> Result<(), Failure> {
        let event: TripEvent = event.decode()?;
        let Some(after) = &event.after else {
            return Err(Failure::Poison("the event has no trip".to_owned()));
        };
        let Some(desk) = self
            .desks
            .iter()
            .find(|desk| desk.city.id.as_str() == after.city)
        else {
            return Ok(());
        };
        let seen = wire::seen(after).map_err(|error| Failure::Poison(error.to_string()))?;
        desk.on_event(seen, in_ride(after));
        Ok(())
    }

    async fn assigned(&self, partitions: &[(String, i32)]) -> Result<(), Failure> {
        if self.add(partitions) {
            for desk in &self.desks {
                desk.take_over();
            }
        }
        if self.partitions.lock().is_empty() {
            self.books.set(true);
            return Ok(());
        }
        if partitions.iter().any(|(_, number)| *number > 0) {
            tracing::warn!(
                "the trip topic has several partitions: run one dispatcher, or cities have several owners"
            );
        }
        for desk in &self.desks {
            // With trip away the events are taken in all the same; the resync loop goes on trying.
            if let Err(error) = resync::run_once(desk, &self.trips, &self.clock).await {
                tracing::warn!(city = %desk.city.id, %error, "the book is not rebuilt yet");
            }
        }
        resync::report(&self.desks, &self.books);
        Ok(())
    }

    async fn revoked(&self, partitions: &[(String, i32)]) {
        if self.remove(partitions) {
            for desk in &self.desks {
                desk.give_up();
            }
        }
    }
}

/// The context that an event was handled in, if that is in the ride's trace: nothing about a ride is noted elsewhere.
fn in_ride(trip: &Trip) -> Option<String> {
    let ride = hexcab_telemetry::trace_id(&trip.traceparent)?;
    hexcab_telemetry::current_traceparent()
        .filter(|context| hexcab_telemetry::trace_id(context) == Some(ride))
}

/// A decision as it is told: topic `hexcab.dispatch.v1`, keyed by trip.
pub fn decision_made(city: &CityId, decision: &Decision, traceparent: Option<String>) -> Outgoing {
    Outgoing {
        topic: topic::DISPATCH,
        key: decision.trip.to_string(),
        kind: "hexcab.dispatch.v1.DecisionMade".to_owned(),
        source: "dispatch",
        subject: decision.trip.name(),
        time: decision.at,
        payload: wire::decision(city, decision).encode_to_vec(),
        traceparent,
    }
}

/// Publishes decisions, best effort, until shutdown.
///
/// # Errors
/// Never: a decision that the broker does not take is dropped.
pub async fn publish_decisions(
    producer: Producer,
    mut decisions: mpsc::Receiver<Outgoing>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    while let Some(Some(event)) = shutdown.run_until_cancelled(decisions.recv()).await {
        let mut batch = FuturesUnordered::from_iter([producer.publish(event)]);
        while batch.len() < PUBLISHED_AT_ONCE
            && let Ok(event) = decisions.try_recv()
        {
            batch.push(producer.publish(event));
        }
        while let Some(published) = batch.next().await {
            if let Err(error) = published {
                tracing::debug!(%error, "a decision is not told");
            }
        }
    }
    producer.flush(FLUSH).await;
    Ok(())
}
