//! Every refusal of dispatch's API, and the gRPC status it becomes: one match.

use hexcab_chassis::status::error;
use hexcab_proto::convert::FieldError;
use tonic::{Code, Status};

/// The domain of this service's reasons.
pub const DOMAIN: &str = "dispatch.hexcab";

/// Why a question is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A field that cannot be read.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// No decision is kept under this name.
    #[error("no decision is kept for {0}")]
    DecisionNotKept(String),
    /// Not one of the configured cities.
    #[error("city {0:?} is not dispatched here")]
    CityUnknown(String),
    /// Another process has the city now, or none yet.
    #[error("city {0:?} is not this process's at the moment")]
    CityNotOwned(String),
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        let (code, reason) = match refusal {
            Refusal::Field(field) => return field.into(),
            Refusal::DecisionNotKept(_) => (Code::NotFound, "DECISION_NOT_KEPT"),
            Refusal::CityUnknown(_) => (Code::NotFound, "CITY_UNKNOWN"),
            Refusal::CityNotOwned(_) => (Code::FailedPrecondition, "CITY_NOT_OWNED"),
        };
        error(code, reason, DOMAIN, message)
    }
}
