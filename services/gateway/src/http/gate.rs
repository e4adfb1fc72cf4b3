//! What every request passes before its handler: is there room, who is calling, which trace it is in, how long it may
//! take. A panic in a handler is answered with 500.
//!
//! The caller is established here, once, and only then is anything done for him: a ride is looked up for its trace only
//! for someone with a token. Whether he may is the handler's question ([`super::input::Caller`]).

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt as _;
use hexcab_chassis::deadline;
use hexcab_types::TripId;
use http::{HeaderValue, Method, StatusCode};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tracing::{Instrument as _, Span};

use crate::{
    auth::{self, User},
    gateway::Gateway,
    spans,
    status::Problem,
};

/// When a shed caller may try again.
const SHED_RETRY: Duration = Duration::from_secs(1);

/// Who is calling, or why that is not known.
#[derive(Debug, Clone)]
pub struct Identified(pub Result<User, Problem>);

/// The gate's state.
#[derive(Clone)]
pub struct Gate {
    gateway: Arc<Gateway>,
    room: Arc<Semaphore>,
}

impl Gate {
    /// With room for as many as configured.
    pub fn new(gateway: Arc<Gateway>) -> Self {
        let room = Arc::new(Semaphore::new(gateway.config.http.max_concurrent.max(1)));
        Self { gateway, room }
    }
}

/// Lets a request through.
pub async fn pass(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("", MatchedPath::as_str);
    let identified = identify(&gate.gateway, &request);
    let ride = match identify_ride(&gate.gateway, route, &mut request, identified.is_ok()).await {
        Ok(ride) => ride,
        Err(problem) => return refuse(&span(&request, route, None), problem),
    };
    let span = span(&request, route, ride.as_deref());
    if let Ok(user) = &identified {
        span.record("hexcab.user", user.to_string());
    }
    request.extensions_mut().insert(Identified(identified));
    let response = handle(&gate, request, next).instrument(span.clone()).await;
    finish(&span, response)
}

fn identify(gateway: &Gateway, request: &Request) -> Result<User, Problem> {
    let in_query = || {
        is_upgrade(request)
            .then(|| auth::access_token(request.uri()))
            .flatten()
    };
    auth::user(
        &gateway.verifier,
        auth::bearer(request.headers()).or_else(in_query),
    )
}

/// Only a WebSocket may bring its token in the query, where proxies write it into logs.
fn is_upgrade(request: &Request) -> bool {
    request.headers().contains_key(http::header::UPGRADE)
}

/// The context of the ride that the request continues, if it does.
async fn identify_ride(
    gateway: &Gateway,
    route: &str,
    request: &mut Request,
    identified: bool,
) -> Result<Option<String>, Problem> {
    if !identified || request.method() != Method::POST {
        return Ok(None);
    }
    if route == "/v1/trips" {
        return context_of_body(gateway, request).await;
    }
    let id = match route
        .strip_prefix("/v1/operator/trips/{id}/")
        .or_else(|| route.strip_prefix("/v1/trips/{id}/"))
    {
        Some(_) => request
            .uri()
            .path()
            .rsplit('/')
            .nth(1)
            .and_then(|id| id.parse::<TripId>().ok()),
        None => None,
    };
    match id {
        Some(id) => Ok(gateway.ride_of(id).await),
        None => Ok(None),
    }
}

/// Reads the quote's context out of the body and puts the body back.
async fn context_of_body(
    gateway: &Gateway,
    request: &mut Request,
) -> Result<Option<String>, Problem> {
    #[derive(Deserialize)]
    struct Quoted {
        quote_token: String,
    }
    let body = std::mem::replace(request.body_mut(), Body::empty());
    let bytes = read_body(body, gateway.config.http.max_body_bytes).await?;
    let quoted: Option<Quoted> = serde_json::from_slice(&bytes).ok();
    *request.body_mut() = Body::from(bytes);
    Ok(quoted.and_then(|quoted| spans::context_of_quote(&quoted.quote_token)))
}

/// The whole body.
///
/// # Errors
/// 413 BODY_TOO_LARGE, or 400 when it broke off.
pub async fn read_body(body: Body, max_bytes: usize) -> Result<Bytes, Problem> {
    axum::body::to_bytes(body, max_bytes)
        .await
        .map_err(|error| {
            if std::error::Error::source(&error)
                .is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>())
            {
                let detail = format!("a body has at most {max_bytes} bytes");
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", detail)
            } else {
                Problem::new(StatusCode::BAD_REQUEST, "BODY_BROKEN", "the body broke off")
            }
        })
}

fn span(request: &Request, route: &str, ride: Option<&str>) -> Span {
    let traceparent = request
        .headers()
        .get("traceparent")
        .and_then(|value| value.to_str().ok());
    let (method, path) = (request.method().as_str(), request.uri().path());
    spans::request(
        &spans::RequestLine {
            method,
            route,
            path,
            traceparent,
        },
        ride,
    )
}

async fn handle(gate: &Gate, request: Request, next: Next) -> Response {
    let Ok(_room) = gate.room.try_acquire() else {
        let full = Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "OVERLOADED",
            "too many requests in work",
        );
        return full.retry_after(SHED_RETRY).into_response();
    };
    let patience = Duration::from_millis(gate.gateway.config.http.deadline_ms);
    let handled = AssertUnwindSafe(deadline::scope(patience, next.run(request))).catch_unwind();
    match tokio::time::timeout(patience, handled).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!("a handler panicked");
            Problem::internal().into_response()
        }
        Err(_) => Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "DEADLINE_EXCEEDED",
            "this took longer than it may",
        )
        .into_response(),
    }
}

/// Writes the trace into the answer and the answer into the span.
fn finish(span: &Span, mut response: Response) -> Response {
    span.record("http.response.status_code", response.status().as_u16());
    if let Some(problem) = response.extensions().get::<Problem>() {
        spans::outcome(span, Some(problem));
    }
    let traceparent = hexcab_telemetry::traceparent_of(span);
    if let Some(value) = traceparent.and_then(|text| HeaderValue::from_str(&text).ok()) {
        response.headers_mut().insert("traceparent", value);
    }
    response
}

fn refuse(span: &Span, problem: Problem) -> Response {
    let response = span.in_scope(|| problem.into_response());
    finish(span, response)
}
