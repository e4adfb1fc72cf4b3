//! Real concurrency on real Postgres: whoever comes second is told to what he lost.

use chrono::TimeDelta;
use futures::future::join_all;
use hexcab_chassis::Clock;
use hexcab_trip::{domain::NewTrip, store::ExecuteError};
use hexcab_types::TripId;
use uuid::Uuid;

use crate::fixture::*;

const ROUNDS: u128 = 25;

#[tokio::test(flavor = "multi_thread")]
async fn accept_and_cancel_at_once_leave_one_story() {
    let store = Store::new().await;
    for n in 1..=ROUNDS {
        let trip = store.offered(n).await.id;
        let (accepted, cancelled) = tokio::join!(
            store.execute(trip, accept(driver(n), 1)),
            store.execute(trip, cancel(rider(n)))
        );
        // The rider may also cancel just after the acceptance: then both are told the truth, in that order.
        assert_eq!(reason(&cancelled), "CANCELLED");
        let kinds: Vec<String> =
            sqlx::query_scalar("SELECT kind FROM trip_events WHERE trip = $1 ORDER BY version")
                .bind(trip.uuid())
                .fetch_all(store.pg.pool())
                .await
                .unwrap();
        match reason(&accepted).as_str() {
            "EN_ROUTE" => assert_eq!(
                kinds,
                [
                    "TripRequested",
                    "OfferMade",
                    "OfferAccepted",
                    "TripCancelled"
                ]
            ),
            "TRIP_CANCELLED" => assert_eq!(kinds, ["TripRequested", "OfferMade", "TripCancelled"]),
            other => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accept_and_timeout_at_once_have_one_winner() {
    let store = Store::new().await;
    // Two replicas whose clocks differ, so that one may still accept what the other may already expire.
    let (behind, _hand) = Clock::manual(start() + TimeDelta::seconds(15));
    let (ahead, _hand) = Clock::manual(start() + TimeDelta::seconds(17));
    let (behind, ahead) = (
        Store::keeper(&store.pg, behind),
        Store::keeper(&store.pg, ahead),
    );
    for n in 1..=ROUNDS {
        let trip = store.offered(n).await.id;
        let (accepted, expired) = tokio::join!(
            behind.execute(key(), trip, accept(driver(n), 1)),
            ahead.carry_out_deadline(trip)
        );
        match (reason(&accepted).as_str(), expired.unwrap()) {
            ("EN_ROUTE", None) => {}
            ("OFFER_EXPIRED", Some(trip)) => assert!(trip.excludes(driver(n))),
            other => panic!("{other:?}"),
        }
        // In either case the trip ends here, so that its driver and rider are free.
        store.must(trip, [cancel(rider(n))]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_offers_of_one_trip_one_stands() {
    let store = Store::new().await;
    for n in 1..=ROUNDS {
        let trip = store.request(n).await.id;
        let (one, two) = tokio::join!(
            store.execute(trip, offer_to(driver(2 * n))),
            store.execute(trip, offer_to(driver(2 * n + 1)))
        );
        let mut outcome = [reason(&one), reason(&two)];
        outcome.sort();
        assert_eq!(outcome, ["OFFERED", "OFFER_PENDING"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_offers_to_one_driver_one_stands() {
    let store = Store::new().await;
    for n in 1..=ROUNDS {
        let (one, two) = (
            store.request(2 * n).await.id,
            store.request(2 * n + 1).await.id,
        );
        let (one, two) = tokio::join!(
            store.execute(one, offer_to(driver(n))),
            store.execute(two, offer_to(driver(n)))
        );
        let mut outcome = [reason(&one), reason(&two)];
        outcome.sort();
        assert_eq!(outcome, ["DRIVER_BUSY", "OFFERED"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_trips_of_one_quote_one_is_made() {
    let store = Store::new().await;
    for n in 1..=ROUNDS {
        let new = new_trip(rider(n));
        let again = NewTrip {
            id: TripId::from(Uuid::new_v4()),
            ..new.clone()
        };
        let (one, two) = tokio::join!(
            store.trips.create(key(), new),
            store.trips.create(key(), again)
        );
        let mut outcome = [reason(&one), reason(&two)];
        outcome.sort();
        assert_eq!(outcome, ["QUOTE_USED", "REQUESTED"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_trips_of_one_rider_one_is_made() {
    let store = Store::new().await;
    for n in 1..=ROUNDS {
        let (one, two) = tokio::join!(
            store.trips.create(key(), new_trip(rider(n))),
            store.trips.create(key(), new_trip(rider(n)))
        );
        let mut outcome = [reason(&one), reason(&two)];
        outcome.sort();
        assert_eq!(outcome, ["REQUESTED", "RIDER_BUSY"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_sent_many_times_at_once_is_done_once() {
    let store = Store::new().await;
    for n in 1..=ROUNDS / 5 {
        let (create, offer) = (key(), key());
        let made = join_all((0..6).map(|_| store.trips.create(create, new_trip(rider(n))))).await;
        let trip = made[0].as_ref().unwrap().id;
        assert!(
            made.iter().all(|made| made.as_ref().unwrap().id == trip),
            "{made:?}"
        );
        let offered =
            join_all((0..6).map(|_| store.trips.execute(offer, trip, offer_to(driver(n))))).await;
        assert!(
            offered.iter().all(|offered| reason(offered) == "OFFERED"),
            "{offered:?}"
        );
        assert_eq!(store.trips.get(trip).await.unwrap().version, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_by_the_database_asked_for_many_times_at_once_is_one_answer() {
    let store = Store::new().await;
    store.offered(1).await;
    let trip = store.request(2).await.id;
    for _ in 0..ROUNDS / 5 {
        let asked = key();
        let told =
            join_all((0..6).map(|_| store.trips.execute(asked, trip, offer_to(driver(1))))).await;
        assert!(
            told.iter().all(|told| reason(told) == "DRIVER_BUSY"),
            "{told:?}"
        );
    }
}

#[tokio::test]
async fn a_request_in_flight_elsewhere_is_said_to_be() {
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    let key = key();
    let mut elsewhere = store.pg.pool().acquire().await.unwrap();
    sqlx::raw_sql("BEGIN")
        .execute(&mut *elsewhere)
        .await
        .unwrap();
    sqlx::query("INSERT INTO requests (request_id, body_hash, asked_at) VALUES ($1, $2, now())")
        .bind(key.id.uuid())
        .bind(key.body_hash.as_slice())
        .execute(&mut *elsewhere)
        .await
        .unwrap();
    let refused = store.trips.execute(key, trip, cancel(rider(1))).await;
    assert!(
        matches!(refused, Err(ExecuteError::RequestInFlight)),
        "{refused:?}"
    );
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut *elsewhere)
        .await
        .unwrap();
    assert_eq!(
        reason(&store.trips.execute(key, trip, cancel(rider(1))).await),
        "CANCELLED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_trips_at_once_do_not_stand_in_each_others_way() {
    let store = Store::new().await;
    let rides = (1..=24_u128).map(|n| {
        let store = &store;
        async move {
            let trip = store.patient(n).await;
            for command in [
                offer_to(driver(n)),
                accept(driver(n), 1),
                arrive(driver(n)),
                begin(driver(n)),
                hexcab_trip::domain::Command::Complete { driver: driver(n) },
            ] {
                let key = key();
                loop {
                    match store.trips.execute(key, trip, command.clone()).await {
                        Ok(_) => break,
                        // Tries spent: what the gateway would ask again.
                        Err(ExecuteError::Pg(error)) if error.sqlstate().is_none() => {}
                        Err(other) => panic!("{other:?}"),
                    }
                }
            }
            assert_eq!(
                store.trips.get(trip).await.unwrap().state.name(),
                "COMPLETED"
            );
        }
    });
    join_all(rides).await;
}

impl Store {
    async fn patient(&self, n: u128) -> TripId {
        loop {
            match self.trips.create(key(), new_trip(rider(n))).await {
                Ok(trip) => return trip.id,
                Err(ExecuteError::Pg(error)) if error.sqlstate().is_none() => {}
                Err(other) => panic!("{other:?}"),
            }
        }
    }
}
