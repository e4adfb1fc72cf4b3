//! A broker that lost everything.

use std::sync::Arc;

use hexcab_e2e::City;
use hexcab_proto::payment::v1::IntentState;

use crate::{DROPOFF, Offered, PICKUP, code, offered, until_money};

/// In the middle of a ride the broker comes back empty; the outboxes are sent again, and every consumer takes in what it
/// had not had, and nothing twice.
pub async fn that_lost_its_data_costs_only_delay(city: Arc<City>) {
    let Offered {
        rider,
        driver,
        trip,
        offer,
    } = offered(&city).await;
    driver.accept(&trip, &offer).await.ok();
    city.control("POST", "/broker/restart").await;
    city.until_healthy().await;
    let (code_, text) = city.hexcab(&["events", "republish"]).await;
    assert_eq!(code_, 0, "{text}");

    let seen = rider.until(&trip, "EN_ROUTE").await;
    driver.drive(&trip, &code(&seen), PICKUP, DROPOFF).await;
    until_money(&city, &trip, IntentState::Captured).await;
    driver.leave(&city).await;
    city.verify().await;
}
