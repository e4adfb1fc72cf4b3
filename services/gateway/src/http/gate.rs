//! What every request passes before its handler: is there room, who is calling, is he within his rate, which trace it is
//! in. A panic in a handler is answered with 500.
//!
//! Invariants: nothing is waited for, neither the caller's body nor a peer, outside the room and the deadline. The caller
//! is established here, once, and only then is anything done for him: a ride is looked up for its trace only for someone
//! with a token who is within his rate. Whether he may is the handler's question ([`super::input::Caller`]).

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt as _;
use hexcab_chassis::deadline;
use hexcab_telemetry::metrics::{Histogram, KeyValue};
use hexcab_types::TripId;
use http::{HeaderValue, Method, StatusCode};
use serde::Deserialize;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tracing::{Instrument as _, Span};

use crate::{
    auth::{self, Login},
    gateway::Gateway,
    spans,
    status::Problem,
};

/// Rate, errors and durations of all requests: semantic conventions of http.
static REQUESTS: Histogram = Histogram::new(
    "http.server.request.duration",
    "s",
    "requests by route, refused ones included, until the answer (or a WebSocket) begins",
);

/// When a shed caller may try again.
const SHED_RETRY: Duration = Duration::from_secs(1);

/// Who is calling, or why that is not known.
#[derive(Debug, Clone)]
pub struct Identified(pub Result<Login, Problem>);

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

/// Lets a request through, and counts it.
pub async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (begun, method) = (Instant::now(), request.method().clone());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("", MatchedPath::as_str);
    let response = answer(&gate, route, request, next).await;
    REQUESTS.record(
        begun.elapsed().as_secs_f64(),
        &[
            KeyValue::new("http.request.method", known(&method)),
            KeyValue::new("http.route", route.to_owned()),
            KeyValue::new(
                "http.response.status_code",
                i64::from(response.status().as_u16()),
            ),
        ],
    );
    response
}

/// A method of HTTP; whatever else a caller wrote is one series.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

async fn answer(gate: &Gate, route: &str, mut request: Request, next: Next) -> Response {
    let Ok(_room) = gate.room.try_acquire() else {
        return refuse(&span(&request, route, None), overloaded());
    };
    let patience = Duration::from_millis(gate.gateway.config.http.deadline_ms);
    let late = Instant::now() + patience;
    let identified = identify(&gate.gateway, &request);
    let admitted = admit(&gate.gateway, route, &mut request, identified.as_ref().ok());
    let admitted = timeout_at(late, deadline::scope(patience, admitted)).await;
    let (ride, refused) = match admitted {
        Ok(Ok(ride)) => (ride, None),
        Ok(Err(problem)) => (None, Some(problem)),
        Err(_) => (None, Some(too_late())),
    };
    let span = span(&request, route, ride.as_deref());
    if let Ok(login) = &identified {
        span.record("hexcab.user", login.user.to_string());
    }
    if let Some(problem) = refused {
        return refuse(&span, problem);
    }
    request.extensions_mut().insert(Identified(identified));
    let response = handle(late, request, next).instrument(span.clone()).await;
    finish(&span, response)
}

/// Counts the caller's request and finds the ride that it goes on with. Strangers pass: the handler tells them.
async fn admit(
    gateway: &Gateway,
    route: &str,
    request: &mut Request,
    login: Option<&Login>,
) -> Result<Option<String>, Problem> {
    let Some(login) = login else { return Ok(None) };
    gateway.limits.count(login.user)?;
    identify_ride(gateway, route, request).await
}

fn identify(gateway: &Gateway, request: &Request) -> Result<Login, Problem> {
    let in_query = || {
        is_upgrade(request)
            .then(|| auth::access_token(request.uri()))
            .flatten()
    };
    auth::login(
        &gateway.verifier,
        auth::bearer(request.headers()).or_else(in_query),
    )
}

/// Only a WebSocket may bring its token in the query, where proxies write it into logs.
fn is_upgrade(request: &Request) -> bool {
    request.headers().contains_key(http::header::UPGRADE)
}

/// The context of the ride that the request goes on with. Reads go on with none: a ride is what was done, not who looked.
async fn identify_ride(
    gateway: &Gateway,
    route: &str,
    request: &mut Request,
) -> Result<Option<String>, Problem> {
    if request.method() == Method::POST && route == "/v1/trips" {
        return context_of_body(gateway, request).await;
    }
    match commanded(request, route) {
        Some(trip) => Ok(gateway.ride_of(trip).await),
        None => Ok(None),
    }
}

/// The trip that a command is about.
fn commanded(request: &Request, route: &str) -> Option<TripId> {
    if request.method() != Method::POST {
        return None;
    }
    route
        .strip_prefix("/v1/operator/trips/{id}/")
        .or_else(|| route.strip_prefix("/v1/trips/{id}/"))?;
    request.uri().path().rsplit('/').nth(1)?.parse().ok()
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
            trip: commanded(request, route),
        },
        ride,
    )
}

async fn handle(late: Instant, request: Request, next: Next) -> Response {
    let left = late.saturating_duration_since(Instant::now());
    let handled = AssertUnwindSafe(deadline::scope(left, next.run(request))).catch_unwind();
    match timeout_at(late, handled).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!("a handler panicked");
            Problem::internal().into_response()
        }
        Err(_) => too_late().into_response(),
    }
}

fn overloaded() -> Problem {
    let (status, detail) = (StatusCode::SERVICE_UNAVAILABLE, "too many requests in work");
    Problem::new(status, "OVERLOADED", detail).retry_after(SHED_RETRY)
}

fn too_late() -> Problem {
    let (status, detail) = (StatusCode::GATEWAY_TIMEOUT, "this took longer than it may");
    Problem::new(status, "DEADLINE_EXCEEDED", detail)
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
