//! Rides booked ahead.

use std::sync::Arc;

use chrono::{SecondsFormat, TimeDelta};
use hexcab_e2e::{City, Driver, Rider, new_key};
use serde_json::{Value, json};

use crate::{DROPOFF, PICKUP, code, intent};

/// The city's lead is 900 s: a trip that is wanted a little later than that waits for a little.
const AHEAD_S: i64 = 940;

async fn book(city: &City, rider: &Rider, ahead_s: i64) -> Value {
    let quote = rider.quote_token(PICKUP, DROPOFF).await;
    let at = city.clock().now() + TimeDelta::seconds(ahead_s);
    let body = json!({
        "quote_token": quote,
        "pickup_at": at.to_rfc3339_opts(SecondsFormat::Millis, true),
    });
    rider
        .api
        .post(&rider.token, "/v1/trips", &new_key(), &body)
        .await
        .ok()
}

pub async fn wait_for_their_time_and_are_driven(city: Arc<City>) {
    let rider = Rider::new(&city.api).await;
    let booked = book(&city, &rider, AHEAD_S).await;
    assert_eq!(booked["state"], "SCHEDULED", "{booked}");
    let trip = booked["id"].as_str().unwrap();
    assert!(intent(&city, trip).await.is_none(), "no money is held yet");

    let driver = Driver::new(&city, PICKUP).await;
    let offer = driver.offer(trip).await;
    driver.accept(trip, &offer).await.ok();
    let seen = rider.until(trip, "EN_ROUTE").await;
    assert_eq!(seen["pickup_at"], booked["pickup_at"]);
    driver.drive(trip, &code(&seen), PICKUP, DROPOFF).await;
    rider.until(trip, "COMPLETED").await;
    driver.leave(&city).await;
}

pub async fn can_be_called_off_for_nothing_and_leave_room_for_a_ride_now(city: Arc<City>) {
    let rider = Rider::new(&city.api).await;
    let booked = book(&city, &rider, 7_200).await;
    let now = rider.request(PICKUP, DROPOFF).await;
    rider.cancel(&now).await.ok();
    let called_off = rider.cancel(booked["id"].as_str().unwrap()).await.ok();
    assert_eq!(called_off["state"], "CANCELLED");
    assert_eq!(called_off["charge"]["amount_minor"], 0);
}
