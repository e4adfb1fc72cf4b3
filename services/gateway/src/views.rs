//! The JSON that apps see: bare ids, points in degrees, money in minor units, times in RFC 3339.
//!
//! - [`trip`] a trip as its rider, driver and operators see it
//! - [`quote`] a quote, surge
//! - [`money`] payments, statements, payouts
//! - [`message`] what is said over a session
//! - [`operator`] events, decisions, status
//!
//! Invariant: the start code is in the rider's view only; excluded drivers, notes and the traceparent in the
//! operator's only. Does not: check anything, our own services wrote what is shown.

pub mod message;
pub mod money;
pub mod operator;
pub mod quote;
pub mod trip;

use hexcab_proto::common::v1 as common;
use hexcab_types::{Point, Timestamp};
use serde::{Deserialize, Serialize};

use crate::status::Problem;

/// A point in degrees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointView {
    /// Latitude.
    pub lat: f64,
    /// Longitude.
    pub lon: f64,
}

impl PointView {
    /// The point, if it is on earth.
    ///
    /// # Errors
    /// 400 naming `field` when it is not.
    pub fn point(self, field: &str) -> Result<Point, Problem> {
        Point::from_degrees(self.lat, self.lon)
            .map_err(|error| Problem::field(field, error.to_string()))
    }
}

impl From<common::LatLng> for PointView {
    fn from(point: common::LatLng) -> Self {
        Self {
            lat: f64::from(point.lat_e7) / 1e7,
            lon: f64::from(point.lon_e7) / 1e7,
        }
    }
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MoneyView {
    /// In the currency's minor unit.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
}

impl From<common::Money> for MoneyView {
    fn from(money: common::Money) -> Self {
        Self {
            amount_minor: money.amount_minor,
            currency: money.currency_code,
        }
    }
}

/// The id of a resource name: what stands after the slash.
pub fn bare(name: &str) -> String {
    name.rsplit('/').next().unwrap_or(name).to_owned()
}

/// The id of a resource name that may be empty.
pub fn optional_bare(name: &str) -> Option<String> {
    (!name.is_empty()).then(|| bare(name))
}

/// An instant, if it is one.
pub fn instant(at: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    hexcab_proto::convert::timestamp(at, "").ok()
}

/// The name of an enum's value without its prefix: `STATE_EN_ROUTE` → `EN_ROUTE`.
pub fn bare_enum(name: &'static str, prefix: &str) -> &'static str {
    name.strip_prefix(prefix).unwrap_or(name)
}
