//! Every error as a `tonic::Status` with a catalogued reason. One exhaustive match.

use hexcab_chassis::status;
use tonic::{Code, Status};

use crate::{domain::RefusalKind, store::ExecuteError};

/// The domain of this service's reasons.
pub const DOMAIN: &str = "trip.hexcab";

impl From<ExecuteError> for Status {
    fn from(error: ExecuteError) -> Self {
        let message = error.to_string();
        match error {
            ExecuteError::Refused(refusal) => {
                let code = match refusal.kind() {
                    RefusalKind::Malformed => Code::InvalidArgument,
                    RefusalKind::NotYours => Code::PermissionDenied,
                    RefusalKind::State => Code::FailedPrecondition,
                    RefusalKind::Stale => Code::Aborted,
                };
                status::error(code, refusal.reason(), DOMAIN, message)
            }
            ExecuteError::NoSuchTrip => {
                status::error(Code::NotFound, "TRIP_NOT_FOUND", DOMAIN, message)
            }
            ExecuteError::RequestIdReused => {
                status::error(Code::InvalidArgument, "REQUEST_ID_REUSED", DOMAIN, message)
            }
            ExecuteError::RequestInFlight => {
                status::error(Code::Aborted, "REQUEST_IN_FLIGHT", DOMAIN, message)
            }
            ExecuteError::VersionConflict => {
                status::error(Code::Aborted, "TRIP_CHANGED", DOMAIN, message)
            }
            ExecuteError::Unreadable(what) => {
                tracing::error!(what, "what is stored cannot be read");
                status::internal(DOMAIN)
            }
            ExecuteError::Pg(error) => error.status(DOMAIN),
        }
    }
}
