//! The stores die: what they promised to keep is there again, and what they did not is sent again.

use std::sync::Arc;

use hexcab_e2e::City;
use hexcab_proto::payment::v1::IntentState;

use crate::{DROPOFF, Offered, PICKUP, code, offered, until_money};

/// In the middle of a ride Kafka dies. The embedded one comes back empty: the launcher has the outboxes sent again, and
/// every consumer takes in what it had not had, and nothing twice. No service is started again for it.
pub async fn broker_that_dies_costs_only_delay(city: Arc<City>) {
    in_the_middle_of_a_ride(&city, "kafka").await;
}

/// In the middle of a ride Postgres dies; what was committed is there again.
pub async fn database_that_dies_costs_only_delay(city: Arc<City>) {
    in_the_middle_of_a_ride(&city, "postgres").await;
}

async fn in_the_middle_of_a_ride(city: &City, store: &str) {
    let Offered {
        rider,
        driver,
        trip,
        offer,
    } = offered(city).await;
    driver.accept(&trip, &offer).await.ok();
    let before = city.lives_of_services().await;
    city.kill(store).await;
    assert_eq!(city.lives_of_services().await, before);

    let seen = rider.until(&trip, "EN_ROUTE").await;
    driver.drive(&trip, &code(&seen), PICKUP, DROPOFF).await;
    until_money(city, &trip, IntentState::Captured).await;
    driver.leave(city).await;
    city.verify().await;
}
