//! Which command does what to a trip, and when it is refused: the one table of states and commands.
//!
//! Invariants: one accepted command is one event; a finished trip never changes (I3); at most one driver is asked, and
//! he who loses a race is told to what (I5). Does not: read the clock, touch the store, retry, or know other trips
//! (whether a driver or rider is busy elsewhere is the database's to say, I1).

use hexcab_types::Timestamp;

use super::{
    Canceller, Command, Event, Refusal, Rules, State, Trip, cancellation, offer, ride, search,
};

/// What the command does to the trip now.
///
/// # Errors
/// The reason why it is refused.
pub fn decide(
    trip: &Trip,
    command: &Command,
    rules: &Rules,
    now: Timestamp,
) -> Result<Event, Refusal> {
    use Command::{
        Accept, Arrive, Cancel, Complete, Decline, ExpireOffer, ExpireRequest, ForceEnd, Offer,
        Release, Start,
    };
    use State::{Arrived, Cancelled, Completed, EnRoute, Expired, InProgress, Offered, Requested};

    // Whose trip it is comes before what state it is in: a stranger learns nothing about it.
    if let Cancel(Canceller::Rider { rider, .. }) = command
        && *rider != trip.order.rider
    {
        return Err(Refusal::NotYourTrip);
    }
    match (&trip.state, command) {
        (Requested, Offer(to)) => offer::make(trip, to, rules, now),
        (Requested, Accept(answer) | Decline(answer)) => Err(offer::how_it_ended(trip, answer)),
        (Requested, ExpireOffer { .. }) => Err(Refusal::NoOpenOffer),
        (Requested, ExpireRequest) => search::expire(trip, now),
        (Requested, Arrive { .. } | Start { .. } | Complete { .. } | Release { .. }) => {
            Err(Refusal::NotYourTrip)
        }

        (Offered(_), Offer(_) | ExpireRequest) => Err(Refusal::OfferPending),
        (Offered(open), Accept(answer)) => offer::accept(trip, open, answer, now),
        (Offered(open), Decline(answer)) => offer::decline(trip, open, answer),
        (Offered(open), ExpireOffer { epoch }) => offer::expire(open, *epoch, now),
        (
            Offered(open),
            Arrive { driver, .. } | Start { driver, .. } | Complete { driver } | Release { driver },
        ) => Err(offer::not_accepted(open, *driver)),

        (EnRoute(by), Arrive { driver, position }) => {
            ride::arrive(trip, by, *driver, *position, rules)
        }
        (EnRoute(by), Start { driver, .. }) => Err(ride::refuse(by, *driver, Refusal::NotArrived)),
        (EnRoute(by), Complete { driver }) => Err(ride::refuse(by, *driver, Refusal::NotStarted)),
        (EnRoute(by), Release { driver }) => ride::release(by, *driver, rules, now),

        (Arrived(at_pickup), Arrive { driver, .. }) => Err(ride::refuse(
            &at_pickup.acceptance,
            *driver,
            Refusal::AlreadyArrived,
        )),
        (Arrived(at_pickup), Start { driver, code }) => ride::start(trip, at_pickup, *driver, code),
        (Arrived(at_pickup), Complete { driver }) => Err(ride::refuse(
            &at_pickup.acceptance,
            *driver,
            Refusal::NotStarted,
        )),
        (Arrived(at_pickup), Release { driver }) => {
            ride::release(&at_pickup.acceptance, *driver, rules, now)
        }

        (InProgress(ride), Complete { driver }) => ride::complete(ride, *driver),
        (InProgress(ride), Arrive { driver, .. } | Start { driver, .. } | Release { driver }) => {
            Err(ride::refuse(
                &ride.arrival.acceptance,
                *driver,
                Refusal::TripStarted,
            ))
        }
        (InProgress(_), Cancel(_)) => Err(Refusal::TripStarted),

        (
            EnRoute(_) | Arrived(_) | InProgress(_),
            Offer(_) | ExpireOffer { .. } | ExpireRequest,
        ) => Err(Refusal::TripTaken),
        (EnRoute(by), Accept(answer) | Decline(answer)) => Err(offer::settled(trip, by, answer)),
        (Arrived(at_pickup), Accept(answer) | Decline(answer)) => {
            Err(offer::settled(trip, &at_pickup.acceptance, answer))
        }
        (InProgress(ride), Accept(answer) | Decline(answer)) => {
            Err(offer::settled(trip, &ride.arrival.acceptance, answer))
        }

        (Requested | Offered(_) | EnRoute(_) | Arrived(_), Cancel(by)) => {
            Ok(cancellation::cancel(trip, *by, rules, now))
        }
        (
            Requested | Offered(_) | EnRoute(_) | Arrived(_) | InProgress(_),
            ForceEnd { operator, note },
        ) => Ok(cancellation::force(trip, *operator, note)),

        (
            Completed { .. } | Cancelled { .. } | Expired { .. },
            Offer(_)
            | Accept(_)
            | Decline(_)
            | ExpireOffer { .. }
            | ExpireRequest
            | Arrive { .. }
            | Start { .. }
            | Complete { .. }
            | Cancel(_)
            | Release { .. }
            | ForceEnd { .. },
        ) => Err(finished(&trip.state)),
    }
}

/// How a finished trip ended. (A living one is not asked.)
fn finished(state: &State) -> Refusal {
    match state {
        State::Completed { .. } => Refusal::TripCompleted,
        State::Expired { .. } => Refusal::TripExpired,
        State::Cancelled { .. }
        | State::Requested
        | State::Offered(_)
        | State::EnRoute(_)
        | State::Arrived(_)
        | State::InProgress(_) => Refusal::TripCancelled,
    }
}
