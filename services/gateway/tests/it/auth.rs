//! Who may call: distinct reasons for missing, expired, forged and wrong tokens, and for the wrong role.

use hexcab_chassis::token::{Signer, USER_TOKEN_TYPE, generate_keys, user_claims};
use serde_json::json;
use tokio_tungstenite::tungstenite;

use crate::house::{House, driver, now_s, read, rider};

#[tokio::test]
async fn each_bad_token_has_its_reason() {
    let house = House::open().await;
    let claims = user_claims(rider(), now_s(), 600);
    let stranger = Signer::from_pem(&generate_keys().unwrap().0).unwrap();
    let old = user_claims(rider(), now_s() - 700, 600);
    let nobody = user_claims("somebody".to_owned(), now_s(), 600);
    let cases = [
        (None, "TOKEN_MISSING"),
        (
            Some(house.signer.sign(USER_TOKEN_TYPE, &old).unwrap()),
            "TOKEN_EXPIRED",
        ),
        (
            Some(stranger.sign(USER_TOKEN_TYPE, &claims).unwrap()),
            "TOKEN_INVALID",
        ),
        (
            Some(house.signer.sign("quote+jwt", &claims).unwrap()),
            "TOKEN_INVALID",
        ),
        (
            Some(house.signer.sign(USER_TOKEN_TYPE, &nobody).unwrap()),
            "TOKEN_INVALID",
        ),
        (Some("nonsense".to_owned()), "TOKEN_INVALID"),
    ];
    for (token, reason) in cases {
        for path in [
            "/v1/trips",
            "/v1/rider/ws",
            "/v1/driver/current",
            "/v1/operator/status",
        ] {
            let mut request = reqwest::Client::new().get(house.url(path));
            if let Some(token) = &token {
                request = request.bearer_auth(token);
            }
            let answer = read(request).await.refused(401, reason);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    assert!(house.peers.calls("list_trips").is_empty());
}

#[tokio::test]
async fn a_role_opens_only_its_own_doors() {
    let house = House::open().await;
    let trip = "/v1/trips/7f1f3a52-6f3e-4f43-8e3a-1a2b3c4d5e6f";
    let (rider, driver) = (house.user(&rider()), house.user(&driver()));
    for path in [
        "/v1/driver/current",
        "/v1/operator/status",
        "/v1/operator/trips",
        "/v1/driver/ws?city=sf",
    ] {
        rider.get(path).await.refused(403, "WRONG_ROLE");
    }
    for path in ["/v1/rider/ws", "/v1/operator/trips"] {
        driver.get(path).await.refused(403, "WRONG_ROLE");
    }
    rider
        .post(&format!("{trip}/accept"), json!({"epoch": 1}))
        .await
        .refused(403, "WRONG_ROLE");
    driver
        .post(&format!("{trip}/cancel"), json!({"reason": "changed_mind"}))
        .await
        .refused(403, "WRONG_ROLE");
    driver
        .post("/v1/quotes", json!({}))
        .await
        .refused(403, "WRONG_ROLE");
}

#[tokio::test]
async fn a_token_in_the_query_opens_websockets_only() {
    let house = House::open().await;
    let token = house.token(&rider());
    let ws = format!("ws://{}/v1/rider/ws?access_token={token}", house.http);
    assert!(tokio_tungstenite::connect_async(ws).await.is_ok());
    let rest = reqwest::Client::new().get(house.url(&format!("/v1/trips?access_token={token}")));
    read(rest).await.refused(401, "TOKEN_MISSING");
    let forged = format!("ws://{}/v1/rider/ws?access_token=x", house.http);
    match tokio_tungstenite::connect_async(forged).await {
        Err(tungstenite::Error::Http(answer)) => assert_eq!(answer.status(), 401),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_websocket_ends_with_its_token_and_a_new_one_opens_another() {
    let house = House::open().await;
    for (name, path) in [
        (rider(), "/v1/rider/ws"),
        (driver(), "/v1/driver/ws?city=sf"),
    ] {
        let mut app = house.user_for(&name, 1).ws(path).await;
        let end = app.hear_to_the_end().await.1.expect("a close frame");
        assert_eq!(
            (u16::from(end.code), end.reason.as_str()),
            (1008, "TOKEN_EXPIRED"),
            "{path}"
        );
        let mut again = house.user(&name).ws(path).await;
        again.say_text("hello").await;
        assert_eq!(again.hear().await["type"], "error", "{path}");
    }
}
