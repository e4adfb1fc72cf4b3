//! Second thoughts, before the start.

use std::sync::Arc;

use futures::StreamExt as _;
use hexcab_e2e::{City, Driver, Rider, eventually};
use hexcab_proto::payment::v1::IntentState;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::{DROPOFF, Offered, PICKUP, code, offered, until_money};

pub type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// What a rider's app listens to.
pub async fn rider_socket(rider: &Rider) -> Socket {
    let gateway = rider.api.gateway().replacen("http", "ws", 1);
    let url = format!("{gateway}/v1/rider/ws?access_token={}", rider.token);
    tokio_tungstenite::connect_async(url)
        .await
        .expect("a rider's WebSocket")
        .0
}

/// Its next message.
pub async fn next(socket: &mut Socket) -> Value {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).expect("JSON"),
            Some(Ok(_)) => {}
            Some(Err(error)) => panic!("the rider's socket: {error}"),
            None => panic!("the rider's socket was closed"),
        }
    }
}

pub async fn while_an_offer_is_open_end_the_trip(city: Arc<City>) {
    let Offered {
        rider,
        driver,
        trip,
        offer,
    } = offered(&city).await;
    let mut socket = rider_socket(&rider).await;
    let cancelled = rider.cancel(&trip).await.ok();
    assert_eq!(cancelled["state"], "CANCELLED");
    assert_eq!(
        cancelled["charge"]["amount_minor"], 0,
        "cancelling before an acceptance is free"
    );
    driver
        .accept(&trip, &offer)
        .await
        .refused(409, "TRIP_CANCELLED");
    let told = async { while next(&mut socket).await["trip"]["state"] != "CANCELLED" {} };
    tokio::time::timeout(hexcab_e2e::PATIENCE, told)
        .await
        .expect("the rider's app is told");
    eventually("the driver's app is told", || async {
        let told = driver.seen().into_iter().any(|message| {
            message["type"] == "trip"
                && message["yours"] == false
                && message["trip"]["id"] == trip.as_str()
        });
        told.then_some(())
    })
    .await;
    until_money(&city, &trip, IntentState::Voided).await;
    driver.leave(&city).await;
}

pub async fn by_the_driver_bring_another_driver(city: Arc<City>) {
    let Offered {
        rider,
        driver,
        trip,
        offer,
    } = offered(&city).await;
    driver.accept(&trip, &offer).await.ok();
    driver.act(&trip, "release", json!({})).await.ok();
    let second = Driver::new(&city, PICKUP.north(800.0)).await;
    let next = second.offer(&trip).await;
    second.accept(&trip, &next).await.ok();
    let seen = rider.until(&trip, "EN_ROUTE").await;
    assert_eq!(seen["driver"], second.id.as_str());
    assert!(!driver.was_offered(&trip, 1), "he gave it back");
    second.drive(&trip, &code(&seen), PICKUP, DROPOFF).await;
    rider.until(&trip, "COMPLETED").await;
    Driver::leave_all(vec![driver, second], &city).await;
}

pub async fn late_ones_cost_a_fee(city: Arc<City>) {
    let Offered {
        rider,
        driver,
        trip,
        offer,
    } = offered(&city).await;
    driver.accept(&trip, &offer).await.ok();
    // Past the free time: by the city's clock, which runs fast.
    city.clock()
        .sleep(std::time::Duration::from_secs(130))
        .await;
    let cancelled = rider.cancel(&trip).await.ok();
    let fee = cancelled["charge"]["amount_minor"]
        .as_i64()
        .expect("a charge");
    assert!(fee > 0, "{cancelled}");
    let intent = until_money(&city, &trip, IntentState::Captured).await;
    assert_eq!(intent.captured.expect("an amount").amount_minor, fee);
    driver.leave(&city).await;
}

pub async fn by_an_operator_bring_another_driver(city: Arc<City>) {
    let Offered {
        rider,
        driver,
        trip,
        offer,
    } = offered(&city).await;
    driver.accept(&trip, &offer).await.ok();
    let (operator, _) = city.api.sign_in("operator").await;
    let path = format!("/v1/operator/trips/{trip}/reassign");
    let taken = city
        .api
        .post_surely(&operator, &path, &json!({"note": "the car broke down"}))
        .await
        .ok();
    assert_eq!(taken["state"], "REQUESTED");
    driver
        .act(&trip, "arrive", json!({"position": PICKUP.json()}))
        .await
        .refused(409, "TRIP_REASSIGNED");
    let second = Driver::new(&city, PICKUP.north(800.0)).await;
    let next = second.offer(&trip).await;
    second.accept(&trip, &next).await.ok();
    let seen = rider.until(&trip, "EN_ROUTE").await;
    assert_eq!(seen["driver"], second.id.as_str());
    assert!(!driver.was_offered(&trip, 1), "it was taken from him");
    second.drive(&trip, &code(&seen), PICKUP, DROPOFF).await;
    Driver::leave_all(vec![driver, second], &city).await;
}

pub async fn for_a_rider_who_does_not_come_cost_a_fee(city: Arc<City>) {
    let Offered {
        rider,
        driver,
        trip,
        offer,
    } = offered(&city).await;
    driver.accept(&trip, &offer).await.ok();
    driver
        .act(&trip, "arrive", json!({"position": PICKUP.json()}))
        .await
        .ok();
    driver
        .act(&trip, "no-show", json!({}))
        .await
        .refused(409, "NO_SHOW_TOO_EARLY");
    city.clock()
        .sleep(std::time::Duration::from_secs(305))
        .await;
    let ended = driver.act(&trip, "no-show", json!({})).await.ok();
    assert_eq!(ended["cancellation"]["reason"], "NO_SHOW", "{ended}");
    let seen = rider.until(&trip, "CANCELLED").await;
    let fee = seen["charge"]["amount_minor"].as_i64().expect("a charge");
    assert!(fee > 0, "{seen}");
    let intent = until_money(&city, &trip, IntentState::Captured).await;
    assert_eq!(intent.captured.expect("an amount").amount_minor, fee);
    driver.leave(&city).await;
}
