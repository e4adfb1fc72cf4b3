//! The sandbox processor by itself, over raw HTTP: Stripe's rules for keys, states and errors.

mod keys;
mod money;
mod webhooks;

use reqwest::{Client, RequestBuilder};
use serde_json::Value;

use crate::rig::{Ride, Sandbox};

const HOLD: [(&str, &str); 5] = [
    ("amount", "2000"),
    ("currency", "usd"),
    ("capture_method", "manual"),
    ("confirm", "true"),
    ("payment_method", "pm_card_visa"),
];

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn hold(sandbox: &Sandbox, key: &str, more: &[(&str, &str)]) -> RequestBuilder {
    let form = [&HOLD[..], more].concat();
    Client::new()
        .post(format!("{}/v1/payment_intents", sandbox.url()))
        .header("Idempotency-Key", key)
        .form(&form)
}

fn act(
    sandbox: &Sandbox,
    id: &str,
    verb: &str,
    key: &str,
    form: &[(&str, &str)],
) -> RequestBuilder {
    let url = format!("{}/v1/payment_intents/{id}/{verb}", sandbox.url());
    Client::new()
        .post(url)
        .header("Idempotency-Key", key)
        .form(form)
}

async fn held(sandbox: &Sandbox, key: &str) -> String {
    let (status, body) = answer(hold(sandbox, key, &[])).await;
    assert_eq!(
        (status, &body["status"]),
        (200, &Value::from("requires_capture"))
    );
    body["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_same_key_has_the_same_answer_and_one_effect() {
    let sandbox = Sandbox::start().await;
    let first = answer(hold(&sandbox, "k", &[])).await;
    assert_eq!(answer(hold(&sandbox, "k", &[])).await, first);
    let (status, body) = answer(hold(&sandbox, "k", &[("metadata[trip]", "other")])).await;
    assert_eq!(
        (status, &body["error"]["type"]),
        (400, &Value::from("idempotency_error"))
    );
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM payment_intents")
        .fetch_one(sandbox.pg.pool())
        .await
        .unwrap();
    assert_eq!(count, 1);
}

#[tokio::test]
async fn the_same_key_at_the_same_time_has_one_effect() {
    let sandbox = Sandbox::start().await;
    let answers =
        futures::future::join_all((0..10).map(|_| answer(hold(&sandbox, "k", &[])))).await;
    assert!(
        answers
            .iter()
            .all(|(status, _)| [200, 409].contains(status)),
        "{answers:?}"
    );
    assert!(answers.iter().any(|(status, _)| *status == 200));
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM payment_intents")
        .fetch_one(sandbox.pg.pool())
        .await
        .unwrap();
    assert_eq!(count, 1);
}

#[tokio::test]
async fn a_payment_is_settled_once_and_within_its_amount() {
    let sandbox = Sandbox::start().await;
    let id = held(&sandbox, "k1").await;
    let (status, body) = answer(act(
        &sandbox,
        &id,
        "capture",
        "k2",
        &[("amount_to_capture", "2001")],
    ))
    .await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (400, &Value::from("amount_too_large"))
    );
    let (status, body) = answer(act(
        &sandbox,
        &id,
        "capture",
        "k3",
        &[("amount_to_capture", "1500")],
    ))
    .await;
    assert_eq!(
        (status, &body["status"], &body["amount_received"]),
        (200, &"succeeded".into(), &1_500.into())
    );
    for (verb, key) in [("capture", "k4"), ("cancel", "k5")] {
        let (status, body) = answer(act(&sandbox, &id, verb, key, &[])).await;
        assert_eq!(
            (status, &body["error"]["code"]),
            (400, &Value::from("payment_intent_unexpected_state"))
        );
    }
    let other = held(&sandbox, "k6").await;
    let (status, body) = answer(act(&sandbox, &other, "cancel", "k7", &[])).await;
    assert_eq!((status, &body["status"]), (200, &Value::from("canceled")));
}

#[tokio::test]
async fn a_refused_card_is_402_and_its_payment_can_be_found() {
    let (sandbox, ride) = (Sandbox::start().await, Ride::new());
    let trip = ride.trip.to_string();
    let mut form = HOLD.to_vec();
    form[4].1 = "pm_card_declined";
    form.push(("metadata[trip]", &trip));
    let url = format!("{}/v1/payment_intents", sandbox.url());
    let (status, body) = answer(Client::new().post(&url).form(&form)).await;
    assert_eq!(
        (status, &body["error"]["code"], &body["error"]["type"]),
        (402, &"card_declined".into(), &"card_error".into())
    );
    let query = [("query", format!("metadata['trip']:'{trip}'"))];
    let (_, found) = answer(Client::new().get(format!("{url}/search")).query(&query)).await;
    assert_eq!(
        found["data"][0]["id"],
        body["error"]["payment_intent"]["id"]
    );
    assert_eq!(found["data"][0]["status"], "requires_payment_method");
}

#[tokio::test]
async fn payments_are_listed_newest_first_page_by_page() {
    let sandbox = Sandbox::start().await;
    let mut ids = Vec::new();
    for index in 0..5 {
        ids.push(held(&sandbox, &format!("k{index}")).await);
    }
    ids.reverse();
    let (mut seen, mut after): (Vec<String>, Option<String>) = (Vec::new(), None);
    loop {
        let mut query = vec![("limit", "2".to_owned())];
        query.extend(after.take().map(|after| ("starting_after", after)));
        let (_, page) = answer(
            Client::new()
                .get(format!("{}/v1/payment_intents", sandbox.url()))
                .query(&query),
        )
        .await;
        seen.extend(
            page["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|payment| payment["id"].as_str().unwrap().to_owned()),
        );
        if page["has_more"] == false {
            break;
        }
        after = seen.last().cloned();
    }
    assert_eq!(seen, ids);
}

#[tokio::test]
async fn what_is_not_there_or_makes_no_sense_is_4xx_in_stripes_shape() {
    let sandbox = Sandbox::start().await;
    let (status, body) = answer(act(&sandbox, "pi_none", "capture", "k", &[])).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (404, &Value::from("resource_missing"))
    );
    let (status, body) =
        answer(Client::new().get(format!("{}/v1/payment_intents/pi_none", sandbox.url()))).await;
    assert_eq!(
        (status, &body["error"]["type"]),
        (404, &Value::from("invalid_request_error"))
    );
    let url = format!("{}/v1/payment_intents", sandbox.url());
    let (status, _) = answer(Client::new().post(url).form(&[("amount", "-1")])).await;
    assert_eq!(status, 400);
    let health = Client::new()
        .get(format!("{}/healthz", sandbox.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(health.status(), 200);
}

#[tokio::test]
async fn faults_are_set_listed_and_cleared() {
    let sandbox = Sandbox::start().await;
    sandbox
        .fault(serde_json::json!({"kind": "error_500"}))
        .await;
    assert_eq!(answer(hold(&sandbox, "k", &[])).await.0, 500);
    let url = format!("{}/sandbox/faults", sandbox.url());
    assert_eq!(
        answer(Client::new().get(&url))
            .await
            .1
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let wrong = Client::new()
        .post(&url)
        .json(&serde_json::json!({"kind": "decline", "rate": 1.5}))
        .send()
        .await;
    assert_eq!(wrong.unwrap().status(), 400);
    assert_eq!(
        Client::new().delete(&url).send().await.unwrap().status(),
        204
    );
    held(&sandbox, "k").await;
}
