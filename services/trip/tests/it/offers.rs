//! Rules of offers: until when an answer counts, what the loser of a race is told, who is not asked again.

use chrono::TimeDelta;
use hexcab_trip::domain::{
    Command, Event, OfferRef, OfferTo, Refusal, ReleasedBy, State, decide, request,
};

use crate::fixture::*;

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
fn a_deadline_is_of_the_offer_that_was_meant() {
    let late = start() + TimeDelta::days(1);
    for (state, order) in [
        ("OFFERED", Command::ExpireOffer { epoch: 2 }),
        ("EN_ROUTE", stall(2)),
    ] {
        assert_eq!(
            decide(&trip_in(state), &order, &rules(), late),
            Err(Refusal::OfferSuperseded)
        );
    }
}

#[test]
fn an_operator_has_another_driver_looked_for_and_it_is_told_who_and_why() {
    for state in ["EN_ROUTE", "ARRIVED"] {
        let event = decide(&trip_in(state), &reassign(), &rules(), start()).unwrap();
        let Event::Released {
            by, driver: was, ..
        } = &event
        else {
            panic!("{event:?}")
        };
        assert_eq!(*was, driver(1));
        let who_and_why = ReleasedBy::Operator {
            operator: operator(),
            note: "his car broke down".to_owned(),
        };
        assert_eq!(*by, who_and_why);
    }
}

#[test]
fn a_driver_who_lost_a_trip_is_told_how_in_whatever_he_asks_next() {
    let late = start() + TimeDelta::days(1);
    for (command, reason) in [
        (Command::Release { driver: driver(1) }, "TRIP_RELEASED"),
        (stall(1), "TRIP_STALLED"),
        (reassign(), "TRIP_REASSIGNED"),
    ] {
        let searched = must(trip_in("EN_ROUTE"), &command, late);
        let offered = must(searched.clone(), &offer_to(driver(2)), late);
        let taken = must(offered.clone(), &accept(driver(2), 2), late);
        for trip in [&searched, &offered, &taken] {
            for asked in [
                arrive(driver(1)),
                begin(driver(1)),
                Command::Complete { driver: driver(1) },
                no_show(driver(1)),
                Command::Release { driver: driver(1) },
            ] {
                let decided = decide(trip, &asked, &rules(), late);
                assert_eq!(kind(&decided), reason, "{asked:?} in {}", trip.state.name());
            }
        }
        let answer = decide(&searched, &accept(driver(1), 1), &rules(), late);
        assert_eq!(kind(&answer), reason);
    }
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
        must(trip_in("EN_ROUTE"), &stall(1), start() + TimeDelta::days(1)),
        must(trip_in("EN_ROUTE"), &reassign(), late),
        must(trip_in("ARRIVED"), &reassign(), late),
    ];
    for trip in trips {
        let late = trip.updated_at;
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
fn a_trip_without_its_driver_is_searched_for_its_whole_time_again() {
    let late = start() + TimeDelta::seconds(1000);
    for command in [Command::Release { driver: driver(1) }, stall(1), reassign()] {
        let trip = must(trip_in("EN_ROUTE"), &command, late);
        assert_eq!(trip.request_expires_at, late + TimeDelta::seconds(480));
    }
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
            no_show(driver(9)),
            cancel(rider(9)),
        ] {
            assert_eq!(
                decide(&trip, &command, &rules(), start()),
                Err(Refusal::NotYourTrip),
                "{state}"
            );
        }
    }
    for state in [
        "SCHEDULED",
        "REQUESTED",
        "COMPLETED",
        "CANCELLED",
        "EXPIRED",
    ] {
        assert_eq!(
            decide(&trip_in(state), &cancel(rider(9)), &rules(), start()),
            Err(Refusal::NotYourTrip)
        );
    }
}

#[test]
fn a_quote_is_taken_from_its_rider_while_it_is_fresh() {
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

#[test]
fn only_he_who_is_asked_declines() {
    let trip = trip_in("OFFERED");
    for (answer, reason) in [
        (decline(driver(2), 1), "NOT_YOUR_OFFER"),
        (decline(driver(1), 2), "NO_OPEN_OFFER"),
    ] {
        let decided = decide(&trip, &answer, &rules(), start());
        assert_eq!(kind(&decided), reason);
    }
}

#[test]
fn i4_an_offer_has_the_number_of_its_trip() {
    let mut trip = trip_in("REQUESTED");
    for n in 1..=3 {
        let asked = driver(n);
        trip = must(trip, &offer_to(asked), start());
        let epoch = i32::try_from(n).unwrap();
        let State::Offered(open) = &trip.state else {
            panic!("{:?}", trip.state)
        };
        assert_eq!((trip.epoch, open.epoch), (epoch, epoch));
        trip = must(trip, &decline(asked, epoch), start());
    }
}

#[test]
fn i5_an_acceptance_sent_twice_is_told_that_it_counted() {
    for state in ["EN_ROUTE", "ARRIVED", "IN_PROGRESS"] {
        let again = decide(&trip_in(state), &accept(driver(1), 1), &rules(), start());
        assert_eq!(kind(&again), "OFFER_TAKEN", "{state}");
    }
}

#[test]
fn i5_how_an_offer_ended_is_told_to_its_driver_only() {
    let searched = must(trip_in("OFFERED"), &decline(driver(1), 1), start());
    for (asks, reason) in [(1, "OFFER_DECLINED"), (2, "NOT_YOUR_OFFER")] {
        let told = decide(&searched, &accept(driver(asks), 1), &rules(), start());
        assert_eq!(kind(&told), reason);
    }
}
