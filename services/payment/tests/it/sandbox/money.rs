//! What befalls money in the sandbox beside holds: raises, charges, refunds, disputes; and the guards of its database.

use reqwest::Client;
use serde_json::{Value, json};

use super::{HOLD, act, answer, held, hold};
use crate::rig::Sandbox;

async fn get(sandbox: &Sandbox, path: &str) -> Value {
    let (status, body) = answer(Client::new().get(format!("{}/v1/{path}", sandbox.url()))).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

async fn raisable(sandbox: &Sandbox, key: &str) -> String {
    let more = [(
        "payment_method_options[card][request_incremental_authorization]",
        "if_available",
    )];
    let (_, body) = answer(hold(sandbox, key, &more)).await;
    let feature = "/latest_charge/payment_method_details/card/incremental_authorization/status";
    assert_eq!(body.pointer(feature), Some(&json!("available")));
    body["id"].as_str().unwrap().to_owned()
}

async fn taken(sandbox: &Sandbox, key: &str) -> String {
    let id = held(sandbox, key).await;
    let captured = act(sandbox, &id, "capture", &format!("{key}-capture"), &[]);
    assert_eq!(answer(captured).await.0, 200);
    id
}

async fn refund(sandbox: &Sandbox, id: &str, key: &str, amount: &str) -> (u16, Value) {
    let request = Client::new()
        .post(format!("{}/v1/refunds", sandbox.url()))
        .header("Idempotency-Key", key)
        .form(&[("payment_intent", id), ("amount", amount)]);
    answer(request).await
}

#[tokio::test]
async fn a_hold_is_raised_and_the_raised_hold_captured() {
    let sandbox = Sandbox::start().await;
    let id = raisable(&sandbox, "k").await;
    let raise = |key: &'static str, amount: &'static str| {
        answer(act(
            &sandbox,
            &id,
            "increment_authorization",
            key,
            &[("amount", amount)],
        ))
    };
    let (status, body) = raise("r1", "2600").await;
    assert_eq!(
        (status, &body["amount"], &body["amount_capturable"]),
        (200, &2_600.into(), &2_600.into())
    );
    assert_eq!(raise("r2", "2600").await.0, 400, "that is no more");
    let declined = json!({"kind": "decline", "on": "raise", "code": "insufficient_funds"});
    sandbox.fault(declined).await;
    let (status, body) = raise("r3", "9000").await;
    assert_eq!(
        (status, &body["error"]["decline_code"]),
        (402, &json!("insufficient_funds"))
    );
    assert_eq!(
        body["error"]["payment_intent"]["amount"], 2_600,
        "as it was"
    );
    let capture = act(
        &sandbox,
        &id,
        "capture",
        "c",
        &[("amount_to_capture", "2600")],
    );
    assert_eq!(answer(capture).await.1["amount_received"], 2_600);
    assert_eq!(raise("r4", "2700").await.0, 400, "it is taken");
}

#[tokio::test]
async fn a_card_that_cannot_raise_a_hold_says_so() {
    let sandbox = Sandbox::start().await;
    let id = held(&sandbox, "k").await;
    let form = [("amount", "2600")];
    let (status, body) = answer(act(&sandbox, &id, "increment_authorization", "r", &form)).await;
    assert_eq!(
        (status, &body["error"]["type"]),
        (400, &json!("invalid_request_error"))
    );
}

#[tokio::test]
async fn a_charge_takes_the_money_at_once() {
    let sandbox = Sandbox::start().await;
    let mut form = HOLD.to_vec();
    form[2].1 = "automatic";
    let url = format!("{}/v1/payment_intents", sandbox.url());
    let (status, body) = answer(Client::new().post(url).form(&form)).await;
    assert_eq!(
        (status, &body["status"], &body["amount_received"]),
        (200, &json!("succeeded"), &2_000.into())
    );
}

#[tokio::test]
async fn no_more_is_given_back_than_was_taken() {
    let sandbox = Sandbox::start().await;
    let id = taken(&sandbox, "k").await;
    assert_eq!(refund(&sandbox, &id, "r1", "1500").await.0, 200);
    let (status, body) = refund(&sandbox, &id, "r2", "501").await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (400, &json!("amount_too_large"))
    );
    let (_, second) = refund(&sandbox, &id, "r3", "500").await;
    let (_, again) = refund(&sandbox, &id, "r3", "500").await;
    assert_eq!(second, again);
    let (_, body) = refund(&sandbox, &id, "r4", "1").await;
    assert_eq!(body["error"]["code"], "charge_already_refunded");
    let listed = get(&sandbox, &format!("refunds?payment_intent={id}")).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    let payment = get(
        &sandbox,
        &format!("payment_intents/{id}?expand[]=latest_charge"),
    )
    .await;
    assert_eq!(
        payment["latest_charge"]["refunded"], true,
        "the whole is back"
    );
    let guard = "INSERT INTO refunds (id, payment_intent, amount, status) SELECT 're_x', id, 1, 'succeeded' FROM payment_intents";
    let error = sqlx::query(guard)
        .execute(sandbox.pg.pool())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("more is given back"),
        "the database knows it too: {error}"
    );
}

#[tokio::test]
async fn a_refund_that_the_bank_does_not_take_can_be_made_again() {
    let sandbox = Sandbox::start().await;
    let id = taken(&sandbox, "k").await;
    let (_, made) = refund(&sandbox, &id, "r1", "2000").await;
    let path = format!("refunds/{}/fail", made["id"].as_str().unwrap());
    let failed = sandbox.befall(&path, json!({})).await;
    assert_eq!(
        (&failed["status"], &failed["failure_reason"]),
        (&json!("failed"), &json!("expired_or_canceled_card"))
    );
    assert_eq!(refund(&sandbox, &id, "r2", "2000").await.0, 200);
}

#[tokio::test]
async fn a_payment_is_disputed_once_and_its_dispute_closed_once() {
    let sandbox = Sandbox::start().await;
    let id = taken(&sandbox, "k").await;
    let dispute = sandbox
        .befall("disputes", json!({"payment_intent": id}))
        .await;
    assert_eq!(
        (&dispute["amount"], &dispute["status"]),
        (&2_000.into(), &json!("needs_response"))
    );
    let (status, body) = refund(&sandbox, &id, "r", "1").await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (400, &json!("charge_disputed"))
    );
    let name = dispute["id"].as_str().unwrap();
    let lost = sandbox
        .befall(&format!("disputes/{name}/close"), json!({"status": "lost"}))
        .await;
    assert_eq!(lost["status"], "lost");
    assert_eq!(
        get(&sandbox, &format!("disputes/{name}")).await["status"],
        "lost"
    );
    for (path, body) in [
        ("disputes".to_owned(), json!({"payment_intent": id})),
        (format!("disputes/{name}/close"), json!({"status": "won"})),
    ] {
        let again = Client::new()
            .post(format!("{}/sandbox/{path}", sandbox.url()))
            .json(&body)
            .send()
            .await
            .unwrap();
        assert!(again.status().is_client_error(), "{path}");
    }
}

#[tokio::test]
async fn a_hold_that_is_not_captured_in_time_expires() {
    let sandbox = Sandbox::start().await;
    let id = held(&sandbox, "k").await;
    let expired = sandbox
        .befall(&format!("payment_intents/{id}/expire"), json!({}))
        .await;
    assert_eq!(
        (&expired["status"], &expired["cancellation_reason"]),
        (&json!("canceled"), &json!("automatic"))
    );
    assert_eq!(answer(act(&sandbox, &id, "capture", "c", &[])).await.0, 400);
    let guard = "UPDATE payment_intents SET status = 'requires_capture', canceled_at = NULL";
    let error = sqlx::query(guard)
        .execute(sandbox.pg.pool())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("has ended"),
        "the database knows it too: {error}"
    );
}

#[tokio::test]
async fn a_capture_that_fails_ends_the_hold() {
    let sandbox = Sandbox::start().await;
    let id = held(&sandbox, "k").await;
    sandbox
        .fault(json!({"kind": "decline", "on": "capture", "count": 1}))
        .await;
    let (status, body) = answer(act(&sandbox, &id, "capture", "c", &[])).await;
    assert_eq!(
        (status, &body["error"]["payment_intent"]["status"]),
        (402, &json!("requires_payment_method"))
    );
    let again = answer(act(&sandbox, &id, "capture", "c2", &[])).await;
    assert_eq!(again.0, 400, "it has ended");
}

#[tokio::test]
async fn every_change_is_an_event_and_can_be_listed_by_time_and_kind() {
    let sandbox = Sandbox::start().await;
    let id = taken(&sandbox, "k").await;
    refund(&sandbox, &id, "r", "5").await;
    let all = get(&sandbox, "events").await;
    let kinds: Vec<&str> = all["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "charge.refunded",
            "payment_intent.succeeded",
            "payment_intent.amount_capturable_updated"
        ]
    );
    assert_eq!(all["data"][0]["request"]["idempotency_key"], "r");
    let refunded = get(&sandbox, "events?type=charge.refunded").await;
    assert_eq!(refunded["data"][0]["data"]["object"]["amount_refunded"], 5);
    for list in ["payment_intents", "refunds", "disputes", "events"] {
        let early = get(&sandbox, &format!("{list}?created[lt]=1000")).await;
        assert_eq!(early["data"], json!([]), "{list}");
    }
}
