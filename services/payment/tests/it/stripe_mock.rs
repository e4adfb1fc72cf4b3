//! Our requests against Stripe's own description of its API: stripe-mock takes each or says what is wrong with it, and
//! answers in Stripe's shapes. It keeps nothing, so what is asserted is that it took the request and we the answer.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use hexcab_chassis::{Clock, Secret};
use hexcab_payment::{
    config::ProcessorConfig,
    domain::ProcessorId,
    processor::{
        Between, Failure, PaymentRequest, Processor as _, RefundRequest, http::HttpProcessor,
    },
};
use hexcab_testkit::eventually;
use hexcab_types::{Currency, Money};
use uuid::Uuid;

use crate::process::free_port;

const KEY: &str = "sk_test_123";
/// Where `./dev test` puts it.
const BUILT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../target/tools/bin/stripe-mock"
);

struct StripeMock {
    http: SocketAddr,
    https: SocketAddr,
    child: Child,
}

impl StripeMock {
    /// None where it is not installed.
    async fn start() -> Option<Self> {
        let addr = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (http, https) = (addr(free_port()), addr(free_port()));
        let program = if Path::new(BUILT).is_file() {
            BUILT
        } else {
            "stripe-mock"
        };
        let spawned = Command::new(program)
            .args(["-http-addr", &http.to_string()])
            .args(["-https-addr", &https.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = spawned else {
            println!("SKIPPED: stripe-mock is not installed; ./dev test installs it");
            return None;
        };
        let mock = Self { http, https, child };
        eventually(|| async { tokio::net::TcpStream::connect(https).await.ok() }).await;
        eventually(|| async { tokio::net::TcpStream::connect(http).await.ok() }).await;
        Some(mock)
    }

    fn processor(&self) -> HttpProcessor {
        processor(&format!("http://{}", self.http))
    }
}

impl Drop for StripeMock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn processor(url: &str) -> HttpProcessor {
    let config = ProcessorConfig {
        url: url.to_owned(),
        api_key: Secret::new(KEY),
        ..ProcessorConfig::default()
    };
    HttpProcessor::new(&config).unwrap()
}

fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::Usd)
}

fn request() -> PaymentRequest {
    PaymentRequest {
        intent: Uuid::now_v7().into(),
        trip: Uuid::now_v7().into(),
        rider: Uuid::now_v7().into(),
        amount: usd(2_000),
    }
}

#[tokio::test]
async fn stripe_takes_every_request_and_we_read_every_answer() {
    let Some(mock) = StripeMock::start().await else {
        return;
    };
    let (stripe, id) = (mock.processor(), ProcessorId("pi_123".into()));
    let held = stripe.hold("k1", &request()).await.unwrap();
    assert_eq!(held.amount, usd(2_000), "as it was asked for");
    stripe.charge("k2", &request()).await.unwrap();
    let raised = stripe.raise("k3", &id, usd(2_500)).await.unwrap();
    assert_eq!(raised.amount, usd(2_500));
    stripe.capture("k4", &id, usd(1_500)).await.unwrap();
    stripe.cancel("k5", &id).await.unwrap();
    let refund = RefundRequest {
        payment: id.clone(),
        intent: request().intent,
        amount: usd(700),
    };
    let refunded = stripe.refund("k6", &refund).await.unwrap();
    assert_eq!(refunded.amount, usd(700));

    assert_eq!(stripe.get(&id).await.unwrap().id, id);
    stripe.find("k1").await.unwrap();
    stripe.find_refund(&id, "k6").await.unwrap();
    stripe.dispute("dp_123").await.unwrap();
    let now = Clock::system().now();
    let within = Between {
        from: now - std::time::Duration::from_secs(3_600),
        until: now,
    };
    for after in [None, Some("pi_1")] {
        assert!(
            !stripe
                .payments(within, after)
                .await
                .unwrap()
                .items
                .is_empty()
        );
        assert!(
            !stripe
                .refunds(within, after)
                .await
                .unwrap()
                .items
                .is_empty()
        );
        assert!(
            !stripe
                .disputes(within, after)
                .await
                .unwrap()
                .items
                .is_empty()
        );
    }
}

#[tokio::test]
async fn what_is_not_in_stripes_description_is_refused_by_it() {
    let Some(mock) = StripeMock::start().await else {
        return;
    };
    let answer = reqwest::Client::new()
        .post(format!("http://{}/v1/payment_intents", mock.http))
        .bearer_auth(KEY)
        .form(&[("amount", "1"), ("currency", "usd"), ("amuont", "1")])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 400, "the mock looks at what it is sent");
    let stranger = reqwest::Client::new()
        .get(format!("http://{}/v1/payment_intents", mock.http))
        .send()
        .await
        .unwrap();
    assert_eq!(stranger.status(), 401);
}

#[tokio::test]
async fn a_processor_whom_nobody_vouches_for_is_not_spoken_to() {
    let Some(mock) = StripeMock::start().await else {
        return;
    };
    let stripe = processor(&format!("https://{}", mock.https));
    let failure = stripe.hold("k1", &request()).await.unwrap_err();
    assert!(
        matches!(&failure, Failure::Unanswered(why) if why.contains("certificate")),
        "{failure:?}"
    );
}
