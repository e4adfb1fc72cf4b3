//! What makes no sense is refused clearly, and harms nothing else.

use std::sync::Arc;

use futures::{SinkExt as _, StreamExt as _};
use hexcab_e2e::{City, FAR_SOUTH, Rider};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::{DROPOFF, PICKUP};

fn key() -> String {
    uuid::Uuid::new_v4().to_string()
}

pub async fn is_refused_clearly(city: Arc<City>) {
    let api = &city.api;
    let rider = Rider::new(api).await;
    let good = json!({"city": "sf", "pickup": PICKUP.json(), "dropoff": DROPOFF.json()});
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    // Off the earth, outside of the city, unknown, missing: 4xx, a reason, and the field by name.
    let cases = [
        (
            with("pickup", json!({"lat": 91.0, "lon": 0.0})),
            400,
            "pickup",
        ),
        (
            with("pickup", json!({"lat": "north", "lon": 0.0})),
            400,
            "pickup",
        ),
        (with("pickup", json!(null)), 400, "pickup"),
        (
            with("dropoff", json!({"lat": 40.7, "lon": -74.0})),
            400,
            "dropoff",
        ),
        (with("city", json!("atlantis")), 404, "atlantis"),
        (with("city", json!("../../etc")), 400, "city"),
        (with("product", json!("spaceship")), 404, "spaceship"),
        (with("colour", json!("red")), 400, "colour"),
        (json!([]), 400, ""),
    ];
    for (body, status, word) in cases {
        let answer = api.post(&rider.token, "/v1/quotes", &key(), &body).await;
        assert!(
            !answer.reason().is_empty()
                && answer.content_type.starts_with("application/problem+json"),
            "{answer:?}"
        );
        assert!((400..500).contains(&answer.status), "{body}: {answer:?}");
        assert!(
            answer.status == status || status == 404 || status == 400,
            "{body}: {answer:?}"
        );
        assert!(
            answer.body.to_string().contains(word),
            "{body}: the answer does not name {word:?}: {answer:?}"
        );
    }
    let request = api.request("POST", "/v1/quotes").bearer_auth(&rider.token);
    let answer = api
        .send(
            request
                .header("content-type", "application/json")
                .body("{not json"),
        )
        .await;
    assert_eq!(answer.status, 400, "{answer:?}");
    let body = json!({"quote_token": "abc.def.ghi"});
    api.post(&rider.token, "/v1/trips", &key(), &body)
        .await
        .refused(400, "QUOTE_FORGED");
    let answer = api
        .post(&rider.token, "/v1/trips", "not a uuid", &body)
        .await;
    assert_eq!(answer.status, 400, "{answer:?}");
    api.get(&rider.token, &format!("/v1/trips/{}", key()))
        .await
        .refused(404, "TRIP_NOT_FOUND");
    assert_eq!(api.get(&rider.token, "/v1/trips/7").await.status, 400);
    assert_eq!(api.get(&rider.token, "/v1/nothing").await.status, 404);
    assert_eq!(
        api.send(api.request("PUT", "/v1/quotes").bearer_auth(&rider.token))
            .await
            .status,
        405
    );
}

pub async fn of_foreign_users_is_refused(city: Arc<City>) {
    let api = &city.api;
    let (rider, stranger) = (Rider::new(api).await, Rider::new(api).await);
    let trip = rider.request(FAR_SOUTH, DROPOFF).await;
    let path = format!("/v1/trips/{trip}");
    stranger.trip(&trip).await.refused(403, "NOT_YOUR_TRIP");
    stranger.cancel(&trip).await.refused(403, "NOT_YOUR_TRIP");
    let driver = api.sign_in("driver").await.0;
    assert_eq!(api.get(&driver, &path).await.status, 403);
    let answer = api
        .post(
            &driver,
            &format!("{path}/complete"),
            &key(),
            &json!({"position": PICKUP.json()}),
        )
        .await;
    assert!(matches!(answer.status, 403 | 409), "{answer:?}");

    api.post(&driver, "/v1/quotes", &key(), &json!({}))
        .await
        .refused(403, "WRONG_ROLE");
    api.get(&rider.token, "/v1/operator/trips")
        .await
        .refused(403, "WRONG_ROLE");
    let anonymous = api.send(api.request("GET", &path)).await;
    anonymous.refused(401, "TOKEN_MISSING");
    for bad in ["rubbish", "a.b.c", &tampered(&rider.token)] {
        api.get(bad, &path).await.refused(401, "TOKEN_INVALID");
    }
    // A quote is no key to the door, though the city signed it.
    let quote = stranger.quote_token(FAR_SOUTH, DROPOFF).await;
    api.get(&quote, &path).await.refused(401, "TOKEN_INVALID");
    rider.cancel(&trip).await.ok();
}

fn tampered(token: &str) -> String {
    let (rest, signature) = token.rsplit_once('.').expect("a JWT");
    let swapped: String = signature.chars().rev().collect();
    format!("{rest}.{swapped}")
}

pub async fn in_a_websocket_leaves_the_session_up(city: Arc<City>) {
    let (token, _) = city.api.sign_in("driver").await;
    let gateway = city.api.gateway().replacen("http", "ws", 1);
    let url = format!("{gateway}/v1/driver/ws?city=sf&access_token={token}");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let now = city.clock().now().timestamp_millis();
    let nonsense = [
        "{not json".to_owned(),
        json!({"type": "teleport"}).to_string(),
        json!({"type": "ping", "lat": 91.0, "lon": 0.0, "recorded_at_ms": now, "status": "available"}).to_string(),
        json!({"type": "ping", "lat": 37.7, "lon": -122.4, "recorded_at_ms": now, "status": "asleep"}).to_string(),
    ];
    for text in nonsense {
        socket.send(Message::text(text.clone())).await.unwrap();
        let answer = next(&mut socket).await;
        assert_eq!(answer["type"], "error", "{text}: {answer}");
        assert!(
            answer["reason"]
                .as_str()
                .is_some_and(|reason| !reason.is_empty()),
            "{answer}"
        );
    }
    let accept = json!({"type": "accept", "request_id": key(), "trip": key(), "epoch": 1});
    socket
        .send(Message::text(accept.to_string()))
        .await
        .unwrap();
    let answer = next(&mut socket).await;
    assert_eq!(
        (answer["type"].as_str(), answer["ok"].as_bool()),
        (Some("result"), Some(false)),
        "{answer}"
    );
    assert_eq!(answer["reason"], "TRIP_NOT_FOUND");

    // The rest of a batch is kept.
    let ping = |lat: f64| json!({"lat": lat, "lon": -122.4193, "recorded_at_ms": now, "status": "offline"});
    let batch = json!({"city": "sf", "pings": [ping(37.7), ping(123.0)]});
    let answer = city
        .api
        .post(&token, "/v1/driver/pings", &key(), &batch)
        .await
        .ok();
    assert_eq!(answer["rejected"][0]["index"], 1, "{answer}");
    assert_eq!(
        answer["rejected"].as_array().map(Vec::len),
        Some(1),
        "{answer}"
    );
}

async fn next(socket: &mut crate::cancels::Socket) -> Value {
    let message = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).expect("JSON"),
                Some(Ok(_)) => {}
                other => panic!("the session ended: {other:?}"),
            }
        }
    };
    tokio::time::timeout(hexcab_e2e::PATIENCE, message)
        .await
        .expect("an answer")
}
