//! The table of states and commands, written out a second time by hand.

use chrono::TimeDelta;
use hexcab_trip::domain::{Canceller, Command, decide};

use crate::fixture::*;

/// The commands, of driver 1 and rider 1 unless it says otherwise, for the offer with epoch 1.
pub fn commands() -> [(&'static str, Command); 17] {
    [
        ("activate", Command::Activate),
        ("offer to 2", offer_to(driver(2))),
        ("accept", accept(driver(1), 1)),
        ("decline", decline(driver(1), 1)),
        ("expire offer", Command::ExpireOffer { epoch: 1 }),
        ("expire request", Command::ExpireRequest),
        ("stall", stall(1)),
        ("arrive", arrive(driver(1))),
        ("start", begin(driver(1))),
        ("complete", Command::Complete { driver: driver(1) }),
        ("no-show", no_show(driver(1))),
        ("cancel", cancel(rider(1))),
        ("hold declined", Command::Cancel(Canceller::PaymentDeclined)),
        ("rider busy", Command::Cancel(Canceller::RiderBusy)),
        ("release", Command::Release { driver: driver(1) }),
        ("reassign", reassign()),
        ("force end", force()),
    ]
}

/// The living states.
pub const STATES: [&str; 6] = [
    "SCHEDULED",
    "REQUESTED",
    "OFFERED",
    "EN_ROUTE",
    "ARRIVED",
    "IN_PROGRESS",
];

/// What each of them answers to each command, at the moment the state began.
#[rustfmt::skip]
const TABLE: [(&str, [&str; 6]); 17] = [
    //                  SCHEDULED           REQUESTED          OFFERED               EN_ROUTE         ARRIVED              IN_PROGRESS
    ("activate",       ["SCHEDULE_NOT_DUE", "NOT_SCHEDULED",   "NOT_SCHEDULED",      "NOT_SCHEDULED", "NOT_SCHEDULED",     "NOT_SCHEDULED"]),
    ("offer to 2",     ["TRIP_SCHEDULED",   "OfferMade",       "OFFER_PENDING",      "TRIP_TAKEN",    "TRIP_TAKEN",        "TRIP_TAKEN"]),
    ("accept",         ["NO_OPEN_OFFER",    "NO_OPEN_OFFER",   "OfferAccepted",      "OFFER_TAKEN",   "OFFER_TAKEN",       "OFFER_TAKEN"]),
    ("decline",        ["NO_OPEN_OFFER",    "NO_OPEN_OFFER",   "OfferDeclined",      "OFFER_TAKEN",   "OFFER_TAKEN",       "OFFER_TAKEN"]),
    ("expire offer",   ["NO_OPEN_OFFER",    "NO_OPEN_OFFER",   "OFFER_STILL_OPEN",   "TRIP_TAKEN",    "TRIP_TAKEN",        "TRIP_TAKEN"]),
    ("expire request", ["TRIP_SCHEDULED",   "SEARCH_NOT_OVER", "OFFER_PENDING",      "TRIP_TAKEN",    "TRIP_TAKEN",        "TRIP_TAKEN"]),
    ("stall",          ["NO_DRIVER",        "NO_DRIVER",       "NO_DRIVER",          "NOT_STALLED",   "ALREADY_ARRIVED",   "TRIP_STARTED"]),
    ("arrive",         ["NOT_YOUR_TRIP",    "NOT_YOUR_TRIP",   "OFFER_NOT_ACCEPTED", "DriverArrived", "ALREADY_ARRIVED",   "TRIP_STARTED"]),
    ("start",          ["NOT_YOUR_TRIP",    "NOT_YOUR_TRIP",   "OFFER_NOT_ACCEPTED", "NOT_ARRIVED",   "TripStarted",       "TRIP_STARTED"]),
    ("complete",       ["NOT_YOUR_TRIP",    "NOT_YOUR_TRIP",   "OFFER_NOT_ACCEPTED", "NOT_STARTED",   "NOT_STARTED",       "TripCompleted"]),
    ("no-show",        ["NOT_YOUR_TRIP",    "NOT_YOUR_TRIP",   "OFFER_NOT_ACCEPTED", "NOT_ARRIVED",   "NO_SHOW_TOO_EARLY", "TRIP_STARTED"]),
    ("cancel",         ["TripCancelled",    "TripCancelled",   "TripCancelled",      "TripCancelled", "TripCancelled",     "TRIP_STARTED"]),
    ("hold declined",  ["TripCancelled",    "TripCancelled",   "TripCancelled",      "TripCancelled", "TripCancelled",     "TRIP_STARTED"]),
    ("rider busy",     ["TripCancelled",    "NOT_SCHEDULED",   "NOT_SCHEDULED",      "NOT_SCHEDULED", "NOT_SCHEDULED",     "TRIP_STARTED"]),
    ("release",        ["NOT_YOUR_TRIP",    "NOT_YOUR_TRIP",   "OFFER_NOT_ACCEPTED", "TripReleased",  "TripReleased",      "TRIP_STARTED"]),
    ("reassign",       ["NO_DRIVER",        "NO_DRIVER",       "NO_DRIVER",          "TripReleased",  "TripReleased",      "TRIP_STARTED"]),
    ("force end",      ["TripCancelled",    "TripCancelled",   "TripCancelled",      "TripCancelled", "TripCancelled",     "TripCancelled"]),
];

/// The ends, from which nothing leads (I3), and what they answer to everything.
const ENDS: [(&str, &str); 3] = [
    ("COMPLETED", "TRIP_COMPLETED"),
    ("CANCELLED", "TRIP_CANCELLED"),
    ("EXPIRED", "TRIP_EXPIRED"),
];

/// What each command does whose time has come: the deadline of the state has passed, and the driver has waited.
#[rustfmt::skip]
const LATE: [(&str, &str, &str, &str); 5] = [
    ("SCHEDULED", "activate",       "TripActivated", "REQUESTED"),
    ("REQUESTED", "expire request", "TripExpired",   "EXPIRED"),
    ("OFFERED",   "expire offer",   "OfferExpired",  "REQUESTED"),
    ("EN_ROUTE",  "stall",          "TripReleased",  "REQUESTED"),
    ("ARRIVED",   "no-show",        "TripCancelled", "CANCELLED"),
];

#[test]
fn every_state_answers_every_command_as_the_table_says() {
    for ((name, command), (row, answers)) in commands().iter().zip(TABLE) {
        assert_eq!(*name, row);
        for (state, expected) in STATES.iter().zip(answers) {
            let trip = trip_in(state);
            assert_eq!(trip.state.name(), *state);
            let decided = decide(&trip, command, &rules(), start());
            assert_eq!(kind(&decided), expected, "{state}: {name}");
        }
        for (state, expected) in ENDS {
            let decided = decide(&trip_in(state), command, &rules(), start());
            assert_eq!(kind(&decided), expected, "{state}: {name}");
        }
    }
}

#[test]
fn commands_that_wait_for_their_time_are_carried_out_when_it_has_come() {
    let late = start() + TimeDelta::days(1);
    for (state, command, event, next) in LATE {
        let commands = commands();
        let (_, command) = commands.iter().find(|(name, _)| *name == command).unwrap();
        let trip = trip_in(state);
        let decided = decide(&trip, command, &rules(), late);
        assert_eq!(kind(&decided), event, "{state}");
        assert_eq!(trip.apply(&decided.unwrap(), late).state.name(), next);
    }
}
