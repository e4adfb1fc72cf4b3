//! Every refusal of pricing, and the gRPC status it becomes: one match.

use hexcab_chassis::status::{error, internal};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    domain::quote::{End, Refusal},
    quoting::QuoteError,
};

/// The domain of this service's reasons.
pub const DOMAIN: &str = "pricing.hexcab";

impl From<QuoteError> for Status {
    fn from(failure: QuoteError) -> Self {
        match failure {
            QuoteError::Refused(refusal) => refused(&refusal),
            QuoteError::Store(error) => error.status(DOMAIN),
            QuoteError::Fare(_) | QuoteError::Token(_) => {
                tracing::error!(
                    error = format!("{:#}", anyhow::Error::new(failure)),
                    "no quote could be made"
                );
                internal(DOMAIN)
            }
        }
    }
}

/// A refusal for the wire.
pub fn refused(refusal: &Refusal) -> Status {
    let (code, reason) = match refusal {
        Refusal::CityUnknown(_) => (Code::NotFound, "CITY_UNKNOWN"),
        Refusal::ProductUnknown(..) => (Code::InvalidArgument, "PRODUCT_UNKNOWN"),
        Refusal::OutOfServiceArea(end, _) => return out_of_service_area(*end, refusal),
        Refusal::NoRoute => (Code::FailedPrecondition, "NO_ROUTE"),
        Refusal::RequestIdReused(_) => (Code::InvalidArgument, "REQUEST_ID_REUSED"),
        Refusal::QuoteUnknown(_) => (Code::NotFound, "QUOTE_UNKNOWN"),
    };
    error(code, reason, DOMAIN, refusal.to_string())
}

/// Names the end in the metadata and as a violated field, so that an app can point at it.
fn out_of_service_area(end: End, refusal: &Refusal) -> Status {
    let metadata = [("field".to_owned(), end.field().to_owned())];
    let mut details = ErrorDetails::with_error_info("OUT_OF_SERVICE_AREA", DOMAIN, metadata);
    details.add_bad_request_violation(end.field(), refusal.to_string());
    Status::with_error_details(Code::FailedPrecondition, refusal.to_string(), details)
}
