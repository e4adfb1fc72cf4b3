//! Prices are promises: to one rider, once, for a while.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hexcab_e2e::{City, FAR_SOUTH, Rider};
use serde_json::{Value, json};

use crate::{DROPOFF, PICKUP};

fn key() -> String {
    uuid::Uuid::new_v4().to_string()
}

pub async fn are_requested_once_whatever_is_repeated(city: Arc<City>) {
    let rider = Rider::new(&city.api).await;
    let (quote, other) = (
        rider.quote_token(FAR_SOUTH, DROPOFF).await,
        rider.quote_token(FAR_SOUTH, PICKUP).await,
    );
    let key = key();
    let first = rider.request_with(&quote, &key).await.ok();
    let again = futures::future::join_all((0..8).map(|_| rider.request_with(&quote, &key))).await;
    for answer in again {
        if answer.status == 409 {
            answer.refused(409, "REQUEST_IN_FLIGHT");
        } else {
            assert_eq!(
                answer.ok()["id"],
                first["id"],
                "the same key and body get the same trip"
            );
        }
    }
    let reused = rider.request_with(&other, &key).await;
    reused.refused(400, "REQUEST_ID_REUSED");
    rider
        .request_with(&other, &self::key())
        .await
        .refused(409, "RIDER_BUSY");
    let trips = city.api.get(&rider.token, "/v1/trips").await.ok();
    assert_eq!(trips["trips"].as_array().map(Vec::len), Some(1), "{trips}");
    rider.cancel(first["id"].as_str().unwrap()).await.ok();
}

pub async fn cannot_be_reused_or_forged_or_borrowed(city: Arc<City>) {
    let rider = Rider::new(&city.api).await;
    let quote = rider.quote_token(FAR_SOUTH, DROPOFF).await;
    let trip = rider.request_with(&quote, &key()).await.ok();
    rider.cancel(trip["id"].as_str().unwrap()).await.ok();
    rider
        .request_with(&quote, &key())
        .await
        .refused(409, "QUOTE_USED");

    let fresh = rider.quote_token(FAR_SOUTH, DROPOFF).await;
    let parts: Vec<&str> = fresh.split('.').collect();
    let mut claims: Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    claims["price"]["minor"] = json!(1);
    let cheaper = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
    let forged = [parts[0], &cheaper, parts[2]].join(".");
    rider
        .request_with(&forged, &key())
        .await
        .refused(400, "QUOTE_FORGED");

    let thief = Rider::new(&city.api).await;
    thief
        .request_with(&fresh, &key())
        .await
        .refused(403, "NOT_YOUR_QUOTE");
}

pub async fn expire(city: Arc<City>) {
    let rider = Rider::new(&city.api).await;
    let quote = rider.quote(FAR_SOUTH, DROPOFF).await.ok();
    let until = quote["expires_at"]
        .as_str()
        .unwrap()
        .parse::<hexcab_types::Timestamp>()
        .unwrap();
    city.clock()
        .sleep_until(until + chrono::TimeDelta::seconds(1))
        .await;
    let late = rider
        .request_with(quote["token"].as_str().unwrap(), &key())
        .await;
    late.refused(409, "QUOTE_EXPIRED");
}
