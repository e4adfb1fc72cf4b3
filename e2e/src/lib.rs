//! What the scenarios speak with: a running city, its riders and drivers through the public API, a collector of spans,
//! and what can be read out of the sources: their guards and their instruments.
//!
//! Does not: reach into a service. What a scenario sees is what an app or an operator could see.

#![allow(
    clippy::missing_panics_doc,
    clippy::expect_used,
    reason = "in a test a panic is the message"
)]

mod api;
mod city;
pub mod collector;
mod driver;
pub mod guards;
mod jaeger;
mod keeper;
mod rider;
pub mod telemetry;

use std::{future::Future, time::Duration};

pub use api::{Answer, Api, new_key};
pub use city::{City, Has, REPLICATED, SERVICES};
pub use driver::Driver;
pub use rider::Rider;

/// How long [`eventually`] waits. Long enough for a service to die, be started again and join its consumer group.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// Looks until the fact is there; panics with `what` when it does not come.
pub async fn eventually<T, F, Fut>(what: &str, look: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    hexcab_testkit::within(PATIENCE, || what, look).await
}

/// A place, degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Latitude.
    pub lat: f64,
    /// Longitude.
    pub lon: f64,
}

impl Place {
    /// As the API writes it.
    pub fn json(self) -> serde_json::Value {
        serde_json::json!({"lat": self.lat, "lon": self.lon})
    }

    /// A place this far to the north, metres.
    pub fn north(self, metres: f64) -> Self {
        Self {
            lat: self.lat + metres / 111_195.0,
            ..self
        }
    }
}

/// Civic Center: where most scenarios begin.
pub const CIVIC_CENTER: Place = Place {
    lat: 37.7793,
    lon: -122.4193,
};
/// The Ferry Building: where most rides go.
pub const FERRY_BUILDING: Place = Place {
    lat: 37.7950,
    lon: -122.3950,
};
/// Visitacion Valley, ten kilometres from everything else: no driver is ever near.
pub const FAR_SOUTH: Place = Place {
    lat: 37.7130,
    lon: -122.4080,
};
