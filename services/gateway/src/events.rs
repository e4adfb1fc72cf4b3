//! Trip events in, pushes out. Every replica reads every event from where it joined; who is not connected here is
//! another replica's to tell, or will be shown a snapshot.

use std::sync::Arc;

use async_trait::async_trait;
use hexcab_bus::{Failure, Handler, Incoming};
use hexcab_proto::trip::v1::{Trip, TripEvent};
use hexcab_types::{DriverId, TripId};
use tokio::sync::Notify;

use crate::{gateway::Gateway, rides::holder, spans, views::operator::named_driver};

/// Tells riders and drivers what the events say.
pub struct TripEvents {
    gateway: Arc<Gateway>,
    missed: Arc<Notify>,
}

impl TripEvents {
    /// `missed` is notified when events may have been missed.
    pub fn new(gateway: Arc<Gateway>, missed: Arc<Notify>) -> Self {
        Self { gateway, missed }
    }

    /// Tells everyone whom the event concerns; returns how many sessions.
    fn tell(&self, told: &Concerned<'_>) -> usize {
        let Concerned { id, trip, .. } = *told;
        if !told.outdated {
            return self.gateway.tell_rider(id, trip) + self.tell_drivers(told, |_| true);
        }
        // Something newer is known: nobody is offered what is gone, but who lost the trip hears of it.
        let asked = holder(trip);
        self.tell_drivers(told, |driver| asked != Some(driver))
    }

    fn tell_drivers(&self, told: &Concerned<'_>, concerns: impl Fn(DriverId) -> bool) -> usize {
        let drivers = told.drivers.iter().filter(|driver| concerns(**driver));
        drivers
            .map(|driver| self.gateway.tell_driver(*driver, told.id, told.trip))
            .sum()
    }

    fn is_anyone_here(&self, told: &Concerned<'_>) -> bool {
        let rider = hexcab_types::RiderId::from_name(&told.trip.rider);
        rider.is_ok_and(|rider| self.gateway.riders.has(rider))
            || told
                .drivers
                .iter()
                .any(|driver| self.gateway.drivers.has(*driver))
    }
}

/// A trip as an event left it, and the drivers who must hear of it.
struct Concerned<'a> {
    id: TripId,
    trip: &'a Trip,
    /// Who has it, is asked, had it before, or is named by the event.
    drivers: Vec<DriverId>,
    /// A newer version is known.
    outdated: bool,
}

#[async_trait]
impl Handler for TripEvents {
    async fn handle(&self, event: &Incoming) -> Result<(), Failure> {
        let event: TripEvent = event.decode()?;
        let id = TripId::from_name(&event.trip)
            .map_err(|error| Failure::Poison(format!("trip: {error}")))?;
        let trip = event
            .after
            .as_ref()
            .ok_or_else(|| Failure::Poison("after is missing".to_owned()))?;
        let known = self.gateway.rides.observe(id, trip);
        let named = named_driver(&event).and_then(|name| DriverId::from_name(name).ok());
        let before = known.as_ref().and_then(|ride| ride.driver);
        let mut drivers: Vec<DriverId> = [holder(trip), named, before]
            .into_iter()
            .flatten()
            .collect();
        drivers.sort_unstable();
        drivers.dedup();
        let told = Concerned {
            id,
            trip,
            drivers,
            outdated: known.is_some_and(|ride| ride.version > trip.version),
        };
        if self.is_anyone_here(&told) {
            let span = spans::push(id, trip);
            let sessions = span.in_scope(|| self.tell(&told));
            span.record("hexcab.sessions", sessions);
        }
        Ok(())
    }

    async fn assigned(&self, _partitions: &[(String, i32)]) -> Result<(), Failure> {
        self.missed.notify_one();
        Ok(())
    }
}
