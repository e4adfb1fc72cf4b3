//! What riders and drivers are told of a trip: the one place that decides who hears what.
//!
//! Invariant: an event and a snapshot of the same version make the same message, so it does not matter which comes
//! first.

use hexcab_proto::trip::v1::{State, Trip};
use hexcab_types::{DriverId, RiderId, TripId};

use crate::{
    gateway::Gateway,
    session::{Session, Version},
    views::{
        message::{DriverMessage, OfferView, RiderMessage},
        trip::TripView,
    },
};

impl Gateway {
    /// Tells all sessions of the trip's rider; returns how many.
    pub fn tell_rider(&self, id: TripId, trip: &Trip) -> usize {
        let Ok(rider) = RiderId::from_name(&trip.rider) else {
            return 0;
        };
        let sessions = self.riders.of(rider);
        let told = sessions
            .iter()
            .filter(|session| tell_rider_session(session, id, trip))
            .count();
        if told > 0 {
            self.positions.follow(id, rider, trip);
        }
        told
    }

    /// Tells all sessions of a driver; returns how many.
    pub fn tell_driver(&self, driver: DriverId, id: TripId, trip: &Trip) -> usize {
        let sessions = self.drivers.of(driver);
        sessions
            .iter()
            .filter(|session| tell_driver_session(session, driver, id, trip))
            .count()
    }
}

/// Tells one session of the trip's rider.
pub fn tell_rider_session(session: &Session<RiderMessage>, id: TripId, trip: &Trip) -> bool {
    let version = Version {
        number: trip.version,
        open: !is_terminal(trip.state()),
    };
    session.tell_of(id, version, || RiderMessage::Trip {
        trip: Box::new(TripView::for_rider(trip)),
    })
}

/// Tells one session of a driver who has, had or is offered the trip.
pub fn tell_driver_session(
    session: &Session<DriverMessage>,
    driver: DriverId,
    id: TripId,
    trip: &Trip,
) -> bool {
    let offer = trip
        .offer
        .as_ref()
        .filter(|offer| offer.driver == driver.name());
    let yours = offer.is_some() || has(driver, trip);
    let version = Version {
        number: trip.version,
        open: yours && !is_terminal(trip.state()),
    };
    session.tell_of(id, version, || match offer {
        Some(offer) => DriverMessage::Offer(Box::new(OfferView::new(trip, offer))),
        None => DriverMessage::Trip {
            trip: Box::new(TripView::for_driver(trip)),
            yours,
        },
    })
}

/// Whether the driver carries the trip out, or has.
fn has(driver: DriverId, trip: &Trip) -> bool {
    let driven = match trip.state() {
        State::EnRoute | State::Arrived | State::InProgress | State::Completed => true,
        State::Unspecified
        | State::Scheduled
        | State::Requested
        | State::Offered
        | State::Cancelled
        | State::Expired => false,
    };
    driven && trip.driver == driver.name()
}

/// Whether a driver has accepted and the trip is not over: the rider may see him come.
pub fn is_driven(state: State) -> bool {
    match state {
        State::EnRoute | State::Arrived | State::InProgress => true,
        State::Unspecified
        | State::Scheduled
        | State::Requested
        | State::Offered
        | State::Completed
        | State::Cancelled
        | State::Expired => false,
    }
}

/// Whether nothing can happen to the trip any more.
pub fn is_terminal(state: State) -> bool {
    match state {
        State::Completed | State::Cancelled | State::Expired => true,
        State::Unspecified
        | State::Scheduled
        | State::Requested
        | State::Offered
        | State::EnRoute
        | State::Arrived
        | State::InProgress => false,
    }
}
