//! One trace per ride, through this door: seen in the metadata that peers get.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hexcab_proto::trip::v1::{OfferMade, trip_event::Event};
use hexcab_telemetry::trace_id;
use hexcab_testkit::eventually;
use serde_json::json;
use uuid::Uuid;

use crate::{
    house::{House, RIDE, RIDE_TRACE, driver, event, id, offered, rider, spans_with, trip},
    peers::Call,
};

/// What an app brought that has a trace of its own.
const APP: &str = "00-11111111111111111111111111111111-2222222222222222-01";

fn trace_of(call: &Call) -> String {
    trace_id(call.traceparent.as_deref().expect("a traceparent"))
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_quote_begins_a_trace_of_its_own() {
    let house = House::open().await;
    let point = json!({"lat": 37.77, "lon": -122.41});
    let body = json!({"city": "sf", "pickup": point, "dropoff": point});
    let answer = house
        .user(&rider())
        .post_with("/v1/quotes", &[("traceparent", APP)], body)
        .await;
    let given = trace_id(answer.header("traceparent").unwrap())
        .unwrap()
        .to_owned();
    assert_ne!(
        Some(given.as_str()),
        trace_id(APP),
        "the app's trace is linked, not continued"
    );
    assert_eq!(trace_of(&house.peers.calls("create_quote")[0]), given);
}

#[tokio::test]
async fn a_trip_goes_on_from_its_quote() {
    let house = House::open().await;
    let claims = URL_SAFE_NO_PAD.encode(json!({"traceparent": RIDE, "price": 7}).to_string());
    let body = json!({"quote_token": format!("e30.{claims}.c2ln")});
    let key = Uuid::new_v4().to_string();
    let headers = [("traceparent", APP), ("idempotency-key", key.as_str())];
    let answer = house
        .user(&rider())
        .post_with("/v1/trips", &headers, body)
        .await;
    assert_eq!(
        trace_id(answer.header("traceparent").unwrap()),
        Some(RIDE_TRACE)
    );
    assert_eq!(answer.body["trace_id"], RIDE_TRACE);
    let call = house.peers.calls("create_trip").remove(0);
    assert_eq!(trace_of(&call), RIDE_TRACE);
    assert_ne!(
        call.traceparent.as_deref(),
        Some(RIDE),
        "it has a span of its own"
    );
}

#[tokio::test]
async fn a_command_goes_on_from_its_trip_known_or_not() {
    let house = House::open().await;
    let ride = trip(hexcab_proto::trip::v1::State::Requested, 1);
    house.peers.put(&ride);
    let cancel = format!("/v1/trips/{}/cancel", id(&ride.name));
    let me = house.user(&ride.rider);
    for _ in 0..2 {
        let answer = me
            .post_with(
                &cancel,
                &[("traceparent", APP)],
                json!({"reason": "changed_mind"}),
            )
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(
            trace_id(answer.header("traceparent").unwrap()),
            Some(RIDE_TRACE)
        );
    }
    assert_eq!(
        house.peers.calls("get_trip").len(),
        1,
        "asked once, then remembered"
    );
    for call in house.peers.calls("cancel_trip") {
        assert_eq!(trace_of(&call), RIDE_TRACE);
    }
    let key = json!({"quote_token": "x"});
    let nobody = reqwest::Client::new().post(house.url(&cancel)).json(&key);
    let refused = crate::house::read(nobody)
        .await
        .refused(401, "TOKEN_MISSING");
    assert_ne!(
        trace_id(refused.header("traceparent").unwrap()),
        Some(RIDE_TRACE),
        "strangers are not in the ride"
    );
}

#[tokio::test]
async fn a_command_over_a_session_goes_on_from_its_trip() {
    let house = House::open().await;
    let name = driver();
    let ride = offered(&name, 2);
    house.peers.put(&ride);
    let mut app = house.user(&name).ws("/v1/driver/ws?city=sf").await;
    assert_eq!(app.hear().await["traceparent"], RIDE);
    house
        .publish_as(
            &ride,
            Event::OfferMade(OfferMade {
                driver: name,
                epoch: 1,
            }),
        )
        .await;
    app.say(
        json!({"type": "accept", "request_id": Uuid::new_v4(), "trip": id(&ride.name), "epoch": 1}),
    )
    .await;
    assert_eq!(app.hear().await["ok"], true);
    assert_eq!(trace_of(&house.peers.calls("accept_offer")[0]), RIDE_TRACE);
    assert!(
        house.peers.calls("get_trip").is_empty(),
        "the ride is known from the snapshot"
    );
}

#[tokio::test]
async fn every_answer_has_a_traceparent() {
    let house = House::open().await;
    let me = house.user(&rider());
    for path in ["/v1/trips", "/v1/nothing", "/v1/quotes", "/v1/trips/seven"] {
        assert!(me.get(path).await.header("traceparent").is_some(), "{path}");
    }
}

#[tokio::test]
async fn a_trips_id_is_on_spans_of_its_trace_and_on_no_others() {
    let house = House::open().await;
    let name = driver();
    let mut ride = offered(&name, 2);
    ride.driver = name.clone();
    house.peers.put(&ride);
    let (me, trip) = (house.user(&name), id(&ride.name));
    let mut app = me.ws("/v1/driver/ws?city=sf").await;
    assert_eq!(app.hear().await["type"], "offer");
    // Reads are nobody's step, known ride or not.
    let read = me.get(&format!("/v1/trips/{trip}")).await;
    assert_eq!(read.status, 200, "{read:?}");
    assert_ne!(
        trace_id(read.header("traceparent").unwrap()),
        Some(RIDE_TRACE)
    );
    // An event in the ride's trace, and one that came in none.
    for (version, context) in [(3, Some(RIDE)), (4, None)] {
        ride.version = version;
        let made = Event::OfferMade(OfferMade {
            driver: name.clone(),
            epoch: 1,
        });
        house.publish_in(&event(&ride, made), context).await;
        assert_eq!(app.hear().await["type"], "offer");
    }
    app.say(json!({"type": "accept", "request_id": Uuid::new_v4(), "trip": trip, "epoch": 1}))
        .await;
    assert_eq!(app.hear().await["type"], "result");
    let arrive = json!({"position": {"lat": 37.77, "lon": -122.41}});
    me.post(&format!("/v1/trips/{trip}/arrive"), arrive).await;
    // A command to a trip that nobody knows is in nobody's trace.
    let unknown = Uuid::new_v4();
    let cancel = format!("/v1/trips/{unknown}/decline");
    me.post(&cancel, json!({"epoch": 1}))
        .await
        .refused(404, "TRIP_NOT_FOUND");
    let spans = eventually(async || {
        Some(spans_with("hexcab.trip.id", trip)).filter(|spans| spans.len() >= 3)
    })
    .await;
    let mut names: Vec<_> = spans.iter().map(|span| span.name.to_string()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "POST /v1/trips/{id}/arrive",
            "gateway.accept",
            "gateway.push"
        ]
    );
    for span in spans {
        assert_eq!(
            span.span_context.trace_id().to_string(),
            RIDE_TRACE,
            "{span:?}"
        );
    }
    assert!(spans_with("hexcab.trip.id", &unknown.to_string()).is_empty());
}
