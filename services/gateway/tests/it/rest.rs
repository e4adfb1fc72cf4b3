//! REST: what is asked for, what is refused, what is tried again.

use std::time::Duration;

use hexcab_chassis::status;
use hexcab_proto::trip::v1::State;
use hexcab_testkit::eventually;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    house::{House, PICKUP, driver, id, offered, ping, read, rider, then},
    peers::refuse,
};

fn point() -> serde_json::Value {
    json!({"lat": 37.77, "lon": -122.41})
}

#[tokio::test]
async fn a_quote_and_a_trip_are_made() {
    let house = House::open().await;
    let name = rider();
    let me = house.user(&name);
    let quote = me
        .post(
            "/v1/quotes",
            json!({"city": "sf", "pickup": point(), "dropoff": point()}),
        )
        .await;
    assert_eq!(quote.status, 201, "{quote:?}");
    assert_eq!(quote.body["pickup"], point());
    assert_eq!(
        quote.body["price"],
        json!({"amount_minor": 500, "currency": "USD"})
    );
    assert_eq!(quote.body["lines"][0]["label"], "base");
    let key = Uuid::new_v4().to_string();
    let token = json!({"quote_token": quote.body["token"]});
    let made = me
        .post_with("/v1/trips", &[("idempotency-key", &key)], token)
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(
        (&made.body["state"], &made.body["start_code"]),
        (&json!("REQUESTED"), &json!("1234"))
    );
    let call = house.peers.calls("create_trip").remove(0);
    assert!(
        call.body.contains(&key) && call.body.contains(&name),
        "{call:?}"
    );
    assert_eq!(call.authorization.as_deref(), Some("Bearer between-us"));
    assert!(call.timeout.is_some());
}

#[tokio::test]
async fn a_request_for_a_trip_needs_a_key() {
    let house = House::open().await;
    let me = house.user(&rider());
    let answer = me
        .post("/v1/trips", json!({"quote_token": "x"}))
        .await
        .refused(400, "FIELD_INVALID");
    assert_eq!(answer.body["field"], "Idempotency-Key");
    let bad = [("idempotency-key", "seven")];
    me.post_with("/v1/trips", &bad, json!({"quote_token": "x"}))
        .await
        .refused(400, "FIELD_INVALID");
    assert!(house.peers.calls("create_trip").is_empty());
}

#[tokio::test]
async fn an_unavailable_peer_is_tried_again_with_the_same_key() {
    let house = House::open().await;
    let (me, key) = (house.user(&rider()), Uuid::new_v4().to_string());
    let headers = [("idempotency-key", key.as_str())];
    let ask = || me.post_with("/v1/trips", &headers, json!({"quote_token": "x"}));
    for _ in 0..2 {
        house
            .peers
            .fail_next("create_trip", Status::unavailable("away"));
    }
    assert_eq!(ask().await.status, 201);
    let calls = house.peers.calls("create_trip");
    assert_eq!(calls.len(), 3);
    assert!(
        calls.iter().all(|call| call.body.contains(&key)),
        "{calls:?}"
    );
    for _ in 0..3 {
        house
            .peers
            .fail_next("create_trip", Status::unavailable("away"));
    }
    let answer = ask().await.refused(503, "UNAVAILABLE");
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn what_a_peer_refuses_is_refused_with_its_reason() {
    let house = House::open().await;
    let me = house.user(&rider());
    let busy = refuse(Code::Aborted, "REQUEST_IN_FLIGHT");
    let full = status::with_retry(
        &refuse(Code::ResourceExhausted, "OVERLOADED"),
        Duration::from_millis(2_500),
    );
    let cases = [
        (
            refuse(Code::InvalidArgument, "REQUEST_ID_REUSED"),
            400,
            "REQUEST_ID_REUSED",
            None,
        ),
        (
            refuse(Code::NotFound, "TRIP_NOT_FOUND"),
            404,
            "TRIP_NOT_FOUND",
            None,
        ),
        (
            refuse(Code::FailedPrecondition, "QUOTE_EXPIRED"),
            409,
            "QUOTE_EXPIRED",
            None,
        ),
        (busy, 409, "REQUEST_IN_FLIGHT", Some("1")),
        (refuse(Code::Aborted, "CONTENTION"), 409, "CONTENTION", None),
        (
            refuse(Code::PermissionDenied, "NOT_YOUR_TRIP"),
            403,
            "NOT_YOUR_TRIP",
            None,
        ),
        (full, 429, "OVERLOADED", Some("3")),
        (
            refuse(Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
            504,
            "DEADLINE_EXCEEDED",
            None,
        ),
        (refuse(Code::Internal, "SQL"), 500, "INTERNAL", None),
        (Status::unknown("a panic"), 500, "INTERNAL", None),
        (
            Status::unauthenticated("between services"),
            500,
            "INTERNAL",
            None,
        ),
    ];
    for (failure, status, reason, retry_after) in cases {
        house.peers.fail_next("create_trip", failure);
        let key = Uuid::new_v4().to_string();
        let answer = me
            .post_with(
                "/v1/trips",
                &[("idempotency-key", &key)],
                json!({"quote_token": "x"}),
            )
            .await;
        let answer = answer.refused(status, reason);
        assert_eq!(answer.header("retry-after"), retry_after, "{reason}");
        assert!(!answer.body["detail"].as_str().unwrap().contains("panic"));
    }
    assert_eq!(
        house.peers.calls("create_trip").len(),
        11,
        "none of these is tried again"
    );
}

#[tokio::test]
async fn a_foreign_trip_is_not_shown() {
    let house = House::open().await;
    let (his_driver, stranger) = (driver(), driver());
    let ride = then(&offered(&his_driver, 2), State::EnRoute, &his_driver);
    house.peers.put(&ride);
    let path = format!("/v1/trips/{}", id(&ride.name));
    let own = house.user(&ride.rider).get(&path).await;
    assert_eq!((own.status, &own.body["start_code"]), (200, &json!("1234")));
    let driven = house.user(&his_driver).get(&path).await;
    assert_eq!((driven.status, driven.body.get("start_code")), (200, None));
    house
        .user(&rider())
        .get(&path)
        .await
        .refused(403, "NOT_YOUR_TRIP");
    house
        .user(&stranger)
        .get(&path)
        .await
        .refused(403, "NOT_YOUR_TRIP");
    house
        .user(&format!("operators/{}", Uuid::new_v4()))
        .get(&path)
        .await
        .refused(403, "NOT_YOUR_TRIP");
    let unknown = format!("/v1/trips/{}", Uuid::new_v4());
    house
        .user(&rider())
        .get(&unknown)
        .await
        .refused(404, "TRIP_NOT_FOUND");
    house
        .user(&stranger)
        .post(&format!("{path}/arrive"), json!({"position": point()}))
        .await
        .refused(403, "NOT_YOUR_TRIP");
    let cancel = format!("{path}/cancel");
    house
        .user(&rider())
        .post(&cancel, json!({"reason": "changed_mind"}))
        .await
        .refused(403, "NOT_YOUR_TRIP");
    let cancelled = house
        .user(&ride.rider)
        .post(&cancel, json!({"reason": "waited_too_long"}))
        .await;
    assert_eq!(
        cancelled.body["cancellation"]["reason"], "WAITED_TOO_LONG",
        "{cancelled:?}"
    );
    let mine = house
        .user(&ride.rider)
        .get("/v1/trips?state=EN_ROUTE,ARRIVED")
        .await;
    assert_eq!(
        mine.body["trips"].as_array().map(Vec::len),
        Some(1),
        "{mine:?}"
    );
    let others = house.user(&rider()).get("/v1/trips").await;
    assert_eq!(others.body, json!({"trips": [], "next_page_token": null}));
}

#[tokio::test]
async fn nonsense_is_refused_naming_the_field() {
    let house = House::open().await;
    let me = house.user(&rider());
    let quote = |change: serde_json::Value| {
        let mut body = json!({"city": "sf", "pickup": point(), "dropoff": point()});
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        body
    };
    for (body, field) in [
        (quote(json!({"pickup": {"lat": 91, "lon": 0}})), "pickup"),
        (quote(json!({"dropoff": {"lat": 1}})), "dropoff.lon"),
        (quote(json!({"tip": 5})), "tip"),
        (quote(json!({"city": 7})), "city"),
        (json!({"city": "sf", "pickup": point()}), "dropoff"),
    ] {
        let answer = me
            .post("/v1/quotes", body)
            .await
            .refused(400, "FIELD_INVALID");
        assert_eq!(answer.body["field"], field);
    }
    for (path, field) in [
        ("/v1/trips/seven", "id"),
        ("/v1/trips?state=FLYING", "state"),
        ("/v1/trips?page=2", "page"),
        ("/v1/nearby?city=sf&lat=1", "lon"),
        ("/v1/nearby?city=sf&lat=1&lon=181", "lat/lon"),
    ] {
        let answer = me.get(path).await.refused(400, "FIELD_INVALID");
        assert_eq!(answer.body["field"], field, "{path}");
    }
    let raw = reqwest::Client::new()
        .post(house.url("/v1/quotes"))
        .bearer_auth(&me.token)
        .body("{");
    read(raw).await.refused(400, "BODY_NOT_JSON");
    assert!(house.peers.calls("create_quote").is_empty());
}

#[tokio::test]
async fn unknown_routes_methods_and_long_bodies_are_problems_too() {
    let house = House::with(|config| config.http.max_body_bytes = 1_000).await;
    let me = house.user(&rider());
    me.get("/v1/nothing").await.refused(404, "ROUTE_NOT_FOUND");
    me.get("/v1/quotes")
        .await
        .refused(405, "METHOD_NOT_ALLOWED");
    me.get("/v1/rider/ws")
        .await
        .refused(400, "WEBSOCKET_WANTED");
    let long = json!({"quote_token": "x".repeat(2_000)});
    for path in ["/v1/quotes", "/v1/trips"] {
        me.post(path, long.clone())
            .await
            .refused(413, "BODY_TOO_LARGE");
    }
}

#[tokio::test]
async fn a_hasty_user_is_held_back_and_others_are_not() {
    let house = House::with(|config| {
        config.rate.per_second = 1;
        config.rate.burst = 3;
    })
    .await;
    let (hasty, other) = (house.user(&rider()), house.user(&rider()));
    for _ in 0..3 {
        assert_eq!(hasty.get("/v1/trips").await.status, 200);
    }
    let answer = hasty.get("/v1/trips").await.refused(429, "RATE_LIMITED");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(other.get("/v1/trips").await.status, 200);
}

#[tokio::test]
async fn a_drivers_steps_are_taken_in_his_name() {
    let house = House::open().await;
    let name = driver();
    let me = house.user(&name);
    let ride = offered(&name, 2);
    house.peers.put(&ride);
    let current = me.get("/v1/driver/current").await;
    assert_eq!(current.body["offer"]["trip"], id(&ride.name));
    assert!(current.body["trip"].is_null(), "{current:?}");
    let at = json!({"position": {"lat": 37.77, "lon": -122.41}});
    for (step, body, state) in [
        ("accept", json!({"epoch": 1}), "EN_ROUTE"),
        ("arrive", at.clone(), "ARRIVED"),
        ("start", json!({"code": "1234"}), "IN_PROGRESS"),
        ("complete", at, "COMPLETED"),
    ] {
        let answer = me
            .post(&format!("/v1/trips/{}/{step}", id(&ride.name)), body)
            .await;
        assert_eq!(
            (answer.status, answer.body["state"].as_str()),
            (200, Some(state)),
            "{step} {answer:?}"
        );
    }
    for method in ["accept_offer", "arrive_trip", "start_trip", "complete_trip"] {
        assert!(
            house.peers.calls(method)[0].body.contains(&name),
            "{method}"
        );
    }
}

#[tokio::test]
async fn pings_are_refused_one_by_one() {
    let house = House::open().await;
    let name = driver();
    let mut pings: Vec<_> = [1, 2, -1, 4].map(ping).into();
    for ping in &mut pings {
        ping.as_object_mut().unwrap().remove("type");
    }
    pings[0]["lat"] = json!(91);
    let answer = house
        .user(&name)
        .post("/v1/driver/pings", json!({"city": "sf", "pings": pings}))
        .await;
    assert_eq!(answer.body["accepted"], 2, "{answer:?}");
    let rejected: Vec<_> = answer.body["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|ping| &ping["index"])
        .collect();
    assert_eq!(rejected, [0, 2]);
    let kept = house.peers.pings.lock().clone();
    assert!(kept.iter().all(|ping| ping.driver == name), "{kept:?}");
    pings[0]["driver"] = json!("drivers/other");
    let answer = house
        .user(&name)
        .post("/v1/driver/pings", json!({"city": "sf", "pings": pings}))
        .await;
    assert_eq!(
        answer.refused(400, "FIELD_INVALID").body["field"],
        "pings[0].driver"
    );
}

#[tokio::test]
async fn who_is_near_is_not_said_by_name() {
    let house = House::open().await;
    let answer = house
        .user(&rider())
        .get("/v1/nearby?city=sf&lat=37.77&lon=-122.41")
        .await;
    let lat = f64::from(PICKUP.lat_e7) / 1e7;
    let lon = f64::from(PICKUP.lon_e7) / 1e7;
    let near = json!({"lat": lat, "lon": lon, "heading_deg": 0, "age_ms": 900});
    assert_eq!(answer.body, json!({"drivers": [near]}));
    let surge = house.user(&driver()).get("/v1/surge?city=sf").await;
    assert_eq!(surge.body["cells"][0]["cell"], "882830828dfffff");
}

#[tokio::test]
async fn health_is_told_to_anyone() {
    let house = House::open().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(
            read(reqwest::Client::new().get(house.url(path)))
                .await
                .status,
            200,
            "{path}"
        );
    }
}

/// A request whose body does not come.
async fn slow_request(house: &House) -> TcpStream {
    let mut stream = TcpStream::connect(house.http).await.unwrap();
    let head = format!(
        "POST /v1/trips HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nidempotency-key: {}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        house.token(&rider()),
        Uuid::new_v4()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_body_that_does_not_come_is_waited_for_until_the_deadline() {
    let house = House::with(|config| config.http.deadline_ms = 300).await;
    let mut stream = slow_request(&house).await;
    let mut answer = [0; 4096];
    let read = timeout(Duration::from_secs(10), stream.read(&mut answer));
    let size = read.await.expect("an answer in time").unwrap();
    let answer = String::from_utf8_lossy(&answer[..size]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    assert!(answer.contains("traceparent: "), "{answer}");
}

#[tokio::test]
async fn a_body_that_does_not_come_takes_room() {
    let house = House::with(|config| config.http.max_concurrent = 1).await;
    let me = house.user(&rider());
    let stream = slow_request(&house).await;
    let refused =
        eventually(async || Some(me.get("/v1/trips").await).filter(|answer| answer.status == 503));
    refused.await.refused(503, "OVERLOADED");
    drop(stream);
    eventually(async || (me.get("/v1/trips").await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn nobody_is_asked_for_a_user_beyond_his_rate() {
    let house = House::with(|config| {
        config.rate.per_second = 1;
        config.rate.burst = 1;
    })
    .await;
    let me = house.user(&rider());
    let cancel = || {
        me.post_with(
            "/v1/trips/7f1f3a52-6f3e-4f43-8e3a-1a2b3c4d5e6f/cancel",
            &[],
            json!({"reason": "changed_mind"}),
        )
    };
    cancel().await.refused(404, "TRIP_NOT_FOUND");
    assert_eq!(house.peers.calls("get_trip").len(), 1);
    cancel().await.refused(429, "RATE_LIMITED");
    assert_eq!(house.peers.calls("get_trip").len(), 1);
}

#[tokio::test]
async fn a_position_is_asked_for_once() {
    let house = House::open().await;
    let name = driver();
    let ride = then(&offered(&name, 2), State::EnRoute, &name);
    house.peers.put(&ride);
    for _ in 0..2 {
        let away = Status::unavailable("away");
        house.peers.fail_next("get_driver_position", away);
    }
    let shown = house
        .user(&ride.rider)
        .get(&format!("/v1/trips/{}", id(&ride.name)))
        .await;
    assert_eq!(shown.status, 200, "{shown:?}");
    assert_eq!(shown.body["driver_position"], json!(null));
    assert_eq!(house.peers.calls("get_driver_position").len(), 1);
}

#[tokio::test]
async fn a_trip_is_booked_ahead_and_paid_in_cash_when_that_is_asked_for() {
    let house = House::open().await;
    let me = house.user(&rider());
    let ask = |body| async {
        let key = Uuid::new_v4().to_string();
        let headers = [("idempotency-key", key.as_str())];
        me.post_with("/v1/trips", &headers, body).await
    };
    let booked = ask(json!({
        "quote_token": "x",
        "pickup_at": "2008-05-30T20:00:00Z",
        "payment_method": "cash",
    }))
    .await;
    assert_eq!(booked.status, 201, "{booked:?}");
    let call = house.peers.calls("create_trip").remove(0);
    assert!(call.body.contains("payment_method: Cash"), "{call:?}");
    assert!(call.body.contains("seconds: 1212177600"), "{call:?}");
    for (wrong, field) in [
        (
            json!({"quote_token": "x", "payment_method": "cheque"}),
            "payment_method",
        ),
        (
            json!({"quote_token": "x", "pickup_at": "tomorrow"}),
            "pickup_at",
        ),
    ] {
        let refused = ask(wrong).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(
            refused.body["detail"].as_str().unwrap().contains(field),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_driver_reports_that_nobody_came_and_an_operator_looks_for_another_driver() {
    let house = House::open().await;
    let name = driver();
    let ride = then(&offered(&name, 2), State::Arrived, &name);
    house.peers.put(&ride);
    let trip = id(&ride.name);
    let reported = house
        .user(&name)
        .post(&format!("/v1/trips/{trip}/no-show"), json!({}))
        .await;
    assert_eq!(reported.status, 200, "{reported:?}");
    assert_eq!(reported.body["state"], "CANCELLED");
    assert!(house.peers.calls("report_no_show")[0].body.contains(&name));
    let operator = house.user(&format!("operators/{}", Uuid::new_v4()));
    let path = format!("/v1/operator/trips/{trip}/reassign");
    let silent = operator.post(&path, json!({"note": " "})).await;
    assert_eq!(silent.status, 400, "{silent:?}");
    let reassigned = operator
        .post(&path, json!({"note": "the car broke down"}))
        .await;
    assert_eq!(reassigned.status, 200, "{reassigned:?}");
    assert_eq!(reassigned.body["state"], "REQUESTED");
    let stranger = house
        .user(&rider())
        .post(&path, json!({"note": "mine"}))
        .await;
    assert_eq!(stranger.status, 403, "{stranger:?}");
}

#[tokio::test]
async fn whatever_moves_money_wants_a_key_and_a_sound_body() {
    let house = House::open().await;
    let operator = house.user(&format!("operators/{}", Uuid::new_v4()));
    let me = house.user(&rider());
    let (trip, payout) = (Uuid::new_v4(), Uuid::new_v4());
    let amount = json!({"amount_minor": 200, "currency": "USD"});
    let tip = format!("/v1/trips/{trip}/tip");
    let refund = format!("/v1/operator/trips/{trip}/refund");
    for (user, path, body) in [
        (&me, tip.clone(), json!({"amount": amount})),
        (&operator, refund.clone(), json!({"reason": "late"})),
        (
            &operator,
            "/v1/operator/payouts".to_owned(),
            json!({"currency": "USD"}),
        ),
        (
            &operator,
            format!("/v1/operator/payouts/{payout}/confirm"),
            json!({}),
        ),
    ] {
        let refused = user.post_with(&path, &[], body).await;
        assert_eq!(refused.status, 400, "{path}: {refused:?}");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains("Idempotency-Key"), "{path}: {detail}");
    }
    let key = Uuid::new_v4().to_string();
    let headers = [("idempotency-key", key.as_str())];
    let float = json!({"amount": {"amount_minor": 2.5, "currency": "USD"}});
    me.post_with(&tip, &headers, float)
        .await
        .refused(400, "FIELD_INVALID");
    operator
        .get("/v1/operator/payouts/soon")
        .await
        .refused(400, "FIELD_INVALID");
    // Not his to do.
    me.post_with(&refund, &headers, json!({"reason": "I was late"}))
        .await
        .refused(403, "WRONG_ROLE");
}
