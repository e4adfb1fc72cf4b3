//! The sandbox's HTTP API: Stripe's under `/v1`, what befalls a processor under `/sandbox`, health.
//!
//! - [`read`] single objects and lists; [`control`] faults, disputes and the like; [`door`] who may call, and spans
//!
//! Invariants: of two requests with one idempotency key at once, the second is told 409; nothing is ever done twice; what
//! was begun is finished, whether its caller waits or not.

use std::{collections::HashSet, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    middleware,
    routing::{get, post},
};
use hexcab_chassis::{Clock, Secret, Tasks};
use hexcab_pg::PgError;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::{
    answer::{Answer, ErrorType},
    book::{Ask, Book, Keyed},
    faults::{Fault, Faults, Kind},
    operation::{self, Metadata, Operation},
};

mod control;
mod door;
mod read;

/// What the handlers stand on.
#[derive(Debug)]
pub struct Sandbox {
    /// What is kept.
    pub book: Book,
    /// What goes wrong.
    pub faults: Arc<Faults>,
    /// Real time.
    pub clock: Clock,
    /// What callers must show; anything when empty.
    pub api_key: Secret,
    /// Every answer takes up to this long, milliseconds.
    pub latency_ms: u64,
    /// Keys of requests being worked on.
    pub in_flight: Mutex<HashSet<String>>,
    /// Requests being worked on, whether their callers wait or not.
    pub tasks: Tasks,
    /// Notified after every change.
    pub happened: Arc<Notify>,
}

type Shared = State<Arc<Sandbox>>;

/// Every route.
pub fn router(sandbox: Arc<Sandbox>) -> Router {
    let api = Router::new()
        .route("/v1/payment_intents", post(create).get(read::payments))
        .route("/v1/payment_intents/search", get(read::search))
        .route("/v1/payment_intents/{id}", get(read::payment))
        .route(
            "/v1/payment_intents/{id}/increment_authorization",
            post(raise),
        )
        .route("/v1/payment_intents/{id}/capture", post(capture))
        .route("/v1/payment_intents/{id}/cancel", post(cancel))
        .route("/v1/refunds", post(refund).get(read::refunds))
        .route("/v1/refunds/{id}", get(read::refund))
        .route("/v1/disputes", get(read::disputes))
        .route("/v1/disputes/{id}", get(read::dispute))
        .route("/v1/events", get(read::events))
        .route("/v1/events/{id}", get(read::event))
        .route_layer(middleware::from_fn_with_state(
            sandbox.clone(),
            door::authenticate,
        ))
        .route_layer(middleware::from_fn(door::trace));
    api.merge(control::router())
        .route("/healthz", get(health))
        .with_state(sandbox)
}

async fn create(State(sandbox): Shared, headers: HeaderMap, body: Bytes) -> Answer {
    let fields = fields(&body);
    let path = "/v1/payment_intents".to_owned();
    mutate(sandbox, &headers, path, Operation::create(&fields), fields).await
}

async fn raise(
    State(sandbox): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let fields = fields(&body);
    let path = format!("/v1/payment_intents/{id}/increment_authorization");
    let operation = Operation::raise(id, &fields);
    mutate(sandbox, &headers, path, operation, fields).await
}

async fn capture(
    State(sandbox): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let fields = fields(&body);
    let path = format!("/v1/payment_intents/{id}/capture");
    let operation = Operation::capture(id, &fields);
    mutate(sandbox, &headers, path, operation, fields).await
}

async fn cancel(
    State(sandbox): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let fields = fields(&body);
    let path = format!("/v1/payment_intents/{id}/cancel");
    let operation = Operation::cancel(id, &fields);
    mutate(sandbox, &headers, path, Ok(operation), fields).await
}

async fn refund(State(sandbox): Shared, headers: HeaderMap, body: Bytes) -> Answer {
    let fields = fields(&body);
    let path = "/v1/refunds".to_owned();
    mutate(sandbox, &headers, path, Operation::refund(&fields), fields).await
}

/// Does what is asked, once per key, with the fault that is due. It is done whether the caller waits or not.
async fn mutate(
    sandbox: Arc<Sandbox>,
    headers: &HeaderMap,
    path: String,
    operation: Result<Operation, Answer>,
    fields: Vec<(String, String)>,
) -> Answer {
    let operation = match operation {
        Ok(operation) => operation,
        Err(answer) => return answer,
    };
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok());
    let Some(in_flight) = InFlight::enter(&sandbox, key) else {
        let message = "There is currently another in-progress request using this Idempotency-Key.";
        return Answer::error(
            409,
            ErrorType::Idempotency,
            "idempotency_key_in_use",
            message,
        );
    };
    let (done, answer) = oneshot::channel();
    let tasks = sandbox.tasks.clone();
    tasks.spawn("request", async move {
        let fingerprint = operation::fingerprint(&path, &fields);
        let answer = carry_out(&sandbox, in_flight, &fingerprint, operation).await;
        sandbox.happened.notify_one();
        // The caller may have gone; it was done all the same.
        let _ = done.send(answer);
        Ok(())
    });
    answer
        .await
        .unwrap_or_else(|_| Answer::error(500, ErrorType::Api, "api_error", "Shutting down."))
}

async fn carry_out(
    sandbox: &Sandbox,
    in_flight: InFlight,
    fingerprint: &str,
    mut operation: Operation,
) -> Answer {
    tokio::time::sleep(sandbox.faults.latency(sandbox.latency_ms)).await;
    let fault = match metadata(sandbox, &operation).await {
        Ok(metadata) => sandbox.faults.draw(operation.verb(), &metadata),
        Err(error) => return broken(&error),
    };
    let fail = Answer::error(500, ErrorType::Api, "fault", "An error on demand.");
    match fault.as_ref().map(|fault| (fault.kind, fault)) {
        Some((Kind::Error500, _)) => return fail,
        Some((Kind::TimeoutBefore, fault)) => {
            drop(in_flight); // It got lost on its way in: nobody here knows of it.
            tokio::time::sleep(fault.delay()).await;
            return fail;
        }
        Some((Kind::Slow, fault)) => tokio::time::sleep(fault.delay()).await,
        Some((Kind::Decline, fault)) => operation.refuse(&fault.code),
        Some((
            Kind::TimeoutAfter
            | Kind::Error500Kept
            | Kind::WebhookDuplicate
            | Kind::WebhookReorder
            | Kind::WebhookWrongSignature
            | Kind::WebhookStale
            | Kind::WebhookLost,
            _,
        ))
        | None => {}
    }
    let kind = fault.as_ref().map(|fault| fault.kind);
    let ask = if kind == Some(Kind::Error500Kept) {
        Ask::Fail(&fail)
    } else {
        Ask::Do(&operation)
    };
    let request = Keyed {
        key: in_flight.key(),
        fingerprint,
        ask,
    };
    let answer = sandbox.book.answer(request, sandbox.clock.now()).await;
    late(fault.filter(|fault| fault.kind == Kind::TimeoutAfter)).await;
    answer.unwrap_or_else(|error| broken(&error))
}

/// It has happened; the answer comes too late.
async fn late(fault: Option<Fault>) {
    if let Some(fault) = fault {
        tokio::time::sleep(fault.delay()).await;
    }
}

/// What the caller attached to the payment that is asked about.
async fn metadata(sandbox: &Sandbox, operation: &Operation) -> Result<Metadata, PgError> {
    if let Operation::Create(new) = operation {
        return Ok(new.metadata.clone());
    }
    let payment = match operation.payment() {
        Some(id) => sandbox.book.payment(id).await?,
        None => None,
    };
    Ok(payment
        .map(|payment| payment.metadata.0)
        .unwrap_or_default())
}

async fn health(State(sandbox): Shared) -> StatusCode {
    if sandbox.book.is_there().await {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
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
struct InFlight {
    sandbox: Arc<Sandbox>,
    key: Option<String>,
}

impl InFlight {
    fn enter(sandbox: &Arc<Sandbox>, key: Option<&str>) -> Option<Self> {
        let key = key.map(ToOwned::to_owned);
        let free = key
            .as_ref()
            .is_none_or(|key| sandbox.in_flight.lock().insert(key.clone()));
        free.then(|| Self {
            sandbox: sandbox.clone(),
            key,
        })
    }

    fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.sandbox.in_flight.lock().remove(key);
        }
    }
}
