//! Between wire types and `hexcab-types`: what every handler needs to read a request and write an answer.
//!
//! A value that cannot be read is a [`FieldError`] naming the field, which becomes INVALID_ARGUMENT.

use hexcab_types::{Currency, Money, Named, Point, Timestamp};
use tonic_types::{ErrorDetails, StatusExt};

use crate::common::v1 as common;

/// A field of a request that cannot be read: which one and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    /// Path of the field, such as `pickup.lat_e7`.
    pub field: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl FieldError {
    /// An error of this field.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

/// INVALID_ARGUMENT with ErrorInfo `FIELD_INVALID` and the field in BadRequest.
impl From<FieldError> for tonic::Status {
    fn from(error: FieldError) -> Self {
        let mut details = ErrorDetails::with_error_info(
            "FIELD_INVALID",
            "hexcab",
            [("field".to_owned(), error.field.clone())],
        );
        details.add_bad_request_violation(error.field.clone(), error.problem.clone());
        tonic::Status::with_error_details(tonic::Code::InvalidArgument, error.to_string(), details)
    }
}

/// The value of a required message field.
///
/// # Errors
/// When it is missing.
pub fn required<T>(value: Option<T>, field: &str) -> Result<T, FieldError> {
    value.ok_or_else(|| FieldError::new(field, "is required"))
}

/// A resource name, `collection/{uuid}`.
///
/// # Errors
/// When it is empty, of another collection or not a UUID.
pub fn name<T: Named>(value: &str, field: &str) -> Result<T, FieldError> {
    if value.is_empty() {
        return Err(FieldError::new(field, "is required"));
    }
    T::from_name(value).map_err(|error| FieldError::new(field, error.to_string()))
}

/// A resource name that may be left empty.
///
/// # Errors
/// When it is not empty and cannot be read.
pub fn optional_name<T: Named>(value: &str, field: &str) -> Result<Option<T>, FieldError> {
    if value.is_empty() {
        Ok(None)
    } else {
        name(value, field).map(Some)
    }
}

/// Text that parses as `T`: a bare UUID, a slug, a cell.
///
/// # Errors
/// When it is empty or does not parse.
pub fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    value: &str,
    field: &str,
) -> Result<T, FieldError> {
    if value.is_empty() {
        return Err(FieldError::new(field, "is required"));
    }
    value
        .parse()
        .map_err(|error: T::Err| FieldError::new(field, error.to_string()))
}

/// A required point on earth.
///
/// # Errors
/// When it is missing or off the earth.
pub fn point(value: Option<common::LatLng>, field: &str) -> Result<Point, FieldError> {
    let value = required(value, field)?;
    Point::from_e7(value.lat_e7, value.lon_e7)
        .map_err(|error| FieldError::new(field, error.to_string()))
}

/// A required amount of money.
///
/// # Errors
/// When it is missing or its currency is unknown.
pub fn money(value: Option<common::Money>, field: &str) -> Result<Money, FieldError> {
    let value = required(value, field)?;
    let currency: Currency = value
        .currency_code
        .parse()
        .map_err(|error| FieldError::new(field, format!("{error}")))?;
    Ok(Money::new(value.amount_minor, currency))
}

/// A required instant.
///
/// # Errors
/// When it is missing or out of range.
pub fn timestamp(
    value: Option<prost_types::Timestamp>,
    field: &str,
) -> Result<Timestamp, FieldError> {
    let value = required(value, field)?;
    u32::try_from(value.nanos)
        .ok()
        .and_then(|nanos| Timestamp::from_timestamp(value.seconds, nanos))
        .ok_or_else(|| FieldError::new(field, "is not an instant"))
}

/// An instant for the wire.
pub fn to_timestamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.timestamp(),
        nanos: at.timestamp_subsec_nanos() as i32,
    }
}

impl From<Point> for common::LatLng {
    fn from(point: Point) -> Self {
        Self {
            lat_e7: point.lat_e7(),
            lon_e7: point.lon_e7(),
        }
    }
}

impl From<Money> for common::Money {
    fn from(money: Money) -> Self {
        Self {
            currency_code: money.currency.code().to_owned(),
            amount_minor: money.minor,
        }
    }
}
