//! Stripe's JSON, as far as we read it.

use serde::Deserialize;

use super::{Failure, Payment, PaymentStatus};
use crate::domain::ProcessorId;

/// A PaymentIntent.
#[derive(Debug, Deserialize)]
pub struct PaymentIntent {
    id: String,
    status: String,
    #[serde(default)]
    amount_received: i64,
    last_payment_error: Option<ApiError>,
}

/// A page of PaymentIntents.
#[derive(Debug, Deserialize)]
pub struct PaymentIntents {
    /// Newest first.
    pub data: Vec<PaymentIntent>,
}

/// The body of every error.
#[derive(Debug, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ApiError,
}

/// What went wrong.
#[derive(Debug, Deserialize)]
pub struct ApiError {
    code: Option<String>,
    decline_code: Option<String>,
    message: Option<String>,
}

impl ApiError {
    /// The most exact code there is.
    pub fn code(&self) -> String {
        let code = self.decline_code.as_ref().or(self.code.as_ref());
        code.map_or_else(|| "card_declined".to_owned(), Clone::clone)
    }

    /// For a log line.
    pub fn describe(&self) -> String {
        let (code, message) = (
            self.code.as_deref().unwrap_or("-"),
            self.message.as_deref().unwrap_or("-"),
        );
        format!("{code}: {message}")
    }
}

impl TryFrom<PaymentIntent> for Payment {
    type Error = Failure;
    fn try_from(body: PaymentIntent) -> Result<Self, Failure> {
        let status = match body.status.as_str() {
            "requires_capture" => PaymentStatus::Held,
            "succeeded" => PaymentStatus::Captured {
                amount_minor: body.amount_received,
            },
            "canceled" => PaymentStatus::Canceled,
            "requires_payment_method" => {
                let code = body
                    .last_payment_error
                    .map_or_else(|| "card_declined".to_owned(), |error| error.code());
                PaymentStatus::Declined { code }
            }
            "processing" => return Err(Failure::InFlight),
            other => {
                return Err(Failure::Rejected(format!(
                    "payment {} has status {other:?}",
                    body.id
                )));
            }
        };
        Ok(Self {
            id: ProcessorId(body.id),
            status,
        })
    }
}
