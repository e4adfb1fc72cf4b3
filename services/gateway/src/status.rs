//! Every error as an app sees it: RFC 9457 `application/problem+json` with the reason that the service gave.
//!
//! Invariant: a reason is contract, a detail is for people; our own bugs and peers' addresses never show.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use hexcab_chassis::status;
use hexcab_proto::convert::FieldError;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The domain of this service's own reasons.
pub const DOMAIN: &str = "gateway.hexcab";
/// When to come back after UNAVAILABLE or REQUEST_IN_FLIGHT, unless the service said.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// Catalogued reason, such as `OFFER_EXPIRED`: contract.
    pub reason: String,
    /// What happened, for people.
    pub detail: String,
    /// The field at fault, when one is.
    pub field: Option<String>,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl Problem {
    /// A problem of this service's own.
    pub fn new(status: StatusCode, reason: &str, detail: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.to_owned(),
            detail: detail.into(),
            field: None,
            retry_after: None,
        }
    }

    /// 400 FIELD_INVALID.
    pub fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        FieldError::new(field, problem).into()
    }

    /// 401 with its reason.
    pub fn unauthenticated(reason: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, reason, detail)
    }

    /// 500 without details: our bug. Log the cause where it is known.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL",
            "something went wrong here; instance is the trace to ask about",
        )
    }

    /// 403 NOT_YOUR_TRIP, in the trip service's words.
    pub fn not_your_trip() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "NOT_YOUR_TRIP",
            "this trip is not yours",
        )
    }

    /// The same problem with a time to come back.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The same problem for a caller over gRPC.
    pub fn grpc(&self) -> Status {
        let code = match self.status {
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Code::InvalidArgument,
            StatusCode::UNAUTHORIZED => Code::Unauthenticated,
            StatusCode::FORBIDDEN => Code::PermissionDenied,
            StatusCode::NOT_FOUND => Code::NotFound,
            StatusCode::CONFLICT => Code::FailedPrecondition,
            StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
            StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
            StatusCode::GATEWAY_TIMEOUT => Code::DeadlineExceeded,
            _ => Code::Internal,
        };
        let status = status::error(code, &self.reason, DOMAIN, &self.detail);
        match self.retry_after {
            Some(after) => status::with_retry(&status, after),
            None => status,
        }
    }
}

impl From<FieldError> for Problem {
    fn from(error: FieldError) -> Self {
        Self {
            detail: error.to_string(),
            field: Some(error.field),
            ..Self::new(StatusCode::BAD_REQUEST, "FIELD_INVALID", "")
        }
    }
}

/// What a service answered, as an app sees it.
impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        let reason = status::reason(&status);
        let (http, fallback) = http_status(status.code());
        if http == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(code = ?status.code(), error = status.message(), "a peer failed");
            return Self::internal();
        }
        let reason = reason.unwrap_or_else(|| fallback.to_owned());
        let comes_back = http == StatusCode::SERVICE_UNAVAILABLE || reason == "REQUEST_IN_FLIGHT";
        Self {
            status: http,
            detail: detail(http, &status),
            field: status
                .get_details_bad_request()
                .and_then(|bad| bad.field_violations.into_iter().next())
                .map(|violation| violation.field),
            retry_after: status::retry_after(&status).or(comes_back.then_some(RETRY_AFTER)),
            reason,
        }
    }
}

/// The peer's words, except where they would show our insides.
fn detail(http: StatusCode, status: &Status) -> String {
    match http {
        StatusCode::SERVICE_UNAVAILABLE => {
            "a service that this needs is away for the moment".to_owned()
        }
        StatusCode::GATEWAY_TIMEOUT => "this took longer than it may".to_owned(),
        _ => status.message().to_owned(),
    }
}

/// HTTP status of a gRPC code, and the reason of one that came without.
fn http_status(code: Code) -> (StatusCode, &'static str) {
    match code {
        Code::InvalidArgument => (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT"),
        Code::OutOfRange => (StatusCode::BAD_REQUEST, "OUT_OF_RANGE"),
        Code::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND"),
        Code::FailedPrecondition => (StatusCode::CONFLICT, "FAILED_PRECONDITION"),
        Code::AlreadyExists => (StatusCode::CONFLICT, "ALREADY_EXISTS"),
        Code::Aborted => (StatusCode::CONFLICT, "ABORTED"),
        Code::PermissionDenied => (StatusCode::FORBIDDEN, "PERMISSION_DENIED"),
        Code::ResourceExhausted => (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED"),
        Code::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
        Code::DeadlineExceeded | Code::Cancelled => {
            (StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED")
        }
        // UNAUTHENTICATED is between services: our own configuration, no fault of the app.
        Code::Ok
        | Code::Unknown
        | Code::Internal
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
    }
}

/// The body of a problem, RFC 9457 with our extensions.
#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let trace = hexcab_telemetry::current_traceparent();
        let body = Body {
            r#type: format!("urn:hexcab:problem:{}", self.reason.to_lowercase()),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            reason: &self.reason,
            instance: trace
                .as_deref()
                .and_then(hexcab_telemetry::trace_id)
                .map(str::to_owned),
            field: self.field.as_deref(),
        };
        let json = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (
            self.status,
            [(header::CONTENT_TYPE, "application/problem+json")],
            json,
        )
            .into_response();
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs_f64().ceil().max(1.0) as u64;
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self.clone());
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_http_status() {
        let table = [
            (Code::InvalidArgument, 400),
            (Code::OutOfRange, 400),
            (Code::NotFound, 404),
            (Code::FailedPrecondition, 409),
            (Code::AlreadyExists, 409),
            (Code::Aborted, 409),
            (Code::PermissionDenied, 403),
            (Code::ResourceExhausted, 429),
            (Code::Unavailable, 503),
            (Code::DeadlineExceeded, 504),
            (Code::Cancelled, 504),
            (Code::Unknown, 500),
            (Code::Internal, 500),
            (Code::Unimplemented, 500),
            (Code::DataLoss, 500),
            (Code::Unauthenticated, 500),
        ];
        for (code, http) in table {
            assert_eq!(
                Problem::from(Status::new(code, "x")).status.as_u16(),
                http,
                "{code:?}"
            );
        }
    }

    #[test]
    fn the_reason_and_the_field_of_a_peer_are_kept() {
        let problem = Problem::from(Status::from(FieldError::new(
            "pickup.lat_e7",
            "is off the earth",
        )));
        assert_eq!(
            (problem.reason.as_str(), problem.field.as_deref()),
            ("FIELD_INVALID", Some("pickup.lat_e7"))
        );
        let late = status::error(
            Code::FailedPrecondition,
            "OFFER_EXPIRED",
            "trip.hexcab",
            "too late",
        );
        assert_eq!(Problem::from(late).reason, "OFFER_EXPIRED");
    }

    #[test]
    fn a_peers_insides_do_not_show() {
        let bug = status::error(
            Code::Internal,
            "SQL",
            "trip.hexcab",
            "relation trips does not exist",
        );
        assert_eq!(Problem::from(bug), Problem::internal());
        let away = Problem::from(Status::unavailable("tcp connect error 10.0.0.7:4001"));
        assert!(!away.detail.contains("10.0.0.7"), "{}", away.detail);
        assert_eq!(away.retry_after, Some(RETRY_AFTER));
    }

    #[test]
    fn a_request_in_flight_says_when_to_come_back() {
        let busy = status::error(
            Code::Aborted,
            "REQUEST_IN_FLIGHT",
            "trip.hexcab",
            "still at it",
        );
        let problem = Problem::from(busy);
        assert_eq!(
            (problem.status.as_u16(), problem.retry_after),
            (409, Some(RETRY_AFTER))
        );
    }
}
