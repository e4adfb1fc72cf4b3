//! Money that does not come.

use std::sync::Arc;

use hexcab_e2e::{City, Driver, Rider};
use hexcab_proto::payment::v1::IntentState;
use serde_json::json;

use crate::{DROPOFF, PICKUP, until_money};

pub async fn declined_releases_the_driver(city: Arc<City>) {
    let driver = Driver::new(&city, PICKUP).await;
    let rider = Rider::new(&city.api).await;
    let fault = json!({"kind": "decline", "rate": 1.0, "rider": rider.id});
    let set = reqwest::Client::new()
        .post(format!("{}/sandbox/faults", city.service("sandbox")))
        .json(&fault)
        .send()
        .await;
    assert!(set.unwrap().status().is_success());

    let trip = rider.request(PICKUP, DROPOFF).await;
    let ended = rider.until(&trip, "CANCELLED").await;
    assert_eq!(
        ended["cancellation"]["reason"], "PAYMENT_DECLINED",
        "{ended}"
    );
    until_money(&city, &trip, IntentState::Declined).await;

    let other = Rider::new(&city.api).await;
    let next = other.request(PICKUP, DROPOFF).await;
    driver.offer(&next).await;
    other.cancel(&next).await.ok();
    driver.leave(&city).await;
}
