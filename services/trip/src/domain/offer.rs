//! Offers: one driver at a time is asked, and his answer counts only for the current epoch and in time (I4).

use hexcab_types::{DriverId, Timestamp};

use super::{
    ACCEPTANCE_GRACE, Acceptance, Event, ExclusionReason, Offer, OfferRef, OfferTo, Refusal, Rules,
    Trip, release,
};

/// Asks a driver who was not asked before (I8), while there is time to search.
pub fn make(trip: &Trip, to: &OfferTo, rules: &Rules, now: Timestamp) -> Result<Event, Refusal> {
    if to.version.is_some_and(|version| version != trip.version) {
        return Err(Refusal::TripChanged);
    }
    if trip.excludes(to.driver) {
        return Err(Refusal::DriverExcluded);
    }
    if now > trip.request_expires_at {
        return Err(Refusal::SearchEnded);
    }
    Ok(Event::OfferMade(Offer {
        driver: to.driver,
        epoch: trip.epoch + 1,
        expires_at: now + rules.offer_ttl,
        decision: to.decision,
        pickup_eta_s: to.pickup_eta_s,
        pickup_distance_m: to.pickup_distance_m,
    }))
}

/// Takes the trip, until the deadline and a second.
pub fn accept(
    trip: &Trip,
    open: &Offer,
    answer: &OfferRef,
    rules: &Rules,
    now: Timestamp,
) -> Result<Event, Refusal> {
    current(trip, open, answer)?;
    if is_over(open, now) {
        return Err(Refusal::OfferExpired);
    }
    Ok(Event::OfferAccepted {
        driver: answer.driver,
        epoch: answer.epoch,
        stalls_at: release::stalls_at(trip, open, rules, now),
    })
}

/// Refuses, even after the deadline: the outcome is the same.
pub fn decline(trip: &Trip, open: &Offer, answer: &OfferRef) -> Result<Event, Refusal> {
    current(trip, open, answer)?;
    Ok(Event::OfferDeclined {
        driver: answer.driver,
        epoch: answer.epoch,
    })
}

/// Ends an offer whose deadline passed.
pub fn expire(open: &Offer, epoch: i32, now: Timestamp) -> Result<Event, Refusal> {
    if epoch != open.epoch {
        return Err(Refusal::OfferSuperseded);
    }
    if !is_over(open, now) {
        return Err(Refusal::OfferStillOpen);
    }
    Ok(Event::OfferExpired {
        driver: open.driver,
        epoch,
    })
}

/// Why a driver who has not accepted cannot act on the trip.
pub fn not_accepted(trip: &Trip, open: &Offer, driver: DriverId) -> Refusal {
    if driver == open.driver {
        Refusal::OfferNotAccepted
    } else {
        release::lost(trip, driver)
    }
}

/// Why an answer comes too late once a driver is on the trip.
pub fn settled(trip: &Trip, by: &Acceptance, answer: &OfferRef) -> Refusal {
    if answer.epoch != by.epoch {
        return earlier_or_unknown(trip, answer);
    }
    if answer.driver == by.driver {
        Refusal::OfferTaken
    } else {
        Refusal::NotYourOffer
    }
}

/// Why an answer comes too late once the search is on again: how that offer ended (I5).
pub fn how_it_ended(trip: &Trip, answer: &OfferRef) -> Refusal {
    let Some(ended) = trip
        .excluded
        .iter()
        .find(|exclusion| exclusion.epoch == answer.epoch)
    else {
        return Refusal::NoOpenOffer;
    };
    if ended.driver != answer.driver {
        return Refusal::NotYourOffer;
    }
    match ended.reason {
        ExclusionReason::Declined => Refusal::OfferDeclined,
        ExclusionReason::TimedOut => Refusal::OfferExpired,
        ExclusionReason::Released => Refusal::TripReleased,
        ExclusionReason::Stalled => Refusal::TripStalled,
        ExclusionReason::Reassigned => Refusal::TripReassigned,
    }
}

fn current(trip: &Trip, open: &Offer, answer: &OfferRef) -> Result<(), Refusal> {
    if answer.epoch != open.epoch {
        return Err(earlier_or_unknown(trip, answer));
    }
    if answer.driver != open.driver {
        return Err(Refusal::NotYourOffer);
    }
    Ok(())
}

fn earlier_or_unknown(trip: &Trip, answer: &OfferRef) -> Refusal {
    if (1..trip.epoch).contains(&answer.epoch) {
        Refusal::OfferSuperseded
    } else {
        Refusal::NoOpenOffer
    }
}

fn is_over(open: &Offer, now: Timestamp) -> bool {
    now > open.expires_at + ACCEPTANCE_GRACE
}
