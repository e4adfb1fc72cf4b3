//! Random commands at random times: the invariants hold whatever is asked in whatever order.

use std::collections::{HashMap, HashSet};

use chrono::TimeDelta;
use hexcab_trip::domain::{Canceller, Command, Event, StartCode, State, Trip, decide, request};
use hexcab_types::DriverId;
use proptest::prelude::*;

use crate::fixture::*;

/// A command by one of four drivers, about one of the last epochs, some seconds later.
#[derive(Debug, Clone)]
struct Step {
    command: Command,
    after_s: i64,
}

fn step() -> impl Strategy<Value = Step> {
    let who = (0_u128..4).prop_map(driver);
    let command = (0_u8..14, who, 1_i32..6, any::<bool>()).prop_map(
        |(which, who, epoch, right)| match which {
            0..=2 => offer_to(who),
            3..=4 => accept(who, epoch),
            5 => decline(who, epoch),
            6 => Command::ExpireOffer { epoch },
            7 => Command::ExpireRequest,
            8 => arrive(who),
            9 => Command::Start {
                driver: who,
                code: if right { code() } else { StartCode::of(1) },
            },
            10 => Command::Complete { driver: who },
            11 => Command::Release { driver: who },
            12 if right => force(),
            12 => Command::Cancel(Canceller::PaymentDeclined),
            _ => cancel(rider(if right { 1 } else { 2 })),
        },
    );
    (
        command,
        prop_oneof![4 => 0_i64..3, 2 => 3_i64..20, 1 => 20_i64..300],
    )
        .prop_map(|(command, after_s)| Step { command, after_s })
}

/// What the walk remembers by itself, to hold the domain against.
#[derive(Default)]
struct Seen {
    offers: HashMap<i32, (DriverId, chrono::DateTime<chrono::Utc>)>,
    in_vain: HashSet<DriverId>,
    ended: bool,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_commands_breaks_an_invariant(steps in prop::collection::vec(step(), 1..60)) {
        let (mut trip, first) = request(new_trip(rider(1)), &rules(), start()).unwrap();
        let mut now = start();
        let mut history = vec![(first, now)];
        let mut seen = Seen::default();
        for Step { command, after_s } in steps {
            now += TimeDelta::seconds(after_s);
            let decided = decide(&trip, &command, &rules(), now);
            // I3: an end is an end.
            prop_assert!(!(seen.ended && decided.is_ok()), "{:?} after the end", command);
            let Ok(event) = decided else { continue };
            match &event {
                Event::OfferMade(offer) => {
                    // I8, I4: nobody twice in vain; epochs count up.
                    prop_assert!(!seen.in_vain.contains(&offer.driver));
                    prop_assert_eq!(offer.epoch, seen.offers.len() as i32 + 1);
                    seen.offers.insert(offer.epoch, (offer.driver, offer.expires_at));
                }
                Event::OfferAccepted { driver, epoch, .. } => {
                    // I4: the last offer, its driver, in time.
                    prop_assert_eq!(*epoch, seen.offers.len() as i32);
                    prop_assert_eq!(*driver, seen.offers[epoch].0);
                    prop_assert!(now <= seen.offers[epoch].1 + TimeDelta::seconds(1));
                }
                Event::OfferDeclined { driver, .. } | Event::OfferExpired { driver, .. } | Event::Released { driver, .. } => {
                    seen.in_vain.insert(*driver);
                }
                Event::Requested { .. } | Event::Scheduled { .. } => prop_assert!(false, "begun twice"),
                Event::Activated { .. } => prop_assert!(false, "activated though not booked"),
                Event::Arrived { .. } | Event::Started { .. } => {}
                Event::Completed { .. } | Event::Cancelled { .. } | Event::Expired => seen.ended = true,
            }
            let after = trip.clone().apply(&event, now);
            prop_assert_eq!(after.version, trip.version + 1);
            prop_assert_eq!(after.state.ended_at().is_some(), seen.ended);
            history.push((event, now));
            trip = after;
        }
        // I2: the state is what the events fold to.
        let fresh = Trip::new(trip.id, trip.order.clone(), trip.created_at);
        let folded = history.iter().fold(fresh, |trip, (event, at)| trip.apply(event, *at));
        prop_assert_eq!(&folded, &trip);
        prop_assert_eq!(trip.version, history.len() as i64);
    }

    #[test]
    fn of_two_commands_at_once_the_second_sees_the_first(one in step(), other in step(), state in 0_usize..5) {
        // Whatever two commands race, applied in either order, at most one of two acceptances stands (I5).
        let state = ["REQUESTED", "OFFERED", "EN_ROUTE", "ARRIVED", "IN_PROGRESS"][state];
        let mut trip = trip_in(state);
        let mut accepted = matches!(trip.state, State::EnRoute(_) | State::Arrived(_) | State::InProgress(_));
        for command in [one.command, other.command] {
            if let Ok(event) = decide(&trip, &command, &rules(), start()) {
                if matches!(event, Event::OfferAccepted { .. }) {
                    prop_assert!(!accepted);
                    accepted = true;
                }
                if matches!(event, Event::Released { .. }) {
                    accepted = false;
                }
                trip = trip.apply(&event, start());
            }
        }
    }
}
