//! Histories that break a promise, and that each is found.

use hexcab_proto::trip::v1::{
    Offer as OpenOffer, OfferAccepted, OfferDeclined, OfferExpired, OfferMade, Trip, TripCompleted,
    TripReleased, TripRequested,
};

use super::*;

/// An event at a second, with the deadline of the open offer.
fn at(second: i64, until: i64, event: Event) -> TripEvent {
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let offer = OpenOffer {
        expire_time: time(until),
        ..OpenOffer::default()
    };
    let after = Trip {
        offer: Some(offer),
        ..Trip::default()
    };
    TripEvent {
        version: second,
        occur_time: time(second),
        after: Some(after),
        event: Some(event),
        ..TripEvent::default()
    }
}

fn offer(driver: &str, epoch: i32) -> TripEvent {
    at(
        10,
        25,
        Event::OfferMade(OfferMade {
            driver: driver.into(),
            epoch,
        }),
    )
}

fn accept(second: i64, driver: &str, epoch: i32) -> TripEvent {
    at(
        second,
        0,
        Event::OfferAccepted(OfferAccepted {
            driver: driver.into(),
            epoch,
        }),
    )
}

fn decline(driver: &str, epoch: i32) -> TripEvent {
    at(
        12,
        0,
        Event::OfferDeclined(OfferDeclined {
            driver: driver.into(),
            epoch,
        }),
    )
}

fn expire(driver: &str, epoch: i32) -> TripEvent {
    at(
        26,
        0,
        Event::OfferExpired(OfferExpired {
            driver: driver.into(),
            epoch,
        }),
    )
}

fn release(driver: &str) -> TripEvent {
    at(
        20,
        0,
        Event::Released(TripReleased {
            driver: driver.into(),
            ..TripReleased::default()
        }),
    )
}

fn broken(events: Vec<TripEvent>) -> Vec<&'static str> {
    let mut lives = Lives::default();
    for event in events {
        lives.see(Uuid::from_u128(1), &event.encode_to_vec());
    }
    lives
        .outcomes()
        .into_iter()
        .filter(|outcome| outcome.violations > 0)
        .map(|outcome| outcome.name)
        .collect()
}

#[test]
fn every_broken_promise_of_a_life_is_found() {
    let requested = || at(1, 0, Event::Requested(TripRequested {}));
    let completed = || at(30, 0, Event::Completed(TripCompleted {}));
    type Case = (&'static str, Vec<TripEvent>, &'static [&'static str]);
    let table: Vec<Case> = vec![
        (
            "a whole life",
            vec![
                requested(),
                offer("a", 1),
                decline("a", 1),
                offer("b", 2),
                accept(12, "b", 2),
                completed(),
            ],
            &[],
        ),
        (
            "given back, then another",
            vec![
                offer("a", 1),
                accept(12, "a", 1),
                release("a"),
                offer("b", 2),
                accept(12, "b", 2),
            ],
            &[],
        ),
        (
            "within the grace",
            vec![offer("a", 1), accept(26, "a", 1)],
            &[],
        ),
        (
            "after the grace",
            vec![offer("a", 1), accept(27, "a", 1)],
            &["I4 acceptances"],
        ),
        (
            "of another epoch",
            vec![offer("a", 2), accept(12, "a", 1)],
            &["I4 acceptances"],
        ),
        (
            "by another driver",
            vec![offer("a", 1), accept(12, "b", 1)],
            &["I4 acceptances"],
        ),
        (
            "of no offer",
            vec![requested(), accept(12, "a", 1)],
            &["I4 acceptances"],
        ),
        (
            "twice",
            vec![offer("a", 1), accept(12, "a", 1), accept(12, "a", 1)],
            &["I4 acceptances"],
        ),
        (
            "two offers open",
            vec![offer("a", 1), offer("b", 2)],
            &["I5 outcomes"],
        ),
        (
            "declined and expired",
            vec![offer("a", 1), decline("a", 1), expire("a", 1)],
            &["I5 outcomes"],
        ),
        (
            "no outcome at all",
            vec![offer("a", 1), completed()],
            &["I5 outcomes"],
        ),
        (
            "given back by a stranger",
            vec![offer("a", 1), accept(12, "a", 1), release("b")],
            &["I5 outcomes"],
        ),
        (
            "asked again who declined",
            vec![offer("a", 1), decline("a", 1), offer("a", 2)],
            &["I8 exclusions"],
        ),
        (
            "asked again who let it run out",
            vec![offer("a", 1), expire("a", 1), offer("a", 2)],
            &["I8 exclusions"],
        ),
        (
            "asked again who gave it back",
            vec![
                offer("a", 1),
                accept(12, "a", 1),
                release("a"),
                offer("a", 2),
            ],
            &["I8 exclusions"],
        ),
        ("says nothing", vec![TripEvent::default()], &["I2 readable"]),
    ];
    for (what, events, found) in table {
        assert_eq!(broken(events), found, "{what}");
    }
}

#[test]
fn one_trip_does_not_answer_for_another() {
    let mut lives = Lives::default();
    lives.see(Uuid::from_u128(1), &offer("a", 1).encode_to_vec());
    lives.see(Uuid::from_u128(1), &decline("a", 1).encode_to_vec());
    lives.see(Uuid::from_u128(2), &offer("a", 1).encode_to_vec());
    assert!(
        lives
            .outcomes()
            .iter()
            .all(|outcome| outcome.violations == 0)
    );
}

#[test]
fn what_cannot_be_read_is_found() {
    let mut lives = Lives::default();
    lives.see(Uuid::from_u128(1), b"\xff\xff");
    assert_eq!(lives.outcomes()[0].violations, 1);
}
