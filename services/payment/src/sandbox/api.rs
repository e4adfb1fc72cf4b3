//! The sandbox's HTTP API. PaymentIntents as Stripe has them; faults and health of our own.
//!
//! Invariant: of two requests with one idempotency key at once, the second is told 409; nothing is ever done twice.

use std::{collections::HashSet, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{MatchedPath, Path, Query, Request, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use hexcab_chassis::{Clock, Secret};
use hexcab_pg::PgError;
use parking_lot::Mutex;
use serde::Deserialize;
use tracing::{Instrument as _, field::Empty};

use super::{
    answer::{Answer, ErrorType},
    book::{Book, Keyed},
    faults::{Fault, Faults, Kind},
    operation::{self, Metadata, Operation},
};

/// Payments in an answer when the caller does not say.
const PAGE: i64 = 10;
/// … and at most.
const PAGE_MAX: i64 = 100;

/// What the handlers stand on.
#[derive(Debug)]
pub struct Sandbox {
    /// What is kept.
    pub book: Book,
    /// What goes wrong.
    pub faults: Faults,
    /// City clock.
    pub clock: Clock,
    /// What callers must show; anything when empty.
    pub api_key: Secret,
    /// Every answer takes up to this long, milliseconds.
    pub latency_ms: u64,
    /// Keys of requests being worked on.
    pub in_flight: Mutex<HashSet<String>>,
}

type Shared = State<Arc<Sandbox>>;

/// Every route.
pub fn router(sandbox: Arc<Sandbox>) -> Router {
    let payments = Router::new()
        .route("/v1/payment_intents", post(create).get(list))
        .route("/v1/payment_intents/search", get(search))
        .route("/v1/payment_intents/{id}", get(read))
        .route("/v1/payment_intents/{id}/capture", post(capture))
        .route("/v1/payment_intents/{id}/cancel", post(cancel))
        .route_layer(middleware::from_fn_with_state(
            sandbox.clone(),
            authenticate,
        ))
        .route_layer(middleware::from_fn(trace));
    let faults = Router::new().route(
        "/sandbox/faults",
        post(add_fault).get(list_faults).delete(clear_faults),
    );
    payments
        .merge(faults)
        .route("/healthz", get(health))
        .with_state(sandbox)
}

async fn create(State(sandbox): Shared, headers: HeaderMap, body: Bytes) -> Answer {
    let fields = fields(&body);
    match Operation::create(&fields) {
        Ok(operation) => {
            mutate(
                &sandbox,
                &headers,
                "/v1/payment_intents",
                &fields,
                operation,
            )
            .await
        }
        Err(answer) => answer,
    }
}

async fn capture(
    State(sandbox): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let (fields, path) = (fields(&body), format!("/v1/payment_intents/{id}/capture"));
    match Operation::capture(id, &fields) {
        Ok(operation) => mutate(&sandbox, &headers, &path, &fields, operation).await,
        Err(answer) => answer,
    }
}

async fn cancel(
    State(sandbox): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let (fields, path) = (fields(&body), format!("/v1/payment_intents/{id}/cancel"));
    mutate(&sandbox, &headers, &path, &fields, Operation::Cancel { id }).await
}

/// Does what is asked, once per key, with the fault that is due.
async fn mutate(
    sandbox: &Sandbox,
    headers: &HeaderMap,
    path: &str,
    fields: &[(String, String)],
    mut operation: Operation,
) -> Answer {
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok());
    let Some(_in_flight) = InFlight::enter(sandbox, key) else {
        let message = "There is currently another in-progress request using this Idempotency-Key.";
        return Answer::error(
            409,
            ErrorType::Idempotency,
            "idempotency_key_in_use",
            message,
        );
    };
    tokio::time::sleep(sandbox.faults.latency(sandbox.latency_ms)).await;
    let fault = match metadata(sandbox, &operation).await {
        Ok(metadata) => sandbox.faults.draw(operation.verb(), &metadata),
        Err(error) => return broken(&error),
    };
    let kind = fault.as_ref().map(|fault| fault.kind);
    match (kind, &fault) {
        (Some(Kind::Error500), _) => {
            return Answer::error(500, ErrorType::Api, "fault", "An error on demand.");
        }
        (Some(Kind::TimeoutBefore), Some(fault)) => {
            tokio::time::sleep(fault.delay()).await;
            return Answer::error(500, ErrorType::Api, "fault", "A timeout on demand.");
        }
        (Some(Kind::Slow), Some(fault)) => tokio::time::sleep(fault.delay()).await,
        (Some(Kind::Decline), Some(fault)) => decline(&mut operation, fault),
        (Some(Kind::TimeoutAfter | Kind::TimeoutBefore | Kind::Slow | Kind::Decline) | None, _) => {
        }
    }
    let fingerprint = operation::fingerprint(path, fields);
    let request = Keyed {
        key,
        fingerprint: &fingerprint,
        operation: &operation,
    };
    let answer = sandbox.book.answer(request, sandbox.clock.now()).await;
    if let (Some(Kind::TimeoutAfter), Some(fault)) = (kind, &fault) {
        tokio::time::sleep(fault.delay()).await;
    }
    answer.unwrap_or_else(|error| broken(&error))
}

fn decline(operation: &mut Operation, fault: &Fault) {
    match operation {
        Operation::Create(new) => new.decline = Some(fault.code.clone()),
        Operation::Capture { .. } | Operation::Cancel { .. } => {}
    }
}

/// What the caller attached to the payment that is asked about.
async fn metadata(sandbox: &Sandbox, operation: &Operation) -> Result<Metadata, PgError> {
    match operation {
        Operation::Create(new) => Ok(new.metadata.clone()),
        Operation::Capture { id, .. } | Operation::Cancel { id } => Ok(sandbox
            .book
            .get(id)
            .await?
            .map(|payment| payment.metadata.0)
            .unwrap_or_default()),
    }
}

async fn read(State(sandbox): Shared, Path(id): Path<String>) -> Answer {
    match sandbox.book.get(&id).await {
        Ok(Some(payment)) => Answer::payment(&payment),
        Ok(None) => Answer::missing(&id),
        Err(error) => broken(&error),
    }
}

#[derive(Debug, Deserialize)]
struct Page {
    limit: Option<i64>,
    starting_after: Option<String>,
}

async fn list(State(sandbox): Shared, Query(page): Query<Page>) -> Answer {
    let limit = page.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    match sandbox
        .book
        .list(limit + 1, page.starting_after.as_deref())
        .await
    {
        Ok(payments) => listed("list", payments, limit),
        Err(error) => broken(&error),
    }
}

#[derive(Debug, Deserialize)]
struct Search {
    query: String,
    limit: Option<i64>,
}

async fn search(State(sandbox): Shared, Query(search): Query<Search>) -> Answer {
    let metadata = match operation::search(&search.query) {
        Ok(metadata) => metadata,
        Err(answer) => return answer,
    };
    let limit = search.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    match sandbox.book.search(&metadata, limit + 1).await {
        Ok(payments) => listed("search_result", payments, limit),
        Err(error) => broken(&error),
    }
}

/// A page of the one too many that was read.
fn listed(object: &str, mut payments: Vec<super::book::Payment>, limit: i64) -> Answer {
    let limit = usize::try_from(limit).unwrap_or_default();
    let has_more = payments.len() > limit;
    payments.truncate(limit);
    Answer::page(object, &payments, has_more)
}

async fn add_fault(State(sandbox): Shared, Json(fault): Json<Fault>) -> Response {
    if !(0.0..=1.0).contains(&fault.rate) {
        let message = "rate: must be 0 to 1";
        return Answer::error(400, ErrorType::InvalidRequest, "parameter_invalid", message)
            .into_response();
    }
    tracing::info!(?fault, "fault set");
    sandbox.faults.add(fault);
    (StatusCode::CREATED, Json(sandbox.faults.list())).into_response()
}

async fn list_faults(State(sandbox): Shared) -> Json<Vec<Fault>> {
    Json(sandbox.faults.list())
}

async fn clear_faults(State(sandbox): Shared) -> StatusCode {
    sandbox.faults.clear();
    StatusCode::NO_CONTENT
}

async fn health(State(sandbox): Shared) -> StatusCode {
    if sandbox.book.is_there().await {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

/// 401 for callers without the key.
async fn authenticate(State(sandbox): Shared, request: Request, next: Next) -> Response {
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

/// A server span per request, the child of its caller's.
async fn trace(request: Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("", MatchedPath::as_str);
    let span = tracing::info_span!(
        "sandbox.request",
        otel.name = %format!("{} {route}", request.method()),
        otel.kind = "server",
        http.request.method = %request.method(),
        http.route = route,
        url.path = request.uri().path(),
        url.scheme = "http",
        http.response.status_code = Empty,
    );
    if let Some(parent) = request
        .headers()
        .get("traceparent")
        .and_then(|value| value.to_str().ok())
    {
        hexcab_telemetry::set_parent(&span, parent);
    }
    let response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    response
}

/// 500: our database is away. Nothing was done, or it is not known.
fn broken(error: &PgError) -> Answer {
    tracing::warn!(error = %error, "the book cannot be read");
    Answer::error(
        500,
        ErrorType::Api,
        "api_error",
        "Something went wrong on our end.",
    )
}

fn fields(body: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(body).into_owned().collect()
}

/// A key's place among those being worked on, given up when dropped.
struct InFlight<'a> {
    sandbox: &'a Sandbox,
    key: Option<&'a str>,
}

impl<'a> InFlight<'a> {
    fn enter(sandbox: &'a Sandbox, key: Option<&'a str>) -> Option<Self> {
        let free = key.is_none_or(|key| sandbox.in_flight.lock().insert(key.to_owned()));
        free.then_some(Self { sandbox, key })
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.sandbox.in_flight.lock().remove(key);
        }
    }
}
