//! What was decided for one request in one window, and why.

use hexcab_types::{DecisionId, DriverId, RequestId, Timestamp, TripId};
use sha2::{Digest as _, Sha256};

/// A decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Its id, which the offer carries.
    pub id: DecisionId,
    /// The trip that it is about.
    pub trip: TripId,
    /// The version of the trip that was seen.
    pub trip_version: i64,
    /// When, city clock.
    pub at: Timestamp,
    /// By which policy.
    pub policy: &'static str,
    /// And which version of it.
    pub policy_version: u32,
    /// Number of the window.
    pub window: u64,
    /// Requests in it.
    pub window_requests: usize,
    /// Who was chosen; none when the request was left over.
    pub driver: Option<DriverId>,
    /// Who was considered, cheapest first. Drivers whom the policy must not choose (no way, too far) are left out.
    pub considered: Vec<Considered>,
}

/// A driver who could have been chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Considered {
    /// The driver.
    pub driver: DriverId,
    /// Road ETA to the pickup, seconds.
    pub eta_s: f64,
    /// Great-circle distance, metres.
    pub distance_m: f64,
    /// Age of his position, milliseconds.
    pub position_age_ms: i32,
    /// What the policy made of it, milliseconds of ETA.
    pub cost_ms: i64,
}

impl Decision {
    /// The chosen driver's figures.
    pub fn chosen(&self) -> Option<&Considered> {
        let driver = self.driver?;
        self.considered
            .iter()
            .find(|considered| considered.driver == driver)
    }

    /// Memory it takes, bytes, about.
    pub fn bytes(&self) -> usize {
        // The two maps and the queue that know it take about as much as it does itself.
        2 * size_of::<Self>() + self.considered.capacity() * size_of::<Considered>()
    }
}

/// The request id of the offer that a decision makes: sent again, it is the same offer and is made once.
///
/// The decision is part of it because trip keeps refusals under the id as well: with trip and version alone a request
/// whose first driver turned out to be busy could never be offered to another one. That a trip gets one offer per
/// version is guarded by the version that the offer names.
pub fn offer_request_id(trip: TripId, version: i64, decision: DecisionId) -> RequestId {
    let mut hash = Sha256::new();
    hash.update(b"hexcab.dispatch.offer");
    hash.update(trip.uuid().as_bytes());
    hash.update(version.to_be_bytes());
    hash.update(decision.uuid().as_bytes());
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().into()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_same_decision_has_the_same_request_id_and_no_other_has_it() {
        let (trip, decision) = (
            TripId::from(Uuid::from_u128(1)),
            DecisionId::from(Uuid::from_u128(2)),
        );
        let id = offer_request_id(trip, 3, decision);
        assert_eq!(id, offer_request_id(trip, 3, decision));
        assert_ne!(id, offer_request_id(trip, 4, decision));
        assert_ne!(
            id,
            offer_request_id(TripId::from(Uuid::from_u128(9)), 3, decision)
        );
        assert_ne!(
            id,
            offer_request_id(trip, 3, DecisionId::from(Uuid::from_u128(9)))
        );
    }
}
