//! What an app has missed: how its trips stand now, asked of trip.
//!
//! Order matters: the session is connected first and hears events from then on; only then trip is asked. Whatever
//! happens in between comes twice and is told once ([`Session::tell_of`]).

use std::sync::Arc;

use hexcab_proto::trip::v1::{ListTripsRequest, State, Trip};
use hexcab_types::{DriverId, RiderId, TripId};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    gateway::Gateway,
    peers::{DRIVER_STATES, RIDER_STATES},
    push::{tell_driver_session, tell_rider_session},
    session::Session,
    status::Problem,
    views::message::{DriverMessage, RiderMessage},
};

/// Open trips of one user that are read; there is at most one and one offer (I1).
const OPEN_MAX: i32 = 10;

impl Gateway {
    /// Tells a rider's session how his open trips stand.
    ///
    /// # Errors
    /// When trip cannot be asked.
    pub async fn show_rider(
        &self,
        rider: RiderId,
        session: &Session<RiderMessage>,
    ) -> Result<(), Problem> {
        let request = ListTripsRequest {
            rider: rider.name(),
            ..open(&RIDER_STATES)
        };
        for (id, trip) in self.trips_to_show(request, session.open_trips()).await? {
            if tell_rider_session(session, id, &trip) {
                self.positions.follow(id, rider, &trip);
            }
        }
        Ok(())
    }

    /// Tells a driver's session of his open offer and trip.
    ///
    /// # Errors
    /// When trip cannot be asked.
    pub async fn show_driver(
        &self,
        driver: DriverId,
        session: &Session<DriverMessage>,
    ) -> Result<(), Problem> {
        let request = ListTripsRequest {
            driver: driver.name(),
            ..open(&DRIVER_STATES)
        };
        for (id, trip) in self.trips_to_show(request, session.open_trips()).await? {
            tell_driver_session(session, driver, id, &trip);
        }
        Ok(())
    }

    /// The open trips, and those that were open when the session last heard of them.
    async fn trips_to_show(
        &self,
        request: ListTripsRequest,
        heard_of: Vec<TripId>,
    ) -> Result<Vec<(TripId, Trip)>, Problem> {
        let mut trips = Vec::new();
        for trip in self.peers.list_trips(request).await?.trips {
            if let Ok(id) = TripId::from_name(&trip.name) {
                trips.push((id, trip));
            }
        }
        for id in heard_of {
            if trips.iter().all(|(listed, _)| *listed != id) {
                trips.push((id, self.peers.get_trip(id).await?));
            }
        }
        for (id, trip) in &trips {
            self.rides.observe(*id, trip);
        }
        Ok(trips)
    }

    /// Shows everyone everything again whenever `missed` says that events may have been missed, until shutdown.
    ///
    /// # Errors
    /// Never; the signature is a task's.
    pub async fn show_again(
        self: Arc<Self>,
        missed: Arc<Notify>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        while shutdown
            .run_until_cancelled(missed.notified())
            .await
            .is_some()
        {
            for (rider, session) in self.riders.all() {
                log(self.show_rider(rider, &session).await);
            }
            for (driver, session) in self.drivers.all() {
                log(self.show_driver(driver, &session).await);
            }
        }
        Ok(())
    }
}

fn open(states: &[State]) -> ListTripsRequest {
    let states = states.iter().map(|state| i32::from(*state)).collect();
    ListTripsRequest {
        states,
        page_size: OPEN_MAX,
        ..ListTripsRequest::default()
    }
}

fn log(shown: Result<(), Problem>) {
    if let Err(problem) = shown {
        tracing::warn!(%problem, "a session could not be shown its trips again");
    }
}
