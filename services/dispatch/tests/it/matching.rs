//! Who is offered to whom, and when.

use std::time::Duration;

use chrono::TimeDelta;
use hexcab_chassis::Clock;
use hexcab_proto::trip::v1::State;
use hexcab_testkit::eventually;
use hexcab_types::Timestamp;

use crate::{Bench, place};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_offered_to_the_nearest_driver() {
    let bench = Bench::new().await;
    bench.location.driver_at(place(25));
    let near = bench.location.driver_at(place(8));
    let trip = bench.trip.request(place(0)).await;
    assert_eq!(bench.until_offered(trip, 1).await, near.name());
    let offers = bench.trip.offers();
    assert_eq!(offers.len(), 1);
    assert_eq!(offers[0].version, 1);
    assert!((1..600).contains(&offers[0].pickup_eta_s), "{offers:?}");
    assert!(
        (750..850).contains(&offers[0].pickup_distance_m),
        "{offers:?}"
    );
    bench.until_open(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_request_is_offered_to_another_driver() {
    let bench = Bench::new().await;
    let near = bench.location.driver_at(place(1));
    let far = bench.location.driver_at(place(9));
    let trip = bench.trip.request(place(0)).await;
    assert_eq!(bench.until_offered(trip, 1).await, near.name());
    bench.trip.decline(trip).await;
    assert_eq!(bench.until_offered(trip, 2).await, far.name());
    bench.trip.decline(trip).await;
    bench.until_open(&[trip]).await;
    bench.windows(3).await;
    assert_eq!(
        bench.trip.offers().len(),
        2,
        "both drivers refused: nobody is asked twice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_requests_and_one_driver_make_one_offer_and_the_other_waits() {
    let bench = Bench::new().await;
    let (first, second) = (
        bench.trip.request(place(0)).await,
        bench.trip.request(place(1)).await,
    );
    bench.until_open(&[first, second]).await;
    bench.location.driver_at(place(2));
    let offer = eventually(|| async { bench.trip.offers().first().cloned() }).await;
    let (asked, waiting) = if offer.name == first.name() {
        (first, second)
    } else {
        (second, first)
    };
    bench.until_open(&[waiting]).await;
    bench.windows(3).await;
    assert_eq!(
        bench.trip.offers().len(),
        1,
        "the driver is being asked and is left alone"
    );
    bench.trip.accept(asked).await;
    let other = bench.location.driver_at(place(3));
    assert_eq!(bench.until_offered(waiting, 1).await, other.name());
}

#[tokio::test(flavor = "multi_thread")]
async fn riders_who_ask_together_are_matched_together() {
    let (clock, hand) = Clock::manual(Timestamp::from_timestamp(1_212_192_000, 0).unwrap());
    let bench = Bench::at(clock.clone()).await;
    // Somebody is being offered a trip, so nobody is served at once.
    bench.location.driver_at(place(-20));
    let before = bench.trip.request(place(-20)).await;
    bench.until_offered(before, 1).await;
    // The first driver is the nearest to both riders; the second serves only the southern one well.
    let (north, south) = (
        bench.location.driver_at(place(9)),
        bench.location.driver_at(place(-6)),
    );
    let began = clock.now();
    let (southern, northern) = (
        bench.trip.request(place(2)).await,
        bench.trip.request(place(10)).await,
    );
    bench.until_open(&[southern, northern]).await;
    eventually(|| async {
        hand.advance(Duration::from_millis(100));
        (bench.trip.offers().len() == 3).then_some(())
    })
    .await;
    assert!(
        clock.now() - began >= TimeDelta::seconds(2),
        "a window was gathered first"
    );
    assert_eq!(bench.until_offered(northern, 1).await, north.name());
    assert_eq!(bench.until_offered(southern, 1).await, south.name());
    let windows: Vec<_> = bench.trip.offers()[1..]
        .iter()
        .map(|offer| offer.decision.clone())
        .collect();
    for decision in windows {
        let what = hexcab_proto::dispatch::v1::explain_offer_request::What::Decision(decision);
        assert_eq!(bench.explain(what).await.unwrap().window_requests, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rider_alone_is_served_without_waiting_for_a_window() {
    // The clock stands: nothing that waits for a window would ever happen.
    let (clock, _hand) = Clock::manual(Timestamp::from_timestamp(1_212_192_000, 0).unwrap());
    let bench = Bench::at(clock).await;
    let driver = bench.location.driver_at(place(3));
    let trip = bench.trip.request(place(0)).await;
    assert_eq!(bench.until_offered(trip, 1).await, driver.name());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_twice_and_out_of_order_open_nothing_again() {
    let bench = Bench::new().await;
    let trip = bench.trip.request(place(0)).await;
    let first = bench.trip.trip(trip);
    bench.until_open(&[trip]).await;
    bench.trip.end(trip).await;
    bench.until_open(&[]).await;
    bench.location.driver_at(place(1));
    bench.trip.tell(&first).await;
    bench.trip.tell(&first).await;
    // The next request comes after them on the bus, so once it is offered they have been read.
    let next = bench.trip.request(place(2)).await;
    bench.until_offered(next, 1).await;
    assert!(bench.trip.offers_of(trip).is_empty());
    assert_eq!(bench.trip.trip(trip).state(), State::Cancelled);
}
