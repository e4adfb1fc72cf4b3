//! REST and WebSockets. Every route in one table; every answer has a `traceparent`, every error is problem+json.
//!
//! - [`gate`] what every request passes: room, who is calling, the trace, the deadline
//! - [`input`] bodies, queries, ids, keys: or 400 naming the field
//! - [`rider`], [`driver`], [`operator`], [`money`], [`city`] the handlers

mod city;
mod driver;
mod gate;
mod input;
mod money;
mod operator;
mod rider;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::StatusCode;
use serde_json::json;

use crate::{gateway::Gateway, status::Problem};

/// What every handler gets.
type Shared = State<Arc<Gateway>>;

/// All routes.
pub fn router(gateway: Arc<Gateway>) -> Router {
    let gate = gate::Gate::new(gateway.clone());
    Router::new()
        .route("/v1/quotes", post(rider::quote))
        .route("/v1/trips", post(rider::request).get(rider::list))
        .route("/v1/trips/{id}", get(rider::show))
        .route("/v1/trips/{id}/cancel", post(rider::cancel))
        .route("/v1/nearby", get(city::nearby))
        .route("/v1/surge", get(city::surge))
        .route("/v1/rider/ws", get(rider::ws))
        .route("/v1/trips/{id}/accept", post(driver::accept))
        .route("/v1/trips/{id}/decline", post(driver::decline))
        .route("/v1/trips/{id}/arrive", post(driver::arrive))
        .route("/v1/trips/{id}/start", post(driver::start))
        .route("/v1/trips/{id}/complete", post(driver::complete))
        .route("/v1/trips/{id}/release", post(driver::release))
        .route("/v1/trips/{id}/no-show", post(driver::no_show))
        .route("/v1/trips/{id}/tip", post(money::tip))
        .route("/v1/trips/{id}/payment", get(money::of_rider))
        .route("/v1/driver/statement", get(money::statement))
        .route("/v1/driver/pings", post(driver::pings))
        .route("/v1/driver/current", get(driver::current))
        .route("/v1/driver/ws", get(driver::ws))
        .route("/v1/operator/trips", get(operator::list))
        .route("/v1/operator/trips/{id}", get(operator::show))
        .route("/v1/operator/trips/{id}/end", post(operator::end))
        .route("/v1/operator/trips/{id}/reassign", post(operator::reassign))
        .route("/v1/operator/trips/{id}/decision", get(operator::decision))
        .route("/v1/operator/trips/{id}/payment", get(money::of_trip))
        .route("/v1/operator/trips/{id}/refund", post(money::refund))
        .route("/v1/operator/balance", get(money::balance))
        .route("/v1/operator/payouts", post(money::pay_out))
        .route("/v1/operator/payouts/{id}", get(money::payout))
        .route("/v1/operator/payouts/{id}/file", get(money::payout_file))
        .route(
            "/v1/operator/payouts/{id}/confirm",
            post(money::confirm_payout),
        )
        .route("/v1/operator/status", get(operator::status))
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown_route)
        .layer(middleware::from_fn_with_state(gate, gate::pass))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(gateway)
}

async fn healthz() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

async fn readyz(State(gateway): Shared) -> Response {
    let missing = gateway.readiness.missing();
    let status = if missing.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        Json(json!({"ready": missing.is_empty(), "missing": missing})),
    )
        .into_response()
}

async fn unknown_route() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "ROUTE_NOT_FOUND",
        "there is nothing at this path",
    )
}

async fn wrong_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        "this path has no such method",
    )
}
