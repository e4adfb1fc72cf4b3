//! What is remembered of trips: the ride's trace and who takes part. Filled by trip events, bounded, never trusted for
//! more than tracing and telling: a trip that is not here is asked for.

use std::sync::Arc;

use hexcab_proto::trip::v1::Trip;
use hexcab_types::{DriverId, TripId};
use moka::sync::Cache;

/// What is remembered of one trip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ride {
    /// W3C context of the ride's trace.
    pub traceparent: Option<String>,
    /// Who has the trip or its open offer.
    pub driver: Option<DriverId>,
    /// The version this was read from.
    pub version: i64,
}

/// The trips remembered, newest used first.
#[derive(Debug)]
pub struct Rides(Cache<TripId, Arc<Ride>>);

impl Rides {
    /// Nothing yet; at most `max` trips.
    pub fn new(max: u64) -> Self {
        Self(Cache::new(max))
    }

    /// Remembers a trip unless something newer is known, and returns what was known before.
    pub fn observe(&self, id: TripId, trip: &Trip) -> Option<Arc<Ride>> {
        let known = self.0.get(&id);
        if known
            .as_ref()
            .is_none_or(|ride| ride.version < trip.version)
        {
            let ride = Ride {
                traceparent: Some(trip.traceparent.clone()).filter(|text| !text.is_empty()),
                driver: holder(trip),
                version: trip.version,
            };
            self.0.insert(id, Arc::new(ride));
        }
        known
    }

    /// What is known of a trip.
    pub fn get(&self, trip: TripId) -> Option<Arc<Ride>> {
        self.0.get(&trip)
    }
}

/// Who has the trip, or is being asked.
pub fn holder(trip: &Trip) -> Option<DriverId> {
    let asked = trip.offer.as_ref().map(|offer| offer.driver.as_str());
    DriverId::from_name(asked.unwrap_or(&trip.driver)).ok()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_older_version_does_not_replace_a_newer() {
        let rides = Rides::new(10);
        let id = TripId::from(Uuid::from_u128(7));
        let driver = DriverId::from(Uuid::from_u128(8));
        rides.observe(
            id,
            &Trip {
                version: 3,
                driver: driver.name(),
                ..Trip::default()
            },
        );
        rides.observe(
            id,
            &Trip {
                version: 2,
                ..Trip::default()
            },
        );
        assert_eq!(
            rides.get(id).map(|ride| (ride.version, ride.driver)),
            Some((3, Some(driver)))
        );
    }
}
