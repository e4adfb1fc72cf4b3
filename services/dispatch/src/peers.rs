//! The services that dispatch calls: trip and location.
//!
//! Does not retry, but for one thing: an offer whose outcome is unknown is sent again at once, once, with the same
//! request id, so that a lost answer does not cost the rider a window.

use std::time::Duration;

use anyhow::Context as _;
use hexcab_chassis::client::{Channel, ClientConfig, channel};
use hexcab_proto::{
    location::v1::{
        FindNearbyBatchRequest, FindNearbyRequest, NearbyDriver,
        location_service_client::LocationServiceClient,
    },
    trip::v1::{
        GetTripRequest, ListTripsRequest, OfferTripRequest, State, Trip,
        trip_service_client::TripServiceClient,
    },
};
use hexcab_types::TripId;
use tonic::{Code, Status};

use crate::{config::Config, domain::Nearby, wire};

/// States of trips that are not over.
const ACTIVE: [State; 5] = [
    State::Requested,
    State::Offered,
    State::EnRoute,
    State::Arrived,
    State::InProgress,
];
/// Trips per page: with all exclusions well below gRPC's 4 MiB.
const PAGE_SIZE: i32 = 500;

/// What a number of calls to one peer came to.
#[derive(Debug, Default)]
pub struct Heard {
    /// Calls that were answered, if only with a refusal.
    pub answered: usize,
    /// Why the last of the others was not.
    pub failure: Option<Status>,
}

impl Heard {
    /// One call that was answered.
    pub fn answer() -> Self {
        Self {
            answered: 1,
            failure: None,
        }
    }

    /// One call that was not.
    pub fn silence(failure: Status) -> Self {
        Self {
            answered: 0,
            failure: Some(failure),
        }
    }

    /// These calls and those.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            answered: self.answered + other.answered,
            failure: other.failure.or(self.failure),
        }
    }

    /// Whether calls failed and none was answered. A single answer shows that the peer is there: what failed beside it
    /// is worth trying again soon.
    pub fn is_away(&self) -> bool {
        self.failure.is_some() && self.answered == 0
    }
}

/// trip
#[derive(Clone)]
pub struct Trips(TripServiceClient<Channel>);

/// location
#[derive(Clone)]
pub struct Location(LocationServiceClient<Channel>);

impl Trips {
    /// Calls trip; connects when first used.
    ///
    /// # Errors
    /// When the endpoint is no URL.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let channel =
            to(&config.peers.trip, config, config.trip_timeout_ms).context("peers.trip")?;
        Ok(Self(TripServiceClient::new(channel)))
    }

    /// All trips of a city that are not over.
    ///
    /// # Errors
    /// When trip does not answer.
    pub async fn list_active(&self, city: &str) -> Result<Vec<Trip>, Status> {
        let mut trips = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListTripsRequest {
                city: city.to_owned(),
                states: ACTIVE.iter().map(|state| i32::from(*state)).collect(),
                page_size: PAGE_SIZE,
                page_token,
                ..ListTripsRequest::default()
            };
            let page = self.0.clone().list_trips(request).await?.into_inner();
            trips.extend(page.trips);
            if page.next_page_token.is_empty() {
                return Ok(trips);
            }
            page_token = page.next_page_token;
        }
    }

    /// One trip, none when trip does not know it.
    ///
    /// # Errors
    /// When trip does not answer.
    pub async fn get(&self, trip: TripId) -> Result<Option<Trip>, Status> {
        match self
            .0
            .clone()
            .get_trip(GetTripRequest { name: trip.name() })
            .await
        {
            Ok(answer) => Ok(answer.into_inner().trip),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// Makes an offer. Sent a second time when nobody knows what became of the first.
    ///
    /// # Errors
    /// As trip answers.
    pub async fn offer(&self, request: &OfferTripRequest) -> Result<Trip, Status> {
        match self.offer_once(request).await {
            Err(status) if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) => {
                self.offer_once(request).await
            }
            answered => answered,
        }
    }

    async fn offer_once(&self, request: &OfferTripRequest) -> Result<Trip, Status> {
        let answer = self
            .0
            .clone()
            .offer_trip(request.clone())
            .await?
            .into_inner();
        answer
            .trip
            .ok_or_else(|| Status::internal("the answer has no trip"))
    }
}

impl Location {
    /// Calls location; connects when first used.
    ///
    /// # Errors
    /// When the endpoint is no URL.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let channel = to(&config.peers.location, config, config.location_timeout_ms)
            .context("peers.location")?;
        Ok(Self(LocationServiceClient::new(channel)))
    }

    /// The drivers near one pickup.
    ///
    /// # Errors
    /// As location answers.
    pub async fn find_nearby(&self, query: FindNearbyRequest) -> Result<Vec<Nearby>, Status> {
        let answer = self.0.clone().find_nearby(query).await?.into_inner();
        Ok(readable(&answer.drivers))
    }

    /// The drivers near many pickups, in the order asked.
    ///
    /// # Errors
    /// As location answers.
    pub async fn find_nearby_batch(
        &self,
        queries: Vec<FindNearbyRequest>,
    ) -> Result<Vec<Vec<Nearby>>, Status> {
        let asked = queries.len();
        let answer = self
            .0
            .clone()
            .find_nearby_batch(FindNearbyBatchRequest { queries })
            .await?
            .into_inner();
        if answer.answers.len() != asked {
            return Err(Status::internal(
                "location answered another number of queries than it was asked",
            ));
        }
        Ok(answer
            .answers
            .iter()
            .map(|answer| readable(&answer.drivers))
            .collect())
    }
}

fn to(endpoint: &str, config: &Config, timeout_ms: u64) -> anyhow::Result<Channel> {
    let client = ClientConfig {
        timeout_ms: 0,
        service_token: config.peers_token.clone(),
    };
    channel(
        endpoint,
        &client.with_timeout(Duration::from_millis(timeout_ms)),
    )
}

fn readable(drivers: &[NearbyDriver]) -> Vec<Nearby> {
    let read = drivers.iter().filter_map(|driver| match wire::nearby(driver) {
        Ok(nearby) => Some(nearby),
        Err(error) => {
            tracing::warn!(driver = driver.driver, %error, "a driver who was found cannot be read");
            None
        }
    });
    read.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_answered_once_is_not_away() {
        let silence = || Heard::silence(Status::unavailable("away"));
        assert!(!Heard::default().is_away(), "nobody called it");
        assert!(silence().and(silence()).is_away());
        assert!(!Heard::answer().and(silence()).is_away());
        assert!(!silence().and(Heard::answer()).is_away());
    }
}
