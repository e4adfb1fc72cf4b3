//! Calling a trip off, and what it costs: free until some time after a driver accepted, then the quote's fee, of which
//! the driver has his share. Nobody owes anything for a trip that a service or an operator ends.

use hexcab_types::{Money, OperatorId, Timestamp};

use super::{
    Arrival, Cancellation, CancelledBy, Canceller, Event, Progress, Refusal, RiderReason, Rules,
    State, Trip,
};

/// Calls it off before the start.
pub fn cancel(trip: &Trip, by: Canceller, rules: &Rules, now: Timestamp) -> Result<Event, Refusal> {
    match by {
        Canceller::Rider { rider: _, reason } => {
            let fee = fee(trip, rules, now);
            let by = match reason {
                RiderReason::ChangedMind => CancelledBy::RiderChangedMind,
                RiderReason::WaitedTooLong => CancelledBy::RiderWaitedTooLong,
            };
            at_a_price(trip, by, fee, rules)
        }
        Canceller::PaymentDeclined => Ok(for_nothing(trip, CancelledBy::PaymentDeclined)),
        Canceller::RiderBusy => Ok(for_nothing(trip, CancelledBy::RiderBusy)),
    }
}

/// Ends it by an operator's word, for nothing.
pub fn force(trip: &Trip, operator: OperatorId, note: &str) -> Event {
    let by = CancelledBy::Operator {
        operator,
        note: note.to_owned(),
    };
    for_nothing(trip, by)
}

/// Ends it because nobody came, for the fee that the quote named.
pub fn no_show(trip: &Trip, rules: &Rules) -> Result<Event, Refusal> {
    at_a_price(
        trip,
        CancelledBy::NoShow,
        trip.order.cancellation_fee,
        rules,
    )
}

/// What the rider owes for calling it off now.
fn fee(trip: &Trip, rules: &Rules, now: Timestamp) -> Money {
    match trip.state.progress() {
        Progress::Searching => trip.nothing(),
        Progress::Accepted(by) | Progress::Arrived(Arrival { acceptance: by, .. }) => {
            if now - by.at > rules.free_cancellation {
                trip.order.cancellation_fee
            } else {
                trip.nothing()
            }
        }
        // A started ride cannot be called off by its rider; were it so, he would owe the fee.
        Progress::Started(_) => trip.order.cancellation_fee,
    }
}

fn at_a_price(trip: &Trip, by: CancelledBy, fee: Money, rules: &Rules) -> Result<Event, Refusal> {
    let driver_due = rules.share_of(fee)?;
    Ok(cancelled(
        trip,
        Cancellation {
            by,
            fee,
            driver_due,
        },
    ))
}

fn for_nothing(trip: &Trip, by: CancelledBy) -> Event {
    cancelled(
        trip,
        Cancellation {
            by,
            fee: trip.nothing(),
            driver_due: trip.nothing(),
        },
    )
}

fn cancelled(trip: &Trip, cancellation: Cancellation) -> Event {
    let asked = match &trip.state {
        State::Offered(open) => Some(open.driver),
        State::Scheduled
        | State::Requested
        | State::EnRoute(_)
        | State::Arrived(_)
        | State::InProgress(_)
        | State::Completed { .. }
        | State::Cancelled { .. }
        | State::Expired { .. } => None,
    };
    Event::Cancelled {
        cancellation,
        progress: trip.state.progress(),
        asked,
    }
}
