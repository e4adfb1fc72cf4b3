//! Who may call, and the span of every request, the child of its caller's.

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, header::AUTHORIZATION},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tracing::{Instrument as _, field::Empty};
use uuid::Uuid;

use super::Shared;
use crate::sandbox::answer::{Answer, ErrorType};

/// 401 for callers without the key.
pub(super) async fn authenticate(State(sandbox): Shared, request: Request, next: Next) -> Response {
    let shown = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let token = shown
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default();
    let same = subtle::ConstantTimeEq::ct_eq(token.as_bytes(), sandbox.api_key.expose().as_bytes());
    if sandbox.api_key.is_empty() || bool::from(same) {
        return next.run(request).await;
    }
    Answer::error(
        401,
        ErrorType::InvalidRequest,
        "api_key_invalid",
        "Invalid API key provided.",
    )
    .into_response()
}

/// A server span per request, and an id that stands in the answer.
pub(super) async fn trace(request: Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("", MatchedPath::as_str);
    let id = format!("req_{}", Uuid::now_v7().simple());
    let span = tracing::info_span!(
        "sandbox.request",
        otel.name = %format!("{} {route}", request.method()),
        otel.kind = "server",
        http.request.method = %request.method(),
        http.route = route,
        url.path = request.uri().path(),
        url.scheme = "http",
        http.response.status_code = Empty,
        hexcab.request.id = id,
    );
    if let Some(parent) = request
        .headers()
        .get("traceparent")
        .and_then(|value| value.to_str().ok())
    {
        hexcab_telemetry::set_parent(&span, parent);
    }
    let mut response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("request-id", id);
    }
    response
}
