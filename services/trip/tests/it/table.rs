//! The table of states and commands, written out a second time by hand.

use chrono::TimeDelta;
use hexcab_trip::domain::{
    CancelledBy, Canceller, Command, OfferRef, OfferTo, Refusal, RiderReason, StartCode, State,
    Trip, decide,
};
use hexcab_types::Point;

use crate::fixture::*;

/// The commands, of driver 1 and rider 1 unless it says otherwise, for the offer with epoch 1.
fn commands() -> [(&'static str, Command); 17] {
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
const STATES: [&str; 6] = [
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

#[test]
fn an_offer_is_accepted_until_a_second_after_its_deadline() {
    let trip = trip_in("OFFERED");
    for (seconds, expected) in [(15, "OfferAccepted"), (16, "OfferAccepted")] {
        let now = start() + TimeDelta::seconds(seconds);
        assert_eq!(
            kind(&decide(&trip, &accept(driver(1), 1), &rules(), now)),
            expected
        );
        assert_eq!(
            kind(&decide(
                &trip,
                &Command::ExpireOffer { epoch: 1 },
                &rules(),
                now
            )),
            "OFFER_STILL_OPEN"
        );
    }
    let late = start() + TimeDelta::seconds(16) + TimeDelta::microseconds(1);
    assert_eq!(
        kind(&decide(&trip, &accept(driver(1), 1), &rules(), late)),
        "OFFER_EXPIRED"
    );
    assert_eq!(
        kind(&decide(
            &trip,
            &Command::ExpireOffer { epoch: 1 },
            &rules(),
            late
        )),
        "OfferExpired"
    );
}

#[test]
fn a_search_lasts_as_long_as_it_says_and_no_longer() {
    let trip = trip_in("REQUESTED");
    let last = start() + TimeDelta::seconds(480);
    assert_eq!(
        kind(&decide(&trip, &Command::ExpireRequest, &rules(), last)),
        "SEARCH_NOT_OVER"
    );
    assert_eq!(
        kind(&decide(&trip, &offer_to(driver(2)), &rules(), last)),
        "OfferMade"
    );
    let late = last + TimeDelta::microseconds(1);
    assert_eq!(
        kind(&decide(&trip, &Command::ExpireRequest, &rules(), late)),
        "TripExpired"
    );
    assert_eq!(
        kind(&decide(&trip, &offer_to(driver(2)), &rules(), late)),
        "SEARCH_ENDED"
    );
}

#[test]
fn the_loser_of_a_race_is_told_to_what_he_lost() {
    let late = start() + TimeDelta::seconds(17);
    let answer = accept(driver(1), 1);
    let after = |command: &Command, now| {
        kind(&decide(
            &must(trip_in("OFFERED"), command, now),
            &answer,
            &rules(),
            now,
        ))
    };
    assert_eq!(after(&cancel(rider(1)), start()), "TRIP_CANCELLED");
    assert_eq!(
        after(&Command::ExpireOffer { epoch: 1 }, late),
        "OFFER_EXPIRED"
    );
    assert_eq!(after(&decline(driver(1), 1), start()), "OFFER_DECLINED");
    assert_eq!(after(&force(), start()), "TRIP_CANCELLED");
    let released = must(
        trip_in("EN_ROUTE"),
        &Command::Release { driver: driver(1) },
        start(),
    );
    assert_eq!(
        kind(&decide(&released, &answer, &rules(), start())),
        "TRIP_RELEASED"
    );
    let offered_on = must(released, &offer_to(driver(2)), start());
    assert_eq!(
        kind(&decide(&offered_on, &answer, &rules(), start())),
        "OFFER_SUPERSEDED"
    );
    let taken = must(offered_on, &accept(driver(2), 2), start());
    assert_eq!(
        kind(&decide(&taken, &answer, &rules(), start())),
        "OFFER_SUPERSEDED"
    );
}

#[test]
fn an_answer_to_another_drivers_offer_is_refused_as_such() {
    for state in ["OFFERED", "EN_ROUTE", "ARRIVED", "IN_PROGRESS"] {
        let trip = trip_in(state);
        assert_eq!(
            kind(&decide(&trip, &accept(driver(2), 1), &rules(), start())),
            "NOT_YOUR_OFFER",
            "{state}"
        );
        assert_eq!(
            kind(&decide(&trip, &accept(driver(1), 2), &rules(), start())),
            "NO_OPEN_OFFER",
            "{state}"
        );
    }
}

#[test]
fn who_was_asked_in_vain_is_not_asked_again() {
    let late = start() + TimeDelta::seconds(17);
    let trips = [
        must(trip_in("OFFERED"), &decline(driver(1), 1), late),
        must(trip_in("OFFERED"), &Command::ExpireOffer { epoch: 1 }, late),
        must(
            trip_in("EN_ROUTE"),
            &Command::Release { driver: driver(1) },
            late,
        ),
        must(
            trip_in("ARRIVED"),
            &Command::Release { driver: driver(1) },
            late,
        ),
    ];
    for trip in trips {
        assert_eq!(trip.state, State::Requested);
        assert_eq!(
            kind(&decide(&trip, &offer_to(driver(1)), &rules(), late)),
            "DRIVER_EXCLUDED"
        );
        assert_eq!(
            kind(&decide(&trip, &offer_to(driver(2)), &rules(), late)),
            "OfferMade"
        );
    }
}

#[test]
fn a_trip_given_back_is_searched_for_its_whole_time_again() {
    let late = start() + TimeDelta::seconds(1000);
    let trip = must(
        trip_in("EN_ROUTE"),
        &Command::Release { driver: driver(1) },
        late,
    );
    assert_eq!(trip.request_expires_at, late + TimeDelta::seconds(480));
}

#[test]
fn an_offer_for_a_version_that_passed_is_stale() {
    let trip = trip_in("REQUESTED");
    let to = OfferTo {
        driver: driver(2),
        version: Some(7),
        decision: None,
        pickup_eta_s: 0,
        pickup_distance_m: 0,
    };
    assert_eq!(
        decide(&trip, &Command::Offer(to), &rules(), start()),
        Err(Refusal::TripChanged)
    );
}

#[test]
fn strangers_are_told_only_that_they_are() {
    for state in ["EN_ROUTE", "ARRIVED", "IN_PROGRESS"] {
        let trip = trip_in(state);
        for command in [
            arrive(driver(9)),
            begin(driver(9)),
            Command::Complete { driver: driver(9) },
            Command::Release { driver: driver(9) },
            cancel(rider(9)),
        ] {
            assert_eq!(
                decide(&trip, &command, &rules(), start()),
                Err(Refusal::NotYourTrip),
                "{state}"
            );
        }
    }
    for state in ["REQUESTED", "COMPLETED", "CANCELLED", "EXPIRED"] {
        assert_eq!(
            decide(&trip_in(state), &cancel(rider(9)), &rules(), start()),
            Err(Refusal::NotYourTrip)
        );
    }
}

#[test]
fn a_driver_arrives_only_within_the_geofence() {
    let trip = trip_in("EN_ROUTE");
    let at = |metres: f64| {
        Point::from_degrees(pickup().lat() + metres / 111_195.08, pickup().lon()).unwrap()
    };
    for (metres, expected) in [(149.0, "DriverArrived"), (151.0, "TOO_FAR_FROM_PICKUP")] {
        let command = Command::Arrive {
            driver: driver(1),
            position: at(metres),
        };
        assert_eq!(
            kind(&decide(&trip, &command, &rules(), start())),
            expected,
            "{metres}"
        );
    }
}

#[test]
fn a_ride_starts_only_with_the_riders_code() {
    let wrong = Command::Start {
        driver: driver(1),
        code: StartCode::of(4712),
    };
    assert_eq!(
        decide(&trip_in("ARRIVED"), &wrong, &rules(), start()),
        Err(Refusal::WrongStartCode)
    );
    let tried = |wrong_codes| Trip {
        wrong_codes,
        ..trip_in("ARRIVED")
    };
    for (wrong_codes, command, expected) in [
        (9, &wrong, "WRONG_START_CODE"),
        (9, &begin(driver(1)), "TripStarted"),
        (10, &wrong, "START_CODE_LOCKED"),
        (10, &begin(driver(1)), "START_CODE_LOCKED"),
        (10, &begin(driver(2)), "NOT_YOUR_TRIP"),
    ] {
        let decided = decide(&tried(wrong_codes), command, &rules(), start());
        assert_eq!(kind(&decided), expected, "{wrong_codes}");
    }
    for text in ["", "123", "12345", "12a4", "١٢٣٤"] {
        assert_eq!(StartCode::parse(text), None, "{text}");
    }
}

#[test]
fn cancelling_costs_the_fee_once_the_free_time_is_over() {
    let fee = |state: &str, seconds: i64| {
        let trip = must(
            trip_in(state),
            &cancel(rider(1)),
            start() + TimeDelta::seconds(seconds),
        );
        trip.charge().unwrap().minor
    };
    assert_eq!(fee("REQUESTED", 400), 0);
    assert_eq!(fee("OFFERED", 10), 0);
    assert_eq!(fee("EN_ROUTE", 120), 0);
    assert_eq!(fee("EN_ROUTE", 121), 500);
    assert_eq!(fee("ARRIVED", 120), 0);
    assert_eq!(fee("ARRIVED", 121), 500);
}

#[test]
fn only_a_rider_ever_owes_a_fee() {
    let late = start() + TimeDelta::seconds(600);
    let declined = must(
        trip_in("ARRIVED"),
        &Command::Cancel(Canceller::PaymentDeclined),
        late,
    );
    assert_eq!(declined.charge(), Some(usd(0)));
    assert_eq!(
        must(trip_in("IN_PROGRESS"), &force(), late).charge(),
        Some(usd(0))
    );
    assert_eq!(trip_in("COMPLETED").charge(), Some(usd(1840)));
    assert_eq!(trip_in("EXPIRED").charge(), Some(usd(0)));
}

#[test]
fn a_cancelled_trip_remembers_why_and_how_far_it_had_come() {
    let late = Canceller::Rider {
        rider: rider(1),
        reason: RiderReason::WaitedTooLong,
    };
    let trip = must(trip_in("ARRIVED"), &Command::Cancel(late), start());
    assert_eq!(trip.driver(), Some(driver(1)));
    let State::Cancelled {
        cancellation,
        progress,
        ..
    } = &trip.state
    else {
        panic!("{:?}", trip.state)
    };
    assert_eq!(cancellation.by, CancelledBy::RiderWaitedTooLong);
    assert_eq!(progress.arrival().unwrap().at, start());
}

#[test]
fn a_quote_is_taken_from_its_rider_while_it_is_fresh() {
    use hexcab_trip::domain::request;
    let new = new_trip(rider(1));
    let last = new.quote.expires_at;
    assert!(request(new.clone(), &rules(), last).is_ok());
    let late = last + TimeDelta::microseconds(1);
    assert_eq!(
        request(new.clone(), &rules(), late).unwrap_err(),
        Refusal::QuoteExpired
    );
    let thief = hexcab_trip::domain::NewTrip {
        rider: rider(2),
        ..new
    };
    assert_eq!(
        request(thief, &rules(), start()).unwrap_err(),
        Refusal::NotYourQuote
    );
}

#[test]
fn declining_counts_even_after_the_deadline() {
    let late = start() + TimeDelta::seconds(100);
    let answer = Command::Decline(OfferRef {
        driver: driver(1),
        epoch: 1,
    });
    assert_eq!(
        kind(&decide(&trip_in("OFFERED"), &answer, &rules(), late)),
        "OfferDeclined"
    );
}
