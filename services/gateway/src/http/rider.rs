//! What riders may ask: quotes and trips; and the WebSocket that tells them.

use axum::{
    Json,
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    response::{IntoResponse, Response},
};
use hexcab_proto::{
    pricing::v1::CreateQuoteRequest,
    trip::v1::{
        CancelReason, CancelTripRequest, CreateTripRequest, ListTripsRequest, PaymentMethod,
        State as TripState, Trip as TripProto, cancel_trip_request::By,
    },
};
use hexcab_types::{DriverId, Timestamp, TripId};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{
    Shared,
    input::{Body, Caller, OptionalKey, Query, Rider, Trip, Until},
};
use crate::{
    auth::User,
    gateway::Gateway,
    peers::found,
    push::is_driven,
    rides::holder,
    status::Problem,
    views::{PointView, quote::QuoteView, trip::TripView},
    ws::{self, rider::RiderSession},
};

/// Trips on a page.
const PAGE: i32 = 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuoteAsked {
    city: String,
    #[serde(default)]
    product: Option<String>,
    pickup: PointView,
    dropoff: PointView,
}

/// `POST /v1/quotes`
pub async fn quote(
    State(gateway): Shared,
    Rider(rider): Rider,
    key: OptionalKey,
    Body(asked): Body<QuoteAsked>,
) -> Result<(StatusCode, Json<QuoteView>), Problem> {
    let request = CreateQuoteRequest {
        request_id: key.or_new().to_string(),
        rider: rider.name(),
        city: asked.city,
        product: asked.product.unwrap_or_default(),
        pickup: Some(asked.pickup.point("pickup")?.into()),
        dropoff: Some(asked.dropoff.point("dropoff")?.into()),
    };
    let answer = gateway
        .peers
        .pricing(request, |mut p, r| async move { p.create_quote(r).await })
        .await?;
    let quote = answer.quote.ok_or_else(Problem::internal)?;
    Ok((StatusCode::CREATED, Json(quote.into())))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TripAsked {
    quote_token: String,
    /// When to be picked up; at once when absent.
    #[serde(default)]
    pickup_at: Option<Timestamp>,
    #[serde(default)]
    payment_method: PaymentAsked,
}

/// How the rider pays.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PaymentAsked {
    #[default]
    Card,
    Cash,
}

impl From<PaymentAsked> for PaymentMethod {
    fn from(asked: PaymentAsked) -> Self {
        match asked {
            PaymentAsked::Card => Self::Card,
            PaymentAsked::Cash => Self::Cash,
        }
    }
}

/// `POST /v1/trips`
pub async fn request(
    State(gateway): Shared,
    Rider(rider): Rider,
    key: OptionalKey,
    Body(asked): Body<TripAsked>,
) -> Result<(StatusCode, Json<TripView>), Problem> {
    let request_id = key.required()?.to_string();
    let request = CreateTripRequest {
        request_id,
        rider: rider.name(),
        quote_token: asked.quote_token,
        pickup_time: asked.pickup_at.map(hexcab_proto::convert::to_timestamp),
        payment_method: PaymentMethod::from(asked.payment_method).into(),
    };
    let answer = gateway
        .peers
        .trip(request, |mut t, r| async move { t.create_trip(r).await })
        .await?;
    let trip = found(answer.trip)?;
    if let Ok(id) = TripId::from_name(&trip.name) {
        gateway.rides.observe(id, &trip);
    }
    Ok((StatusCode::CREATED, Json(TripView::for_rider(&trip))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelAsked {
    reason: RiderReason,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RiderReason {
    ChangedMind,
    WaitedTooLong,
}

/// `POST /v1/trips/{id}/cancel`
pub async fn cancel(
    State(gateway): Shared,
    Rider(rider): Rider,
    Trip(id): Trip,
    key: OptionalKey,
    Body(asked): Body<CancelAsked>,
) -> Result<Json<TripView>, Problem> {
    let reason = match asked.reason {
        RiderReason::ChangedMind => CancelReason::ChangedMind,
        RiderReason::WaitedTooLong => CancelReason::WaitedTooLong,
    };
    let request = CancelTripRequest {
        name: id.name(),
        request_id: key.or_new().to_string(),
        by: Some(By::Rider(rider.name())),
        reason: reason.into(),
    };
    let answer = gateway
        .peers
        .trip(request, |mut t, r| async move { t.cancel_trip(r).await })
        .await?;
    Ok(Json(TripView::for_rider(&found(answer.trip)?)))
}

/// `GET /v1/trips/{id}`: its rider's or its driver's.
pub async fn show(
    State(gateway): Shared,
    Caller(user): Caller,
    Trip(id): Trip,
) -> Result<Json<TripView>, Problem> {
    let trip = gateway.peers.get_trip(id).await?;
    gateway.rides.observe(id, &trip);
    let mut view = own_view(user, &trip).ok_or_else(Problem::not_your_trip)?;
    if matches!(user, User::Rider(_)) && is_driven(trip.state()) {
        view.driver_position = position(&gateway, &trip).await;
    }
    Ok(Json(view))
}

/// The trip as this user may see it, if he may.
fn own_view(user: User, trip: &TripProto) -> Option<TripView> {
    match user {
        User::Rider(rider) => (trip.rider == rider.name()).then(|| TripView::for_rider(trip)),
        User::Driver(driver) => (holder(trip) == Some(driver)).then(|| TripView::for_driver(trip)),
        User::Operator(_) => None,
    }
}

async fn position(
    gateway: &Gateway,
    trip: &TripProto,
) -> Option<crate::views::trip::DriverPositionView> {
    gateway
        .driver_position(DriverId::from_name(&trip.driver).ok()?)
        .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TripsAsked {
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    page_token: String,
}

#[derive(Serialize)]
pub struct Page<T> {
    /// Newest first.
    pub trips: Vec<T>,
    /// Null on the last page.
    pub next_page_token: Option<String>,
}

/// `GET /v1/trips`: one's own.
pub async fn list(
    State(gateway): Shared,
    Caller(user): Caller,
    Query(asked): Query<TripsAsked>,
) -> Result<Json<Page<TripView>>, Problem> {
    let mut request = ListTripsRequest {
        states: states(asked.state.as_deref())?,
        page_size: PAGE,
        page_token: asked.page_token,
        ..ListTripsRequest::default()
    };
    match user {
        User::Rider(rider) => request.rider = rider.name(),
        User::Driver(driver) => request.driver = driver.name(),
        User::Operator(_) => return Err(user.rider().err().unwrap_or_else(Problem::internal)),
    }
    let page = gateway.peers.list_trips(request).await?;
    let trips = page
        .trips
        .iter()
        .filter_map(|trip| own_view(user, trip))
        .collect();
    Ok(Json(Page {
        trips,
        next_page_token: Some(page.next_page_token).filter(|token| !token.is_empty()),
    }))
}

/// States asked for, separated by commas: none means any.
///
/// # Errors
/// 400 when one is unknown.
pub fn states(asked: Option<&str>) -> Result<Vec<i32>, Problem> {
    let names = asked
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    names
        .map(|name| {
            let state = TripState::from_str_name(&format!("STATE_{}", name.to_uppercase()));
            state
                .filter(|state| *state != TripState::Unspecified)
                .map(i32::from)
                .ok_or_else(|| Problem::field("state", format!("{name:?} is no state of a trip")))
        })
        .collect()
}

/// `GET /v1/rider/ws`
pub async fn ws(
    State(gateway): Shared,
    Rider(rider): Rider,
    Until(until): Until,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = sized(upgrade, &gateway)?;
    let (session, messages) = RiderSession::open(&gateway, rider, until).await?;
    let ending = session.ending();
    let upgraded = upgrade.on_upgrade(async move |socket| {
        let config = &gateway.config.session;
        ws::carry(socket, messages, ending, config, |said| session.hear(said)).await;
    });
    Ok(upgraded.into_response())
}

/// A WebSocket with our bounds.
///
/// # Errors
/// 400 WEBSOCKET_WANTED when the request is no upgrade.
pub fn sized(
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    gateway: &Gateway,
) -> Result<WebSocketUpgrade, Problem> {
    let max = gateway.config.session.message_max_bytes;
    let upgrade = upgrade.map_err(|error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "WEBSOCKET_WANTED",
            error.body_text(),
        )
    })?;
    Ok(upgrade
        .max_message_size(max)
        .max_frame_size(max)
        .read_buffer_size(4096)
        .write_buffer_size(0))
}
