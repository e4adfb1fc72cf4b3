//! Webhooks into the service: who is believed, what is kept, and that nothing is done on their word.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hexcab_chassis::{Clock, Secret, Tasks};
use hexcab_payment::{
    config::WebhookConfig,
    domain::State,
    sandbox::webhooks::signature,
    webhook::{Follower, Hints, Ingress},
};
use hexcab_testkit::eventually;
use reqwest::{Client, StatusCode};
use serde_json::json;
use tokio::sync::Notify;

use crate::rig::{Ride, Rig, WEBHOOK_SECRET};

/// The ingress of a rig, and who follows up.
pub struct Door {
    addr: SocketAddr,
    pub follower: Follower,
    tasks: Tasks,
}

impl Door {
    async fn open(rig: &Rig) -> Self {
        Self::with(rig, WebhookConfig::default()).await
    }

    pub async fn with(rig: &Rig, config: WebhookConfig) -> Self {
        let (hints, heard) = (Hints::new(rig.service.clone()), Arc::new(Notify::new()));
        let config = WebhookConfig {
            secrets: Secret::new(WEBHOOK_SECRET),
            ..config
        };
        let ingress = Ingress::bind(&config, Clock::system(), hints.clone(), heard.clone())
            .await
            .unwrap()
            .expect("there is a secret");
        let processor = Arc::new(rig.sandbox.processor());
        let work = Arc::new(Notify::new());
        let follower = Follower::new(
            hints,
            rig.store.clone(),
            processor,
            rig.reconciler(),
            heard,
            work,
        );
        let (addr, tasks) = (ingress.addr(), Tasks::new());
        tasks.spawn("ingress", ingress.run(tasks.shutdown()));
        Self {
            addr,
            follower,
            tasks,
        }
    }

    fn url(&self) -> String {
        format!("http://{}/webhooks", self.addr)
    }

    async fn post(&self, signature: &str, body: String) -> StatusCode {
        let sent = Client::new()
            .post(self.url())
            .header("Stripe-Signature", signature)
            .body(body)
            .send()
            .await;
        sent.unwrap().status()
    }

    async fn signed(&self, body: String) -> StatusCode {
        let now = Clock::system().now().timestamp();
        let signature = signature::header(&Secret::new(WEBHOOK_SECRET), now, &body);
        self.post(&signature, body).await
    }

    async fn follow_all(&self) {
        while self.follower.follow_once().await.unwrap() {}
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.tasks.shutdown().cancel();
    }
}

fn event(id: &str, kind: &str, object: &str) -> String {
    json!({"id": id, "type": kind, "created": 1_700_000_000, "data": {"object": {"id": object, "status": "succeeded"}}}).to_string()
}

/// Kind, what it is about, and what came of it, of every hint that was kept.
async fn kept(rig: &Rig) -> Vec<(String, String, Option<String>)> {
    sqlx::query_as("SELECT type, object, outcome FROM webhook_events ORDER BY received_at")
        .fetch_all(rig.pg.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn only_what_the_processor_signed_just_now_is_kept() {
    let rig = Rig::start().await;
    let door = Door::open(&rig).await;
    let (secret, body) = (
        Secret::new(WEBHOOK_SECRET),
        event("evt_1", "payment_intent.succeeded", "pi_1"),
    );
    let now = Clock::system().now().timestamp();
    for (signature, why) in [
        (String::new(), "unsigned"),
        (
            signature::header(&Secret::new("whsec_other"), now, &body),
            "another secret",
        ),
        (
            signature::header(&secret, now, &body.replace("evt_1", "evt_2")),
            "another body",
        ),
        (signature::header(&secret, now - 400, &body), "too old"),
        (
            signature::header(&secret, now + 400, &body),
            "of the future",
        ),
    ] {
        assert_eq!(
            door.post(&signature, body.clone()).await,
            StatusCode::BAD_REQUEST,
            "{why}"
        );
    }
    assert!(kept(&rig).await.is_empty());
    assert_eq!(door.signed(body).await, StatusCode::OK);
    assert_eq!(kept(&rig).await.len(), 1);
}

#[tokio::test]
async fn an_event_is_kept_once_and_what_is_none_of_ours_not_at_all() {
    let rig = Rig::start().await;
    let door = Door::open(&rig).await;
    let body = event("evt_1", "payment_intent.succeeded", "pi_1");
    let doubled = futures::future::join_all((0..8).map(|_| door.signed(body.clone()))).await;
    assert!(doubled.iter().all(|status| *status == StatusCode::OK));
    assert_eq!(kept(&rig).await.len(), 1);
    let other = event("evt_2", "customer.created", "cus_1");
    assert_eq!(
        door.signed(other).await,
        StatusCode::OK,
        "so it is not told again"
    );
    assert_eq!(kept(&rig).await.len(), 1);
    let nonsense = event("evt_3", "payment_intent.succeeded", "../balance");
    assert_eq!(door.signed(nonsense).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_long_body_is_refused_and_a_hint_that_cannot_be_kept_is_not_taken() {
    let rig = Rig::start().await;
    let small = WebhookConfig {
        max_body_bytes: 500,
        ..WebhookConfig::default()
    };
    let door = Door::with(&rig, small).await;
    let long = event("evt_1", &"x".repeat(600), "pi_1");
    assert_eq!(door.signed(long).await, StatusCode::PAYLOAD_TOO_LARGE);
    sqlx::query("ALTER TABLE webhook_events RENAME TO away")
        .execute(rig.pg.pool())
        .await
        .unwrap();
    let body = event("evt_2", "payment_intent.succeeded", "pi_1");
    assert_eq!(
        door.signed(body).await,
        StatusCode::SERVICE_UNAVAILABLE,
        "so that it is told again"
    );
}

#[tokio::test]
async fn without_a_secret_no_webhook_is_taken() {
    let rig = Rig::start().await;
    let hints = Hints::new(rig.pg.clone());
    let config = WebhookConfig::default();
    let ingress = Ingress::bind(&config, Clock::system(), hints, Arc::default()).await;
    assert!(ingress.unwrap().is_none());
}

#[tokio::test]
async fn nothing_is_believed_that_a_webhook_says() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    let door = Door::open(&rig).await;
    rig.tell(&ride.requested()).await;
    rig.work().await;
    let held = rig.intent(&ride).await;
    let id = held.state.hold().unwrap().id.0.clone();
    // Signed, and a lie: it is still held.
    for (event_id, kind) in [
        ("evt_1", "payment_intent.succeeded"),
        ("evt_2", "charge.refunded"),
    ] {
        let body = json!({"id": event_id, "type": kind, "created": 5,
            "data": {"object": {"id": id, "payment_intent": id, "status": "succeeded", "amount_received": 2_000}}});
        assert_eq!(door.signed(body.to_string()).await, StatusCode::OK);
    }
    let unknown = event("evt_3", "payment_intent.canceled", "pi_nobody");
    assert_eq!(door.signed(unknown).await, StatusCode::OK);
    door.follow_all().await;
    rig.work().await;
    assert_eq!(rig.intent(&ride).await, held);
    let outcomes: Vec<Option<String>> = kept(&rig)
        .await
        .into_iter()
        .map(|(_, _, outcome)| outcome)
        .collect();
    let said = |outcome: &str| Some(outcome.to_owned());
    assert_eq!(
        outcomes,
        [said("nothing"), said("nothing"), said("missing")]
    );
    assert_eq!(rig.told_kinds(&ride).await, ["HoldPlaced"]);
}

#[tokio::test]
async fn a_webhook_ends_the_wait_for_an_answer_that_was_lost() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    let door = Door::open(&rig).await;
    let sandbox = &rig.sandbox;
    sandbox
        .fault(json!({"kind": "timeout_after", "on": "create", "count": 1, "delay_ms": 1_000}))
        .await;
    rig.tell(&ride.requested()).await;
    rig.worker().work_once().await.unwrap();
    assert!(matches!(rig.intent(&ride).await.state, State::Unknown(_)));
    sqlx::query("UPDATE work SET due_at = now() + interval '1 hour'")
        .execute(rig.pg.pool())
        .await
        .unwrap();
    rig.work().await;
    assert!(
        matches!(rig.intent(&ride).await.state, State::Unknown(_)),
        "it is not due"
    );
    let id: String = sqlx::query_scalar("SELECT id FROM payment_intents")
        .fetch_one(sandbox.pg.pool())
        .await
        .unwrap();
    let told = event("evt_1", "payment_intent.amount_capturable_updated", &id);
    assert_eq!(door.signed(told).await, StatusCode::OK);
    door.follow_all().await;
    assert_eq!(kept(&rig).await[0].2.as_deref(), Some("told"));
    rig.work().await;
    assert!(matches!(rig.intent(&ride).await.state, State::Held(_)));
    assert_eq!(sandbox.payments(&ride).await.len(), 1);
}

#[tokio::test]
async fn a_hint_waits_for_a_processor_that_does_not_answer() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    let door = Door::open(&rig).await;
    rig.tell(&ride.requested()).await;
    rig.work().await;
    let id = rig.intent(&ride).await.state.hold().unwrap().id.0.clone();
    rig.sandbox
        .fault(json!({"kind": "error_500", "on": "read", "count": 1}))
        .await;
    assert_eq!(
        door.signed(event("evt_1", "payment_intent.x", &id)).await,
        StatusCode::OK
    );
    door.follow_all().await;
    assert_eq!(kept(&rig).await[0].2, None, "not yet");
    eventually(|| async {
        door.follow_all().await;
        kept(&rig).await[0].2.clone()
    })
    .await;
}

#[tokio::test]
async fn a_follower_that_died_is_relieved_and_a_hint_followed_up_once() {
    let rig = Rig::start().await;
    let door = Door::open(&rig).await;
    let hints = Hints::new(rig.pg.clone());
    let body = event("evt_1", "payment_intent.x", "pi_1");
    assert_eq!(door.signed(body).await, StatusCode::OK);
    let dead = hints.claim(Duration::from_secs(60)).await.unwrap().unwrap();
    assert!(!door.follower.follow_once().await.unwrap(), "it is leased");
    sqlx::query("UPDATE webhook_events SET lease_until = now() - interval '1 s'")
        .execute(rig.pg.pool())
        .await
        .unwrap();
    door.follow_all().await;
    assert_eq!(kept(&rig).await[0].2.as_deref(), Some("missing"));
    let late = hints.followed(&dead, hexcab_payment::webhook::hints::Outcome::Told);
    assert!(!late.await.unwrap(), "its lease was lost");
    let guard = "UPDATE webhook_events SET outcome = 'told'";
    let error = sqlx::query(guard).execute(rig.pg.pool()).await.unwrap_err();
    let constraint = error
        .as_database_error()
        .unwrap()
        .constraint()
        .unwrap()
        .to_owned();
    assert_eq!(constraint, "webhook_event_followed_once");
}
