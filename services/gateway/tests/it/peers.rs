//! Peers that keep what they were asked and answer what a test told them to.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
};

use futures::{StreamExt as _, stream::BoxStream};
use hexcab_chassis::{Tasks, status};
use hexcab_proto::{
    location::v1::{self as location, location_service_server::LocationService},
    pricing::v1::{self as pricing, pricing_service_server::PricingService},
    trip::v1::{self as trip, trip_service_server::TripService},
};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};

/// One call that came in.
#[derive(Debug, Clone)]
pub struct Call {
    /// Such as `accept_offer`.
    pub method: &'static str,
    /// What the caller sent along.
    pub traceparent: Option<String>,
    pub authorization: Option<String>,
    pub timeout: Option<String>,
    /// The message, printed.
    pub body: String,
}

/// All fakes in one: what is known, what was asked, what goes wrong next.
#[derive(Debug, Default)]
pub struct Peers {
    pub trips: Mutex<HashMap<String, trip::Trip>>,
    pub positions: Mutex<HashMap<String, location::GetDriverPositionResponse>>,
    pub pings: Mutex<Vec<location::Ping>>,
    calls: Mutex<Vec<Call>>,
    failures: Mutex<HashMap<&'static str, VecDeque<Status>>>,
}

impl Peers {
    /// The next call of this method fails so.
    pub fn fail_next(&self, method: &'static str, status: Status) {
        self.failures
            .lock()
            .entry(method)
            .or_default()
            .push_back(status);
    }

    /// The calls of this method.
    pub fn calls(&self, method: &str) -> Vec<Call> {
        self.calls
            .lock()
            .iter()
            .filter(|call| call.method == method)
            .cloned()
            .collect()
    }

    pub fn put(&self, trip: &trip::Trip) {
        self.trips.lock().insert(trip.name.clone(), trip.clone());
    }

    fn note<T: std::fmt::Debug>(
        &self,
        method: &'static str,
        request: Request<T>,
    ) -> Result<T, Status> {
        let header = |name: &str| {
            request
                .metadata()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        self.calls.lock().push(Call {
            method,
            traceparent: header("traceparent"),
            authorization: header("authorization"),
            timeout: header("grpc-timeout"),
            body: format!("{:?}", request.get_ref()),
        });
        match self
            .failures
            .lock()
            .get_mut(method)
            .and_then(VecDeque::pop_front)
        {
            Some(failure) => Err(failure),
            None => Ok(request.into_inner()),
        }
    }

    fn trip(&self, name: &str) -> Result<trip::Trip, Status> {
        self.trips
            .lock()
            .get(name)
            .cloned()
            .ok_or_else(|| refuse(Code::NotFound, "TRIP_NOT_FOUND"))
    }

    /// The trip after a driver's command, refused to anyone but its driver.
    fn step(
        &self,
        name: &str,
        driver: &str,
        state: trip::State,
    ) -> Result<Option<trip::Trip>, Status> {
        let mut trip = self.trip(name)?;
        let asked = trip
            .offer
            .as_ref()
            .map_or(trip.driver.clone(), |offer| offer.driver.clone());
        if asked != driver {
            return Err(refuse(Code::PermissionDenied, "NOT_YOUR_TRIP"));
        }
        trip.version += 1;
        trip.offer = None;
        trip.driver = driver.to_owned();
        trip.set_state(state);
        self.put(&trip);
        Ok(Some(trip))
    }
}

/// An error as the services make it.
pub fn refuse(code: Code, reason: &str) -> Status {
    status::error(code, reason, "trip.hexcab", format!("because {reason}"))
}

/// Serves all fakes on one port.
pub async fn serve(peers: Arc<Peers>, tasks: &Tasks) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    serve_on(peers, tasks, listener).await
}

pub async fn serve_on(peers: Arc<Peers>, tasks: &Tasks, listener: TcpListener) -> SocketAddr {
    let addr = listener.local_addr().unwrap();
    let face = Face(peers);
    let serving = tonic::transport::Server::builder()
        .add_service(trip::trip_service_server::TripServiceServer::new(
            face.clone(),
        ))
        .add_service(pricing::pricing_service_server::PricingServiceServer::new(
            face.clone(),
        ))
        .add_service(location::location_service_server::LocationServiceServer::new(face))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tasks.spawn("peers", async move { Ok(serving.await?) });
    addr
}

#[derive(Clone)]
struct Face(Arc<Peers>);

type Answer<T> = Result<Response<T>, Status>;

macro_rules! driver_step {
    ($self:ident, $request:ident, $method:literal, $state:ident, $answer:ident) => {{
        let asked = $self.0.note($method, $request)?;
        let trip = $self
            .0
            .step(&asked.name, &asked.driver, trip::State::$state)?;
        Ok(Response::new(trip::$answer { trip }))
    }};
}

#[tonic::async_trait]
impl TripService for Face {
    async fn create_trip(
        &self,
        request: Request<trip::CreateTripRequest>,
    ) -> Answer<trip::CreateTripResponse> {
        let traceparent = request
            .metadata()
            .get("traceparent")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let asked = self.0.note("create_trip", request)?;
        let mut trip = crate::house::trip(trip::State::Requested, 1);
        trip.rider = asked.rider;
        trip.traceparent = traceparent.unwrap_or_default();
        self.0.put(&trip);
        Ok(Response::new(trip::CreateTripResponse { trip: Some(trip) }))
    }

    async fn get_trip(
        &self,
        request: Request<trip::GetTripRequest>,
    ) -> Answer<trip::GetTripResponse> {
        let asked = self.0.note("get_trip", request)?;
        Ok(Response::new(trip::GetTripResponse {
            trip: Some(self.0.trip(&asked.name)?),
        }))
    }

    async fn list_trips(
        &self,
        request: Request<trip::ListTripsRequest>,
    ) -> Answer<trip::ListTripsResponse> {
        let asked = self.0.note("list_trips", request)?;
        let trips = self.0.trips.lock();
        let of_driver = |trip: &trip::Trip| {
            trip.driver == asked.driver
                || trip
                    .offer
                    .as_ref()
                    .is_some_and(|offer| offer.driver == asked.driver)
        };
        let fits = |trip: &&trip::Trip| {
            (asked.rider.is_empty() || trip.rider == asked.rider)
                && (asked.driver.is_empty() || of_driver(trip))
                && (asked.states.is_empty() || asked.states.contains(&trip.state))
        };
        let trips = trips.values().filter(fits).cloned().collect();
        Ok(Response::new(trip::ListTripsResponse {
            trips,
            next_page_token: String::new(),
        }))
    }

    async fn list_trip_events(
        &self,
        request: Request<trip::ListTripEventsRequest>,
    ) -> Answer<trip::ListTripEventsResponse> {
        let asked = self.0.note("list_trip_events", request)?;
        let after = self.0.trip(&asked.name)?;
        let driver = after.driver.clone();
        let event = trip::trip_event::Event::OfferAccepted(trip::OfferAccepted {
            driver,
            epoch: after.epoch,
        });
        let events = vec![crate::house::event(&after, event)];
        Ok(Response::new(trip::ListTripEventsResponse { events }))
    }

    async fn offer_trip(
        &self,
        request: Request<trip::OfferTripRequest>,
    ) -> Answer<trip::OfferTripResponse> {
        self.0.note("offer_trip", request)?;
        Err(Status::unimplemented("apps do not offer trips"))
    }

    async fn accept_offer(
        &self,
        request: Request<trip::AcceptOfferRequest>,
    ) -> Answer<trip::AcceptOfferResponse> {
        driver_step!(self, request, "accept_offer", EnRoute, AcceptOfferResponse)
    }

    async fn decline_offer(
        &self,
        request: Request<trip::DeclineOfferRequest>,
    ) -> Answer<trip::DeclineOfferResponse> {
        driver_step!(
            self,
            request,
            "decline_offer",
            Requested,
            DeclineOfferResponse
        )
    }

    async fn arrive_trip(
        &self,
        request: Request<trip::ArriveTripRequest>,
    ) -> Answer<trip::ArriveTripResponse> {
        driver_step!(self, request, "arrive_trip", Arrived, ArriveTripResponse)
    }

    async fn start_trip(
        &self,
        request: Request<trip::StartTripRequest>,
    ) -> Answer<trip::StartTripResponse> {
        driver_step!(self, request, "start_trip", InProgress, StartTripResponse)
    }

    async fn complete_trip(
        &self,
        request: Request<trip::CompleteTripRequest>,
    ) -> Answer<trip::CompleteTripResponse> {
        driver_step!(
            self,
            request,
            "complete_trip",
            Completed,
            CompleteTripResponse
        )
    }

    async fn release_trip(
        &self,
        request: Request<trip::ReleaseTripRequest>,
    ) -> Answer<trip::ReleaseTripResponse> {
        driver_step!(
            self,
            request,
            "release_trip",
            Requested,
            ReleaseTripResponse
        )
    }

    async fn cancel_trip(
        &self,
        request: Request<trip::CancelTripRequest>,
    ) -> Answer<trip::CancelTripResponse> {
        let asked = self.0.note("cancel_trip", request)?;
        let mut trip = self.0.trip(&asked.name)?;
        if asked.by != Some(trip::cancel_trip_request::By::Rider(trip.rider.clone())) {
            return Err(refuse(Code::PermissionDenied, "NOT_YOUR_TRIP"));
        }
        trip.set_state(trip::State::Cancelled);
        let mut cancellation = trip::Cancellation {
            by: 1,
            ..trip::Cancellation::default()
        };
        cancellation.reason = asked.reason;
        trip.cancellation = Some(cancellation);
        Ok(Response::new(trip::CancelTripResponse { trip: Some(trip) }))
    }

    async fn report_no_show(
        &self,
        request: Request<trip::ReportNoShowRequest>,
    ) -> Answer<trip::ReportNoShowResponse> {
        driver_step!(
            self,
            request,
            "report_no_show",
            Cancelled,
            ReportNoShowResponse
        )
    }

    async fn reassign_trip(
        &self,
        request: Request<trip::ReassignTripRequest>,
    ) -> Answer<trip::ReassignTripResponse> {
        let asked = self.0.note("reassign_trip", request)?;
        let mut trip = self.0.trip(&asked.name)?;
        trip.set_state(trip::State::Requested);
        Ok(Response::new(trip::ReassignTripResponse {
            trip: Some(trip),
        }))
    }

    async fn force_end_trip(
        &self,
        request: Request<trip::ForceEndTripRequest>,
    ) -> Answer<trip::ForceEndTripResponse> {
        let asked = self.0.note("force_end_trip", request)?;
        Ok(Response::new(trip::ForceEndTripResponse {
            trip: Some(self.0.trip(&asked.name)?),
        }))
    }
}

#[tonic::async_trait]
impl PricingService for Face {
    async fn create_quote(
        &self,
        request: Request<pricing::CreateQuoteRequest>,
    ) -> Answer<pricing::CreateQuoteResponse> {
        let asked = self.0.note("create_quote", request)?;
        let quote = pricing::Quote {
            name: "quotes/7f1f3a52-6f3e-4f43-8e3a-1a2b3c4d5e6f".to_owned(),
            rider: asked.rider,
            city: asked.city,
            product: "standard".to_owned(),
            pickup: asked.pickup,
            dropoff: asked.dropoff,
            surge_bp: 10_000,
            token: "signed".to_owned(),
            lines: vec![pricing::FareLine {
                label: "base".to_owned(),
                amount: Some(crate::house::usd(500)),
            }],
            price: Some(crate::house::usd(500)),
            ..pricing::Quote::default()
        };
        Ok(Response::new(pricing::CreateQuoteResponse {
            quote: Some(quote),
        }))
    }

    async fn get_quote(
        &self,
        _: Request<pricing::GetQuoteRequest>,
    ) -> Answer<pricing::GetQuoteResponse> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn get_surge(
        &self,
        request: Request<pricing::GetSurgeRequest>,
    ) -> Answer<pricing::GetSurgeResponse> {
        self.0.note("get_surge", request)?;
        let cell = pricing::SurgeCell {
            cell: 0x0882_8308_28df_ffff,
            surge_bp: 15_000,
            demand: 3,
            supply: 1,
        };
        Ok(Response::new(pricing::GetSurgeResponse {
            cells: vec![cell],
            ..pricing::GetSurgeResponse::default()
        }))
    }
}

#[tonic::async_trait]
impl LocationService for Face {
    type StreamPingsStream = BoxStream<'static, Result<location::StreamPingsResponse, Status>>;

    async fn stream_pings(
        &self,
        request: Request<tonic::Streaming<location::StreamPingsRequest>>,
    ) -> Answer<Self::StreamPingsStream> {
        let peers = self.0.clone();
        let answers = request.into_inner().map(move |batch| {
            let batch = batch?;
            let (kept, rejected) = sorted(batch.pings);
            let accepted = kept.len() as i32;
            peers.pings.lock().extend(kept);
            Ok(location::StreamPingsResponse {
                accepted,
                stale: 0,
                rejected,
            })
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn report_pings(
        &self,
        request: Request<location::ReportPingsRequest>,
    ) -> Answer<location::ReportPingsResponse> {
        let asked = self.0.note("report_pings", request)?;
        let (kept, rejected) = sorted(asked.pings);
        let accepted = kept.len() as i32;
        self.0.pings.lock().extend(kept);
        Ok(Response::new(location::ReportPingsResponse {
            accepted,
            stale: 0,
            rejected,
        }))
    }

    async fn find_nearby(
        &self,
        request: Request<location::FindNearbyRequest>,
    ) -> Answer<location::FindNearbyResponse> {
        self.0.note("find_nearby", request)?;
        let driver = location::NearbyDriver {
            driver: "drivers/7f1f3a52-6f3e-4f43-8e3a-1a2b3c4d5e6f".to_owned(),
            position: Some(crate::house::PICKUP),
            age_ms: 900,
            ..location::NearbyDriver::default()
        };
        Ok(Response::new(location::FindNearbyResponse {
            drivers: vec![driver],
        }))
    }

    async fn find_nearby_batch(
        &self,
        _: Request<location::FindNearbyBatchRequest>,
    ) -> Answer<location::FindNearbyBatchResponse> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn get_driver_position(
        &self,
        request: Request<location::GetDriverPositionRequest>,
    ) -> Answer<location::GetDriverPositionResponse> {
        let asked = self.0.note("get_driver_position", request)?;
        let known = self.0.positions.lock().get(&asked.driver).cloned();
        known
            .map(Response::new)
            .ok_or_else(|| refuse(Code::NotFound, "DRIVER_NOT_SEEN"))
    }

    async fn count_cells(
        &self,
        _: Request<location::CountCellsRequest>,
    ) -> Answer<location::CountCellsResponse> {
        Err(Status::unimplemented("nobody asks"))
    }

    type WatchAreaStream = BoxStream<'static, Result<location::WatchAreaResponse, Status>>;

    async fn watch_area(
        &self,
        _: Request<location::WatchAreaRequest>,
    ) -> Answer<Self::WatchAreaStream> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn get_driver_track(
        &self,
        _: Request<location::GetDriverTrackRequest>,
    ) -> Answer<location::GetDriverTrackResponse> {
        Err(Status::unimplemented("nobody asks"))
    }
}

/// Pings from before the epoch are refused; the others get the name that their driver's id stands for.
fn sorted(pings: Vec<location::Ping>) -> (Vec<location::Ping>, Vec<location::RejectedPing>) {
    let (mut kept, mut rejected) = (Vec::new(), Vec::new());
    for (index, mut ping) in pings.into_iter().enumerate() {
        if let Ok(id) = uuid::Uuid::from_slice(&ping.driver_id) {
            ping.driver = hexcab_types::DriverId::from(id).name();
        }
        if ping.record_time_ms < 0 {
            let (reason, detail) = ("TIME_INVALID".to_owned(), "before the epoch".to_owned());
            rejected.push(location::RejectedPing {
                index: index as i32,
                reason,
                detail,
            });
        } else {
            kept.push(ping);
        }
    }
    (kept, rejected)
}
