//! TripService: request → command → response. A handler has three moves: parse, execute, answer.

mod parse;

use hexcab_chassis::token::Verifier;
use hexcab_proto::trip::v1::{self as proto, trip_service_server::TripService};
use hexcab_types::TripId;
use prost::Message as _;
use tonic::{Request, Response, Status};

use crate::{
    domain::Command,
    store::{Answer, ExecuteError, Trips},
    wire,
};

/// Answers for trips.
pub struct TripApi {
    trips: Trips,
    quotes: Verifier,
}

impl TripApi {
    /// Speaks for these trips; quotes are those signed with this key.
    pub fn new(trips: Trips, quotes: Verifier) -> Self {
        Self { trips, quotes }
    }
}

/// Who steps in, and why, stands in the log too, whatever comes of it.
fn note_operator(trip: TripId, command: &Command) {
    if let Command::ForceEnd { operator, note } | Command::Reassign { operator, note } = command {
        tracing::info!(trip.id = %trip, %operator, note, command = command.name(), "an operator steps in");
    }
}

/// The trip as the command left it, whether that was now or before.
fn answer(answer: &Answer) -> Result<Option<proto::Trip>, ExecuteError> {
    match answer {
        Answer::Done(trip) => Ok(Some(trip.as_ref().into())),
        Answer::Before(event) => wire::after(event)
            .map(Some)
            .ok_or_else(|| ExecuteError::Unreadable("an answer".to_owned())),
    }
}

/// A mutation of a trip that exists, in its three moves.
macro_rules! command {
    ($self:ident, $request:ident, $parse:path, $response:ident) => {{
        let (key, trip, command) = $parse($request.into_inner())?;
        note_operator(trip, &command);
        let answered = $self.trips.execute(key, trip, command).await?;
        Ok(Response::new(proto::$response {
            trip: answer(&answered)?,
        }))
    }};
}

#[tonic::async_trait]
impl TripService for TripApi {
    async fn create_trip(
        &self,
        request: Request<proto::CreateTripRequest>,
    ) -> Result<Response<proto::CreateTripResponse>, Status> {
        let (key, new) = parse::create_trip(request.into_inner(), &self.quotes)?;
        let answered = self.trips.create(key, new).await?;
        Ok(Response::new(proto::CreateTripResponse {
            trip: answer(&answered)?,
        }))
    }

    async fn get_trip(
        &self,
        request: Request<proto::GetTripRequest>,
    ) -> Result<Response<proto::GetTripResponse>, Status> {
        let trip = self
            .trips
            .get(parse::trip(&request.into_inner().name)?)
            .await?;
        Ok(Response::new(proto::GetTripResponse {
            trip: Some((&trip).into()),
        }))
    }

    async fn list_trips(
        &self,
        request: Request<proto::ListTripsRequest>,
    ) -> Result<Response<proto::ListTripsResponse>, Status> {
        let filter = parse::list_trips(request.into_inner())?;
        let (trips, next) = self.trips.list(&filter).await?;
        Ok(Response::new(proto::ListTripsResponse {
            trips: trips.iter().map(proto::Trip::from).collect(),
            next_page_token: next.map(parse::write_page_token).unwrap_or_default(),
        }))
    }

    async fn list_trip_events(
        &self,
        request: Request<proto::ListTripEventsRequest>,
    ) -> Result<Response<proto::ListTripEventsResponse>, Status> {
        let payloads = self
            .trips
            .events(parse::trip(&request.into_inner().name)?)
            .await?;
        let events = payloads
            .iter()
            .map(|payload| proto::TripEvent::decode(payload.as_slice()));
        let events = events.collect::<Result<Vec<_>, _>>().map_err(|error| {
            Status::from(crate::store::ExecuteError::Unreadable(format!(
                "an event: {error}"
            )))
        })?;
        Ok(Response::new(proto::ListTripEventsResponse { events }))
    }

    async fn offer_trip(
        &self,
        request: Request<proto::OfferTripRequest>,
    ) -> Result<Response<proto::OfferTripResponse>, Status> {
        command!(self, request, parse::offer_trip, OfferTripResponse)
    }

    async fn accept_offer(
        &self,
        request: Request<proto::AcceptOfferRequest>,
    ) -> Result<Response<proto::AcceptOfferResponse>, Status> {
        command!(self, request, parse::accept_offer, AcceptOfferResponse)
    }

    async fn decline_offer(
        &self,
        request: Request<proto::DeclineOfferRequest>,
    ) -> Result<Response<proto::DeclineOfferResponse>, Status> {
        command!(self, request, parse::decline_offer, DeclineOfferResponse)
    }

    async fn arrive_trip(
        &self,
        request: Request<proto::ArriveTripRequest>,
    ) -> Result<Response<proto::ArriveTripResponse>, Status> {
        command!(self, request, parse::arrive_trip, ArriveTripResponse)
    }

    async fn start_trip(
        &self,
        request: Request<proto::StartTripRequest>,
    ) -> Result<Response<proto::StartTripResponse>, Status> {
        command!(self, request, parse::start_trip, StartTripResponse)
    }

    async fn complete_trip(
        &self,
        request: Request<proto::CompleteTripRequest>,
    ) -> Result<Response<proto::CompleteTripResponse>, Status> {
        command!(self, request, parse::complete_trip, CompleteTripResponse)
    }

    async fn cancel_trip(
        &self,
        request: Request<proto::CancelTripRequest>,
    ) -> Result<Response<proto::CancelTripResponse>, Status> {
        command!(self, request, parse::cancel_trip, CancelTripResponse)
    }

    async fn release_trip(
        &self,
        request: Request<proto::ReleaseTripRequest>,
    ) -> Result<Response<proto::ReleaseTripResponse>, Status> {
        command!(self, request, parse::release_trip, ReleaseTripResponse)
    }

    async fn report_no_show(
        &self,
        request: Request<proto::ReportNoShowRequest>,
    ) -> Result<Response<proto::ReportNoShowResponse>, Status> {
        command!(self, request, parse::report_no_show, ReportNoShowResponse)
    }

    async fn reassign_trip(
        &self,
        request: Request<proto::ReassignTripRequest>,
    ) -> Result<Response<proto::ReassignTripResponse>, Status> {
        command!(self, request, parse::reassign_trip, ReassignTripResponse)
    }

    async fn force_end_trip(
        &self,
        request: Request<proto::ForceEndTripRequest>,
    ) -> Result<Response<proto::ForceEndTripResponse>, Status> {
        command!(self, request, parse::force_end_trip, ForceEndTripResponse)
    }
}
