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

/// The rider is in the car: he told the driver his code.
pub fn start(
    trip: &Trip,
    arrival: &Arrival,
    driver: DriverId,
    code: &StartCode,
) -> Result<Event, Refusal> {
    mine(&arrival.acceptance, driver)?;
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
