//! What befalls a processor without being asked for, on demand: faults, disputes, holds that expire, refunds that fail.
//! Not Stripe's: for tests, chaos and operators of a city without real money.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};

use super::{Sandbox, Shared, broken};
use crate::sandbox::{answer::Answer, book::Fate, faults::Fault, operation::fields::invalid};

pub(super) fn router() -> Router<Arc<Sandbox>> {
    Router::new()
        .route(
            "/sandbox/faults",
            post(add_fault).get(list_faults).delete(clear_faults),
        )
        .route("/sandbox/disputes", post(dispute))
        .route("/sandbox/disputes/{id}/close", post(close_dispute))
        .route("/sandbox/payment_intents/{id}/expire", post(expire))
        .route("/sandbox/refunds/{id}/fail", post(fail_refund))
        .route("/sandbox/webhooks", get(webhooks))
}

async fn add_fault(State(sandbox): Shared, Json(fault): Json<Fault>) -> Response {
    if let Some(nonsense) = fault.nonsense() {
        let (field, problem) = nonsense.split_once(": ").unwrap_or(("rule", nonsense));
        return invalid(field, problem).into_response();
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewDispute {
    payment_intent: String,
    /// Minor units; the whole when absent.
    amount: Option<i64>,
    #[serde(default = "fraudulent")]
    reason: String,
}

fn fraudulent() -> String {
    "fraudulent".to_owned()
}

async fn dispute(State(sandbox): Shared, Json(new): Json<NewDispute>) -> Answer {
    let fate = Fate::Disputed {
        payment: new.payment_intent,
        amount: new.amount,
        reason: new.reason,
    };
    befall(&sandbox, fate).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Closing {
    /// `won` or `lost`, as seen by us.
    status: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Won,
    Lost,
}

async fn close_dispute(
    State(sandbox): Shared,
    Path(id): Path<String>,
    Json(closing): Json<Closing>,
) -> Answer {
    let won = closing.status == Verdict::Won;
    befall(&sandbox, Fate::DisputeClosed { id, won }).await
}

async fn expire(State(sandbox): Shared, Path(payment): Path<String>) -> Answer {
    befall(&sandbox, Fate::HoldExpired { payment }).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FailedRefund {
    #[serde(default = "canceled_card")]
    reason: String,
}

fn canceled_card() -> String {
    "expired_or_canceled_card".to_owned()
}

async fn fail_refund(
    State(sandbox): Shared,
    Path(id): Path<String>,
    Json(failed): Json<FailedRefund>,
) -> Answer {
    let reason = failed.reason;
    befall(&sandbox, Fate::RefundFailed { id, reason }).await
}

async fn befall(sandbox: &Sandbox, fate: Fate) -> Answer {
    tracing::info!(?fate, "on demand");
    let answer = sandbox.book.befall(&fate, sandbox.clock.now()).await;
    sandbox.happened.notify_one();
    answer.unwrap_or_else(|error| broken(&error))
}

#[derive(Debug, Serialize)]
struct Webhooks {
    /// Still to be sent.
    pending: i64,
    /// Taken by the other side.
    delivered: i64,
}

async fn webhooks(State(sandbox): Shared) -> Response {
    match sandbox.book.deliveries().await {
        Ok((pending, delivered)) => Json(Webhooks { pending, delivered }).into_response(),
        Err(error) => broken(&error).into_response(),
    }
}
