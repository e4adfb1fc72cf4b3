//! Calling a trip off, and what it costs: free until some time after a driver accepted, then the quote's fee.

use hexcab_types::{Money, OperatorId, Timestamp};

use super::{
    Cancellation, CancelledBy, Canceller, Event, Progress, RiderReason, Rules, State, Trip,
};

/// Calls it off before the start.
pub fn cancel(trip: &Trip, by: Canceller, rules: &Rules, now: Timestamp) -> Event {
    match by {
        Canceller::Rider { rider: _, reason } => {
            let fee = fee(trip, rules, now);
            let by = match reason {
                RiderReason::ChangedMind => CancelledBy::RiderChangedMind,
                RiderReason::WaitedTooLong => CancelledBy::RiderWaitedTooLong,
            };
            cancelled(trip, Cancellation { by, fee })
        }
        Canceller::PaymentDeclined => cancelled(
            trip,
            Cancellation {
                by: CancelledBy::PaymentDeclined,
                fee: nothing(trip),
            },
        ),
    }
}

/// Ends it by an operator's word, for nothing.
pub fn force(trip: &Trip, operator: OperatorId, note: &str) -> Event {
    let by = CancelledBy::Operator {
        operator,
        note: note.to_owned(),
    };
    cancelled(
        trip,
        Cancellation {
            by,
            fee: nothing(trip),
        },
    )
}

/// What the rider owes for calling it off now.
fn fee(trip: &Trip, rules: &Rules, now: Timestamp) -> Money {
    match trip.state.progress() {
        Progress::Searching => nothing(trip),
        Progress::Accepted(by) | Progress::Arrived(super::Arrival { acceptance: by, .. }) => {
            if now - by.at > rules.free_cancellation {
                trip.order.cancellation_fee
            } else {
                nothing(trip)
            }
        }
        // A started ride cannot be called off by its rider; were it so, he would owe the fee.
        Progress::Started(_) => trip.order.cancellation_fee,
    }
}

fn nothing(trip: &Trip) -> Money {
    Money::zero(trip.order.fare.currency)
}

fn cancelled(trip: &Trip, cancellation: Cancellation) -> Event {
    let asked = match &trip.state {
        State::Offered(open) => Some(open.driver),
        State::Requested
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
