//! Every error of this service → `tonic::Status`, with a reason in the domain `payment.hexcab`.

use hexcab_chassis::status;
use tonic::{Code, Status};

use crate::store::StoreError;

/// The ErrorInfo domain.
pub const DOMAIN: &str = "payment.hexcab";

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Pg(error) => error.status(DOMAIN),
            StoreError::LeaseLost
            | StoreError::Refused(_)
            | StoreError::Settlement(_)
            | StoreError::Unbalanced(_)
            | StoreError::Transfer(_)
            | StoreError::Unreadable(_) => {
                tracing::error!(
                    error = format!("{:#}", anyhow::Error::from(error)),
                    "a read failed"
                );
                status::internal(DOMAIN)
            }
        }
    }
}

/// NOT_FOUND: the trip has no intent (yet).
pub fn intent_not_found(trip: &str) -> Status {
    status::error(
        Code::NotFound,
        "INTENT_NOT_FOUND",
        DOMAIN,
        format!("{trip} has no payment intent"),
    )
}
