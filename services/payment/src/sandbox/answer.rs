//! What the sandbox says: a status and Stripe's JSON.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Json, Response},
};
use serde_json::{Value, json};

/// Says that this is the first answer to its key, told again.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Status and body: what an idempotency key remembers.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON body.
    pub body: Value,
    /// Told before, to the same key.
    pub replayed: bool,
}

/// The kinds of error that Stripe tells apart.
#[derive(Debug, Clone, Copy)]
pub enum ErrorType {
    /// 402: the card was refused.
    Card,
    /// 4xx: the request is wrong.
    InvalidRequest,
    /// 400 or 409: the key was used for something else, or is in use.
    Idempotency,
    /// 500: our fault.
    Api,
}

impl ErrorType {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Card => "card_error",
            Self::InvalidRequest => "invalid_request_error",
            Self::Idempotency => "idempotency_error",
            Self::Api => "api_error",
        }
    }
}

impl Answer {
    /// 200.
    pub const fn ok(body: Value) -> Self {
        Self {
            status: 200,
            body,
            replayed: false,
        }
    }

    /// 200 with items, newest first. `object` is `list` or `search_result`.
    pub fn page(object: &str, url: &str, data: Vec<Value>, has_more: bool) -> Self {
        Self::ok(json!({"object": object, "url": url, "has_more": has_more, "data": data}))
    }

    /// An error.
    pub fn error(status: u16, kind: ErrorType, code: &str, message: impl Into<String>) -> Self {
        let error = json!({"type": kind.as_str(), "code": code, "message": message.into()});
        Self {
            status,
            body: json!({ "error": error }),
            replayed: false,
        }
    }

    /// 402: the card was refused. `payment` is the payment as it is now.
    pub fn declined(code: &str, payment: Value) -> Self {
        let mut error = decline(code);
        error["payment_intent"] = payment;
        Self {
            status: 402,
            body: json!({ "error": error }),
            replayed: false,
        }
    }

    /// 404: there is no such object.
    pub fn missing(object: &str, id: &str) -> Self {
        Self::error(
            404,
            ErrorType::InvalidRequest,
            "resource_missing",
            format!("No such {object}: '{id}'"),
        )
    }

    /// 400: the payment is not in a state for this.
    pub fn unexpected_state(verb: &str, status: &str) -> Self {
        Self::error(
            400,
            ErrorType::InvalidRequest,
            "payment_intent_unexpected_state",
            format!("You cannot {verb} this PaymentIntent because it has a status of {status}."),
        )
    }
}

/// Why a card was refused, in Stripe's shape.
pub fn decline(code: &str) -> Value {
    json!({
        "type": "card_error",
        "code": "card_declined",
        "decline_code": code,
        "message": "Your card was declined.",
    })
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.body)).into_response();
        if self.replayed {
            let yes = HeaderValue::from_static("true");
            response.headers_mut().insert(REPLAYED, yes);
        }
        response
    }
}
