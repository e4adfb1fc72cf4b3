//! I9: every deadline is carried out, by whoever comes by.

use hexcab_trip::{domain::State, sweeper::sweep};

use crate::fixture::*;

#[tokio::test]
async fn an_ignored_offer_goes_back_to_the_search_after_its_grace() {
    let store = Store::new().await;
    let trip = store.offered(1).await.id;
    store.advance(16);
    assert_eq!(
        sweep(&store.trips).await.unwrap(),
        0,
        "the grace is not over"
    );
    store.hand.advance(std::time::Duration::from_micros(1));
    assert_eq!(sweep(&store.trips).await.unwrap(), 1);
    let trip = store.trips.get(trip).await.unwrap();
    assert_eq!(trip.state, State::Requested);
    assert!(trip.excludes(driver(1)));
    assert_eq!(sweep(&store.trips).await.unwrap(), 0);
}

#[tokio::test]
async fn a_request_nobody_takes_expires() {
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    store.advance(480);
    assert_eq!(sweep(&store.trips).await.unwrap(), 0);
    store.advance(1);
    assert_eq!(sweep(&store.trips).await.unwrap(), 1);
    assert_eq!(store.trips.get(trip).await.unwrap().state.name(), "EXPIRED");
}

#[tokio::test]
async fn a_search_that_is_over_while_a_driver_is_asked_ends_with_the_offer() {
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    store.advance(475);
    store.must(trip, [offer_to(driver(1))]).await;
    store.advance(17);
    sweep(&store.trips).await.unwrap();
    assert_eq!(
        store.trips.get(trip).await.unwrap().state.name(),
        "REQUESTED"
    );
    sweep(&store.trips).await.unwrap();
    assert_eq!(store.trips.get(trip).await.unwrap().state.name(), "EXPIRED");
}

#[tokio::test]
async fn rides_under_way_and_finished_have_no_deadline() {
    let store = Store::new().await;
    let (one, two) = (store.offered(1).await.id, store.offered(2).await.id);
    store.must(one, [accept(driver(1), 1)]).await;
    store.must(two, [cancel(rider(2))]).await;
    store.advance(1_000_000);
    assert_eq!(sweep(&store.trips).await.unwrap(), 0);
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
    while sweep(&store.trips).await.unwrap() > 0 {}
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
