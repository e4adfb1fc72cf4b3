//! Which command does what to a trip, and when it is refused: the one table of states and commands.
//!
//! Invariants: one accepted command is one event; a finished trip never changes (I3); at most one driver is asked, and
//! he who loses a race is told to what (I5); a ride under way is completed, or ended by an operator, and nothing else.
//! Drawn in ARCHITECTURE.md by `cargo run -p hexcab-trip --example states`. Does not: read the clock, touch the store,
//! retry, or know other trips (whether a driver or rider is busy elsewhere is the database's to say, I1).

use hexcab_types::Timestamp;

use super::{
    Canceller, Command, Event, Refusal, Rules, State, Trip, cancellation, offer, release, ride,
    schedule, search, waiting,
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
        Accept, Activate, Arrive, Cancel, Complete, Decline, ExpireOffer, ExpireRequest, ForceEnd,
        NoShow, Offer, Reassign, Release, Stall, Start,
    };
    use State::{
        Arrived, Cancelled, Completed, EnRoute, Expired, InProgress, Offered, Requested, Scheduled,
    };

    // Whose trip it is comes before what state it is in: a stranger learns nothing about it.
    if let Cancel(Canceller::Rider { rider, .. }) = command
        && *rider != trip.order.rider
    {
        return Err(Refusal::NotYourTrip);
    }
    match (&trip.state, command) {
        (Scheduled, Activate) => schedule::activate(trip, rules, now),
        (Scheduled, Offer(_) | ExpireRequest) => Err(Refusal::TripScheduled),
        (Requested | Offered(_) | EnRoute(_) | Arrived(_) | InProgress(_), Activate) => {
            Err(Refusal::NotScheduled)
        }

        (Requested, Offer(to)) => offer::make(trip, to, rules, now),
        (Scheduled | Requested, Accept(answer) | Decline(answer)) => {
            Err(offer::how_it_ended(trip, answer))
        }
        (Scheduled | Requested, ExpireOffer { .. }) => Err(Refusal::NoOpenOffer),
        (Requested, ExpireRequest) => search::expire(trip, now),
        (
            Scheduled | Requested,
            Arrive { driver, .. }
            | Start { driver, .. }
            | Complete { driver }
            | NoShow { driver }
            | Release { driver },
        ) => Err(release::lost(trip, *driver)),

        (Offered(_), Offer(_) | ExpireRequest) => Err(Refusal::OfferPending),
        (Offered(open), Accept(answer)) => offer::accept(trip, open, answer, rules, now),
        (Offered(open), Decline(answer)) => offer::decline(trip, open, answer),
        (Offered(open), ExpireOffer { epoch }) => offer::expire(open, *epoch, now),
        (
            Offered(open),
            Arrive { driver, .. }
            | Start { driver, .. }
            | Complete { driver }
            | NoShow { driver }
            | Release { driver },
        ) => Err(offer::not_accepted(trip, open, *driver)),
        (Scheduled | Requested | Offered(_), Stall { .. } | Reassign { .. }) => {
            Err(Refusal::NoDriver)
        }

        (EnRoute(by), Arrive { driver, position }) => {
            ride::arrive(trip, by, *driver, *position, rules, now)
        }
        (EnRoute(by), Start { driver, .. } | NoShow { driver }) => {
            Err(ride::refuse(trip, by, *driver, Refusal::NotArrived))
        }
        (EnRoute(by), Complete { driver }) => {
            Err(ride::refuse(trip, by, *driver, Refusal::NotStarted))
        }
        (EnRoute(by), Release { driver }) => release::give_back(trip, by, *driver, rules, now),
        (EnRoute(by), Stall { epoch }) => release::stall(trip, by, *epoch, rules, now),
        (EnRoute(by), Reassign { operator, note }) => {
            Ok(release::reassign(trip, by, (*operator, note), rules, now))
        }

        (Arrived(there), Arrive { driver, .. }) => Err(ride::refuse(
            trip,
            &there.acceptance,
            *driver,
            Refusal::AlreadyArrived,
        )),
        (Arrived(there), Start { driver, code }) => {
            ride::start(trip, there, *driver, code, rules, now)
        }
        (Arrived(there), NoShow { driver }) => {
            release::mine(trip, &there.acceptance, *driver)?;
            waiting::no_show(trip, there, rules, now)
        }
        (Arrived(there), Complete { driver }) => Err(ride::refuse(
            trip,
            &there.acceptance,
            *driver,
            Refusal::NotStarted,
        )),
        (Arrived(there), Release { driver }) => {
            release::give_back(trip, &there.acceptance, *driver, rules, now)
        }
        (Arrived(_), Stall { .. }) => Err(Refusal::AlreadyArrived),
        (Arrived(there), Reassign { operator, note }) => Ok(release::reassign(
            trip,
            &there.acceptance,
            (*operator, note),
            rules,
            now,
        )),

        (InProgress(ride), Complete { driver }) => ride::complete(trip, ride, *driver, rules),
        (
            InProgress(ride),
            Arrive { driver, .. } | Start { driver, .. } | NoShow { driver } | Release { driver },
        ) => Err(ride::refuse(
            trip,
            &ride.arrival.acceptance,
            *driver,
            Refusal::TripStarted,
        )),
        (InProgress(_), Cancel(_) | Stall { .. } | Reassign { .. }) => Err(Refusal::TripStarted),

        (
            EnRoute(_) | Arrived(_) | InProgress(_),
            Offer(_) | ExpireOffer { .. } | ExpireRequest,
        ) => Err(Refusal::TripTaken),
        (EnRoute(by), Accept(answer) | Decline(answer)) => Err(offer::settled(trip, by, answer)),
        (Arrived(there), Accept(answer) | Decline(answer)) => {
            Err(offer::settled(trip, &there.acceptance, answer))
        }
        (InProgress(ride), Accept(answer) | Decline(answer)) => {
            Err(offer::settled(trip, &ride.arrival.acceptance, answer))
        }

        // Before it is looked for, a trip is nobody's hindrance; afterwards it is its rider's active one.
        (Requested | Offered(_) | EnRoute(_) | Arrived(_), Cancel(Canceller::RiderBusy)) => {
            Err(Refusal::NotScheduled)
        }
        (
            Scheduled,
            Cancel(
                by @ (Canceller::Rider { .. } | Canceller::PaymentDeclined | Canceller::RiderBusy),
            ),
        )
        | (
            Requested | Offered(_) | EnRoute(_) | Arrived(_),
            Cancel(by @ (Canceller::Rider { .. } | Canceller::PaymentDeclined)),
        ) => cancellation::cancel(trip, *by, rules, now),
        (
            Scheduled | Requested | Offered(_) | EnRoute(_) | Arrived(_) | InProgress(_),
            ForceEnd { operator, note },
        ) => Ok(cancellation::force(trip, *operator, note)),

        (
            Completed { .. } | Cancelled { .. } | Expired { .. },
            Activate
            | Offer(_)
            | Accept(_)
            | Decline(_)
            | ExpireOffer { .. }
            | ExpireRequest
            | Stall { .. }
            | Arrive { .. }
            | Start { .. }
            | Complete { .. }
            | NoShow { .. }
            | Cancel(_)
            | Release { .. }
            | Reassign { .. }
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
        | State::Scheduled
        | State::Requested
        | State::Offered(_)
        | State::EnRoute(_)
        | State::Arrived(_)
        | State::InProgress(_) => Refusal::TripCancelled,
    }
}
