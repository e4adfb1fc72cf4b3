//! `hexcab.gateway.v1.DriverAppService`: a driver's session over a bidirectional gRPC stream, with the same meaning as
//! the WebSocket.
//!
//! The stream ends with OK when the app ends its side, else with UNAVAILABLE, RESOURCE_EXHAUSTED or
//! UNAUTHENTICATED (its token ended) and the reason.

use std::sync::Arc;

use futures::{Stream, StreamExt as _, stream};
use hexcab_proto::{
    common::v1::{LatLng, Money},
    convert::{self, FieldError, parsed},
    gateway::v1::{
        CommandResult, DriverOffer, DriverPing, DriverTrip, OpenSessionRequest,
        OpenSessionResponse, SessionError, driver_app_service_server::DriverAppService,
        open_session_request::Message as Up, open_session_response::Message as Down, trip_action,
    },
    location::v1::DriverStatus,
};
use hexcab_types::{DriverId, TripId};
use http::StatusCode;
use tokio::{sync::mpsc, time::Instant};
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

use crate::{
    auth,
    driver::{
        DriverSession,
        command::{Command, Step},
        message::{PingMessage, PingStatus, Said, invalid},
    },
    gateway::Gateway,
    session::{End, Ending},
    status::Problem,
    views::{
        MoneyView, PointView,
        message::{DriverMessage, OfferView, ResultView},
        trip::TripView,
    },
};

/// Which city the driver is in, in the call's metadata.
const CITY: &str = "hexcab-city";

/// The gRPC face of the gateway.
pub struct DriverApp(pub Arc<Gateway>);

#[tonic::async_trait]
impl DriverAppService for DriverApp {
    type OpenSessionStream = stream::BoxStream<'static, Result<OpenSessionResponse, Status>>;

    async fn open_session(
        &self,
        request: Request<Streaming<OpenSessionRequest>>,
    ) -> Result<Response<Self::OpenSessionStream>, Status> {
        let driver = self
            .driver(request.metadata())
            .map_err(|problem| problem.grpc())?;
        let city = self
            .city(request.metadata())
            .map_err(|problem| problem.grpc())?;
        let opened = DriverSession::open(self.0.clone(), driver, &city).await;
        let (session, messages) = opened.map_err(|problem| problem.grpc())?;
        let (ending, said) = (session.ending(), said(request.into_inner()).boxed());
        self.0.tasks.spawn("driver-session", async move {
            let cut = session.ending();
            tokio::select! {
                () = session.hear(said) => {}
                _ = cut.ended() => {}
            }
            Ok(())
        });
        Ok(Response::new(told(messages, ending).boxed()))
    }
}

impl DriverApp {
    fn driver(&self, metadata: &MetadataMap) -> Result<(DriverId, Instant), Problem> {
        let login = auth::login(&self.0.verifier, auth::bearer(metadata.as_ref()))?;
        Ok((login.user.driver()?, login.until))
    }

    fn city(&self, metadata: &MetadataMap) -> Result<String, Problem> {
        let given = metadata
            .get(CITY)
            .and_then(|city| city.to_str().ok())
            .map(str::to_owned);
        match (given, self.0.config.cities.as_slice()) {
            (Some(city), _) => Ok(city),
            (None, [only]) => Ok(only.clone()),
            (None, _) => Err(Problem::field(CITY, "name the city in the call's metadata")),
        }
    }
}

/// What the app says. Silence is no end: HTTP/2 keepalive finds out who is gone.
fn said(incoming: Streaming<OpenSessionRequest>) -> impl Stream<Item = Said> {
    stream::unfold(incoming, |mut incoming| async move {
        match incoming.message().await {
            Ok(Some(request)) => Some((read(request), incoming)),
            Ok(None) | Err(_) => None,
        }
    })
}

/// What the app is told, and at last why it ends if the app did not end it.
fn told(
    messages: mpsc::Receiver<DriverMessage>,
    ending: Ending,
) -> impl Stream<Item = Result<OpenSessionResponse, Status>> {
    stream::unfold(Some((messages, ending)), |state| async move {
        let (mut messages, ending) = state?;
        let why = tokio::select! {
            biased;
            why = ending.ended() => why,
            message = messages.recv() => return Some((Ok(down(message?)), Some((messages, ending)))),
        };
        match last_word(why) {
            Some(status) => Some((Err(status), None)),
            None => messages
                .recv()
                .await
                .map(|message| (Ok(down(message)), Some((messages, ending)))),
        }
    })
}

/// The status of a session that the app did not end itself.
fn last_word(why: End) -> Option<Status> {
    let problem = |status, detail: &str| Some(Problem::new(status, why.reason(), detail).grpc());
    match why {
        End::Left => None,
        End::SlowClient => problem(
            StatusCode::TOO_MANY_REQUESTS,
            "messages were not read fast enough",
        ),
        End::Idle => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "nothing was heard for too long",
        ),
        End::Replaced => problem(
            StatusCode::TOO_MANY_REQUESTS,
            "this driver opened too many sessions",
        ),
        End::TokenExpired => problem(
            StatusCode::UNAUTHORIZED,
            "the token has expired; open another session with a new one",
        ),
        End::ShuttingDown => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "this gateway stops; open another session",
        ),
    }
}

fn read(request: OpenSessionRequest) -> Said {
    let read = match request.message {
        Some(Up::Ping(ping)) => read_ping(ping).map(Said::Ping),
        Some(Up::Answer(answer)) => {
            let epoch = answer.epoch;
            let step = if answer.accept {
                Step::Accept { epoch }
            } else {
                Step::Decline { epoch }
            };
            command(&answer.request_id, &answer.trip, Ok(step)).map(Said::Command)
        }
        Some(Up::Action(action)) => {
            command(&action.request_id, &action.trip, read_step(action.step)).map(Said::Command)
        }
        None => Err(invalid("the message is empty")),
    };
    read.unwrap_or_else(Said::Nonsense)
}

fn command(request: &str, trip: &str, step: Result<Step, Problem>) -> Result<Command, Problem> {
    let trip: TripId = convert::name(trip, "trip")?;
    Ok(Command {
        request: parsed(request, "request_id")?,
        trip,
        step: step?,
    })
}

fn read_step(step: Option<trip_action::Step>) -> Result<Step, Problem> {
    Ok(match step {
        Some(trip_action::Step::Arrive(at)) => Step::Arrive {
            position: convert::point(Some(at), "arrive")?,
        },
        Some(trip_action::Step::Start(code)) => Step::Start { code },
        Some(trip_action::Step::Complete(at)) => Step::Complete {
            position: Some(convert::point(Some(at), "complete")?),
        },
        Some(trip_action::Step::GiveBack(_)) => Step::Release,
        Some(trip_action::Step::NoShow(_)) => Step::NoShow,
        None => return Err(FieldError::new("step", "is required").into()),
    })
}

fn read_ping(ping: DriverPing) -> Result<PingMessage, Problem> {
    let status = match ping.status() {
        DriverStatus::Available => PingStatus::Available,
        DriverStatus::EnRoute => PingStatus::EnRoute,
        DriverStatus::OnTrip => PingStatus::OnTrip,
        DriverStatus::Offline => PingStatus::Offline,
        DriverStatus::Unspecified => return Err(FieldError::new("status", "is required").into()),
    };
    let at = convert::point(ping.position, "position")?;
    Ok(PingMessage {
        lat: at.lat(),
        lon: at.lon(),
        recorded_at_ms: ping.record_time_ms,
        status,
        heading_deg: ping.heading_deg,
        speed_cm_s: ping.speed_cm_s,
        accuracy_m: ping.accuracy_m,
        product: ping.product,
    })
}

fn down(message: DriverMessage) -> OpenSessionResponse {
    let message = match message {
        DriverMessage::Offer(offer) => Down::Offer(offer_down(*offer)),
        DriverMessage::Trip { trip, yours } => Down::Trip(trip_down(&trip, yours)),
        DriverMessage::Result(result) => Down::Result(result_down(result)),
        DriverMessage::Error(error) => Down::Error(SessionError {
            reason: error.reason,
            detail: error.detail,
        }),
    };
    OpenSessionResponse {
        message: Some(message),
    }
}

fn offer_down(offer: OfferView) -> DriverOffer {
    DriverOffer {
        trip: format!("{}/{}", TripId::COLLECTION, offer.trip),
        epoch: offer.epoch,
        expire_time: offer.expires_at.map(convert::to_timestamp),
        pickup: lat_lng(offer.pickup),
        dropoff: lat_lng(offer.dropoff),
        pickup_eta_s: offer.pickup_eta_s,
        trip_duration_s: offer.duration_s,
        trip_distance_m: offer.distance_m,
        driver_pay: offer.driver_pay.map(money),
        traceparent: offer.traceparent,
    }
}

fn trip_down(trip: &TripView, yours: bool) -> DriverTrip {
    DriverTrip {
        trip: format!("{}/{}", TripId::COLLECTION, trip.id),
        version: trip.version,
        state: trip.state.to_owned(),
        yours,
        pickup: lat_lng(trip.pickup),
        dropoff: lat_lng(trip.dropoff),
    }
}

fn result_down(result: ResultView) -> CommandResult {
    CommandResult {
        request_id: result.request_id,
        reason: result.reason.unwrap_or_default(),
        detail: result.detail.unwrap_or_default(),
        state: result
            .trip
            .map(|trip| trip.state.to_owned())
            .unwrap_or_default(),
    }
}

fn lat_lng(point: Option<PointView>) -> Option<LatLng> {
    point?.point("").ok().map(Into::into)
}

fn money(money: MoneyView) -> Money {
    Money {
        currency_code: money.currency,
        amount_minor: money.amount_minor,
    }
}
