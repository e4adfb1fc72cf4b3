//! gRPC errors that say why: every non-OK status carries `google.rpc.ErrorInfo` with a catalogued reason.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// A status with a reason such as `OFFER_EXPIRED` in a domain such as `trip.hexcab`.
pub fn error(code: Code, reason: &str, domain: &str, message: impl Into<String>) -> Status {
    let details = ErrorDetails::with_error_info(reason, domain, std::collections::HashMap::new());
    Status::with_error_details(code, message, details)
}

/// The same status with `RetryInfo`: when to try again.
pub fn with_retry(status: &Status, after: Duration) -> Status {
    let mut details = status.get_error_details();
    details.set_retry_info(Some(after));
    Status::with_error_details(status.code(), status.message(), details)
}

/// The ErrorInfo reason of a status.
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// When the callee says to try again.
pub fn retry_after(status: &Status) -> Option<Duration> {
    status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay)
}

/// INTERNAL without details: our bug. The cause belongs in the log, not on the wire.
pub fn internal(domain: &str) -> Status {
    error(Code::Internal, "INTERNAL", domain, "internal error")
}

/// UNAVAILABLE with RetryInfo: something this service needs is away.
pub fn unavailable(domain: &str, message: impl Into<String>) -> Status {
    with_retry(
        &error(Code::Unavailable, "DEPENDENCY_UNAVAILABLE", domain, message),
        Duration::from_millis(500),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_survives_a_retry_hint() {
        let status = with_retry(
            &error(Code::Aborted, "TRIP_CHANGED", "trip.hexcab", "x"),
            Duration::from_secs(1),
        );
        assert_eq!(reason(&status).as_deref(), Some("TRIP_CHANGED"));
        assert_eq!(retry_after(&status), Some(Duration::from_secs(1)));
    }
}
