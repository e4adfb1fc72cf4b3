//! Rules of bookings, pickups and money: when a search begins, who is late, what waiting and calling off cost.

use chrono::TimeDelta;
use hexcab_trip::domain::{
    CancelledBy, Canceller, Command, OfferTo, PaymentMethod, Refusal, RiderReason, Rules,
    StartCode, State, Trip, decide, request,
};
use hexcab_types::Point;

use crate::{fixture::*, table::STATES};

#[test]
fn a_booked_ride_is_looked_for_a_lead_time_before_its_pickup_and_not_earlier() {
    let trip = trip_in("SCHEDULED");
    let due = start() + TimeDelta::seconds(3600 - 900);
    assert_eq!(trip.order.activates_at, Some(due));
    assert_eq!(
        kind(&decide(&trip, &Command::Activate, &rules(), due)),
        "SCHEDULE_NOT_DUE"
    );
    let late = due + TimeDelta::microseconds(1);
    let activated = must(trip, &Command::Activate, late);
    assert_eq!(activated.state, State::Requested);
}

#[test]
fn only_what_lies_further_ahead_than_the_lead_time_is_booked() {
    let ahead = |seconds: i64| request(booking(rider(1), seconds), &rules(), start());
    let week = TimeDelta::days(7).num_seconds();
    for (seconds, expected) in [
        (-1, "PICKUP_TIME_PASSED"),
        (0, "TripRequested"),
        (900, "TripRequested"),
        (901, "TripScheduled"),
        (week, "TripScheduled"),
        (week + 1, "SCHEDULE_TOO_FAR"),
    ] {
        let made = ahead(seconds);
        assert_eq!(
            kind(&made.map(|(_, event)| event)),
            expected,
            "{seconds} s ahead"
        );
    }
}

#[test]
fn a_search_lasts_its_whole_time_and_at_least_until_the_pickup_time() {
    let until = |seconds: i64| {
        let (trip, _) = request(booking(rider(1), seconds), &rules(), start()).unwrap();
        (trip.request_expires_at - start()).num_seconds()
    };
    assert_eq!(until(100), 480);
    assert_eq!(until(700), 700);
    assert_eq!(until(3600), 3600, "as it is planned");
    let soon = start() + TimeDelta::seconds(2701);
    let on_time = must(trip_in("SCHEDULED"), &Command::Activate, soon);
    assert_eq!(
        on_time.request_expires_at,
        start() + TimeDelta::seconds(3600)
    );
    // The sweeper was away for an hour.
    let late = start() + TimeDelta::seconds(6300);
    let overdue = must(trip_in("SCHEDULED"), &Command::Activate, late);
    assert_eq!(overdue.request_expires_at, late + TimeDelta::seconds(480));
}

#[test]
fn a_driver_stalls_after_a_quarter_of_an_hour_or_three_times_the_roads_time() {
    for (eta_s, seconds) in [(0, 900), (240, 900), (300, 900), (301, 903), (1000, 3000)] {
        let to = OfferTo {
            driver: driver(1),
            version: None,
            decision: None,
            pickup_eta_s: eta_s,
            pickup_distance_m: 900,
        };
        let offered = must(trip_in("REQUESTED"), &Command::Offer(to), start());
        let taken = must(offered, &accept(driver(1), 1), start());
        let last = start() + TimeDelta::seconds(seconds);
        let late = last + TimeDelta::microseconds(1);
        let stalled = |now| kind(&decide(&taken, &stall(1), &rules(), now));
        assert_eq!(stalled(last), "NOT_STALLED", "{eta_s}");
        assert_eq!(stalled(late), "TripReleased", "{eta_s}");
        // In his time, and as long as nobody looked: the driver arrives.
        assert_eq!(
            kind(&decide(&taken, &arrive(driver(1)), &rules(), late)),
            "DriverArrived"
        );
    }
}

#[test]
fn before_the_pickup_time_nobody_stalls_waits_for_money_or_fails_to_show_up() {
    let soon = start() + TimeDelta::seconds(2701);
    let pickup_time = start() + TimeDelta::seconds(3600);
    let commands = [
        Command::Activate,
        offer_to(driver(1)),
        accept(driver(1), 1),
        arrive(driver(1)),
    ];
    let there = commands.iter().fold(trip_in("SCHEDULED"), |trip, command| {
        must(trip, command, soon)
    });
    let State::Arrived(arrival) = &there.state else {
        panic!("{:?}", there.state)
    };
    assert_eq!(
        arrival.acceptance.stalls_at,
        pickup_time + TimeDelta::seconds(900)
    );
    assert_eq!(arrival.no_show_from, pickup_time + TimeDelta::seconds(300));
    let begun = |seconds| {
        let now = pickup_time + TimeDelta::seconds(seconds);
        waiting_fee(&must(there.clone(), &begin(driver(1)), now))
    };
    assert_eq!([begun(-500), begun(120), begun(180)], [0, 0, 45]);
}

#[test]
fn nobody_has_come_after_five_minutes_and_not_before() {
    let first = start() + TimeDelta::seconds(300);
    let early = first - TimeDelta::microseconds(1);
    let trip = trip_in("ARRIVED");
    assert_eq!(
        kind(&decide(&trip, &no_show(driver(1)), &rules(), early)),
        "NO_SHOW_TOO_EARLY"
    );
    assert_eq!(
        kind(&decide(&trip, &no_show(driver(2)), &rules(), first)),
        "NOT_YOUR_TRIP"
    );
    let gone = must(trip, &no_show(driver(1)), first);
    let State::Cancelled { cancellation, .. } = &gone.state else {
        panic!("{:?}", gone.state)
    };
    assert_eq!(cancellation.by, CancelledBy::NoShow);
    assert_eq!(
        (gone.charge(), gone.driver_due()),
        (Some(usd(500)), Some(usd(375)))
    );
}

fn waiting_fee(trip: &Trip) -> i64 {
    trip.state.progress().ride().unwrap().waiting_fee.minor
}

#[test]
fn waiting_costs_by_the_second_after_the_free_time_and_is_rounded_once() {
    // 45 a minute, 120 s free; 2 s are 1.5, and halves go to the even neighbour.
    for (waited_s, expected) in [
        (-60, 0),
        (0, 0),
        (120, 0),
        (121, 1),
        (122, 2),
        (126, 4),
        (180, 45),
        (200, 60),
        (720, 450),
    ] {
        let now = start() + TimeDelta::seconds(waited_s);
        let riding = must(trip_in("ARRIVED"), &begin(driver(1)), now);
        assert_eq!(waiting_fee(&riding), expected, "{waited_s} s");
        let done = must(riding, &Command::Complete { driver: driver(1) }, now);
        assert_eq!(done.charge(), Some(usd(1840 + expected)));
    }
    let fraction = start() + TimeDelta::milliseconds(121_999);
    let riding = must(trip_in("ARRIVED"), &begin(driver(1)), fraction);
    assert_eq!(waiting_fee(&riding), 1, "whole seconds only");
}

#[test]
fn the_driver_is_due_his_pay_and_his_share_of_what_waiting_or_not_coming_cost() {
    let at = |seconds| start() + TimeDelta::seconds(seconds);
    let due = |trip: Trip| trip.driver_due().unwrap().minor;
    let waited = must(trip_in("ARRIVED"), &begin(driver(1)), at(720));
    let done = must(waited, &Command::Complete { driver: driver(1) }, at(720));
    assert_eq!(due(done), 1120 + 338, "three quarters of 450 are 337.5");
    assert_eq!(due(trip_in("COMPLETED")), 1120);
    for (state, seconds, expected) in [
        ("SCHEDULED", 3000, 0),
        ("REQUESTED", 400, 0),
        ("EN_ROUTE", 120, 0),
        ("EN_ROUTE", 121, 375),
        ("ARRIVED", 121, 375),
    ] {
        let trip = must(trip_in(state), &cancel(rider(1)), at(seconds));
        assert_eq!(due(trip), expected, "{state}");
    }
    assert_eq!(due(trip_in("EXPIRED")), 0);
}

#[test]
fn amounts_that_do_not_fit_are_refused_and_not_wrapped() {
    let mut dear = trip_in("IN_PROGRESS");
    dear.order.fare = usd(i64::MAX);
    let State::InProgress(ride) = &mut dear.state else {
        panic!("{:?}", dear.state)
    };
    ride.waiting_fee = usd(1);
    let complete = Command::Complete { driver: driver(1) };
    assert_eq!(
        decide(&dear, &complete, &rules(), start()),
        Err(Refusal::AmountOutOfRange)
    );
}

#[test]
fn cash_is_taken_where_the_city_takes_it() {
    let cash = hexcab_trip::domain::NewTrip {
        payment_method: PaymentMethod::Cash,
        ..new_trip(rider(1))
    };
    let (trip, _) = request(cash.clone(), &rules(), start()).unwrap();
    assert_eq!(trip.order.payment_method, PaymentMethod::Cash);
    let cards_only = Rules {
        cash: false,
        ..rules()
    };
    assert_eq!(
        request(cash, &cards_only, start()).unwrap_err(),
        Refusal::CashNotTaken
    );
    assert!(request(new_trip(rider(1)), &cards_only, start()).is_ok());
}

#[test]
fn an_operators_force_says_who_and_why_and_costs_nothing() {
    for state in STATES {
        let ended = must(trip_in(state), &force(), start() + TimeDelta::seconds(600));
        let State::Cancelled { cancellation, .. } = &ended.state else {
            panic!("{:?}", ended.state)
        };
        let who_and_why = CancelledBy::Operator {
            operator: operator(),
            note: "lost property desk".to_owned(),
        };
        assert_eq!(cancellation.by, who_and_why, "{state}");
        assert_eq!(
            (ended.charge(), ended.driver_due()),
            (Some(usd(0)), Some(usd(0)))
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
    assert_eq!(fee("SCHEDULED", 3000), 0);
    assert_eq!(fee("REQUESTED", 400), 0);
    assert_eq!(fee("OFFERED", 10), 0);
    assert_eq!(fee("EN_ROUTE", 120), 0);
    assert_eq!(fee("EN_ROUTE", 121), 500);
    assert_eq!(fee("ARRIVED", 120), 0);
    assert_eq!(fee("ARRIVED", 121), 500);
}

#[test]
fn nobody_owes_a_fee_for_what_a_service_or_an_operator_ends() {
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
