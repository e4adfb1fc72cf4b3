//! Whatever is away or lost costs delay and nothing else.

use hexcab_proto::trip::v1::State;
use hexcab_testkit::eventually;

use crate::{Bench, fakes::Fault, place};

#[tokio::test(flavor = "multi_thread")]
async fn a_trip_that_moved_on_unheard_is_looked_up_and_offered_as_it_is_now() {
    let bench = Bench::new().await;
    let trip = bench.trip.request(place(0)).await;
    bench.until_open(&[trip]).await;
    // The next two versions are not told: dispatch believes in version 1.
    bench.trip.lose_events(true);
    let refused = bench.location.driver_at(place(1));
    bench
        .trip
        .change(trip, |trip| trip.set_state(State::Offered))
        .await;
    bench
        .trip
        .change(trip, |trip| {
            trip.excluded_drivers.push(refused.name());
            trip.set_state(State::Requested);
        })
        .await;
    let other = bench.location.driver_at(place(20));
    assert_eq!(bench.until_offered(trip, 1).await, other.name());
    assert_eq!(bench.trip.offers().last().unwrap().version, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trip_cancelled_unheard_leaves_the_book() {
    let bench = Bench::new().await;
    let trip = bench.trip.request(place(0)).await;
    bench.until_open(&[trip]).await;
    bench.trip.lose_events(true);
    bench.trip.end(trip).await;
    bench.until_open(&[]).await;
    bench.location.driver_at(place(1));
    assert!(bench.trip.offers().iter().all(|offer| offer.version == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_event_is_lost_is_found_in_the_listing() {
    let bench = Bench::new().await;
    let driver = bench.location.driver_at(place(1));
    bench.trip.lose_events(true);
    let trip = bench.trip.request(place(0)).await;
    assert_eq!(bench.until_offered(trip, 1).await, driver.name());
}

#[tokio::test(flavor = "multi_thread")]
async fn location_being_away_costs_delay_only() {
    let bench = Bench::new().await;
    bench.location.set_down(true);
    let driver = bench.location.driver_at(place(1));
    let trip = bench.trip.request(place(0)).await;
    bench.until_open(&[trip]).await;
    bench.windows(3).await;
    assert!(bench.trip.offers().is_empty());
    bench.location.set_down(false);
    assert_eq!(bench.until_offered(trip, 1).await, driver.name());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_fails_among_others_does_not_slow_the_city_down() {
    let bench = Bench::new().await;
    bench.location.fail_at(place(50));
    bench.trip.request(place(50)).await;
    bench.trip.request(place(0)).await;
    // With a rest after each, that doubles to 3 s, this would take more than `windows` waits for.
    bench.windows(12).await;
    assert!(bench.trip.offers().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn trip_being_away_costs_delay_only() {
    let bench = Bench::new().await;
    let trip = bench.trip.request(place(0)).await;
    bench.until_open(&[trip]).await;
    bench.trip.set_down(true);
    let driver = bench.location.driver_at(place(1));
    eventually(|| async {
        bench
            .explain_trip(trip)
            .await
            .filter(|decision| !decision.driver.is_empty())
    })
    .await;
    bench.until_open(&[trip]).await;
    bench.trip.set_down(false);
    assert_eq!(bench.until_offered(trip, 1).await, driver.name());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_whose_answer_is_lost_is_repeated_with_the_same_request_id() {
    let bench = Bench::new().await;
    bench.trip.lose_events(true);
    bench.location.driver_at(place(1));
    bench.trip.fail_next([Fault::AnswerLost]);
    let trip = bench.trip.request(place(0)).await;
    bench.until_offered(trip, 1).await;
    bench.until_open(&[]).await;
    let offers =
        eventually(|| async { Some(bench.trip.offers()).filter(|offers| offers.len() >= 2) }).await;
    assert_eq!(offers.len(), 2);
    assert_eq!(offers[0], offers[1], "the same request id, the same body");
    assert_eq!(bench.trip.trip(trip).epoch, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_nobody_knows_the_outcome_of_is_looked_up_not_made_again() {
    let bench = Bench::new().await;
    bench.trip.lose_events(true);
    bench.location.driver_at(place(1));
    bench.location.driver_at(place(2));
    bench.trip.fail_next([Fault::AnswerLost, Fault::AnswerLost]);
    let trip = bench.trip.request(place(0)).await;
    bench.until_offered(trip, 1).await;
    bench.until_open(&[]).await;
    assert_eq!(bench.trip.offers().len(), 2);
    assert_eq!(bench.trip.trip(trip).version, 2, "one offer was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_trip_calls_a_driver_busy_another_is_asked() {
    let bench = Bench::new().await;
    let near = bench.location.driver_at(place(1));
    let far = bench.location.driver_at(place(9));
    bench.trip.fail_next([Fault::DriverBusy]);
    let trip = bench.trip.request(place(0)).await;
    assert_eq!(bench.until_offered(trip, 1).await, far.name());
    let offers = bench.trip.offers();
    assert_eq!(
        (offers[0].driver.clone(), offers[1].driver.clone()),
        (near.name(), far.name())
    );
    assert_ne!(
        offers[0].request_id, offers[1].request_id,
        "trip keeps refusals under their id"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_rebuilds_the_book_from_trip() {
    let mut bench = Bench::new().await;
    let asked = bench.location.driver_at(place(1));
    let offered = bench.trip.request(place(0)).await;
    bench.until_offered(offered, 1).await;
    let waiting = [
        bench.trip.request(place(3)).await,
        bench.trip.request(place(4)).await,
    ];
    bench.until_open(&waiting).await;
    bench.stop().await;
    // While nobody dispatches, one of them leaves, unheard, and there is a new driver.
    bench.trip.lose_events(true);
    bench.trip.end(waiting[1]).await;
    let free = bench.location.driver_at(place(5));
    bench.start().await;
    assert_eq!(bench.until_offered(waiting[0], 1).await, free.name());
    bench.until_open(&[]).await;
    assert!(bench.trip.offers_of(waiting[1]).is_empty());
    assert_eq!(
        bench
            .trip
            .offers()
            .iter()
            .filter(|offer| offer.driver == asked.name())
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_that_starts_before_trip_waits_for_it() {
    let mut bench = Bench::without_dispatch(Bench::clock()).await;
    bench.trip.set_down(true);
    let driver = bench.location.driver_at(place(1));
    bench.trip.lose_events(true);
    let trip = bench.trip.request(place(0)).await;
    bench.start_early().await;
    eventually(|| async { bench.status().await.ok() }).await;
    assert_eq!(bench.trip.listings(), 0);
    bench.trip.set_down(false);
    assert_eq!(bench.until_offered(trip, 1).await, driver.name());
}
