//! Stand-ins for trip and location that can be told to fail: real gRPC servers with a few rules of the real ones.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
};

use hexcab_bus::{Outgoing, Producer, topic};
use hexcab_chassis::{Clock, GrpcServer, Readiness, Tasks, status::error};
use hexcab_proto::{
    FILE_DESCRIPTOR_SET,
    convert::to_timestamp,
    location::v1::{self as loc, location_service_server as location},
    trip::v1::{self as trip, State, Trip, TripEvent, trip_service_server as trips},
};
use hexcab_types::{DriverId, Point, TripId};
use parking_lot::Mutex;
use prost::Message as _;
use tonic::{Code, Request, Response, Status, Streaming};
use uuid::Uuid;

/// What happens to one offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is made, but the answer is lost.
    AnswerLost,
    /// The driver is busy with something that dispatch does not know of.
    DriverBusy,
}

#[derive(Default)]
struct TripState {
    trips: BTreeMap<TripId, Trip>,
    answers: HashMap<String, (trip::OfferTripRequest, Trip)>,
    offers: Vec<trip::OfferTripRequest>,
    faults: VecDeque<Fault>,
    down: bool,
    silent: bool,
    listings: usize,
}

/// trip
#[derive(Clone)]
pub struct FakeTrip {
    state: Arc<Mutex<TripState>>,
    producer: Producer,
    clock: Clock,
}

impl FakeTrip {
    pub fn new(producer: Producer, clock: Clock) -> Self {
        Self {
            state: Arc::default(),
            producer,
            clock,
        }
    }

    /// A new request, told on the bus.
    pub async fn request(&self, pickup: Point) -> TripId {
        self.request_in(pickup, None).await
    }

    pub async fn request_in(&self, pickup: Point, traceparent: Option<&str>) -> TripId {
        self.request_told_in(pickup, traceparent, traceparent).await
    }

    /// A new request of a ride, told on the bus in perhaps another trace.
    pub async fn request_told_in(
        &self,
        pickup: Point,
        traceparent: Option<&str>,
        told_in: Option<&str>,
    ) -> TripId {
        let id = TripId::from(Uuid::now_v7());
        let now = self.clock.now();
        let trip = Trip {
            name: id.name(),
            city: "sf".into(),
            product: "standard".into(),
            state: State::Requested.into(),
            version: 1,
            pickup: Some(pickup.into()),
            create_time: Some(to_timestamp(now)),
            update_time: Some(to_timestamp(now)),
            request_expire_time: Some(to_timestamp(now + chrono::TimeDelta::seconds(480))),
            traceparent: traceparent.unwrap_or_default().to_owned(),
            ..Trip::default()
        };
        self.state.lock().trips.insert(id, trip.clone());
        self.tell_in(&trip, told_in).await;
        id
    }

    /// The trip's next version, told on the bus.
    pub async fn change(&self, id: TripId, change: impl FnOnce(&mut Trip)) -> Trip {
        let after = {
            let mut state = self.state.lock();
            let trip = state.trips.get_mut(&id).unwrap();
            trip.version += 1;
            trip.update_time = Some(to_timestamp(self.clock.now()));
            change(trip);
            trip.clone()
        };
        self.tell(&after).await;
        after
    }

    /// The driver who is being asked refuses.
    pub async fn decline(&self, id: TripId) -> Trip {
        self.change(id, |trip| {
            trip.excluded_drivers
                .extend(trip.offer.take().map(|offer| offer.driver));
            trip.set_state(State::Requested);
        })
        .await
    }

    /// The driver who is being asked takes the trip.
    pub async fn accept(&self, id: TripId) -> Trip {
        self.change(id, |trip| {
            trip.driver = trip.offer.take().unwrap().driver;
            trip.set_state(State::EnRoute);
        })
        .await
    }

    /// The trip ends.
    pub async fn end(&self, id: TripId) -> Trip {
        self.change(id, |trip| {
            trip.offer = None;
            trip.set_state(State::Cancelled);
        })
        .await
    }

    /// Publishes a version of a trip, unless events are being lost.
    pub async fn tell(&self, trip: &Trip) {
        self.tell_in(trip, Some(&trip.traceparent)).await;
    }

    async fn tell_in(&self, trip: &Trip, context: Option<&str>) {
        if self.state.lock().silent {
            return;
        }
        let event = TripEvent {
            trip: trip.name.clone(),
            version: trip.version,
            after: Some(trip.clone()),
            ..TripEvent::default()
        };
        let event = Outgoing {
            topic: topic::TRIP,
            key: trip.city.clone(),
            kind: "hexcab.trip.v1.TripEvent".into(),
            source: "trip",
            subject: trip.name.clone(),
            time: self.clock.now(),
            payload: event.encode_to_vec(),
            traceparent: context.filter(|text| !text.is_empty()).map(str::to_owned),
        };
        self.producer.publish(event).await.unwrap();
    }

    pub fn trip(&self, id: TripId) -> Trip {
        self.state.lock().trips[&id].clone()
    }

    /// Every offer that came, refused ones and repetitions included.
    pub fn offers(&self) -> Vec<trip::OfferTripRequest> {
        self.state.lock().offers.clone()
    }

    pub fn offers_of(&self, id: TripId) -> Vec<trip::OfferTripRequest> {
        self.offers()
            .into_iter()
            .filter(|offer| offer.name == id.name())
            .collect()
    }

    pub fn listings(&self) -> usize {
        self.state.lock().listings
    }

    pub fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.lock().faults.extend(faults);
    }

    pub fn set_down(&self, down: bool) {
        self.state.lock().down = down;
    }

    /// From now on nothing is told on the bus.
    pub fn lose_events(&self, silent: bool) {
        self.state.lock().silent = silent;
    }

    fn up(&self) -> Result<(), Status> {
        if self.state.lock().down {
            Err(refused(Code::Unavailable, "AWAY"))
        } else {
            Ok(())
        }
    }

    fn decide(&self, asked: &trip::OfferTripRequest) -> Result<(Trip, bool, bool), Status> {
        let mut state = self.state.lock();
        state.offers.push(asked.clone());
        let fault = state.faults.pop_front();
        if let Some((before, answer)) = state.answers.get(&asked.request_id) {
            return if before == asked {
                Ok((answer.clone(), fault == Some(Fault::AnswerLost), false))
            } else {
                Err(refused(Code::InvalidArgument, "REQUEST_ID_REUSED"))
            };
        }
        let busy = state
            .trips
            .values()
            .any(|trip| driver_of(trip) == asked.driver)
            || fault == Some(Fault::DriverBusy);
        let id = TripId::from_name(&asked.name).unwrap();
        let trip = state
            .trips
            .get_mut(&id)
            .ok_or_else(|| refused(Code::NotFound, "TRIP_NOT_FOUND"))?;
        if trip.version != asked.version {
            return Err(refused(Code::Aborted, "TRIP_CHANGED"));
        }
        if trip.state() != State::Requested {
            return Err(refused(Code::FailedPrecondition, "OFFER_PENDING"));
        }
        if trip.excluded_drivers.contains(&asked.driver) {
            return Err(refused(Code::FailedPrecondition, "DRIVER_EXCLUDED"));
        }
        if busy {
            return Err(refused(Code::FailedPrecondition, "DRIVER_BUSY"));
        }
        trip.version += 1;
        trip.epoch += 1;
        trip.set_state(State::Offered);
        trip.offer = Some(trip::Offer {
            driver: asked.driver.clone(),
            epoch: trip.epoch,
            ..trip::Offer::default()
        });
        let after = trip.clone();
        state
            .answers
            .insert(asked.request_id.clone(), (asked.clone(), after.clone()));
        Ok((after, fault == Some(Fault::AnswerLost), true))
    }
}

fn driver_of(trip: &Trip) -> String {
    match trip.state() {
        State::Offered => trip.offer.as_ref().unwrap().driver.clone(),
        State::EnRoute | State::Arrived | State::InProgress => trip.driver.clone(),
        State::Unspecified
        | State::Scheduled
        | State::Requested
        | State::Completed
        | State::Cancelled
        | State::Expired => String::new(),
    }
}

fn refused(code: Code, reason: &str) -> Status {
    error(code, reason, "trip.hexcab", "told to")
}

/// Methods that dispatch does not call, as `async_trait` would write them.
macro_rules! unused {
    ($api:ident: $($method:ident: $request:ident => $response:ident),* $(,)?) => {
        $(fn $method<'a, 'b>(
            &'a self,
            _: Request<$api::$request>,
        ) -> Pin<Box<dyn Future<Output = Result<Response<$api::$response>, Status>> + Send + 'b>>
        where
            'a: 'b,
            Self: 'b,
        {
            Box::pin(async { Err(Status::unimplemented("dispatch does not call it")) })
        })*
    };
}

#[tonic::async_trait]
impl trips::TripService for FakeTrip {
    async fn get_trip(
        &self,
        request: Request<trip::GetTripRequest>,
    ) -> Result<Response<trip::GetTripResponse>, Status> {
        self.up()?;
        let id = TripId::from_name(&request.get_ref().name).unwrap();
        let trip = self.state.lock().trips.get(&id).cloned();
        let trip = trip.ok_or_else(|| refused(Code::NotFound, "TRIP_NOT_FOUND"))?;
        Ok(Response::new(trip::GetTripResponse { trip: Some(trip) }))
    }

    /// Pages of two, whatever is asked for.
    async fn list_trips(
        &self,
        request: Request<trip::ListTripsRequest>,
    ) -> Result<Response<trip::ListTripsResponse>, Status> {
        self.up()?;
        let asked = request.get_ref();
        let mut state = self.state.lock();
        state.listings += usize::from(asked.page_token.is_empty());
        let skip: usize = asked.page_token.parse().unwrap_or_default();
        let wanted = |trip: &&Trip| asked.states.contains(&trip.state) && trip.city == asked.city;
        let trips: Vec<Trip> = state
            .trips
            .values()
            .rev()
            .filter(wanted)
            .skip(skip)
            .take(2)
            .cloned()
            .collect();
        let next_page_token = if trips.len() == 2 {
            (skip + 2).to_string()
        } else {
            String::new()
        };
        Ok(Response::new(trip::ListTripsResponse {
            trips,
            next_page_token,
        }))
    }

    async fn offer_trip(
        &self,
        request: Request<trip::OfferTripRequest>,
    ) -> Result<Response<trip::OfferTripResponse>, Status> {
        self.up()?;
        let (trip, lost, new) = self.decide(request.get_ref())?;
        if new {
            self.tell(&trip).await;
        }
        if lost {
            return Err(refused(Code::Unavailable, "AWAY"));
        }
        Ok(Response::new(trip::OfferTripResponse { trip: Some(trip) }))
    }

    unused! { trip:
        create_trip: CreateTripRequest => CreateTripResponse,
        list_trip_events: ListTripEventsRequest => ListTripEventsResponse,
        accept_offer: AcceptOfferRequest => AcceptOfferResponse,
        decline_offer: DeclineOfferRequest => DeclineOfferResponse,
        arrive_trip: ArriveTripRequest => ArriveTripResponse,
        start_trip: StartTripRequest => StartTripResponse,
        complete_trip: CompleteTripRequest => CompleteTripResponse,
        cancel_trip: CancelTripRequest => CancelTripResponse,
        release_trip: ReleaseTripRequest => ReleaseTripResponse,
        report_no_show: ReportNoShowRequest => ReportNoShowResponse,
        reassign_trip: ReassignTripRequest => ReassignTripResponse,
        force_end_trip: ForceEndTripRequest => ForceEndTripResponse,
    }
}

#[derive(Default)]
struct LocationState {
    drivers: Vec<(DriverId, Point)>,
    down: bool,
    unanswered: Option<Point>,
    singles: usize,
    batches: Vec<usize>,
}

/// location
#[derive(Clone, Default)]
pub struct FakeLocation(Arc<Mutex<LocationState>>);

impl FakeLocation {
    /// A free driver who stays here.
    pub fn driver_at(&self, point: Point) -> DriverId {
        let driver = DriverId::from(Uuid::now_v7());
        self.0.lock().drivers.push((driver, point));
        driver
    }

    pub fn set_down(&self, down: bool) {
        self.0.lock().down = down;
    }

    /// Searches for one request who waits here are never answered.
    pub fn fail_at(&self, point: Point) {
        self.0.lock().unanswered = Some(point);
    }

    /// Searches for one request, and the sizes of batches.
    pub fn calls(&self) -> (usize, Vec<usize>) {
        let state = self.0.lock();
        (state.singles, state.batches.clone())
    }

    fn nearby(state: &LocationState, asked: &loc::FindNearbyRequest) -> loc::FindNearbyResponse {
        assert_eq!(
            (asked.city.as_str(), asked.product.as_str()),
            ("sf", "standard")
        );
        let point = asked.point.unwrap();
        let point = Point::from_e7(point.lat_e7, point.lon_e7).unwrap();
        let excluded: HashSet<_> = asked.excluded_drivers.iter().collect();
        let found = state
            .drivers
            .iter()
            .filter(|(driver, _)| !excluded.contains(&driver.name()));
        let mut drivers: Vec<_> = found
            .map(|(driver, at)| loc::NearbyDriver {
                driver: driver.name(),
                position: Some((*at).into()),
                distance_m: at.distance_m(point),
                age_ms: 1_500,
                status: loc::DriverStatus::Available.into(),
                ..loc::NearbyDriver::default()
            })
            .collect();
        drivers.sort_by(|a, b| a.distance_m.total_cmp(&b.distance_m));
        drivers.truncate(asked.limit as usize);
        loc::FindNearbyResponse { drivers }
    }
}

#[tonic::async_trait]
impl location::LocationService for FakeLocation {
    type StreamPingsStream = futures::stream::Pending<Result<loc::StreamPingsResponse, Status>>;

    async fn stream_pings(
        &self,
        _: Request<Streaming<loc::StreamPingsRequest>>,
    ) -> Result<Response<Self::StreamPingsStream>, Status> {
        Err(Status::unimplemented("dispatch does not call it"))
    }

    async fn find_nearby(
        &self,
        request: Request<loc::FindNearbyRequest>,
    ) -> Result<Response<loc::FindNearbyResponse>, Status> {
        let mut state = self.0.lock();
        if state.down {
            return Err(Status::unavailable("told to"));
        }
        let unanswered = state.unanswered.map(Into::into);
        if unanswered.is_some() && request.get_ref().point == unanswered {
            return Err(Status::unavailable("told to, here"));
        }
        state.singles += 1;
        Ok(Response::new(Self::nearby(&state, request.get_ref())))
    }

    async fn find_nearby_batch(
        &self,
        request: Request<loc::FindNearbyBatchRequest>,
    ) -> Result<Response<loc::FindNearbyBatchResponse>, Status> {
        let mut state = self.0.lock();
        if state.down {
            return Err(Status::unavailable("told to"));
        }
        let queries = &request.get_ref().queries;
        state.batches.push(queries.len());
        let answers = queries
            .iter()
            .map(|query| Self::nearby(&state, query))
            .collect();
        Ok(Response::new(loc::FindNearbyBatchResponse { answers }))
    }

    unused! { loc:
        report_pings: ReportPingsRequest => ReportPingsResponse,
        get_driver_position: GetDriverPositionRequest => GetDriverPositionResponse,
        count_cells: CountCellsRequest => CountCellsResponse,
        get_driver_track: GetDriverTrackRequest => GetDriverTrackResponse,
    }

    type WatchAreaStream = futures::stream::Pending<Result<loc::WatchAreaResponse, Status>>;

    async fn watch_area(
        &self,
        _: Request<loc::WatchAreaRequest>,
    ) -> Result<Response<Self::WatchAreaStream>, Status> {
        Err(Status::unimplemented("dispatch does not call it"))
    }
}

/// Serves both on one port each.
pub async fn serve(
    tasks: &Tasks,
    trip: FakeTrip,
    location: FakeLocation,
) -> (SocketAddr, SocketAddr) {
    let server = |name| {
        GrpcServer::new(
            name,
            &hexcab_chassis::ServerConfig::default(),
            Readiness::new(),
            FILE_DESCRIPTOR_SET,
        )
    };
    let trip = server("trip")
        .add(trips::TripServiceServer::new(trip))
        .bind()
        .await
        .unwrap();
    let location = server("location")
        .add(location::LocationServiceServer::new(location))
        .bind()
        .await
        .unwrap();
    let addresses = (trip.addr(), location.addr());
    for server in [trip, location] {
        let shutdown = tasks.shutdown();
        tasks.spawn("fake", async move {
            hexcab_chassis::serve(server, Tasks::new(), shutdown.cancelled_owned()).await
        });
    }
    addresses
}
