//! What operators see and do.

use hexcab_proto::trip::v1::State;
use serde_json::json;
use uuid::Uuid;

use crate::house::{House, driver, id, offered, then};

#[tokio::test]
async fn an_operator_sees_a_trip_and_its_events() {
    let house = House::open().await;
    let (operator, driver) = (
        house.user(&format!("operators/{}", Uuid::new_v4())),
        driver(),
    );
    let ride = then(&offered(&driver, 2), State::EnRoute, &driver);
    house.peers.put(&ride);
    let answer = operator
        .get(&format!("/v1/operator/trips/{}", id(&ride.name)))
        .await;
    assert_eq!(answer.body["trip"]["rider"], id(&ride.rider), "{answer:?}");
    assert_eq!(answer.body["events"][0]["kind"], "OfferAccepted");
    assert_eq!(answer.body["events"][0]["driver"], id(&driver));
    assert!(answer.body["trip"].get("start_code").is_none());
    let page = operator
        .get("/v1/operator/trips?city=sf&state=EN_ROUTE")
        .await;
    assert_eq!(page.body["trips"][0]["id"], id(&ride.name));
}

#[tokio::test]
async fn an_operator_ends_a_trip_with_a_note() {
    let house = House::open().await;
    let name = format!("operators/{}", Uuid::new_v4());
    let operator = house.user(&name);
    let ride = offered(&driver(), 2);
    house.peers.put(&ride);
    let path = format!("/v1/operator/trips/{}/end", id(&ride.name));
    operator
        .post(&path, json!({"note": " "}))
        .await
        .refused(400, "FIELD_INVALID");
    assert_eq!(
        operator
            .post(&path, json!({"note": "car broke down"}))
            .await
            .status,
        200
    );
    let call = house.peers.calls("force_end_trip").remove(0);
    assert!(
        call.body.contains(&name) && call.body.contains("car broke down"),
        "{call:?}"
    );
}

#[tokio::test]
async fn the_status_is_told_even_when_peers_are_away() {
    let house = House::open().await;
    let operator = house.user(&format!("operators/{}", Uuid::new_v4()));
    let answer = operator.get("/v1/operator/status").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let dispatch = answer.body["peers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|peer| peer["name"] == "dispatch")
        .unwrap();
    assert_eq!(dispatch["serving"], false);
    assert_eq!(
        answer.body["cities"][0]["problem"],
        "DEPENDENCY_UNAVAILABLE"
    );
    operator
        .get(&format!("/v1/operator/trips/{}/decision", Uuid::new_v4()))
        .await
        .refused(503, "DEPENDENCY_UNAVAILABLE");
}
