//! I9: every deadline is carried out, by whoever comes by.

use std::time::Duration;

use hexcab_trip::{
    domain::{CancelledBy, ExclusionReason, State},
    store::Trips,
    sweeper::{Sweeper, Swept},
};
use hexcab_types::TripId;
use tokio::time::Instant;

use crate::fixture::*;

/// One look by somebody who comes by for the first time: how many he carried out.
async fn sweep(trips: &Trips) -> usize {
    let swept = Sweeper::new(trips.clone()).sweep(Instant::now()).await;
    swept.unwrap().carried_out
}

const fn swept(due: usize, carried_out: usize) -> Swept {
    Swept { due, carried_out }
}

/// Makes every change of this trip fail.
async fn break_trip(store: &Store, trip: TripId) {
    let sql = format!(
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$;
         CREATE TRIGGER broken BEFORE UPDATE ON trips FOR EACH ROW WHEN (OLD.id = '{trip}') EXECUTE FUNCTION broken()"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(store.pg.pool())
        .await
        .unwrap();
}

#[tokio::test]
async fn an_ignored_offer_goes_back_to_the_search_after_its_grace() {
    let store = Store::new().await;
    let trip = store.offered(1).await.id;
    store.advance(16);
    assert_eq!(sweep(&store.trips).await, 0, "the grace is not over");
    store.hand.advance(std::time::Duration::from_micros(1));
    assert_eq!(sweep(&store.trips).await, 1);
    let trip = store.trips.get(trip).await.unwrap();
    assert_eq!(trip.state, State::Requested);
    assert!(trip.excludes(driver(1)));
    assert_eq!(sweep(&store.trips).await, 0);
}

#[tokio::test]
async fn a_request_nobody_takes_expires() {
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    store.advance(480);
    assert_eq!(sweep(&store.trips).await, 0);
    store.advance(1);
    assert_eq!(sweep(&store.trips).await, 1);
    assert_eq!(store.trips.get(trip).await.unwrap().state.name(), "EXPIRED");
}

#[tokio::test]
async fn a_search_that_is_over_while_a_driver_is_asked_ends_with_the_offer() {
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    store.advance(475);
    store.must(trip, [offer_to(driver(1))]).await;
    store.advance(17);
    sweep(&store.trips).await;
    assert_eq!(
        store.trips.get(trip).await.unwrap().state.name(),
        "REQUESTED"
    );
    sweep(&store.trips).await;
    assert_eq!(store.trips.get(trip).await.unwrap().state.name(), "EXPIRED");
}

#[tokio::test]
async fn a_driver_at_the_pickup_a_ride_and_what_is_finished_have_no_deadline() {
    let store = Store::new().await;
    for n in 1..=3 {
        let trip = store.offered(n).await.id;
        let ride = [accept(driver(n), 1), arrive(driver(n)), begin(driver(n))];
        let commands = match n {
            1 => ride[..2].to_vec(),
            2 => ride.to_vec(),
            _ => vec![cancel(rider(n))],
        };
        store.must(trip, commands).await;
    }
    store.advance(1_000_000);
    assert_eq!(sweep(&store.trips).await, 0);
}

#[tokio::test]
async fn a_driver_who_does_not_come_loses_the_trip_and_is_not_asked_again() {
    let store = Store::new().await;
    let trip = store.offered(1).await.id;
    store.must(trip, [accept(driver(1), 1)]).await;
    store.advance(900);
    assert_eq!(sweep(&store.trips).await, 0, "it is his last instant");
    store.hand.advance(Duration::from_micros(1));
    assert_eq!(sweep(&store.trips).await, 1);
    let searched = store.trips.get(trip).await.unwrap();
    assert_eq!(searched.state, State::Requested);
    assert_eq!(searched.excluded[0].reason, ExclusionReason::Stalled);
    let whole_search = searched.updated_at + chrono::TimeDelta::seconds(480);
    assert_eq!(searched.request_expires_at, whole_search);
    assert_eq!(
        reason(&store.execute(trip, arrive(driver(1))).await),
        "TRIP_STALLED"
    );
    assert_eq!(
        reason(&store.execute(trip, offer_to(driver(1))).await),
        "DRIVER_EXCLUDED"
    );
    let offered = store.execute(trip, offer_to(driver(2))).await.unwrap();
    assert_eq!(offered.epoch, 2);
}

#[tokio::test]
async fn a_booked_trip_is_looked_for_when_its_time_comes() {
    let store = Store::new().await;
    let trip = store.book(1, 3600).await;
    assert_eq!(trip.state, State::Scheduled);
    store.advance(2700);
    assert_eq!(sweep(&store.trips).await, 0);
    store.advance(1);
    assert_eq!(sweep(&store.trips).await, 1);
    let activated = store.trips.get(trip.id).await.unwrap();
    assert_eq!((activated.state, activated.version), (State::Requested, 2));
    assert_eq!(sweep(&store.trips).await, 0, "it has a search to go");
}

#[tokio::test]
async fn a_booked_trip_is_not_its_riders_active_one() {
    let store = Store::new().await;
    let now = store.request(1).await.id;
    for hours in 1..=3 {
        assert_eq!(store.book(1, hours * 3600).await.state, State::Scheduled);
    }
    assert_eq!(
        reason(&store.trips.create(key(), new_trip(rider(1))).await),
        "RIDER_BUSY"
    );
    store.must(now, [cancel(rider(1))]).await;
    store.request(1).await;
}

#[tokio::test]
async fn a_booked_trip_whose_rider_is_on_another_when_its_time_comes_is_called_off() {
    let store = Store::new().await;
    let booked = store.book(1, 3600).await.id;
    let busy = store.offered(1).await.id;
    let ride = [accept(driver(1), 1), arrive(driver(1)), begin(driver(1))];
    let riding = store.must(busy, ride).await;
    store.advance(2701);
    assert_eq!(sweep(&store.trips).await, 1);
    let off = store.trips.get(booked).await.unwrap();
    let State::Cancelled { cancellation, .. } = &off.state else {
        panic!("{:?}", off.state)
    };
    assert_eq!(cancellation.by, CancelledBy::RiderBusy);
    assert_eq!(off.charge(), Some(usd(0)));
    assert_eq!(store.trips.get(busy).await.unwrap(), riding);
    assert_eq!(sweep(&store.trips).await, 0);
}

#[tokio::test]
async fn of_two_booked_for_one_time_the_first_is_looked_for_and_the_other_called_off() {
    let store = Store::new().await;
    let (one, two) = (store.book(1, 3600).await.id, store.book(1, 3601).await.id);
    store.advance(2800);
    assert_eq!(sweep(&store.trips).await, 2);
    let state = async |trip| store.trips.get(trip).await.unwrap().state.name();
    assert_eq!(
        (state(one).await, state(two).await),
        ("REQUESTED", "CANCELLED")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sweepers_carry_a_deadline_out_once() {
    let store = Store::new().await;
    for n in 1..=10 {
        store.offered(n).await;
    }
    store.advance(20);
    let sweeps = (0..4).map(|_| sweep(&store.trips));
    // Whatever they do to each other (one may give up for now), another look finds what is left.
    futures::future::join_all(sweeps).await;
    while sweep(&store.trips).await > 0 {}
    let versions: Vec<i64> = sqlx::query_scalar("SELECT version FROM trips")
        .fetch_all(store.pg.pool())
        .await
        .unwrap();
    assert_eq!(versions, [3; 10]);
}

#[tokio::test]
async fn a_trip_that_somebody_is_at_is_skipped() {
    let store = Store::new().await;
    let trip = store.offered(1).await.id;
    store.advance(20);
    let mut elsewhere = store.pg.pool().acquire().await.unwrap();
    sqlx::raw_sql("BEGIN")
        .execute(&mut *elsewhere)
        .await
        .unwrap();
    sqlx::query("SELECT FROM trips WHERE id = $1 FOR UPDATE")
        .bind(trip.uuid())
        .execute(&mut *elsewhere)
        .await
        .unwrap();
    assert_eq!(store.trips.carry_out_deadline(trip).await.unwrap(), None);
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut *elsewhere)
        .await
        .unwrap();
    assert!(
        store
            .trips
            .carry_out_deadline(trip)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn a_trip_that_always_fails_rests_and_delays_nobody() {
    let store = Store::new().await;
    let broken = store.offered(1).await.id;
    break_trip(&store, broken).await;
    store.advance(1);
    let other = store.offered(2).await.id;
    store.advance(20);
    let (mut sweeper, mut now) = (Sweeper::new(store.trips.0.clone()), Instant::now());
    assert_eq!(
        sweeper.sweep(now).await.unwrap(),
        swept(2, 1),
        "the failure is no error of the sweep"
    );
    let state = store.trips.get(other).await.unwrap().state;
    assert_eq!(state, State::Requested);
    for rest_ms in [100, 200, 400] {
        now += Duration::from_millis(rest_ms - 1);
        assert_eq!(sweeper.sweep(now).await.unwrap(), swept(0, 0), "{rest_ms}");
        now += Duration::from_millis(1);
        assert_eq!(sweeper.sweep(now).await.unwrap(), swept(1, 0), "{rest_ms}");
    }
    sqlx::raw_sql("DROP TRIGGER broken ON trips")
        .execute(store.pg.pool())
        .await
        .unwrap();
    now += Duration::from_secs(30);
    assert_eq!(
        sweeper.sweep(now).await.unwrap(),
        swept(1, 1),
        "it is not forgotten"
    );
}

#[tokio::test]
async fn a_whole_batch_that_somebody_else_is_at_does_not_starve_the_next() {
    let store = Store::new().await;
    for n in 1..=64 {
        store.request(n).await;
    }
    let mut elsewhere = store.pg.pool().acquire().await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT FROM trips FOR UPDATE")
        .execute(&mut *elsewhere)
        .await
        .unwrap();
    store.advance(1);
    let last = store.request(65).await.id;
    store.advance(481);
    let (mut sweeper, now) = (Sweeper::new(store.trips.0.clone()), Instant::now());
    assert_eq!(sweeper.sweep(now).await.unwrap(), swept(64, 0));
    assert_eq!(sweeper.sweep(now).await.unwrap(), swept(1, 1));
    assert_eq!(store.trips.get(last).await.unwrap().state.name(), "EXPIRED");
}
