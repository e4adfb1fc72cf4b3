//! What drivers may do without a session, and the WebSocket that is one.

use axum::{
    Json,
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    response::{IntoResponse, Response},
};
use futures::StreamExt as _;
use hexcab_proto::{
    location::v1::ReportPingsRequest,
    trip::v1::{ListTripsRequest, Trip as TripProto},
};
use hexcab_types::TripId;
use serde::{Deserialize, Serialize};

use super::{
    Shared,
    input::{Body, Driver, OptionalKey, Query, Trip, Until},
    rider::sized,
};
use crate::{
    driver::{
        DriverSession,
        command::{Command, Step},
        message::{PingMessage, Said, invalid, read},
    },
    peers::DRIVER_STATES,
    status::Problem,
    views::{PointView, message::OfferView, trip::TripView},
    ws::{self, Frame},
};

/// Most pings in one request, as location takes.
const PINGS_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Epoch {
    epoch: i32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct At {
    position: PointView,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaybeAt {
    #[serde(default)]
    position: Option<PointView>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    code: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// What every step answers.
type Stepped = Result<Json<TripView>, Problem>;

/// A driver's step on the trip in the path.
pub struct Stepping {
    driver: Driver,
    trip: Trip,
    key: OptionalKey,
}

impl axum::extract::FromRequestParts<std::sync::Arc<crate::gateway::Gateway>> for Stepping {
    type Rejection = Problem;
    async fn from_request_parts(
        parts: &mut http::request::Parts,
        gateway: &std::sync::Arc<crate::gateway::Gateway>,
    ) -> Result<Self, Problem> {
        let driver = Driver::from_request_parts(parts, gateway).await?;
        let trip = Trip::from_request_parts(parts, gateway).await?;
        let key = OptionalKey::from_request_parts(parts, gateway).await?;
        Ok(Self { driver, trip, key })
    }
}

impl Stepping {
    async fn take(self, gateway: &crate::gateway::Gateway, step: Step) -> Stepped {
        let command = Command {
            request: self.key.or_new(),
            trip: self.trip.0,
            step,
        };
        let trip = gateway.carry_out(self.driver.0, command).await?;
        Ok(Json(TripView::for_driver(&trip)))
    }
}

/// `POST /v1/trips/{id}/accept`
pub async fn accept(State(gateway): Shared, by: Stepping, Body(body): Body<Epoch>) -> Stepped {
    by.take(&gateway, Step::Accept { epoch: body.epoch }).await
}

/// `POST /v1/trips/{id}/decline`
pub async fn decline(State(gateway): Shared, by: Stepping, Body(body): Body<Epoch>) -> Stepped {
    by.take(&gateway, Step::Decline { epoch: body.epoch }).await
}

/// `POST /v1/trips/{id}/arrive`
pub async fn arrive(State(gateway): Shared, by: Stepping, Body(body): Body<At>) -> Stepped {
    by.take(
        &gateway,
        Step::Arrive {
            position: body.position.point("position")?,
        },
    )
    .await
}

/// `POST /v1/trips/{id}/start`
pub async fn start(State(gateway): Shared, by: Stepping, Body(body): Body<Code>) -> Stepped {
    by.take(&gateway, Step::Start { code: body.code }).await
}

/// `POST /v1/trips/{id}/complete`
pub async fn complete(State(gateway): Shared, by: Stepping, Body(body): Body<MaybeAt>) -> Stepped {
    let position = body.position.map(|at| at.point("position")).transpose()?;
    by.take(&gateway, Step::Complete { position }).await
}

/// `POST /v1/trips/{id}/release`
pub async fn release(
    State(gateway): Shared,
    by: Stepping,
    Body(Nothing {}): Body<Nothing>,
) -> Stepped {
    by.take(&gateway, Step::Release).await
}

/// `POST /v1/trips/{id}/no-show`
pub async fn no_show(
    State(gateway): Shared,
    by: Stepping,
    Body(Nothing {}): Body<Nothing>,
) -> Stepped {
    by.take(&gateway, Step::NoShow).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PingsSent {
    city: String,
    pings: Vec<PingMessage>,
}

#[derive(Serialize)]
pub struct PingsTaken {
    accepted: i32,
    stale: i32,
    rejected: Vec<PingRefused>,
}

#[derive(Serialize)]
struct PingRefused {
    index: usize,
    reason: String,
    detail: String,
}

/// `POST /v1/driver/pings`: refused one by one, the rest is taken.
pub async fn pings(
    State(gateway): Shared,
    Driver(driver): Driver,
    Body(sent): Body<PingsSent>,
) -> Result<Json<PingsTaken>, Problem> {
    if sent.pings.len() > PINGS_MAX {
        return Err(Problem::field(
            "pings",
            format!("at most {PINGS_MAX} at once"),
        ));
    }
    let (mut kept, mut rejected, mut pings) = (Vec::new(), Vec::new(), Vec::new());
    for (index, ping) in sent.pings.into_iter().enumerate() {
        match ping.ping(driver) {
            Ok(ping) => {
                kept.push(index);
                pings.push(ping);
            }
            Err(problem) => {
                let reason = "POSITION_OFF_EARTH".to_owned();
                rejected.push(PingRefused {
                    index,
                    reason,
                    detail: problem.detail,
                });
            }
        }
    }
    let request = ReportPingsRequest {
        city: sent.city,
        pings,
    };
    let answer = gateway
        .peers
        .location(request, |mut l, r| async move { l.report_pings(r).await })
        .await?;
    for refused in answer.rejected {
        let index = usize::try_from(refused.index)
            .ok()
            .and_then(|index| kept.get(index).copied());
        rejected.push(PingRefused {
            index: index.unwrap_or_default(),
            reason: refused.reason,
            detail: refused.detail,
        });
    }
    rejected.sort_by_key(|refused| refused.index);
    Ok(Json(PingsTaken {
        accepted: answer.accepted,
        stale: answer.stale,
        rejected,
    }))
}

#[derive(Serialize)]
pub struct Current {
    offer: Option<OfferView>,
    trip: Option<TripView>,
}

/// `GET /v1/driver/current`
pub async fn current(
    State(gateway): Shared,
    Driver(driver): Driver,
) -> Result<Json<Current>, Problem> {
    let states = DRIVER_STATES
        .iter()
        .map(|state| i32::from(*state))
        .collect();
    let request = ListTripsRequest {
        driver: driver.name(),
        states,
        ..ListTripsRequest::default()
    };
    let trips = gateway.peers.list_trips(request).await?.trips;
    for trip in &trips {
        if let Ok(id) = TripId::from_name(&trip.name) {
            gateway.rides.observe(id, trip);
        }
    }
    let mine = |trip: &&TripProto| trip.driver == driver.name();
    let offered = trips.iter().find_map(|trip| {
        let offer = trip
            .offer
            .as_ref()
            .filter(|offer| offer.driver == driver.name())?;
        Some(OfferView::new(trip, offer))
    });
    Ok(Json(Current {
        offer: offered,
        trip: trips.iter().find(mine).map(TripView::for_driver),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionAsked {
    city: String,
    /// Read by the gate; stands here so that it is no unknown field.
    #[serde(default, rename = "access_token")]
    _access_token: Option<String>,
}

/// `GET /v1/driver/ws`
pub async fn ws(
    State(gateway): Shared,
    Driver(driver): Driver,
    Until(until): Until,
    Query(asked): Query<SessionAsked>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = sized(upgrade, &gateway)?;
    let (session, messages) =
        DriverSession::open(gateway.clone(), (driver, until), &asked.city).await?;
    let ending = session.ending();
    let upgraded = upgrade.on_upgrade(async move |socket| {
        let config = &gateway.config.session;
        ws::carry(socket, messages, ending, config, |said| {
            session.hear(said.map(heard))
        })
        .await;
    });
    Ok(upgraded.into_response())
}

fn heard(frame: Frame) -> Said {
    match frame {
        Frame::Text(text) => read(&text),
        Frame::Bytes => Said::Nonsense(invalid("text is expected, not bytes")),
    }
}
