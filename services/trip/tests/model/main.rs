//! The protocol of offers, checked exhaustively: a rider, two drivers, dispatch, the sweeper and an operator share the
//! row of a trip, over the same `decide`, `apply` and `deadline` that the service runs.
//!
//! - `city` the model: who may do what in which state; messages are lost, doubled and late, each of them may crash
//! - `keeper` the row: decides and keeps, as the service does, or with one of the mistakes it could make
//! - `monitor` what is remembered of a trip by somebody who trusts nobody, to hold the protocol against
//!
//! Every state that can be reached within the bounds of a [`city::Bounds`] is looked at. Does not: run SQL, nor the code
//! that calls `decide`; tests/it/walks.rs holds Postgres against the same rules.

#![allow(clippy::unwrap_used, reason = "tests and their helpers")]

mod city;
mod keeper;
mod monitor;

use std::collections::BTreeSet;

use city::{Bounds, City};
use keeper::Mistake;
use stateright::{Checker as _, Model as _};

/// What a check came to.
struct Checked {
    states: usize,
    depth: usize,
    broken: BTreeSet<&'static str>,
    answers: BTreeSet<(&'static str, &'static str)>,
}

fn check(bounds: Bounds, mistake: Mistake) -> Checked {
    let checker = City::new(bounds, mistake).checker().spawn_bfs().join();
    let paths = checker.discoveries();
    for (name, path) in &paths {
        println!("{mistake:?} breaks {name}:");
        for action in path.clone().into_actions() {
            println!("    {action:?}");
        }
    }
    let checked = Checked {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        broken: paths.into_keys().collect(),
        answers: checker.model().answers(),
    };
    println!(
        "{bounds:?}, {mistake:?}: {} unique states, {} steps deep, {} answers",
        checked.states,
        checked.depth,
        checked.answers.len()
    );
    checked
}

/// One trip: whoever could do something does it at every moment, two faults of any kind among it.
const ONE_TRIP: Bounds = Bounds {
    trips: 1,
    offers: 3,
    faults: 2,
    operator: true,
};

/// Two trips of two riders for the same two drivers.
const TWO_TRIPS: Bounds = Bounds {
    trips: 2,
    offers: 3,
    faults: 0,
    operator: false,
};

#[test]
fn no_order_of_messages_and_crashes_breaks_the_protocol() {
    let checked = check(ONE_TRIP, Mistake::None);
    assert_eq!(checked.broken, BTreeSet::new());
    // It is no check if nothing happens: acceptances win, and lose to everything they can lose to.
    for (what, answer) in [
        ("accept", "OfferAccepted"),
        ("accept", "OFFER_DECLINED"),
        ("accept", "OFFER_EXPIRED"),
        ("accept", "OFFER_SUPERSEDED"),
        ("accept", "OFFER_TAKEN"),
        ("accept", "TRIP_CANCELLED"),
        ("accept", "TRIP_EXPIRED"),
        ("accept", "TRIP_RELEASED"),
        ("accept", "TRIP_STALLED"),
        ("accept", "TRIP_REASSIGNED"),
        ("decline", "OfferDeclined"),
        ("decline", "OFFER_TAKEN"),
        ("offer", "OfferMade"),
        ("offer", "TRIP_CHANGED"),
        ("offer", "DRIVER_EXCLUDED"),
        ("expire offer", "OfferExpired"),
        ("expire offer", "OFFER_SUPERSEDED"),
        ("expire offer", "TRIP_TAKEN"),
        ("expire request", "TripExpired"),
        ("stall", "TripReleased"),
        ("stall", "OFFER_SUPERSEDED"),
        ("stall", "ALREADY_ARRIVED"),
        ("arrive", "DriverArrived"),
        ("arrive", "TRIP_STALLED"),
        ("arrive", "TRIP_REASSIGNED"),
        ("release", "TripReleased"),
        ("reassign", "TripReleased"),
        ("reassign", "NO_DRIVER"),
        ("cancel", "TripCancelled"),
        ("cancel", "TRIP_EXPIRED"),
    ] {
        assert!(
            checked.answers.contains(&(what, answer)),
            "{what}: {answer}"
        );
    }
}

#[test]
fn two_trips_do_not_share_a_driver() {
    let checked = check(TWO_TRIPS, Mistake::None);
    assert_eq!(checked.broken, BTreeSet::new());
    assert!(checked.answers.contains(&("offer", "DRIVER_BUSY")));
}

/// The mistake breaks this, at least.
fn found(bounds: Bounds, mistake: Mistake, property: &str) {
    let checked = check(bounds, mistake);
    assert!(checked.broken.contains(property), "{:?}", checked.broken);
}

#[test]
fn an_acceptance_of_whatever_is_open_is_found() {
    found(ONE_TRIP, Mistake::AcceptsWhateverIsOpen, monitor::I4);
}

#[test]
fn an_acceptance_without_its_epoch_is_found_where_a_driver_may_be_asked_twice() {
    found(
        ONE_TRIP,
        Mistake::AsksAgainAndAcceptsWithoutEpoch,
        monitor::I4,
    );
    // Asking again alone does not break I4: it is the epoch that keeps it.
    let asks_again = check(ONE_TRIP, Mistake::AsksAgain);
    assert_eq!(asks_again.broken, BTreeSet::from([monitor::I8]));
    // And where nobody is asked twice, who it is says which offer it was: the epoch is the second line.
    let without_epoch = check(ONE_TRIP, Mistake::AcceptsWithoutEpoch);
    assert_eq!(without_epoch.broken, BTreeSet::new());
}

#[test]
fn an_expiry_of_whatever_is_open_is_found() {
    found(ONE_TRIP, Mistake::ExpiresWhateverIsOpen, monitor::I5);
}

#[test]
fn an_expiry_without_the_version_that_was_read_is_found() {
    found(ONE_TRIP, Mistake::SweepsWithoutVersion, monitor::I3);
}

#[test]
fn a_stall_of_whoever_drives_is_found() {
    found(ONE_TRIP, Mistake::StallsWhoeverDrives, monitor::I5);
}

#[test]
fn an_offer_without_the_exclusion_is_found() {
    found(ONE_TRIP, Mistake::AsksAgain, monitor::I8);
}

#[test]
fn a_sweeper_that_never_fires_is_found() {
    found(ONE_TRIP, Mistake::NeverSweeps, monitor::I9);
}

#[test]
fn a_missing_index_of_engaged_drivers_is_found() {
    found(TWO_TRIPS, Mistake::NoIndex, monitor::I1);
}
