//! The processor's client against the real sandbox: what each call does, what is found again by its key, and what the
//! client never tells anybody.

use std::{io::Write, net::SocketAddr, sync::Arc};

use axum::{Router, body::Bytes, http::HeaderMap, response::IntoResponse as _};
use hexcab_chassis::{Clock, Secret, Tasks};
use hexcab_payment::{
    config::{Config, ProcessorConfig},
    domain::ProcessorId,
    processor::{
        Between, DisputeStatus, Failure, Payment, PaymentRequest, PaymentStatus, Processor,
        RefundRequest, RefundStatus, http::HttpProcessor, lists,
    },
};
use hexcab_types::{Currency, Money};
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::TcpListener;
use tracing_subscriber::fmt::MakeWriter;
use uuid::Uuid;

use crate::rig::Sandbox;

fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::Usd)
}

fn request(minor: i64) -> PaymentRequest {
    PaymentRequest {
        intent: Uuid::now_v7().into(),
        trip: Uuid::now_v7().into(),
        rider: Uuid::now_v7().into(),
        amount: usd(minor),
    }
}

fn refund(payment: &Payment, minor: i64) -> RefundRequest {
    RefundRequest {
        payment: payment.id.clone(),
        intent: payment.label.as_ref().unwrap().intent,
        amount: usd(minor),
    }
}

#[tokio::test]
async fn money_is_held_raised_taken_and_given_back() {
    let sandbox = Sandbox::start().await;
    let processor = sandbox.processor();
    let ask = request(2_000);
    let held = processor.hold("k-hold", &ask).await.unwrap();
    assert_eq!(
        (&held.status, held.amount),
        (&PaymentStatus::Held, usd(2_000))
    );
    assert!(held.raisable);
    let label = held.label.clone().unwrap();
    assert_eq!((label.intent, label.key.as_str()), (ask.intent, "k-hold"));

    let raised = processor
        .raise("k-raise", &held.id, usd(2_600))
        .await
        .unwrap();
    assert_eq!(raised.amount, usd(2_600));
    let taken = processor
        .capture("k-capture", &held.id, usd(2_500))
        .await
        .unwrap();
    assert_eq!(
        taken.status,
        PaymentStatus::Captured {
            amount_minor: 2_500
        }
    );
    let back = processor
        .refund("k-refund", &refund(&held, 700))
        .await
        .unwrap();
    assert_eq!(
        (&back.status, back.amount, back.payment.as_ref()),
        (&RefundStatus::Succeeded, usd(700), Some(&held.id))
    );
    let charged = processor.charge("k-rest", &request(300)).await.unwrap();
    assert_eq!(
        charged.status,
        PaymentStatus::Captured { amount_minor: 300 }
    );
    let other = processor.hold("k-other", &request(900)).await.unwrap();
    let canceled = processor.cancel("k-void", &other.id).await.unwrap();
    assert_eq!(canceled.status, PaymentStatus::Canceled);
}

#[tokio::test]
async fn what_was_made_under_a_key_is_found_by_it_and_by_no_other() {
    let sandbox = Sandbox::start().await;
    let processor = sandbox.processor();
    let hold = processor.hold("k-hold", &request(2_000)).await.unwrap();
    let rest = processor.charge("k-rest", &request(500)).await.unwrap();
    let found = |key| {
        let processor = &processor;
        async move { processor.find(key).await.unwrap().map(|payment| payment.id) }
    };
    assert_eq!(found("k-hold").await, Some(hold.id.clone()));
    assert_eq!(found("k-rest").await, Some(rest.id.clone()));
    assert_eq!(found("k").await, None);

    let made = processor
        .refund("k-refund", &refund(&rest, 100))
        .await
        .unwrap();
    let found = processor.find_refund(&rest.id, "k-refund").await.unwrap();
    assert_eq!(found, Some(made));
    for (payment, key) in [(&rest.id, "k-other"), (&hold.id, "k-refund")] {
        assert_eq!(processor.find_refund(payment, key).await.unwrap(), None);
    }
}

#[tokio::test]
async fn the_processors_books_are_read_page_by_page_and_by_time() {
    let sandbox = Sandbox::start().await;
    let processor = sandbox.processor();
    let before = Clock::system().now() - std::time::Duration::from_secs(5);
    for index in 0..103 {
        processor
            .charge(&format!("k{index}"), &request(500))
            .await
            .unwrap();
    }
    let first = processor.find("k0").await.unwrap().unwrap();
    for key in ["r1", "r2"] {
        processor.refund(key, &refund(&first, 100)).await.unwrap();
    }
    let body = json!({"payment_intent": first.id.0});
    let dispute = sandbox.befall("disputes", body).await;
    let within = Between {
        from: before,
        until: Clock::system().now() + std::time::Duration::from_secs(5),
    };
    let page = processor.payments(within, None).await.unwrap();
    assert_eq!((page.items.len(), page.next.is_some()), (100, true));
    let all = lists::all(|after| {
        let processor = &processor;
        async move { processor.payments(within, after.as_deref()).await }
    })
    .await
    .unwrap();
    assert_eq!(all.len(), 103);
    assert_eq!(all.last().unwrap().id, first.id, "newest first");
    assert_eq!(
        processor.refunds(within, None).await.unwrap().items.len(),
        2
    );
    let disputes = processor.disputes(within, None).await.unwrap().items;
    assert_eq!(disputes[0].id, dispute["id"].as_str().unwrap());
    assert_eq!(
        processor.dispute(&disputes[0].id).await.unwrap(),
        disputes[0]
    );
    assert_eq!(disputes[0].status, DisputeStatus::Open);

    let earlier = Between {
        from: before - std::time::Duration::from_secs(60),
        until: before,
    };
    assert!(
        processor
            .payments(earlier, None)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(
        processor
            .refunds(earlier, None)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(
        processor
            .disputes(earlier, None)
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn refusals_are_told_from_what_is_wrong_and_from_what_is_not_there() {
    let sandbox = Sandbox::start().await;
    let processor = sandbox.processor();
    let held = processor.hold("k", &request(2_000)).await.unwrap();
    sandbox
        .fault(json!({"kind": "decline", "on": "raise", "count": 1, "code": "insufficient_funds"}))
        .await;
    let declined = |code: &str| Failure::Declined { code: code.into() };
    assert_eq!(
        processor.raise("r1", &held.id, usd(2_500)).await,
        Err(declined("insufficient_funds"))
    );
    // As if its card could not: no bug of ours either.
    assert_eq!(
        processor.raise("r2", &held.id, usd(1)).await,
        Err(declined("raise_unavailable"))
    );
    assert_eq!(processor.get(&held.id).await.unwrap().amount, usd(2_000));
    let missing = processor.get(&ProcessorId("pi_none".into())).await;
    assert!(matches!(missing, Err(Failure::Missing(_))), "{missing:?}");
    let wrong = processor.capture("c", &held.id, usd(9_999)).await;
    assert!(matches!(wrong, Err(Failure::Rejected(_))), "{wrong:?}");
    sandbox
        .fault(
            json!({"kind": "decline", "on": "refund", "count": 1, "code": "lost_or_stolen_card"}),
        )
        .await;
    let taken = processor.charge("k2", &request(500)).await.unwrap();
    let refused = processor.refund("r", &refund(&taken, 100)).await.unwrap();
    let reason = "lost_or_stolen_card".to_owned();
    assert_eq!(refused.status, RefundStatus::Failed { reason });
}

/// At Stripe a key remembers a 500 as well: to send it again would fail for ever.
#[tokio::test]
async fn a_key_that_was_spent_on_a_failure_does_not_stop_what_can_happen_once_only() {
    let sandbox = Sandbox::start().await;
    let processor = sandbox.processor();
    let held = processor.hold("k", &request(2_000)).await.unwrap();
    let kept = |on: &str| json!({"kind": "error_500_kept", "on": on, "count": 1});
    for on in ["raise", "capture", "create", "refund"] {
        sandbox.fault(kept(on)).await;
    }
    let unanswered =
        |answer: &Result<Payment, Failure>| matches!(answer, Err(Failure::Unanswered(_)));
    let (raise, capture) = (("r", usd(2_500)), ("c", usd(2_500)));
    assert!(unanswered(
        &processor.raise(raise.0, &held.id, raise.1).await
    ));
    let raised = processor.raise(raise.0, &held.id, raise.1).await.unwrap();
    assert_eq!(raised.amount, usd(2_500));
    assert!(unanswered(
        &processor.capture(capture.0, &held.id, capture.1).await
    ));
    let taken = processor
        .capture(capture.0, &held.id, capture.1)
        .await
        .unwrap();
    assert_eq!(
        taken.status,
        PaymentStatus::Captured {
            amount_minor: 2_500
        }
    );

    // What makes something new is not sent under another key: it has failed.
    let ask = request(700);
    assert!(unanswered(&processor.hold("h", &ask).await));
    let spent = processor.hold("h", &ask).await;
    assert!(matches!(spent, Err(Failure::Spent(_))), "{spent:?}");
    assert_eq!(processor.find("h").await.unwrap(), None);
    let back = refund(&held, 100);
    assert!(matches!(
        processor.refund("b", &back).await,
        Err(Failure::Unanswered(_))
    ));
    assert!(matches!(
        processor.refund("b", &back).await,
        Err(Failure::Spent(_))
    ));
}

#[tokio::test]
async fn a_hold_is_given_back_however_many_keys_were_spent_on_failures() {
    // Every request spends one, also those under keys that were spent before.
    const FAILURES: usize = 40;
    let sandbox = Sandbox::start().await;
    let processor = sandbox.processor();
    let held = processor.hold("k", &request(2_000)).await.unwrap();
    sandbox
        .fault(json!({"kind": "error_500_kept", "on": "cancel", "count": FAILURES}))
        .await;
    let mut failures = 0;
    let given_back = loop {
        match processor.cancel("v", &held.id).await {
            Ok(given_back) => break given_back,
            Err(Failure::Unanswered(_)) => failures += 1,
            Err(other) => panic!("{other:?}"),
        }
        assert!(failures <= FAILURES);
    };
    assert!(failures > 4, "{failures} failures were told");
    assert_eq!(given_back.status, PaymentStatus::Canceled);
}

/// Everything that any part of the process logs on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A processor that is as talkative about the key it was shown as it can be.
async fn talkative(tasks: &Tasks, seen: Arc<Mutex<Vec<HeaderMap>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let router = Router::new().fallback(move |headers: HeaderMap, _: Bytes| {
        let shown = headers["authorization"].to_str().unwrap().to_owned();
        seen.lock().push(headers);
        let message = format!("Invalid API key: {shown}");
        let body = json!({"error": {"code": shown, "message": message}});
        async move { (axum::http::StatusCode::UNAUTHORIZED, axum::Json(body)).into_response() }
    });
    tasks.spawn("talkative", async move {
        Ok(axum::serve(listener, router).await?)
    });
    addr
}

const KEY: &str = "sk_test_very_secret";

#[tokio::test]
async fn the_secret_key_is_shown_to_the_processor_and_to_nobody_else() {
    let (log, seen, tasks) = (Log::default(), Arc::default(), Tasks::new());
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(log.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let addr = talkative(&tasks, Arc::clone(&seen)).await;
    let config = ProcessorConfig {
        url: format!("http://{addr}"),
        api_key: Secret::new(KEY),
        ..ProcessorConfig::default()
    };
    let processor = HttpProcessor::new(&config).unwrap();
    let mut said = vec![format!("{processor:?} {config:?}")];
    said.push(
        serde_json::to_string(&Config {
            processor: config,
            ..Config::default()
        })
        .unwrap(),
    );
    let failure = processor.hold("k", &request(5)).await.unwrap_err();
    tracing::error!(%failure, ?failure, "as a worker would log it");
    said.push(format!("{failure} {failure:?}"));
    said.push(format!(
        "{:?}",
        processor.get(&ProcessorId("pi_1".into())).await
    ));
    drop(guard);
    tasks.shutdown().cancel();

    let headers = seen.lock().remove(0);
    assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(headers["idempotency-key"], "k");
    assert_eq!(
        headers["stripe-version"],
        ProcessorConfig::default().api_version
    );
    assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
    said.push(String::from_utf8(log.0.lock().clone()).unwrap());
    assert!(
        said.last().unwrap().contains("processor.call"),
        "the log was listened to"
    );
    for text in said {
        assert!(!text.contains(KEY), "{text}");
    }
}
