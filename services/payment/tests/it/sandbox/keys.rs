//! Idempotency keys as at Stripe, where errors are remembered too, and what is done when the caller has gone.

use std::time::Duration;

use hexcab_testkit::eventually;
use serde_json::json;

use super::{act, answer, held, hold};
use crate::rig::Sandbox;

async fn payments(sandbox: &Sandbox) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM payment_intents")
        .fetch_one(sandbox.pg.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn an_error_that_was_kept_is_told_again_and_says_so() {
    let sandbox = Sandbox::start().await;
    sandbox
        .fault(json!({"kind": "error_500_kept", "count": 1}))
        .await;
    let replayed = |response: &reqwest::Response| {
        let header = response.headers().get("idempotent-replayed");
        header.is_some_and(|value| value == "true")
    };
    let first = hold(&sandbox, "k", &[]).send().await.unwrap();
    assert_eq!((first.status().as_u16(), replayed(&first)), (500, false));
    let again = hold(&sandbox, "k", &[]).send().await.unwrap();
    assert_eq!((again.status().as_u16(), replayed(&again)), (500, true));
    assert_eq!(payments(&sandbox).await, 0);
    held(&sandbox, "another").await;
}

#[tokio::test]
async fn a_refusal_is_told_again_to_its_key() {
    let sandbox = Sandbox::start().await;
    sandbox.fault(json!({"kind": "decline", "count": 1})).await;
    let first = answer(hold(&sandbox, "k", &[])).await;
    assert_eq!(first.0, 402);
    assert_eq!(answer(hold(&sandbox, "k", &[])).await, first);
    let id = held(&sandbox, "k2").await;
    let form = [("amount_to_capture", "2001")];
    let wrong = answer(act(&sandbox, &id, "capture", "c", &form)).await;
    assert_eq!(wrong.0, 400);
    assert_eq!(
        answer(act(&sandbox, &id, "capture", "c", &form)).await,
        wrong
    );
}

#[tokio::test]
async fn what_was_begun_is_done_although_its_caller_has_gone() {
    let sandbox = Sandbox::start().await;
    sandbox
        .fault(json!({"kind": "slow", "delay_ms": 300, "count": 1}))
        .await;
    let impatient = hold(&sandbox, "k", &[]).timeout(Duration::from_millis(50));
    assert!(impatient.send().await.unwrap_err().is_timeout());
    assert_eq!(payments(&sandbox).await, 0, "not yet");
    let (status, body) = answer(hold(&sandbox, "k", &[])).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (409, &json!("idempotency_key_in_use"))
    );
    eventually(|| async { (payments(&sandbox).await == 1).then_some(()) }).await;
}

#[tokio::test]
async fn a_rule_that_makes_no_sense_is_refused() {
    let sandbox = Sandbox::start().await;
    let wrong = reqwest::Client::new()
        .post(format!("{}/sandbox/faults", sandbox.url()))
        .json(&json!({"kind": "decline", "on": "cancel"}))
        .send()
        .await
        .unwrap();
    assert_eq!(wrong.status(), 400);
}
