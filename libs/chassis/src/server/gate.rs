//! What every call passes before its handler: who is calling, is there room, how long may it take, which trace it is in.
//!
//! Every call is counted with its code and how long it took. Order: service token → room (load shed) → deadline → span → handler (panics become INTERNAL). An error without
//! `ErrorInfo` gets one here, so that callers can rely on it. Health and reflection pass straight through.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use hexcab_telemetry::metrics::{Histogram, KeyValue};
use http::{Request, Response};
use tokio::sync::Semaphore;
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};
use tracing::{Instrument as _, Span, field::Empty};

use crate::{Secret, ServerConfig, deadline, status};

/// Rate, errors and durations of all calls: semantic conventions of rpc.
static CALLS: Histogram = Histogram::new(
    "rpc.server.call.duration",
    "s",
    "calls of a gRPC method, refused ones included, until the answer (or a stream) begins",
);

/// When a shed caller may try again.
const SHED_RETRY: Duration = Duration::from_millis(200);

#[derive(Clone)]
pub struct GateLayer(Arc<Rules>);

struct Rules {
    domain: String,
    token: Option<Secret>,
    room: Semaphore,
    quiet: BTreeSet<&'static str>,
}

impl GateLayer {
    pub fn new(service: &str, config: &ServerConfig, quiet: Vec<&'static str>) -> Self {
        Self(Arc::new(Rules {
            domain: format!("{service}.hexcab"),
            token: config
                .service_token
                .clone()
                .filter(|token| !token.is_empty()),
            room: Semaphore::new(config.max_concurrent_calls),
            quiet: quiet.into_iter().collect(),
        }))
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;
    fn layer(&self, inner: S) -> Gate<S> {
        Gate {
            rules: self.0.clone(),
            inner,
        }
    }
}

#[derive(Clone)]
pub struct Gate<S> {
    rules: Arc<Rules>,
    inner: S,
}

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let spare = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, spare);
        if request.uri().path().starts_with("/grpc.") {
            let mut inner = inner;
            return Box::pin(async move { inner.call(request).await });
        }
        let rules = self.rules.clone();
        Box::pin(async move {
            let (begun, method) = (Instant::now(), method_of(&request).to_owned());
            let response = rules.pass(inner, request).await;
            count(method, code_of(&response), begun.elapsed());
            Ok(response)
        })
    }
}

impl Rules {
    async fn pass<S>(&self, inner: S, request: Request<Body>) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        if let Err(refused) = self.check_token(&request) {
            return refused.into_http();
        }
        let Ok(_room) = self.room.try_acquire() else {
            let full = status::error(
                Code::ResourceExhausted,
                "OVERLOADED",
                &self.domain,
                "too many calls in work",
            );
            return status::with_retry(&full, SHED_RETRY).into_http();
        };
        let span = self.span(&request);
        let time_left = request
            .headers()
            .get("grpc-timeout")
            .and_then(|value| deadline::parse_grpc_timeout(value.to_str().ok()?));
        let response = self
            .within_deadline(time_left, inner, request)
            .instrument(span.clone())
            .await;
        let response = self.with_error_info(response);
        let code = code_of(&response);
        span.record("rpc.response.status_code", code_name(code));
        if matches!(code, Code::Internal | Code::Unknown | Code::DataLoss) {
            span.record("otel.status_code", "ERROR");
        }
        response
    }

    fn check_token(&self, request: &Request<Body>) -> Result<(), Status> {
        let Some(token) = &self.token else {
            return Ok(());
        };
        let shown = request
            .headers()
            .get(http::header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
            .unwrap_or_default();
        if bool::from(subtle::ConstantTimeEq::ct_eq(
            shown.as_bytes(),
            token.expose().as_bytes(),
        )) {
            return Ok(());
        }
        let message = "the service token is missing or wrong; send it as `authorization: Bearer …`";
        Err(status::error(
            Code::Unauthenticated,
            "SERVICE_TOKEN_WRONG",
            &self.domain,
            message,
        ))
    }

    /// A server span in the caller's trace; without one, a trace of its own unless the method is a quiet one.
    fn span(&self, request: &Request<Body>) -> Span {
        let path = method_of(request);
        let traceparent = request
            .headers()
            .get("traceparent")
            .and_then(|value| value.to_str().ok());
        let method = path.rsplit('/').next().unwrap_or_default();
        if traceparent.is_none() && self.quiet.contains(method) {
            return Span::none();
        }
        let span = tracing::info_span!(
            parent: None,
            "rpc.server",
            otel.name = path,
            otel.kind = "server",
            otel.status_code = Empty,
            rpc.system.name = "grpc",
            rpc.method = path,
            rpc.response.status_code = Empty,
        );
        if let Some(traceparent) = traceparent {
            hexcab_telemetry::set_parent(&span, traceparent);
        }
        span
    }

    async fn within_deadline<S>(
        &self,
        left: Option<Duration>,
        inner: S,
        request: Request<Body>,
    ) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        let Some(left) = left else {
            return self.guarded(inner, request).await;
        };
        let handled = deadline::scope(left, self.guarded(inner, request));
        match tokio::time::timeout(left, handled).await {
            Ok(response) => response,
            Err(_) => {
                let message = format!("no answer within {left:?}");
                status::error(
                    Code::DeadlineExceeded,
                    "DEADLINE_EXCEEDED",
                    &self.domain,
                    message,
                )
                .into_http()
            }
        }
    }

    async fn guarded<S>(&self, mut inner: S, request: Request<Body>) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        match AssertUnwindSafe(inner.call(request)).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => {
                tracing::error!("a handler panicked");
                status::internal(&self.domain).into_http()
            }
        }
    }

    fn with_error_info(&self, response: Response<Body>) -> Response<Body> {
        let Some(found) = Status::from_header_map(response.headers()) else {
            return response;
        };
        if found.code() == Code::Ok || !found.details().is_empty() {
            return response;
        }
        let reason = code_name(found.code());
        status::error(found.code(), reason, &self.domain, found.message()).into_http()
    }
}

/// The code of an error that came before any message; a call that streams ends later and counts as OK here.
/// `hexcab.trip.v1.TripService/OfferTrip`.
fn method_of(request: &Request<Body>) -> &str {
    request.uri().path().trim_start_matches('/')
}

fn count(method: String, code: Code, took: Duration) {
    // A name that no service has is whatever a caller wrote: one series for all of them.
    let method = match code {
        Code::Unimplemented => "_OTHER".to_owned(),
        _ => method,
    };
    CALLS.record(
        took.as_secs_f64(),
        &[
            KeyValue::new("rpc.system.name", "grpc"),
            KeyValue::new("rpc.method", method),
            KeyValue::new("rpc.response.status_code", code_name(code)),
        ],
    );
}

fn code_of(response: &Response<Body>) -> Code {
    Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code())
}

/// The code's name in gRPC's own spelling.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
