//! Every error of this service → `tonic::Status`, with a reason in the domain `payment.hexcab`.

use hexcab_chassis::status;
use hexcab_ledger::LedgerError;
use tonic::{Code, Status};

use crate::{
    domain::RefusedKind,
    store::{AskError, StoreError},
};

/// The ErrorInfo domain.
pub const DOMAIN: &str = "payment.hexcab";

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Pg(error) | StoreError::Ledger(LedgerError::Pg(error)) => {
                error.status(DOMAIN)
            }
            StoreError::LeaseLost
            | StoreError::Refused(_)
            | StoreError::Settlement(_)
            | StoreError::Contradiction(_)
            | StoreError::Amount(_)
            | StoreError::Ledger(LedgerError::Refused(_) | LedgerError::Unreadable(_))
            | StoreError::Unreadable(_) => {
                tracing::error!(
                    error = format!("{:#}", anyhow::Error::from(error)),
                    "a request failed"
                );
                status::internal(DOMAIN)
            }
        }
    }
}

impl From<AskError> for Status {
    fn from(error: AskError) -> Self {
        let message = error.to_string();
        let (code, reason) = match error {
            AskError::Store(error) => return error.into(),
            AskError::Refused(refused) => {
                let code = match refused.kind() {
                    RefusedKind::Malformed => Code::InvalidArgument,
                    RefusedKind::NotYours => Code::PermissionDenied,
                    RefusedKind::State => Code::FailedPrecondition,
                };
                (code, refused.reason())
            }
            AskError::NoIntent => (Code::NotFound, "INTENT_NOT_FOUND"),
            AskError::NoPayout => (Code::NotFound, "PAYOUT_NOT_FOUND"),
            AskError::RequestIdReused => (Code::InvalidArgument, "REQUEST_ID_REUSED"),
            AskError::RequestInFlight => (Code::Aborted, "REQUEST_IN_FLIGHT"),
        };
        status::error(code, reason, DOMAIN, message)
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

/// NOT_FOUND: there is no such payout batch.
pub fn payout_not_found(name: &str) -> Status {
    status::error(
        Code::NotFound,
        "PAYOUT_NOT_FOUND",
        DOMAIN,
        format!("{name} is not a payout batch"),
    )
}

/// FAILED_PRECONDITION: more lines than an answer holds.
pub fn statement_too_long() -> Status {
    status::error(
        Code::FailedPrecondition,
        "STATEMENT_TOO_LONG",
        DOMAIN,
        "there is too much to tell: ask for a shorter time",
    )
}

/// DATA_LOSS: a payout's file is not what was kept of it.
pub fn file_changed(name: &str) -> Status {
    tracing::error!(
        payout = name,
        "a payout's file does not have the hash that was kept"
    );
    status::error(
        Code::DataLoss,
        "FILE_CHANGED",
        DOMAIN,
        "the file is not what it was",
    )
}
