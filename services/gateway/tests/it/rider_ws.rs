//! A rider's session: every change of his trip once and in order, and where his driver is.

use std::time::Duration;

use hexcab_proto::{
    location::v1::GetDriverPositionResponse,
    trip::v1::{OfferMade, State, TripCompleted, trip_event::Event},
};
use hexcab_testkit::eventually;
use serde_json::json;

use crate::house::{House, PICKUP, driver, evening, id, offered, ping, rider, then, trip};

#[tokio::test]
async fn a_rider_is_shown_his_trip_and_told_every_change_once() {
    let house = House::open().await;
    let driver = driver();
    let requested = trip(State::Requested, 1);
    house.peers.put(&requested);
    let mut app = house.user(&requested.rider).ws("/v1/rider/ws").await;
    let first = app.hear().await;
    assert_eq!(
        (&first["type"], &first["trip"]["state"]),
        (&json!("trip"), &json!("REQUESTED"))
    );
    assert_eq!(first["trip"]["start_code"], "1234");
    let mut offer = offered(&driver, 2);
    (offer.name, offer.rider) = (requested.name.clone(), requested.rider.clone());
    let taken = then(&offer, State::EnRoute, &driver);
    let done = then(&taken, State::Completed, &driver);
    let made = || {
        Event::OfferMade(OfferMade {
            driver: driver.clone(),
            epoch: 1,
        })
    };
    for trip in [&requested, &offer, &offer, &taken, &offer, &taken, &done] {
        house.publish_as(trip, made()).await;
    }
    let mut heard = Vec::new();
    while heard.len() < 3 {
        heard.push(app.hear().await["trip"]["version"].as_i64().unwrap());
    }
    assert_eq!(heard, [2, 3, 4]);
}

#[tokio::test]
async fn a_rider_hears_of_his_own_trips_only() {
    let house = House::open().await;
    let (mine, others) = (trip(State::Requested, 1), trip(State::Requested, 1));
    let mut app = house.user(&mine.rider).ws("/v1/rider/ws").await;
    for trip in [&others, &mine] {
        house
            .publish_as(trip, Event::Completed(TripCompleted {}))
            .await;
    }
    assert_eq!(app.hear().await["trip"]["id"], id(&mine.name));
    app.say_text("hello").await;
    assert_eq!(app.hear().await["type"], "error");
}

#[tokio::test]
async fn a_riders_two_apps_are_both_told() {
    let house = House::open().await;
    let mine = trip(State::Requested, 1);
    let me = house.user(&mine.rider);
    let mut apps = [me.ws("/v1/rider/ws").await, me.ws("/v1/rider/ws").await];
    house
        .publish_as(&mine, Event::Completed(TripCompleted {}))
        .await;
    for app in &mut apps {
        assert_eq!(app.hear().await["trip"]["id"], id(&mine.name));
    }
}

#[tokio::test]
async fn a_rider_sees_his_driver_come_until_the_trip_is_over() {
    let house = House::open().await;
    let driver = driver();
    let taken = then(&offered(&driver, 2), State::EnRoute, &driver);
    house.peers.put(&taken);
    let (name, record) = (driver.clone(), GetDriverPositionResponse::default());
    let known = GetDriverPositionResponse {
        position: Some(PICKUP),
        age_ms: 700,
        heading_deg: 90,
        ..record
    };
    house.peers.positions.lock().insert(name, known);
    let mut app = house.user(&taken.rider).ws("/v1/rider/ws").await;
    assert_eq!(app.hear().await["trip"]["state"], "EN_ROUTE");
    let seen = async {
        loop {
            let message = app.hear().await;
            if message["type"] == "driver_position" {
                return message;
            }
        }
    };
    let ticking = async {
        loop {
            house.clock.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
            eventually(async || Some(())).await;
        }
    };
    let message = tokio::select! { message = seen => message, () = ticking => unreachable!() };
    assert_eq!(
        (&message["trip"], &message["heading_deg"]),
        (&json!(id(&taken.name)), &json!(90))
    );
    assert_eq!(message["age_ms"], 700);
    let shown = house
        .user(&taken.rider)
        .get(&format!("/v1/trips/{}", id(&taken.name)))
        .await;
    assert_eq!(
        shown.body["driver_position"]["heading_deg"], 90,
        "{shown:?}"
    );

    // Over: nobody asks for it any more.
    let done = then(&taken, State::Completed, &driver);
    house
        .publish_as(&done, Event::Completed(TripCompleted {}))
        .await;
    while app.hear().await["trip"]["state"] != "COMPLETED" {}
    let asked = house.peers.calls("get_driver_position").len();
    for _ in 0..20 {
        house.clock.advance(Duration::from_secs(2));
        eventually(async || Some(())).await;
        // A round trip through the gateway gives its loop every chance.
        assert_eq!(house.user(&rider()).get("/v1/trips").await.status, 200);
    }
    assert!(house.peers.calls("get_driver_position").len() <= asked + 1);
}

#[tokio::test]
async fn a_position_that_passed_through_is_told_without_asking() {
    let house = House::open().await;
    let driver = driver();
    let taken = then(&offered(&driver, 2), State::EnRoute, &driver);
    house.peers.put(&taken);
    let mut car = house.user(&driver).ws("/v1/driver/ws?city=sf").await;
    assert_eq!(car.hear().await["type"], "trip");
    car.say(ping(evening().timestamp_millis())).await;
    let sent = || {
        house
            .peers
            .pings
            .lock()
            .iter()
            .any(|ping| ping.driver == driver)
            .then_some(())
    };
    eventually(async || sent()).await;
    let mut app = house.user(&taken.rider).ws("/v1/rider/ws").await;
    assert_eq!(app.hear().await["type"], "trip");
    house.clock.advance(Duration::from_secs(2));
    let at = app.hear().await;
    assert_eq!(
        (&at["type"], &at["lat"], &at["age_ms"]),
        (&json!("driver_position"), &json!(37.77), &json!(2_000))
    );
    assert!(house.peers.calls("get_driver_position").is_empty());
}
