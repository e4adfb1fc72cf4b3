//! What the sandbox says, in the shape of Stripe's JSON.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Json, Response},
};
use serde_json::{Value, json};

use super::book::Payment;

/// Status and body: what an idempotency key remembers.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON body.
    pub body: Value,
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
    /// 200 with a payment.
    pub fn payment(payment: &Payment) -> Self {
        Self {
            status: 200,
            body: payment.json(),
        }
    }

    /// 200 with payments, newest first. `object` is `list` or `search_result`.
    pub fn page(object: &str, payments: &[Payment], has_more: bool) -> Self {
        let data: Vec<Value> = payments.iter().map(Payment::json).collect();
        Self {
            status: 200,
            body: json!({"object": object, "url": "/v1/payment_intents", "has_more": has_more, "data": data}),
        }
    }

    /// An error.
    pub fn error(status: u16, kind: ErrorType, code: &str, message: impl Into<String>) -> Self {
        let error = json!({"type": kind.as_str(), "code": code, "message": message.into()});
        Self {
            status,
            body: json!({ "error": error }),
        }
    }

    /// 402 with the payment that was refused.
    pub fn declined(payment: &Payment) -> Self {
        let mut error = payment.decline_json();
        if let Value::Object(error) = &mut error {
            error.insert("payment_intent".to_owned(), payment.json());
        }
        Self {
            status: 402,
            body: json!({ "error": error }),
        }
    }

    /// 404: no such payment.
    pub fn missing(id: &str) -> Self {
        Self::error(
            404,
            ErrorType::InvalidRequest,
            "resource_missing",
            format!("No such payment_intent: '{id}'"),
        )
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.body)).into_response()
    }
}
