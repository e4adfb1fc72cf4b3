//! Events are told by signed webhooks until they are taken, whatever dies meanwhile; and what goes wrong on demand.

use std::collections::BTreeSet;

use hexcab_testkit::{TestDb, eventually};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;

use super::{HOLD, act, answer, held};
use crate::{
    listener::{Listener, Told},
    process::{SandboxProcess, free_port},
    rig::{Sandbox, WEBHOOK_SECRET},
};

/// The time and whether the signature is that of the test's secret, worked out by itself.
fn signed(told: &Told) -> (i64, bool) {
    let (time, v1) = told.signature.split_once(",v1=").unwrap();
    let time = time.strip_prefix("t=").unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes()).unwrap();
    mac.update(format!("{time}.{}", told.body).as_bytes());
    let right = hex::encode(mac.finalize().into_bytes());
    (time.parse().unwrap(), v1 == right)
}

async fn until(listener: &Listener, count: usize) -> Vec<Told> {
    eventually(|| async {
        let told = listener.told();
        (told.len() >= count).then_some(told)
    })
    .await
}

/// Webhooks that are still to be sent, and those that were taken.
async fn settled(sandbox: &Sandbox, delivered: i64) {
    eventually(|| async {
        let url = format!("{}/sandbox/webhooks", sandbox.url());
        let (_, body) = answer(reqwest::Client::new().get(url)).await;
        (body == json!({"pending": 0, "delivered": delivered})).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_change_is_told_with_a_signature_over_the_raw_body() {
    let listener = Listener::start().await;
    let sandbox = Sandbox::telling(Some(listener.url())).await;
    let id = held(&sandbox, "k").await;
    let told = until(&listener, 1).await;
    let (time, right) = signed(&told[0]);
    assert!(right);
    let age = hexcab_chassis::Clock::system().now().timestamp() - time;
    assert!((0..60).contains(&age), "{age} s");
    let event = told[0].event();
    assert_eq!(
        (
            &event["object"],
            &event["type"],
            &event["data"]["object"]["id"]
        ),
        (
            &json!("event"),
            &json!("payment_intent.amount_capturable_updated"),
            &json!(id)
        )
    );
    settled(&sandbox, 1).await;
}

#[tokio::test]
async fn what_is_not_taken_is_told_again() {
    let listener = Listener::start().await;
    listener.answer(503);
    let sandbox = Sandbox::telling(Some(listener.url())).await;
    held(&sandbox, "k").await;
    let told = until(&listener, 3).await;
    assert!(told.iter().all(|told| told.body.contains("evt_")));
    let ids: BTreeSet<String> = told
        .iter()
        .map(|told| told.event()["id"].to_string())
        .collect();
    assert_eq!(ids.len(), 1, "the same event");
    listener.answer(204);
    settled(&sandbox, 1).await;
}

#[tokio::test]
async fn a_killed_sandbox_forgets_no_webhook() {
    let db = TestDb::create("sandbox").await;
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}/webhooks");
    let first = SandboxProcess::start(&db, &url).await;
    for index in 0..5 {
        let response = reqwest::Client::new()
            .post(format!("http://{}/v1/payment_intents", first.addr))
            .header("Idempotency-Key", format!("k{index}"))
            .form(&HOLD)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
    }
    first.kill();
    let listener = Listener::at(([127, 0, 0, 1], port).into()).await;
    let _second = SandboxProcess::start(&db, &url).await;
    let told = eventually(|| async {
        let told = listener.told();
        let ids: BTreeSet<String> = told
            .iter()
            .map(|told| told.event()["id"].to_string())
            .collect();
        (ids.len() == 5).then_some(told)
    })
    .await;
    assert!(told.iter().all(|told| signed(told).1));
}

#[tokio::test]
async fn webhooks_go_wrong_on_demand_and_are_told_rightly_in_the_end() {
    let listener = Listener::start().await;
    let sandbox = Sandbox::telling(Some(listener.url())).await;

    sandbox
        .fault(json!({"kind": "webhook_duplicate", "count": 1}))
        .await;
    held(&sandbox, "a").await;
    let told = until(&listener, 2).await;
    assert_eq!(told[0].event()["id"], told[1].event()["id"], "twice");

    listener.answer(400);
    for kind in ["webhook_wrong_signature", "webhook_stale"] {
        sandbox.fault(json!({"kind": kind, "count": 1})).await;
    }
    held(&sandbox, "b").await;
    let told = until(&listener, 4).await;
    let (_, right) = signed(&told[2]);
    assert!(!right, "signed with another secret");
    let (time, right) = signed(&told[3]);
    let age = hexcab_chassis::Clock::system().now().timestamp() - time;
    assert!(right && age > 300, "signed {age} s ago");
    listener.answer(200);
    let told = until(&listener, 5).await;
    assert!(signed(&told[4]).1);
    settled(&sandbox, 3).await;

    sandbox
        .fault(json!({"kind": "webhook_lost", "count": 1}))
        .await;
    held(&sandbox, "c").await;
    settled(&sandbox, 4).await;
    assert_eq!(listener.told().len(), 5, "never sent");
}

#[tokio::test]
async fn a_late_webhook_is_overtaken() {
    let listener = Listener::start().await;
    let sandbox = Sandbox::telling(Some(listener.url())).await;
    sandbox
        .fault(json!({"kind": "webhook_reorder", "count": 1, "delay_ms": 500}))
        .await;
    let id = held(&sandbox, "k").await;
    eventually(|| async { sandbox.webhook_is_late().await.then_some(()) }).await;
    assert_eq!(answer(act(&sandbox, &id, "capture", "c", &[])).await.0, 200);
    let kinds: Vec<String> = until(&listener, 2).await.iter().map(Told::kind).collect();
    assert_eq!(
        kinds,
        [
            "payment_intent.succeeded",
            "payment_intent.amount_capturable_updated"
        ]
    );
}
