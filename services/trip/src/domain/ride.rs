//! From the acceptance to the destination: only the driver who accepted, at the pickup, with the rider's code.

use hexcab_types::{DriverId, Point, Timestamp};

use super::{
    Acceptance, Arrival, Event, Refusal, Ride, Rules, StartCode, Trip, release::mine, waiting,
};

/// At the pickup, within the city's geofence.
pub fn arrive(
    trip: &Trip,
    by: &Acceptance,
    driver: DriverId,
    position: Point,
    rules: &Rules,
    now: Timestamp,
) -> Result<Event, Refusal> {
    mine(trip, by, driver)?;
    if position.distance_m(trip.order.pickup) > rules.pickup_geofence_m {
        return Err(Refusal::TooFarFromPickup);
    }
    Ok(Event::Arrived {
        acceptance: by.clone(),
        no_show_from: waiting::no_show_from(trip, rules, now),
    })
}

/// Wrong start codes that a trip takes; then no code starts it, and its rider or an operator ends it. Four digits are
/// guessed one time in a thousand. Written a second time in `migrations/0002_start_codes.sql`.
pub const WRONG_CODES_MAX: i32 = 10;

/// The rider is in the car: he told the driver his code.
pub fn start(
    trip: &Trip,
    arrival: &Arrival,
    driver: DriverId,
    code: &StartCode,
    rules: &Rules,
    now: Timestamp,
) -> Result<Event, Refusal> {
    mine(trip, &arrival.acceptance, driver)?;
    if trip.wrong_codes >= WRONG_CODES_MAX {
        return Err(Refusal::StartCodeLocked);
    }
    if *code != trip.order.start_code {
        return Err(Refusal::WrongStartCode);
    }
    Ok(Event::Started {
        arrival: arrival.clone(),
        waiting_fee: waiting::fee(trip, arrival, rules, now)?,
    })
}

/// The rider is there: he owes the fare and the waiting, of both of which the driver has his share.
pub fn complete(
    trip: &Trip,
    ride: &Ride,
    driver: DriverId,
    rules: &Rules,
) -> Result<Event, Refusal> {
    mine(trip, &ride.arrival.acceptance, driver)?;
    let waiting_share = rules.share_of(ride.waiting_fee)?;
    let (charge, driver_due) = trip
        .order
        .fare
        .plus(ride.waiting_fee)
        .and_then(|charge| Ok((charge, trip.order.driver_pay.plus(waiting_share)?)))
        .map_err(|_| Refusal::AmountOutOfRange)?;
    Ok(Event::Completed {
        ride: ride.clone(),
        charge,
        driver_due,
    })
}

/// The refusal for the trip's own driver; a stranger is only told that he is one.
pub fn refuse(trip: &Trip, by: &Acceptance, driver: DriverId, refusal: Refusal) -> Refusal {
    mine(trip, by, driver).err().unwrap_or(refusal)
}
