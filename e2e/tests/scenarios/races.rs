//! At the same moment.

use std::sync::Arc;

use futures::future::join_all;
use hexcab_e2e::{City, Driver, Rider};
use serde_json::json;

use crate::{DROPOFF, PICKUP};

/// Races in all, and how many at once.
const RACES: usize = 200;
const AT_ONCE: usize = 10;

/// Exactly one history: either the driver won and the rider cancelled an accepted trip, or he was told that it was
/// cancelled. Never both, never neither.
pub async fn accept_and_cancel_at_the_same_moment(city: Arc<City>) {
    let drivers: Vec<Driver> =
        join_all((0..AT_ONCE).map(|n| Driver::new(&city, PICKUP.north(n as f64 * 30.0)))).await;
    let operator = city.api.sign_in("operator").await.0;
    let (mut driver_won, mut rider_won) = (0, 0);
    for _ in 0..RACES / AT_ONCE {
        let results = join_all((0..AT_ONCE).map(|_| race(&city, &drivers, &operator))).await;
        driver_won += results.iter().filter(|won| **won).count();
        rider_won += results.iter().filter(|won| !**won).count();
    }
    println!("accept came first {driver_won} times, cancel {rider_won} times");
    assert_eq!(driver_won + rider_won, RACES);
    Driver::leave_all(drivers, &city).await;
}

/// True when the acceptance came first.
async fn race(city: &City, drivers: &[Driver], operator: &str) -> bool {
    let rider = Rider::new(&city.api).await;
    let trip = rider.request(PICKUP, DROPOFF).await;
    let offer_of = async |driver| (driver, Driver::offer(driver, &trip).await);
    let offers = drivers.iter().map(|driver| Box::pin(offer_of(driver)));
    let ((driver, offer), _, _) = futures::future::select_all(offers).await;
    let (accepted, cancelled) = tokio::join!(driver.accept(&trip, &offer), rider.cancel(&trip));
    assert_eq!(cancelled.clone().ok()["state"], "CANCELLED");
    let history = city
        .api
        .get(operator, &format!("/v1/operator/trips/{trip}"))
        .await
        .ok();
    let events = history["events"].as_array().expect("events").clone();
    let versions: Vec<i64> = events
        .iter()
        .filter_map(|event| event["version"].as_i64())
        .collect();
    assert_eq!(
        versions,
        (1..=versions.len() as i64).collect::<Vec<_>>(),
        "{history}"
    );
    let was_accepted = events.iter().any(|event| event["kind"] == "OfferAccepted");
    match accepted.status {
        200 => assert!(was_accepted, "{history}"),
        _ => {
            accepted.refused(409, "TRIP_CANCELLED");
            assert!(!was_accepted, "{history}");
        }
    }
    let next = driver
        .api
        .get(&driver.token, "/v1/driver/current")
        .await
        .ok();
    assert_eq!(next["trip"], json!(null), "the driver is free again");
    was_accepted
}
