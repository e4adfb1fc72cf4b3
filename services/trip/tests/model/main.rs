//! The protocol of offers, checked exhaustively: riders, drivers, dispatch, the sweeper and an operator share the rows of
//! trips, over the same `decide`, `apply` and `deadline` that the service runs.
//!
//! - `city` the model: what arrives when; any number of messages is lost, doubled, late, and each of them may crash
//! - `words` what each of them has reason to say, and when
//! - `keeper` the row: decides and keeps, as the service does, or with one of the mistakes it could make
//! - `monitor` what is remembered of a trip by somebody who trusts nobody, to hold the protocol against
//!
//! Every state that can be reached is looked at, in four cities whose size is the only bound. Each looks at what the
//! others leave out:
//!
//! | city | trips | drivers | crashes | late words | operator | states |
//! |---|---|---|---|---|---|---|
//! | `ONE_TRIP` | 1 | 2 | yes | yes | yes | 79,224 |
//! | `THREE_DRIVERS` | 1 | 3 | no | yes | yes | 30,476 |
//! | `ONE_DRIVER` | 2 | 1 | no | yes | yes | 20,676 |
//! | `TWO_TRIPS` | 2 | 2 | no | no | no | 448,023 |
//!
//! In each state I1, I3, I4, I5 and I8 hold, and the clock and the sweeper alone bring each trip to an end or to a driver
//! at the pickup. No change of a row comes back to a version before, and there are finitely many: so every run in which
//! the clock runs on and the sweeper always comes back ends every request offered, expired or cancelled (I9).
//! Mistakes are found: see the tests. Does not: run SQL, nor the code that calls `decide`; tests/it/walks.rs holds
//! Postgres against the same rules.

#![allow(clippy::unwrap_used, reason = "tests and their helpers")]

mod city;
mod keeper;
mod monitor;
mod words;

use std::collections::BTreeSet;

use city::{Bounds, City};
use keeper::Mistake;
use stateright::{Checker as _, HasDiscoveries, Model as _};

const ONE_TRIP: Bounds = Bounds {
    trips: 1,
    drivers: 2,
    offers: 3,
    crashes: true,
    late: true,
    operator: true,
};

const THREE_DRIVERS: Bounds = Bounds {
    drivers: 3,
    crashes: false,
    ..ONE_TRIP
};

/// Two riders, one driver.
const ONE_DRIVER: Bounds = Bounds {
    trips: 2,
    drivers: 1,
    crashes: false,
    ..ONE_TRIP
};

/// Two riders, two drivers.
const TWO_TRIPS: Bounds = Bounds {
    trips: 2,
    crashes: false,
    late: false,
    operator: false,
    ..ONE_TRIP
};

/// What a check came to.
struct Checked {
    broken: BTreeSet<&'static str>,
    answers: BTreeSet<(&'static str, &'static str)>,
}

/// Looks at every state, or until this is found.
fn check(bounds: Bounds, mistake: Mistake, until: HasDiscoveries) -> Checked {
    let checker = City::new(bounds, mistake).checker();
    let checker = checker.finish_when(until).spawn_bfs().join();
    let paths = checker.discoveries();
    for (name, path) in &paths {
        println!("{mistake:?} breaks {name}:");
        for action in path.clone().into_actions() {
            println!("    {action:?}");
        }
    }
    let answers = checker.model().answers();
    println!(
        "{bounds:?}, {mistake:?}: {} unique states, {} steps deep, {} answers",
        checker.unique_state_count(),
        checker.max_depth(),
        answers.len()
    );
    Checked {
        broken: paths.into_keys().collect(),
        answers,
    }
}

/// Every state of a city is looked at, nothing is broken, and these answers were given.
fn holds(bounds: Bounds, given: &[(&'static str, &'static str)]) {
    let checked = check(bounds, Mistake::None, HasDiscoveries::All);
    assert_eq!(checked.broken, BTreeSet::new());
    // It is no check if nothing happens.
    let given = BTreeSet::from_iter(given.iter().copied());
    let missing: Vec<_> = given.difference(&checked.answers).collect();
    assert!(missing.is_empty(), "never answered: {missing:?}");
}

#[test]
fn no_order_of_messages_and_crashes_breaks_the_protocol() {
    // Acceptances win, and lose to everything they can lose to.
    holds(
        ONE_TRIP,
        &[
            ("accept", "OfferAccepted"),
            ("accept", "OFFER_DECLINED"),
            ("accept", "OFFER_EXPIRED"),
            ("accept", "OFFER_SUPERSEDED"),
            ("accept", "OFFER_TAKEN"),
            ("accept", "TRIP_CANCELLED"),
            ("accept", "TRIP_COMPLETED"),
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
            ("start", "TripStarted"),
            ("start", "TRIP_CANCELLED"),
            ("complete", "TripCompleted"),
            ("report no-show", "TripCancelled"),
            ("report no-show", "TRIP_STARTED"),
            ("release", "TripReleased"),
            ("release", "TRIP_STARTED"),
            ("reassign", "TripReleased"),
            ("reassign", "NO_DRIVER"),
            ("reassign", "TRIP_STARTED"),
            ("cancel", "TripCancelled"),
            ("cancel", "TRIP_EXPIRED"),
            ("cancel", "TRIP_STARTED"),
        ],
    );
}

#[test]
fn a_third_driver_changes_nothing() {
    holds(
        THREE_DRIVERS,
        &[
            ("accept", "OfferAccepted"),
            ("accept", "OFFER_SUPERSEDED"),
            ("offer", "DRIVER_EXCLUDED"),
        ],
    );
}

#[test]
fn two_riders_do_not_share_the_driver_who_is_there() {
    holds(
        ONE_DRIVER,
        &[("offer", "DRIVER_BUSY"), ("accept", "TRIP_REASSIGNED")],
    );
}

#[test]
fn two_riders_do_not_share_one_of_two_drivers() {
    holds(
        TWO_TRIPS,
        &[("offer", "DRIVER_BUSY"), ("accept", "OfferAccepted")],
    );
}

/// The mistake breaks this.
fn found(bounds: Bounds, mistake: Mistake, property: &'static str) {
    let it = BTreeSet::from([property]);
    let checked = check(bounds, mistake, HasDiscoveries::AllOf(it));
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
    let no_crashes = Bounds {
        crashes: false,
        ..ONE_TRIP
    };
    let asks_again = check(no_crashes, Mistake::AsksAgain, HasDiscoveries::All);
    assert_eq!(asks_again.broken, BTreeSet::from([monitor::I8]));
    // And where nobody is asked twice, who it is says which offer it was: the loser is told wrongly, but he loses.
    let without_epoch = check(
        no_crashes,
        Mistake::AcceptsWithoutEpoch,
        HasDiscoveries::All,
    );
    assert_eq!(without_epoch.broken, BTreeSet::from([monitor::I5]));
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
