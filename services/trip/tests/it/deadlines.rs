//! I9: every deadline is carried out, by whoever comes by.

use std::time::Duration;

use hexcab_trip::{
    domain::State,
    store::{Filter, Trips},
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
async fn who_waits_who_rides_and_what_is_finished_has_no_deadline() {
    let store = Store::new().await;
    for n in 1..=3 {
        store.offered(n).await;
    }
    let ids = store
        .trips
        .list(&Filter {
            limit: 9,
            ..Filter::default()
        })
        .await
        .unwrap()
        .0;
    for trip in ids {
        let n = (1..=3).find(|n| trip.order.rider == rider(*n)).unwrap();
        let commands = [
            accept(driver(n), 1),
            arrive(driver(n)),
            begin(driver(n)),
            cancel(rider(n)),
        ];
        store
            .must(
                trip.id,
                match n {
                    1 => commands[..2].to_vec(),
                    2 => commands[..3].to_vec(),
                    _ => commands[3..].to_vec(),
                },
            )
            .await;
    }
    store.advance(1_000_000);
    assert_eq!(sweep(&store.trips).await, 0);
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
    let (mut sweeper, mut now) = (Sweeper::new(store.trips.clone()), Instant::now());
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
    let (mut sweeper, now) = (Sweeper::new(store.trips.clone()), Instant::now());
    assert_eq!(sweeper.sweep(now).await.unwrap(), swept(64, 0));
    assert_eq!(sweeper.sweep(now).await.unwrap(), swept(1, 1));
    assert_eq!(store.trips.get(last).await.unwrap().state.name(), "EXPIRED");
}
