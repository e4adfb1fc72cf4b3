//! What operators may see and do.

use axum::{Json, extract::State};
use hexcab_proto::{
    dispatch::v1::{ExplainOfferRequest, GetCityStatusRequest, explain_offer_request::What},
    trip::v1::{ForceEndTripRequest, ListTripEventsRequest, ListTripsRequest, ReassignTripRequest},
};
use serde::{Deserialize, Serialize};

use super::{
    Shared,
    input::{Body, Operator, OptionalKey, Query, Trip},
    rider::{Page, states},
};
use crate::{
    gateway::Gateway,
    peers::found,
    status::Problem,
    views::{
        operator::{CityView, DecisionView, EventView, PeerView, StatusView},
        trip::OperatorTripView,
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TripsAsked {
    #[serde(default)]
    city: String,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    page_token: String,
}

/// `GET /v1/operator/trips`
pub async fn list(
    State(gateway): Shared,
    Operator(_): Operator,
    Query(asked): Query<TripsAsked>,
) -> Result<Json<Page<OperatorTripView>>, Problem> {
    let request = ListTripsRequest {
        city: asked.city,
        states: states(asked.state.as_deref())?,
        page_token: asked.page_token,
        ..ListTripsRequest::default()
    };
    let page = gateway.peers.list_trips(request).await?;
    let next_page_token = Some(page.next_page_token).filter(|token| !token.is_empty());
    Ok(Json(Page {
        trips: page.trips.iter().map(Into::into).collect(),
        next_page_token,
    }))
}

#[derive(Serialize)]
pub struct TripAndEvents {
    trip: OperatorTripView,
    events: Vec<EventView>,
}

/// `GET /v1/operator/trips/{id}`
pub async fn show(
    State(gateway): Shared,
    Operator(_): Operator,
    Trip(id): Trip,
) -> Result<Json<TripAndEvents>, Problem> {
    let request = ListTripEventsRequest { name: id.name() };
    let (trip, events) = tokio::try_join!(
        gateway.peers.get_trip(id),
        gateway.peers.trip(
            request,
            |mut t, r| async move { t.list_trip_events(r).await }
        ),
    )?;
    let events = events.events.iter().map(Into::into).collect();
    Ok(Json(TripAndEvents {
        trip: OperatorTripView::from(&trip),
        events,
    }))
}

/// Why, for the record.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noted {
    note: String,
}

impl Noted {
    fn note(self) -> Result<String, Problem> {
        if self.note.trim().is_empty() {
            return Err(Problem::field("note", "say why, for the record"));
        }
        Ok(self.note)
    }
}

/// `POST /v1/operator/trips/{id}/end`
pub async fn end(
    State(gateway): Shared,
    Operator(operator): Operator,
    Trip(id): Trip,
    key: OptionalKey,
    Body(asked): Body<Noted>,
) -> Result<Json<OperatorTripView>, Problem> {
    let request = ForceEndTripRequest {
        name: id.name(),
        request_id: key.or_new().to_string(),
        operator: operator.name(),
        note: asked.note()?,
    };
    let answer = gateway
        .peers
        .trip(request, |mut t, r| async move { t.force_end_trip(r).await })
        .await?;
    Ok(Json(OperatorTripView::from(&found(answer.trip)?)))
}

/// `POST /v1/operator/trips/{id}/reassign`: takes it from its driver before the start, and looks for another.
pub async fn reassign(
    State(gateway): Shared,
    Operator(operator): Operator,
    Trip(id): Trip,
    key: OptionalKey,
    Body(asked): Body<Noted>,
) -> Result<Json<OperatorTripView>, Problem> {
    let request = ReassignTripRequest {
        name: id.name(),
        request_id: key.or_new().to_string(),
        operator: operator.name(),
        note: asked.note()?,
    };
    let answer = gateway
        .peers
        .trip(request, |mut t, r| async move { t.reassign_trip(r).await })
        .await?;
    Ok(Json(OperatorTripView::from(&found(answer.trip)?)))
}

/// `GET /v1/operator/trips/{id}/decision`: the last one made for the trip.
pub async fn decision(
    State(gateway): Shared,
    Operator(_): Operator,
    Trip(id): Trip,
) -> Result<Json<DecisionView>, Problem> {
    let request = ExplainOfferRequest {
        what: Some(What::Trip(id.name())),
    };
    let answer = gateway
        .peers
        .dispatch(request, |mut d, r| async move { d.explain_offer(r).await })
        .await?;
    Ok(Json(answer.decision.ok_or_else(Problem::internal)?.into()))
}

/// `GET /v1/operator/status`: answers whatever is away.
pub async fn status(State(gateway): Shared, Operator(_): Operator) -> Json<StatusView> {
    let cities = futures::future::join_all(
        gateway
            .config
            .cities
            .iter()
            .map(|city| city_status(&gateway, city)),
    );
    let (peers, cities) = tokio::join!(gateway.peers.health(), cities);
    let peers = peers.into_iter().map(|(name, health)| PeerView {
        name,
        serving: health.is_ok(),
        problem: health.err(),
    });
    Json(StatusView {
        peers: peers.collect(),
        cities,
        rider_sessions: gateway.riders.count(),
        driver_sessions: gateway.drivers.count(),
        pings_dropped: gateway.pings.dropped(),
    })
}

async fn city_status(gateway: &Gateway, city: &str) -> CityView {
    let request = GetCityStatusRequest {
        city: city.to_owned(),
    };
    match gateway
        .peers
        .dispatch(
            request,
            |mut d, r| async move { d.get_city_status(r).await },
        )
        .await
    {
        Ok(status) => status.into(),
        Err(problem) => CityView::unknown(city.to_owned(), problem.reason),
    }
}
