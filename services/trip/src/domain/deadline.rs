//! What a trip waits for, until when, and what is ordered when that time has passed (I9).
//!
//! Postgres computes the same instant (`trips.due_at`), and the sweeper carries it out. Does not: decide (the order may be
//! refused like any other).

use hexcab_types::Timestamp;

use super::{ACCEPTANCE_GRACE, Canceller, Command, State, Trip};

/// A deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadline {
    /// Its last instant: what it orders is due when this has passed.
    pub due_at: Timestamp,
    /// What is ordered then.
    pub order: Command,
}

/// The deadline of a trip; none while it waits for somebody who is there, and once it is over.
pub fn deadline(trip: &Trip) -> Option<Deadline> {
    let (due_at, order) = match &trip.state {
        State::Scheduled => (trip.order.activates_at?, Command::Activate),
        State::Requested => (trip.request_expires_at, Command::ExpireRequest),
        State::Offered(open) => (
            open.expires_at + ACCEPTANCE_GRACE,
            Command::ExpireOffer { epoch: open.epoch },
        ),
        State::EnRoute(by) => (by.stalls_at, Command::Stall { epoch: by.epoch }),
        State::Arrived(_)
        | State::InProgress(_)
        | State::Completed { .. }
        | State::Cancelled { .. }
        | State::Expired { .. } => return None,
    };
    Some(Deadline { due_at, order })
}

/// What is ordered instead when an activation met a rider who is on another trip (I1).
pub const fn rider_is_busy() -> Command {
    Command::Cancel(Canceller::RiderBusy)
}
