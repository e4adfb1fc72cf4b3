//! Offers: one driver at a time, each with an end.

use std::sync::Arc;

use hexcab_e2e::{City, Driver, FAR_SOUTH, Rider};
use serde_json::json;

use crate::{DROPOFF, Offered, PICKUP, code, offered};

pub async fn that_are_declined_go_to_another_driver(city: Arc<City>) {
    let Offered {
        rider,
        driver,
        trip,
        offer,
    } = offered(&city).await;
    let second = Driver::new(&city, PICKUP.north(800.0)).await;
    driver
        .act(&trip, "decline", json!({"epoch": offer["epoch"]}))
        .await
        .ok();
    let next = second.offer(&trip).await;
    assert_eq!(next["epoch"], 2);
    assert!(!driver.was_offered(&trip, 1), "he declined");
    second.accept(&trip, &next).await.ok();
    let seen = rider.until(&trip, "EN_ROUTE").await;
    assert_eq!(seen["driver"], second.id.as_str());
    second.drive(&trip, &code(&seen), PICKUP, DROPOFF).await;
    rider.until(&trip, "COMPLETED").await;
    Driver::leave_all(vec![driver, second], &city).await;
}

pub async fn that_are_ignored_expire_and_go_on(city: Arc<City>) {
    let Offered {
        rider,
        driver,
        trip,
        offer,
    } = offered(&city).await;
    let second = Driver::new(&city, PICKUP.north(800.0)).await;
    let next = second.offer(&trip).await;
    assert_eq!(next["epoch"], 2);
    driver
        .accept(&trip, &offer)
        .await
        .refused(409, "OFFER_SUPERSEDED");
    second.accept(&trip, &next).await.ok();
    assert!(!driver.was_offered(&trip, 1), "he let it pass");
    rider.cancel(&trip).await.ok();
    Driver::leave_all(vec![driver, second], &city).await;
}

pub async fn that_nobody_can_take_end_in_expiry(city: Arc<City>) {
    let rider = Rider::new(&city.api).await;
    let trip = rider.request(FAR_SOUTH, FAR_SOUTH.north(1_000.0)).await;
    let ended = rider.until(&trip, "EXPIRED").await;
    assert_eq!(ended["epoch"], 0, "nobody was asked: {ended}");
    crate::until_money(&city, &trip, hexcab_proto::payment::v1::IntentState::Voided).await;
}

pub async fn are_for_one_driver_only(city: Arc<City>) {
    let Offered {
        rider,
        driver,
        trip,
        offer,
    } = offered(&city).await;
    let other = Driver::new(&city, PICKUP.north(800.0)).await;
    driver
        .act(&trip, "accept", json!({"epoch": 7}))
        .await
        .refused(409, "NO_OPEN_OFFER");
    // Both at once, for the same epoch: the one who was asked has it.
    let (stolen, taken) = tokio::join!(other.accept(&trip, &offer), driver.accept(&trip, &offer));
    assert_eq!(stolen.status, 403, "{}", stolen.body);
    assert!(
        matches!(stolen.reason(), "NOT_YOUR_OFFER" | "NOT_YOUR_TRIP"),
        "{}",
        stolen.body
    );
    assert_eq!(taken.ok()["state"], "EN_ROUTE");
    let seen = rider.until(&trip, "EN_ROUTE").await;
    assert_eq!(seen["driver"], driver.id.as_str());
    rider.cancel(&trip).await.ok();
    Driver::leave_all(vec![driver, other], &city).await;
}
