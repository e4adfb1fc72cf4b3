//! A driver's session over a WebSocket: offers and changes once and in order, commands, pings, nonsense, slow readers.

use hexcab_chassis::Tasks;
use hexcab_proto::trip::v1::{
    OfferAccepted, OfferExpired, OfferMade, State, TripCancelled, TripCompleted, trip_event::Event,
};
use hexcab_testkit::eventually;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket};
use tonic::Code;
use uuid::Uuid;

use crate::{
    house::{House, Ws, driver, id, offered, ping, rider, then},
    peers::{self, Peers, refuse},
};

fn made(driver: &str) -> Event {
    Event::OfferMade(OfferMade {
        driver: driver.to_owned(),
        epoch: 1,
    })
}

fn accepted(driver: &str) -> Event {
    Event::OfferAccepted(OfferAccepted {
        driver: driver.to_owned(),
        epoch: 1,
    })
}

fn expired(driver: &str) -> Event {
    Event::OfferExpired(OfferExpired {
        driver: driver.to_owned(),
        epoch: 1,
    })
}

/// What a message says, in short.
fn gist(message: &Value) -> String {
    match message["type"].as_str() {
        Some("trip") => format!(
            "{} v{} {}",
            message["trip"]["state"], message["trip"]["version"], message["yours"]
        ),
        Some("offer") => format!("offer {}", message["epoch"]),
        _ => message.to_string(),
    }
}

#[tokio::test]
async fn an_offer_is_pushed_and_accepted() {
    let house = House::open().await;
    let name = driver();
    let mut app = house.user(&name).ws("/v1/driver/ws?city=sf").await;
    let ride = offered(&name, 2);
    house.peers.put(&ride);
    house.publish_as(&ride, made(&name)).await;
    let offer = app.hear().await;
    assert_eq!(
        (&offer["type"], &offer["trip"]),
        (&json!("offer"), &json!(id(&ride.name)))
    );
    assert_eq!(
        (&offer["pickup_eta_s"], &offer["driver_pay"]["amount_minor"]),
        (&json!(120), &json!(1_100))
    );
    assert_eq!(offer["traceparent"], ride.traceparent);
    let key = Uuid::new_v4().to_string();
    app.say(json!({"type": "accept", "request_id": key, "trip": id(&ride.name), "epoch": 1}))
        .await;
    let result = app.hear().await;
    assert_eq!(
        (&result["type"], &result["ok"], &result["request_id"]),
        (&json!("result"), &json!(true), &json!(key))
    );
    assert_eq!(result["trip"]["state"], "EN_ROUTE");
    let call = house.peers.calls("accept_offer").remove(0);
    assert!(
        call.body.contains(&key) && call.body.contains(&name),
        "{call:?}"
    );
    house
        .publish_as(&then(&ride, State::EnRoute, &name), accepted(&name))
        .await;
    let change = app.hear().await;
    assert_eq!(gist(&change), r#""EN_ROUTE" v3 true"#);
    assert!(
        change["trip"].get("start_code").is_none(),
        "the code is for the driver's ears"
    );
}

#[tokio::test]
async fn what_comes_twice_or_late_is_told_once_and_in_order() {
    let house = House::open().await;
    let name = driver();
    let mut app = house.user(&name).ws("/v1/driver/ws?city=sf").await;
    let offer = offered(&name, 2);
    let taken = then(&offer, State::EnRoute, &name);
    let there = then(&taken, State::Arrived, &name);
    let riding = then(&there, State::InProgress, &name);
    let done = then(&riding, State::Completed, &name);
    let any = || Event::Completed(TripCompleted {});
    for (trip, event) in [
        (&offer, made(&name)),
        (&offer, made(&name)),
        (&taken, accepted(&name)),
        (&offer, made(&name)),
        (&riding, any()),
        (&there, any()),
        (&taken, accepted(&name)),
        (&riding, any()),
        (&done, any()),
        (&done, any()),
    ] {
        house.publish_as(trip, event).await;
    }
    let last = offered(&name, 2);
    house.publish_as(&last, made(&name)).await;
    let mut heard = Vec::new();
    while heard.len() < 5 {
        heard.push(gist(&app.hear().await));
    }
    let told = [
        "offer 1",
        r#""EN_ROUTE" v3 true"#,
        r#""IN_PROGRESS" v5 true"#,
        r#""COMPLETED" v6 true"#,
        "offer 1",
    ];
    assert_eq!(heard, told);
}

#[tokio::test]
async fn who_loses_a_trip_is_told() {
    let house = House::open().await;
    let (first, second) = (driver(), driver());
    let mut one = house.user(&first).ws("/v1/driver/ws?city=sf").await;
    let mut two = house.user(&second).ws("/v1/driver/ws?city=sf").await;
    let offer = offered(&first, 2);
    house.publish_as(&offer, made(&first)).await;
    assert_eq!(gist(&one.hear().await), "offer 1");
    let open = then(&offer, State::Requested, "");
    house.publish_as(&open, expired(&first)).await;
    assert_eq!(gist(&one.hear().await), r#""REQUESTED" v3 false"#);
    let taken = then(&open, State::EnRoute, &second);
    house.publish_as(&taken, accepted(&second)).await;
    assert_eq!(gist(&two.hear().await), r#""EN_ROUTE" v4 true"#);
    let cancelled = then(&taken, State::Cancelled, &second);
    house
        .publish_as(
            &cancelled,
            Event::Cancelled(TripCancelled {
                driver: second.clone(),
            }),
        )
        .await;
    assert_eq!(gist(&two.hear().await), r#""CANCELLED" v5 false"#);
}

#[tokio::test]
async fn an_old_offer_is_not_made_again() {
    let house = House::open().await;
    let name = driver();
    let offer = offered(&name, 2);
    let gone = then(&offer, State::Requested, "");
    // Seen before this app connects, then once more from a broker that lost its place.
    let mut witness = house.user(&name).ws("/v1/driver/ws?city=sf").await;
    house.publish_as(&gone, expired(&name)).await;
    assert_eq!(gist(&witness.hear().await), r#""REQUESTED" v3 false"#);
    let mut app = house.user(&name).ws("/v1/driver/ws?city=sf").await;
    house.publish_as(&offer, made(&name)).await;
    let fresh = offered(&name, 2);
    house.publish_as(&fresh, made(&name)).await;
    assert_eq!(app.hear().await["trip"], id(&fresh.name));
}

#[tokio::test]
async fn a_driver_who_connects_is_shown_his_offer_and_trip() {
    let house = House::open().await;
    let (asked, busy) = (driver(), driver());
    let offer = offered(&asked, 2);
    let taken = then(&offered(&busy, 2), State::Arrived, &busy);
    house.peers.put(&offer);
    house.peers.put(&taken);
    for _ in 0..2 {
        let mut app = house.user(&asked).ws("/v1/driver/ws?city=sf").await;
        assert_eq!(app.hear().await["trip"], id(&offer.name));
        let mut app = house.user(&busy).ws("/v1/driver/ws?city=sf").await;
        assert_eq!(gist(&app.hear().await), r#""ARRIVED" v3 true"#);
    }
    // The event of the same version tells nothing new.
    let mut app = house.user(&asked).ws("/v1/driver/ws?city=sf").await;
    assert_eq!(gist(&app.hear().await), "offer 1");
    house.publish_as(&offer, made(&asked)).await;
    house
        .publish_as(&then(&offer, State::Requested, ""), expired(&asked))
        .await;
    assert_eq!(gist(&app.hear().await), r#""REQUESTED" v3 false"#);
}

#[tokio::test]
async fn nobody_connects_blindly_while_trip_is_away() {
    let house = House::open().await;
    for _ in 0..3 {
        house
            .peers
            .fail_next("list_trips", tonic::Status::unavailable("away"));
    }
    let me = house.user(&driver());
    let request = reqwest::Client::new()
        .get(house.url("/v1/driver/ws?city=sf"))
        .bearer_auth(&me.token)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    crate::house::read(request)
        .await
        .refused(503, "UNAVAILABLE");
    me.get("/v1/driver/ws?city=atlantis")
        .await
        .refused(400, "WEBSOCKET_WANTED");
}

#[tokio::test]
async fn nonsense_is_answered_and_the_session_goes_on() {
    let house = House::open().await;
    let name = driver();
    let mut app = house.user(&name).ws("/v1/driver/ws?city=sf").await;
    for nonsense in [
        "hello",
        "{}",
        r#"{"type":"dance"}"#,
        r#"{"type":"ping","lat":37,"lon":-122,"recorded_at_ms":1,"status":"available","driver":"drivers/other"}"#,
    ] {
        app.say_text(nonsense).await;
        let error = app.hear().await;
        assert_eq!(
            (&error["type"], &error["reason"]),
            (&json!("error"), &json!("MESSAGE_INVALID")),
            "{nonsense}"
        );
    }
    let mut off_earth = ping(1);
    off_earth["lat"] = json!(91);
    app.say(off_earth).await;
    assert_eq!(app.hear().await["reason"], "FIELD_INVALID");
    app.say(ping(-1)).await;
    assert_eq!(
        app.hear().await["reason"],
        "TIME_INVALID",
        "what location refuses comes back"
    );
    let unknown = json!({"type": "release", "request_id": Uuid::new_v4(), "trip": Uuid::new_v4()});
    app.say(unknown.clone()).await;
    let result = app.hear().await;
    assert_eq!(
        (&result["ok"], &result["reason"]),
        (&json!(false), &json!("TRIP_NOT_FOUND"))
    );
    assert_eq!(result["request_id"], unknown["request_id"]);
    app.say(ping(5)).await;
    eventually(async || {
        house
            .peers
            .pings
            .lock()
            .iter()
            .any(|ping| ping.record_time_ms == 5)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_foreign_trip_or_a_late_answer_is_refused_with_its_reason() {
    let house = House::open().await;
    let (name, other) = (driver(), driver());
    let ride = offered(&other, 2);
    house.peers.put(&ride);
    let mut app = house.user(&name).ws("/v1/driver/ws?city=sf").await;
    let accept = || json!({"type": "accept", "request_id": Uuid::new_v4(), "trip": id(&ride.name), "epoch": 1});
    app.say(accept()).await;
    assert_eq!(app.hear().await["reason"], "NOT_YOUR_TRIP");
    house.peers.fail_next(
        "accept_offer",
        refuse(Code::FailedPrecondition, "OFFER_EXPIRED"),
    );
    app.say(accept()).await;
    assert_eq!(app.hear().await["reason"], "OFFER_EXPIRED");
}

#[tokio::test]
async fn pings_reach_location_in_the_drivers_name() {
    let house = House::open().await;
    let (one, two) = (driver(), driver());
    let mut apps = [
        house.user(&one).ws("/v1/driver/ws?city=sf").await,
        house.user(&two).ws("/v1/driver/ws?city=sf").await,
    ];
    for app in &mut apps {
        for number in 0..50 {
            app.say(ping(number)).await;
        }
    }
    let count = |name: &str| {
        house
            .peers
            .pings
            .lock()
            .iter()
            .filter(|ping| ping.driver == name)
            .count()
    };
    eventually(async || (count(&one) == 50 && count(&two) == 50).then_some(())).await;
}

#[tokio::test]
async fn pings_wait_for_a_location_that_is_away_and_the_session_does_not() {
    let (tasks, peers) = (Tasks::new(), Arc::new(Peers::default()));
    let at = peers::serve(peers.clone(), &tasks).await;
    // Bound but not served: location hangs until it is.
    let reserved = TcpSocket::new_v4().unwrap();
    reserved.set_reuseaddr(true).unwrap();
    reserved.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let later = reserved.local_addr().unwrap();
    let house = House::before(peers, at, tasks.clone(), |config| {
        config.peers.location = format!("http://{later}");
        config.pings.queue_max = 10;
    })
    .await;
    let name = driver();
    let mut app = house.user(&name).ws("/v1/driver/ws?city=sf").await;
    for number in 0..100 {
        app.say(ping(number)).await;
    }
    app.say_text("still there?").await;
    assert_eq!(app.hear().await["reason"], "MESSAGE_INVALID");
    let listener: TcpListener = reserved.listen(64).unwrap();
    peers::serve_on(house.peers.clone(), &tasks, listener).await;
    app.say(ping(1_000)).await;
    eventually(async || {
        house
            .peers
            .pings
            .lock()
            .iter()
            .any(|ping| ping.record_time_ms == 1_000)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_and_another_is_not() {
    let house = House::with(|config| config.session.queue_max = 8).await;
    let name = driver();
    let mut slow = house.user(&name).ws("/v1/driver/ws?city=sf").await;
    let mut quick = house.user(&name).ws("/v1/driver/ws?city=sf").await;
    let mut ride = offered(&name, 2);
    // Long enough to fill the kernel's buffers soon.
    ride.product = "x".repeat(400_000);
    house.publish_as(&ride, made(&name)).await;
    assert_eq!(gist(&quick.hear().await), "offer 1");
    for _ in 0..60 {
        ride = then(&ride, State::EnRoute, &name);
        house.publish_as(&ride, accepted(&name)).await;
        assert_eq!(quick.hear().await["trip"]["version"], ride.version);
    }
    let (heard, close) = slow.hear_to_the_end().await;
    assert!(heard.len() < 61, "{}", heard.len());
    let close = close.expect("a close frame");
    assert_eq!(
        (u16::from(close.code), close.reason.as_str()),
        (1008, "SLOW_CLIENT")
    );
}

#[tokio::test]
async fn a_silent_app_is_closed_and_one_that_pongs_is_not() {
    let house = House::with(|config| {
        config.session.keepalive_ms = 50;
        config.session.idle_ms = 400;
    })
    .await;
    let (silent_name, alive_name) = (driver(), driver());
    let mut alive = house.user(&alive_name).ws("/v1/driver/ws?city=sf").await;
    let silent = house.user(&silent_name).ws("/v1/driver/ws?city=sf").await;
    // Reading is what answers pings: one reads all the time, the other never.
    let offer = offered(&alive_name, 2);
    let reading = async {
        let told = gist(&alive.hear().await);
        (told, alive)
    };
    let waiting = async {
        let status = house.user(&format!("operators/{}", Uuid::new_v4()));
        eventually(async || {
            let now = status.get("/v1/operator/status").await;
            (now.body["driver_sessions"] == 1).then_some(())
        })
        .await;
        house.publish_as(&offer, made(&alive_name)).await;
    };
    let ((told, _alive), ()) = tokio::join!(reading, waiting);
    assert_eq!(told, "offer 1");
    drop(silent);
}

#[tokio::test]
async fn a_gateway_that_stops_says_so_and_the_next_shows_what_was_missed() {
    let house = House::open().await;
    let name = driver();
    let mut app: Ws = house.user(&name).ws("/v1/driver/ws?city=sf").await;
    let mut waiting: Ws = house.user(&rider()).ws("/v1/rider/ws").await;
    let peers = house.peers.clone();
    house.stop.cancel();
    for app in [&mut app, &mut waiting] {
        let (_, close) = app.hear_to_the_end().await;
        let close = close.expect("a close frame");
        assert_eq!(
            (u16::from(close.code), close.reason.as_str()),
            (1001, "SHUTTING_DOWN")
        );
    }
    house.close().await;
    let offer = offered(&name, 2);
    peers.put(&offer);
    let tasks = Tasks::new();
    let at = peers::serve(peers.clone(), &tasks).await;
    let house = House::before(peers, at, tasks, |_| {}).await;
    let mut app = house.user(&name).ws("/v1/driver/ws?city=sf").await;
    assert_eq!(gist(&app.hear().await), "offer 1");
}
