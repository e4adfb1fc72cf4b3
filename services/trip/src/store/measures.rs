//! What riders wait for, in numbers: counted where a change was written. Names are listed in docs/telemetry.md.

use hexcab_telemetry::metrics::{Histogram, KeyValue};
use hexcab_types::Timestamp;

use crate::domain::{State, Trip};

static MATCHED: Histogram = Histogram::new(
    "hexcab.trip.match.duration",
    "s",
    "from a request to the acceptance of an offer, on the city's clock, by city",
);
static PICKED_UP: Histogram = Histogram::new(
    "hexcab.trip.pickup.duration",
    "s",
    "from a request to the driver at the pickup, on the city's clock, by city",
);

/// A change of this trip was written: this is how it stands.
pub fn changed(trip: &Trip) {
    match &trip.state {
        State::EnRoute(acceptance) => waited(&MATCHED, trip, acceptance.at),
        State::Arrived(_) => waited(&PICKED_UP, trip, trip.updated_at),
        State::Scheduled
        | State::Requested
        | State::Offered(_)
        | State::InProgress(_)
        | State::Completed { .. }
        | State::Cancelled { .. }
        | State::Expired { .. } => {}
    }
}

/// Of a booked trip since the search began.
fn waited(histogram: &Histogram, trip: &Trip, until: Timestamp) {
    let since = trip.order.activates_at.unwrap_or(trip.created_at);
    let waited = (until - since).as_seconds_f64();
    histogram.record(
        waited.max(0.0),
        &[KeyValue::new("hexcab.city", trip.order.city.to_string())],
    );
}
