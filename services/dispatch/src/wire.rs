//! Protos ↔ domain: trips as they are seen, drivers as they are found, decisions as they are told.

use hexcab_proto::{
    convert::{FieldError, name, parsed, point, required, timestamp, to_timestamp},
    dispatch::v1 as pb,
    location::v1 as location,
    trip::v1::{self as trip, State},
};
use hexcab_types::{CityId, DriverId, TripId};

use crate::domain::{Considered, Decision, Nearby, Request, Seen, Standing};

/// A trip as dispatch sees it.
///
/// # Errors
/// When a field that dispatch needs cannot be read.
pub fn seen(from: &trip::Trip) -> Result<Seen, FieldError> {
    let id: TripId = name(&from.name, "name")?;
    if from.version < 1 {
        return Err(FieldError::new("version", "must be 1 or more"));
    }
    let standing = match State::try_from(from.state) {
        Ok(State::Requested) => Standing::Open(request(id, from)?),
        Ok(State::Offered) => Standing::Offered(name(
            &required(from.offer.as_ref(), "offer")?.driver,
            "offer.driver",
        )?),
        Ok(State::EnRoute | State::Arrived | State::InProgress) => {
            Standing::Driven(name(&from.driver, "driver")?)
        }
        // A booked trip is none of ours: it comes with a later version when its time has come.
        Ok(State::Scheduled | State::Completed | State::Cancelled | State::Expired) => {
            Standing::Ended
        }
        Ok(State::Unspecified) | Err(_) => {
            return Err(FieldError::new(
                "state",
                format!("{} is no state", from.state),
            ));
        }
    };
    Ok(Seen {
        trip: id,
        version: from.version,
        changed_at: timestamp(from.update_time, "update_time")?,
        standing,
    })
}

fn request(id: TripId, from: &trip::Trip) -> Result<Request, FieldError> {
    let excluded = from
        .excluded_drivers
        .iter()
        .map(|driver| name::<DriverId>(driver, "excluded_drivers"));
    Ok(Request {
        trip: id,
        version: from.version,
        product: parsed(&from.product, "product")?,
        pickup: point(from.pickup, "pickup")?,
        // A booked trip has waited since its search began, not since it was booked.
        created_at: timestamp(from.activate_time.or(from.create_time), "create_time")?,
        expires_at: timestamp(from.request_expire_time, "request_expire_time")?,
        excluded: excluded.collect::<Result<_, _>>()?,
        context: Some(from.traceparent.clone()).filter(|context| !context.is_empty()),
    })
}

/// A driver whom location found.
///
/// # Errors
/// When a field cannot be read.
pub fn nearby(from: &location::NearbyDriver) -> Result<Nearby, FieldError> {
    Ok(Nearby {
        driver: name(&from.driver, "driver")?,
        position: point(from.position, "position")?,
        distance_m: from.distance_m,
        age_ms: from.age_ms,
    })
}

/// A decision for the wire.
pub fn decision(city: &CityId, made: &Decision) -> pb::DecisionMade {
    pb::DecisionMade {
        decision: made.id.name(),
        trip: made.trip.name(),
        city: city.to_string(),
        occur_time: Some(to_timestamp(made.at)),
        policy: made.policy.to_owned(),
        policy_version: i32::try_from(made.policy_version).unwrap_or(i32::MAX),
        window: i64::try_from(made.window).unwrap_or(i64::MAX),
        window_requests: i32::try_from(made.window_requests).unwrap_or(i32::MAX),
        driver: made.driver.map(DriverId::name).unwrap_or_default(),
        considered: made.considered.iter().map(considered).collect(),
    }
}

fn considered(it: &Considered) -> pb::ConsideredDriver {
    pb::ConsideredDriver {
        driver: it.driver.name(),
        eta_s: whole(it.eta_s),
        distance_m: whole(it.distance_m),
        position_age_ms: it.position_age_ms,
        cost_ms: it.cost_ms,
    }
}

/// To the nearest whole number, never negative.
pub fn whole(figure: f64) -> i32 {
    // `as` saturates, and is 0 for what is no number.
    figure.round().max(0.0) as i32
}

#[cfg(test)]
mod tests;
