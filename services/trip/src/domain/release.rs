//! A driver who accepted no longer has the trip: he gave it back, did not come in his time, or an operator took it.
//!
//! Whichever it was, the search begins anew with its whole time (the rider lost his driver through no fault of his own)
//! and that driver is not asked again (I8).

use hexcab_types::{DriverId, OperatorId, Timestamp};

use super::{
    Acceptance, Event, ExclusionReason, Offer, Refusal, ReleasedBy, Rules, Trip, schedule,
};

/// How many times the road's time a driver may take to the pickup.
const ETA_TIMES: i64 = 3;

/// Last instant for a driver who accepts this offer now to reach the pickup: the city's least or three times the road's
/// time, from now or, for a ride booked ahead, from the pickup time.
pub fn stalls_at(trip: &Trip, offer: &Offer, rules: &Rules, now: Timestamp) -> Timestamp {
    let on_the_road = chrono::TimeDelta::seconds(ETA_TIMES * i64::from(offer.pickup_eta_s));
    trip.order.not_before_pickup_time(now) + on_the_road.max(rules.stall_min)
}

/// The driver gives it back.
pub fn give_back(
    trip: &Trip,
    by: &Acceptance,
    driver: DriverId,
    rules: &Rules,
    now: Timestamp,
) -> Result<Event, Refusal> {
    mine(trip, by, driver)?;
    Ok(released(trip, by, ReleasedBy::Driver, rules, now))
}

/// The driver's time is over.
pub fn stall(
    trip: &Trip,
    by: &Acceptance,
    epoch: i32,
    rules: &Rules,
    now: Timestamp,
) -> Result<Event, Refusal> {
    if epoch != by.epoch {
        return Err(Refusal::OfferSuperseded);
    }
    if now <= by.stalls_at {
        return Err(Refusal::NotStalled);
    }
    Ok(released(trip, by, ReleasedBy::Stall, rules, now))
}

/// An operator has another driver looked for.
pub fn reassign(
    trip: &Trip,
    by: &Acceptance,
    (operator, note): (OperatorId, &str),
    rules: &Rules,
    now: Timestamp,
) -> Event {
    let operator = ReleasedBy::Operator {
        operator,
        note: note.to_owned(),
    };
    released(trip, by, operator, rules, now)
}

/// That the trip is this driver's.
pub fn mine(trip: &Trip, by: &Acceptance, driver: DriverId) -> Result<(), Refusal> {
    if by.driver == driver {
        Ok(())
    } else {
        Err(lost(trip, driver))
    }
}

/// What a driver is told who does not have the trip: how he lost it, if he had it, and nothing else (I5).
pub fn lost(trip: &Trip, driver: DriverId) -> Refusal {
    let ended = trip.excluded.iter().find(|ended| ended.driver == driver);
    match ended.map(|ended| ended.reason) {
        Some(ExclusionReason::Released) => Refusal::TripReleased,
        Some(ExclusionReason::Stalled) => Refusal::TripStalled,
        Some(ExclusionReason::Reassigned) => Refusal::TripReassigned,
        Some(ExclusionReason::Declined | ExclusionReason::TimedOut) | None => Refusal::NotYourTrip,
    }
}

fn released(trip: &Trip, was: &Acceptance, by: ReleasedBy, rules: &Rules, now: Timestamp) -> Event {
    Event::Released {
        driver: was.driver,
        epoch: was.epoch,
        by,
        request_expires_at: schedule::search_until(&trip.order, rules, now),
    }
}
