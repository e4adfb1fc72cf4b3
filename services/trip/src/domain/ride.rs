//! From the acceptance to the destination: only the driver who accepted, at the pickup, with the rider's code.

use hexcab_types::{DriverId, Point, Timestamp};

use super::{Acceptance, Arrival, Event, Refusal, Ride, Rules, StartCode, Trip};

/// At the pickup, within the city's geofence.
pub fn arrive(
    trip: &Trip,
    by: &Acceptance,
    driver: DriverId,
    position: Point,
    rules: &Rules,
) -> Result<Event, Refusal> {
    mine(by, driver)?;
    if position.distance_m(trip.order.pickup) > rules.pickup_geofence_m {
        return Err(Refusal::TooFarFromPickup);
    }
    Ok(Event::Arrived {
        acceptance: by.clone(),
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
) -> Result<Event, Refusal> {
    mine(&arrival.acceptance, driver)?;
    if trip.wrong_codes >= WRONG_CODES_MAX {
        return Err(Refusal::StartCodeLocked);
    }
    if *code != trip.order.start_code {
        return Err(Refusal::WrongStartCode);
    }
    Ok(Event::Started {
        arrival: arrival.clone(),
    })
}

/// The rider is there.
pub fn complete(ride: &Ride, driver: DriverId) -> Result<Event, Refusal> {
    mine(&ride.arrival.acceptance, driver)?;
    Ok(Event::Completed { ride: ride.clone() })
}

/// The driver gives the trip back. The search starts anew with its whole time: the rider lost his driver through no
/// fault of his own.
pub fn release(
    by: &Acceptance,
    driver: DriverId,
    rules: &Rules,
    now: Timestamp,
) -> Result<Event, Refusal> {
    mine(by, driver)?;
    Ok(Event::Released {
        driver,
        epoch: by.epoch,
        request_expires_at: now + rules.request_ttl,
    })
}

/// The refusal for the trip's own driver; a stranger is only told that he is one.
pub fn refuse(by: &Acceptance, driver: DriverId, refusal: Refusal) -> Refusal {
    mine(by, driver).err().unwrap_or(refusal)
}

fn mine(by: &Acceptance, driver: DriverId) -> Result<(), Refusal> {
    if by.driver == driver {
        Ok(())
    } else {
        Err(Refusal::NotYourTrip)
    }
}
