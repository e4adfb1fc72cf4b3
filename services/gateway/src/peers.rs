//! The services behind the door. A unary call goes through its peer's [`RetryBudget::retrying`] with the same request, so
//! a mutation that is tried again has the same request_id. Not so a position: the next one is asked for soon.

use std::{future::Future, sync::Arc, time::Duration};

use hexcab_chassis::client::{Channel, channel};
use hexcab_proto::{
    dispatch::v1::dispatch_service_client::DispatchServiceClient,
    location::v1::{
        GetDriverPositionRequest, GetDriverPositionResponse,
        location_service_client::LocationServiceClient,
    },
    payment::v1::payment_service_client::PaymentServiceClient,
    pricing::v1::pricing_service_client::PricingServiceClient,
    trip::v1::{GetTripRequest, State, Trip, trip_service_client::TripServiceClient},
    trip::v1::{ListTripsRequest, ListTripsResponse},
};
use hexcab_types::{DriverId, TripId};
use tonic::{Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{Config, retry::RetryBudget, status::Problem};

/// trip
pub type Trips = TripServiceClient<Channel>;
/// pricing
pub type Pricing = PricingServiceClient<Channel>;
/// location
pub type Location = LocationServiceClient<Channel>;
/// payment
pub type Payment = PaymentServiceClient<Channel>;
/// dispatch
pub type Dispatch = DispatchServiceClient<Channel>;

/// States in which a driver is asked or busy.
pub const DRIVER_STATES: [State; 4] = [
    State::Offered,
    State::EnRoute,
    State::Arrived,
    State::InProgress,
];
/// States in which a rider waits or rides.
pub const RIDER_STATES: [State; 5] = [
    State::Requested,
    State::Offered,
    State::EnRoute,
    State::Arrived,
    State::InProgress,
];

/// Channels to all of them; clones share the connections and the budgets.
#[derive(Clone)]
pub struct Peers {
    trips: Trips,
    pricing: Pricing,
    location: Location,
    dispatch: Dispatch,
    payment: Payment,
    ping_streams: Location,
    channels: Vec<(&'static str, Channel)>,
    budgets: Arc<Budgets>,
}

/// A budget per peer.
#[derive(Debug, Default)]
struct Budgets {
    trip: RetryBudget,
    pricing: RetryBudget,
    location: RetryBudget,
    dispatch: RetryBudget,
    payment: RetryBudget,
}

impl Peers {
    /// Channels to the configured endpoints; nothing is connected yet.
    ///
    /// # Errors
    /// When an endpoint is no URL.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let (peers, client) = (&config.peers, config.client());
        let trip = channel(&peers.trip, &client)?;
        let pricing = channel(&peers.pricing, &client)?;
        let location = channel(&peers.location, &client)?;
        let dispatch = channel(&peers.dispatch, &client)?;
        let payment = channel(&peers.payment, &client)?;
        let streams = channel(&peers.location, &client.with_timeout(Duration::ZERO))?;
        Ok(Self {
            trips: TripServiceClient::new(trip.clone()),
            pricing: PricingServiceClient::new(pricing.clone()),
            location: LocationServiceClient::new(location.clone()),
            dispatch: DispatchServiceClient::new(dispatch.clone()),
            payment: PaymentServiceClient::new(payment.clone()),
            ping_streams: LocationServiceClient::new(streams),
            channels: vec![
                ("trip", trip),
                ("pricing", pricing),
                ("location", location),
                ("dispatch", dispatch),
                ("payment", payment),
            ],
            budgets: Arc::default(),
        })
    }

    /// Calls trip.
    ///
    /// # Errors
    /// What it answered, as an app sees it.
    pub async fn trip<Q: Clone, A, F>(
        &self,
        request: Q,
        call: impl Fn(Trips, Q) -> F,
    ) -> Result<A, Problem>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let again = || call(self.trips.clone(), request.clone());
        Ok(self.budgets.trip.retrying(again).await?.into_inner())
    }

    /// Calls pricing.
    ///
    /// # Errors
    /// What it answered, as an app sees it.
    pub async fn pricing<Q: Clone, A, F>(
        &self,
        request: Q,
        call: impl Fn(Pricing, Q) -> F,
    ) -> Result<A, Problem>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let again = || call(self.pricing.clone(), request.clone());
        Ok(self.budgets.pricing.retrying(again).await?.into_inner())
    }

    /// Calls location.
    ///
    /// # Errors
    /// What it answered, as an app sees it.
    pub async fn location<Q: Clone, A, F>(
        &self,
        request: Q,
        call: impl Fn(Location, Q) -> F,
    ) -> Result<A, Problem>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let again = || call(self.location.clone(), request.clone());
        Ok(self.budgets.location.retrying(again).await?.into_inner())
    }

    /// Calls dispatch.
    ///
    /// # Errors
    /// What it answered, as an app sees it.
    pub async fn dispatch<Q: Clone, A, F>(
        &self,
        request: Q,
        call: impl Fn(Dispatch, Q) -> F,
    ) -> Result<A, Problem>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let again = || call(self.dispatch.clone(), request.clone());
        Ok(self.budgets.dispatch.retrying(again).await?.into_inner())
    }

    /// Calls payment.
    ///
    /// # Errors
    /// What it answered, as an app sees it.
    pub async fn payment<Q: Clone, A, F>(
        &self,
        request: Q,
        call: impl Fn(Payment, Q) -> F,
    ) -> Result<A, Problem>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let again = || call(self.payment.clone(), request.clone());
        Ok(self.budgets.payment.retrying(again).await?.into_inner())
    }

    /// Where a driver is: asked once, as it is asked again soon and nobody waits for it.
    ///
    /// # Errors
    /// What location answered.
    pub async fn driver_position(
        &self,
        driver: DriverId,
    ) -> Result<GetDriverPositionResponse, Status> {
        let request = GetDriverPositionRequest {
            driver: driver.name(),
        };
        let answer = self.location.clone().get_driver_position(request).await?;
        Ok(answer.into_inner())
    }

    /// One trip.
    ///
    /// # Errors
    /// 404 TRIP_NOT_FOUND, or trip is away.
    pub async fn get_trip(&self, trip: TripId) -> Result<Trip, Problem> {
        let request = GetTripRequest { name: trip.name() };
        let answer = self
            .trip(request, |mut trips, request| async move {
                trips.get_trip(request).await
            })
            .await?;
        found(answer.trip)
    }

    /// Trips by what the request says.
    ///
    /// # Errors
    /// What trip answered.
    pub async fn list_trips(
        &self,
        request: ListTripsRequest,
    ) -> Result<ListTripsResponse, Problem> {
        self.trip(request, |mut trips, request| async move {
            trips.list_trips(request).await
        })
        .await
    }

    /// A client whose streams may stay open.
    pub fn ping_streams(&self) -> Location {
        self.ping_streams.clone()
    }

    /// Whether each peer says that it is serving.
    pub async fn health(&self) -> Vec<(&'static str, Result<(), String>)> {
        futures::future::join_all(
            self.channels
                .iter()
                .map(async |(name, channel)| (*name, serving(channel.clone()).await)),
        )
        .await
    }
}

/// The trip of an answer; an answer without one is a bug of the peer.
///
/// # Errors
/// 500 when it is missing.
pub fn found(trip: Option<Trip>) -> Result<Trip, Problem> {
    trip.ok_or_else(|| {
        tracing::error!("a peer answered without the trip");
        Problem::internal()
    })
}

async fn serving(channel: Channel) -> Result<(), String> {
    let mut health = HealthClient::new(channel);
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let answer = health
        .check(request)
        .await
        .map_err(|status| format!("{:?}", status.code()))?;
    match answer.into_inner().status() {
        ServingStatus::Serving => Ok(()),
        ServingStatus::NotServing => Err("NOT_SERVING".to_owned()),
        ServingStatus::Unknown | ServingStatus::ServiceUnknown => Err("UNKNOWN".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::retry::TRIES;

    #[tokio::test(start_paused = true)]
    async fn one_peers_outage_leaves_the_others_their_retries() {
        let peers = Peers::new(&Config::default()).unwrap();
        let away = || async { Err::<Response<()>, _>(Status::unavailable("away")) };
        let outage = (0..200).map(|_| peers.location((), |_, ()| away()));
        futures::future::join_all(outage).await;
        let calls = AtomicU32::new(0);
        let asked = peers.trip((), |_, ()| {
            calls.fetch_add(1, Ordering::Relaxed);
            away()
        });
        asked.await.unwrap_err();
        assert_eq!(calls.into_inner(), TRIES);
    }
}
