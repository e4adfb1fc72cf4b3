//! The driver waits at the pickup: what that costs the rider, and when it is long enough to leave.
//!
//! The clock of both runs from the arrival, or from the pickup time of a driver who came before it. The fee is pro rata:
//! the whole seconds beyond the free time, at the price of a minute, rounded once, half to even. (Whole minutes begun
//! would charge a rider who is a second late for sixty.)

use hexcab_types::{Money, Timestamp};

use super::{Arrival, Event, Refusal, Rules, Trip, cancellation};

/// Seconds of a minute.
const MINUTE_S: i64 = 60;

/// From when on a driver who arrives now may say that nobody came.
pub fn no_show_from(trip: &Trip, rules: &Rules, now: Timestamp) -> Timestamp {
    trip.order.not_before_pickup_time(now) + rules.no_show_after
}

/// Nobody came.
pub fn no_show(
    trip: &Trip,
    arrival: &Arrival,
    rules: &Rules,
    now: Timestamp,
) -> Result<Event, Refusal> {
    if now < arrival.no_show_from {
        return Err(Refusal::NoShowTooEarly);
    }
    cancellation::no_show(trip, rules)
}

/// What the driver's waiting has cost by now.
pub fn fee(
    trip: &Trip,
    arrival: &Arrival,
    rules: &Rules,
    now: Timestamp,
) -> Result<Money, Refusal> {
    let waited = now - trip.order.not_before_pickup_time(arrival.at);
    let charged_s = (waited - rules.waiting_free).num_seconds().max(0);
    let minute = Money::new(rules.waiting_per_minute_minor, trip.order.fare.currency);
    minute
        .per(charged_s, MINUTE_S)
        .map_err(|_| Refusal::AmountOutOfRange)
}
