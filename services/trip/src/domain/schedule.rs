//! Rides booked ahead: how far, and when their search for a driver begins.
//!
//! A booked trip does not count as its rider's active one (I1); whether he is free when its time has come is the
//! database's to say, and the sweeper then calls it off. Does not: know whether he is.

use hexcab_types::Timestamp;

use super::{Event, Order, Refusal, Rules, Trip};

/// When the search for a ride of this pickup time begins; none for one that begins at once, because the pickup time is
/// now or nearer than the city's lead time.
///
/// # Errors
/// `PICKUP_TIME_PASSED`, `SCHEDULE_TOO_FAR`.
pub fn activates_at(
    pickup_time: Option<Timestamp>,
    rules: &Rules,
    now: Timestamp,
) -> Result<Option<Timestamp>, Refusal> {
    let Some(wanted) = pickup_time else {
        return Ok(None);
    };
    if wanted < now {
        return Err(Refusal::PickupTimePassed);
    }
    if wanted - now > rules.schedule_ahead {
        return Err(Refusal::ScheduleTooFar);
    }
    Ok((wanted - now > rules.schedule_lead).then(|| wanted - rules.schedule_lead))
}

/// The first event of a trip: it is looked for at once, or booked.
pub fn begin(order: &Order, rules: &Rules, now: Timestamp) -> Event {
    match order.activates_at {
        None => Event::Requested {
            request_expires_at: search_until(order, rules, now),
        },
        Some(at) => Event::Scheduled {
            request_expires_at: search_until(order, rules, at),
        },
    }
}

/// The time of a booked trip has come.
pub fn activate(trip: &Trip, rules: &Rules, now: Timestamp) -> Result<Event, Refusal> {
    // Every booked trip has the instant; one without it would be looked for at once.
    if trip.order.activates_at.is_some_and(|due| now <= due) {
        return Err(Refusal::ScheduleNotDue);
    }
    Ok(Event::Activated {
        request_expires_at: search_until(&trip.order, rules, now),
    })
}

/// The last instant of a search that begins now: its whole time, and never before the rider wants to be picked up.
pub fn search_until(order: &Order, rules: &Rules, now: Timestamp) -> Timestamp {
    order.not_before_pickup_time(now + rules.request_ttl)
}
