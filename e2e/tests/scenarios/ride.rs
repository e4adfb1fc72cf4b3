//! A ride, whole.

use std::sync::Arc;

use hexcab_chassis::client::{ClientConfig, channel};
use hexcab_e2e::{City, Driver, Rider};
use hexcab_proto::{
    common::v1::LatLng,
    gateway::v1::{
        DriverPing, OfferAnswer, OpenSessionRequest, TripAction,
        driver_app_service_client::DriverAppServiceClient, open_session_request,
        open_session_response, trip_action,
    },
    location::v1::DriverStatus,
    payment::v1::IntentState,
};
use serde_json::json;
use tonic::Request;

use crate::{DROPOFF, Offered, PICKUP, code, offered, until_money};

pub async fn is_carried_from_quote_to_money(city: Arc<City>) {
    let Offered {
        rider,
        driver,
        trip,
        offer,
    } = offered(&city).await;
    assert!(
        offer["driver_pay"]["amount_minor"]
            .as_i64()
            .is_some_and(|pay| pay > 0),
        "{offer}"
    );

    let accepted = driver.accept(&trip, &offer).await.ok();
    assert_eq!(accepted["state"], "EN_ROUTE");
    assert!(
        accepted["start_code"].is_null(),
        "the code is for the rider's eyes only"
    );
    let seen = rider.until(&trip, "EN_ROUTE").await;
    assert_eq!(seen["driver"], driver.id.as_str());

    driver
        .act(&trip, "arrive", json!({"position": PICKUP.json()}))
        .await
        .ok();
    driver
        .act(&trip, "start", json!({"code": wrong(&code(&seen))}))
        .await
        .refused(409, "WRONG_START_CODE");
    driver
        .act(&trip, "start", json!({"code": code(&seen)}))
        .await
        .ok();
    driver.stand(DROPOFF);
    driver
        .act(&trip, "complete", json!({"position": DROPOFF.json()}))
        .await
        .ok();
    let done = rider.until(&trip, "COMPLETED").await;
    assert_eq!(done["charge"], done["fare"]);

    let intent = until_money(&city, &trip, IntentState::Captured).await;
    assert_eq!(
        intent.captured.unwrap().amount_minor,
        done["fare"]["amount_minor"].as_i64().unwrap()
    );
    driver.leave(&city).await;
}

/// Four other digits.
fn wrong(code: &str) -> &'static str {
    if code == "0000" { "1111" } else { "0000" }
}

/// The driver's app speaks gRPC only, the rider follows by WebSocket only.
pub async fn is_carried_by_websocket_and_by_grpc(city: Arc<City>) {
    let (token, driver) = city.api.sign_in("driver").await;
    let config = ClientConfig {
        timeout_ms: 0,
        ..ClientConfig::default()
    };
    let gateway = city.file["gateway_grpc"].as_str().unwrap();
    let mut client = DriverAppServiceClient::new(channel(gateway, &config).unwrap());
    let (up, sent) = tokio::sync::mpsc::channel(16);
    let mut request = Request::new(tokio_stream::wrappers::ReceiverStream::new(sent));
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {token}").parse().unwrap());
    up.send(ping(&city)).await.unwrap();
    let mut down = client.open_session(request).await.unwrap().into_inner();

    let rider = Rider::new(&city.api).await;
    let mut updates = crate::cancels::rider_socket(&rider).await;
    let trip = rider.request(PICKUP, DROPOFF).await;
    let name = format!("trips/{trip}");

    let mut every = tokio::time::interval(city.clock().to_real(std::time::Duration::from_secs(4)));
    let mut code = String::new();
    let mut states = Vec::new();
    let step = |step| {
        message(open_session_request::Message::Action(TripAction {
            request_id: uuid(),
            trip: name.clone(),
            step: Some(step),
        }))
    };
    let ride = async {
        loop {
            tokio::select! {
                _ = every.tick() => up.send(ping(&city)).await.unwrap(),
                answer = down.message() => {
                    match answer.unwrap().expect("the session stays open").message.unwrap() {
                        open_session_response::Message::Offer(offer) if offer.trip == name => {
                            let answer = OfferAnswer { request_id: uuid(), trip: offer.trip, epoch: offer.epoch, accept: true };
                            up.send(message(open_session_request::Message::Answer(answer))).await.unwrap();
                        }
                        open_session_response::Message::Offer(_) | open_session_response::Message::Trip(_) => {}
                        open_session_response::Message::Error(error) => panic!("{error:?}"),
                        open_session_response::Message::Result(result) => {
                            assert_eq!(result.reason, "", "{result:?}");
                            states.push(result.state.clone());
                            let next = match result.state.as_str() {
                                "EN_ROUTE" => trip_action::Step::Arrive(lat_lng()),
                                "ARRIVED" => trip_action::Step::Start(code.clone()),
                                "IN_PROGRESS" => trip_action::Step::Complete(lat_lng()),
                                _ => break,
                            };
                            up.send(step(next)).await.unwrap();
                        }
                    }
                }
                update = crate::cancels::next(&mut updates) => {
                    if let Some(shown) = update["trip"]["start_code"].as_str() {
                        code = shown.to_owned();
                    }
                }
            }
        }
    };
    tokio::time::timeout(hexcab_e2e::PATIENCE, ride)
        .await
        .expect("the ride goes on");
    assert_eq!(states, ["EN_ROUTE", "ARRIVED", "IN_PROGRESS", "COMPLETED"]);
    let done = rider.until(&trip, "COMPLETED").await;
    assert_eq!(done["driver"], driver.as_str());
    gone(&city).await;
}

/// Waits until nobody is near the pickup any more.
async fn gone(city: &City) {
    let nobody = Driver::new(city, PICKUP).await;
    nobody.leave(city).await;
}

fn ping(city: &City) -> OpenSessionRequest {
    message(open_session_request::Message::Ping(DriverPing {
        position: Some(lat_lng()),
        record_time_ms: city.clock().now().timestamp_millis(),
        status: DriverStatus::Available.into(),
        ..DriverPing::default()
    }))
}

fn message(message: open_session_request::Message) -> OpenSessionRequest {
    OpenSessionRequest {
        message: Some(message),
    }
}

fn lat_lng() -> LatLng {
    LatLng {
        lat_e7: (PICKUP.lat * 1e7) as i32,
        lon_e7: (PICKUP.lon * 1e7) as i32,
    }
}

fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}
