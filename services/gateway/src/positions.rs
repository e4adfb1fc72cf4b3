//! Where the driver is, for the rider who waits: told about every [`TELL_EVERY`] of the city's clock while a driver is
//! on the way or driving, to riders who are connected.
//!
//! A position that went through this gateway on its way to location is told without asking; else location is asked.
//! One loop for all trips, so that it slows down rather than piles up. Nothing here has a span: it is nobody's step.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use hexcab_chassis::Clock;
use hexcab_proto::{location::v1::Ping, trip::v1::Trip};
use hexcab_types::{DriverId, RiderId, TripId};
use moka::sync::Cache;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::{
    gateway::Gateway,
    push::is_driven,
    views::{PointView, message::RiderMessage, trip::DriverPositionView},
};

/// How often a rider is told, city time.
pub const TELL_EVERY: Duration = Duration::from_secs(2);
/// Oldest position from our own pings that is told without asking location, milliseconds of city time.
const OWN_MAX_AGE_MS: i64 = 6_000;
/// Drivers whose last ping is remembered.
const OWN_MAX: u64 = 20_000;
/// Positions asked for at once.
const ASKED_AT_ONCE: usize = 16;

/// Whose positions are wanted by whom.
#[derive(Debug)]
pub struct Positions {
    followed: Mutex<HashMap<TripId, Followed>>,
    own: Cache<DriverId, Own>,
}

#[derive(Debug, Clone, Copy)]
struct Followed {
    rider: RiderId,
    driver: DriverId,
    version: i64,
}

/// A position that went through here.
#[derive(Debug, Clone, Copy)]
struct Own {
    at: PointView,
    heading_deg: u32,
    recorded_ms: i64,
}

impl Default for Positions {
    fn default() -> Self {
        Self {
            followed: Mutex::default(),
            own: Cache::new(OWN_MAX),
        }
    }
}

impl Positions {
    /// Begins or ends following a trip's driver, as the trip says, for a rider who is connected.
    pub fn follow(&self, id: TripId, rider: RiderId, trip: &Trip) {
        let mut followed = self.followed.lock();
        if followed
            .get(&id)
            .is_some_and(|known| known.version >= trip.version)
        {
            return;
        }
        match DriverId::from_name(&trip.driver)
            .ok()
            .filter(|_| is_driven(trip.state()))
        {
            Some(driver) => {
                followed.insert(
                    id,
                    Followed {
                        rider,
                        driver,
                        version: trip.version,
                    },
                );
            }
            None => {
                followed.remove(&id);
            }
        }
    }

    /// Remembers a ping on its way to location; an older one than known is not.
    pub fn saw(&self, driver: DriverId, ping: &Ping) {
        if self
            .own
            .get(&driver)
            .is_some_and(|known| known.recorded_ms >= ping.record_time_ms)
        {
            return;
        }
        let at = PointView {
            lat: f64::from(ping.lat_e7) / 1e7,
            lon: f64::from(ping.lon_e7) / 1e7,
        };
        self.own.insert(
            driver,
            Own {
                at,
                heading_deg: ping.heading_deg,
                recorded_ms: ping.record_time_ms,
            },
        );
    }

    fn own(&self, driver: DriverId, now_ms: i64) -> Option<DriverPositionView> {
        let own = self.own.get(&driver)?;
        let age_ms = (now_ms - own.recorded_ms).max(0);
        let age_ms = i32::try_from(age_ms)
            .ok()
            .filter(|_| age_ms <= OWN_MAX_AGE_MS)?;
        Some(DriverPositionView {
            lat: own.at.lat,
            lon: own.at.lon,
            heading_deg: own.heading_deg,
            age_ms,
        })
    }

    fn followed(&self) -> Vec<(TripId, Followed)> {
        self.followed
            .lock()
            .iter()
            .map(|(trip, followed)| (*trip, *followed))
            .collect()
    }

    fn forget(&self, trip: TripId) {
        self.followed.lock().remove(&trip);
    }
}

impl Gateway {
    /// Tells riders where their drivers are, until shutdown.
    ///
    /// # Errors
    /// Never; the signature is a task's.
    pub async fn tell_positions(
        self: Arc<Self>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        while shutdown
            .run_until_cancelled(self.clock.sleep(TELL_EVERY))
            .await
            .is_some()
        {
            let followed = stream::iter(self.positions.followed());
            let told = followed.for_each_concurrent(ASKED_AT_ONCE, |(trip, followed)| {
                let gateway = self.clone();
                async move { gateway.tell_position(trip, followed).await }
            });
            if shutdown.run_until_cancelled(told).await.is_none() {
                break;
            }
        }
        Ok(())
    }

    async fn tell_position(&self, trip: TripId, followed: Followed) {
        let sessions = self.riders.of(followed.rider);
        if sessions.is_empty() {
            self.positions.forget(trip);
            return;
        }
        let Some(at) = self.driver_position(followed.driver).await else {
            return;
        };
        for session in sessions {
            session.tell(RiderMessage::DriverPosition {
                trip: trip.to_string(),
                at: at.clone(),
            });
        }
    }

    /// Where a driver is, if anyone knows.
    pub async fn driver_position(&self, driver: DriverId) -> Option<DriverPositionView> {
        if let Some(own) = self.positions.own(driver, now_ms(&self.clock)) {
            return Some(own);
        }
        let answer = self.peers.driver_position(driver).await.ok()?;
        DriverPositionView::from_answer(&answer)
    }
}

fn now_ms(clock: &Clock) -> i64 {
    clock.now().timestamp_millis()
}

#[cfg(test)]
mod tests {
    use hexcab_proto::trip::v1::State;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_driver_is_followed_from_acceptance_to_the_end() {
        let positions = Positions::default();
        let (id, rider) = (
            TripId::from(Uuid::from_u128(1)),
            RiderId::from(Uuid::from_u128(2)),
        );
        let driver = DriverId::from(Uuid::from_u128(3)).name();
        let trip = |version, state: State| Trip {
            version,
            state: state.into(),
            driver: driver.clone(),
            ..Trip::default()
        };
        let followed = |trip: Trip| {
            positions.follow(id, rider, &trip);
            positions.followed().len()
        };
        assert_eq!(followed(trip(2, State::Offered)), 0);
        assert_eq!(followed(trip(3, State::EnRoute)), 1);
        assert_eq!(
            followed(trip(2, State::Offered)),
            1,
            "an older version changes nothing"
        );
        assert_eq!(followed(trip(6, State::Completed)), 0);
    }

    #[test]
    fn our_own_pings_are_told_only_while_fresh() {
        let positions = Positions::default();
        let driver = DriverId::from(Uuid::from_u128(3));
        let ping = |record_time_ms, lat_e7| Ping {
            record_time_ms,
            lat_e7,
            ..Ping::default()
        };
        positions.saw(driver, &ping(10_000, 1));
        positions.saw(driver, &ping(9_000, 2));
        let own = positions.own(driver, 12_000).unwrap();
        assert_eq!((own.age_ms, own.lat), (2_000, 1e-7));
        assert_eq!(positions.own(driver, 10_000 + OWN_MAX_AGE_MS + 1), None);
    }
}
