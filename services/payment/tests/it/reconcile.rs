//! The reconciler over the real sandbox and Postgres: books that fit, every kind of mismatch, and what is none.
//!
//! - [`operator`] what operators do about mismatches; [`runs`] one at a time, and what cannot be read
//! - [`faulted`] rides through every fault with workers killed in between: at the end the books fit

mod faulted;
mod operator;
mod runs;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use hexcab_payment::{
    config::ReconcilerConfig,
    domain::{ProcessorId, State},
    processor::{
        Between, Dispute, Failure, Page, Payment, PaymentRequest, Processor, Refund, RefundRequest,
        http::HttpProcessor,
    },
    reconciler::Run,
    store::RequestKey,
};
use hexcab_types::{Currency, Money, RequestId};
use serde_json::json;
use uuid::Uuid;

use crate::rig::{Ride, Rig};

pub fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::Usd)
}

pub fn request() -> RequestKey {
    let id = Uuid::now_v7();
    let mut body_hash = [0; 32];
    body_hash[..16].copy_from_slice(id.as_bytes());
    RequestKey {
        id: RequestId::from(id),
        body_hash,
    }
}

impl Rig {
    pub async fn held(&self) -> Ride {
        let ride = Ride::new();
        self.tell(&ride.requested()).await;
        self.work_until(&ride, |state| matches!(state, State::Held(_)))
            .await;
        ride
    }

    pub async fn captured(&self) -> Ride {
        let ride = self.held().await;
        self.tell(&ride.completed(2_000)).await;
        self.work_until(&ride, |state| matches!(state, State::Captured { .. }))
            .await;
        ride
    }

    pub async fn payment_of(&self, ride: &Ride) -> ProcessorId {
        self.intent(ride).await.state.hold().unwrap().id.clone()
    }

    pub async fn refund(&self, ride: &Ride, minor: i64) {
        let ask = hexcab_payment::domain::refund::Ask {
            amount: Some(usd(minor)),
            clawback: false,
            reason: "late".into(),
            operator: Uuid::now_v7().into(),
        };
        self.store
            .refund(&request(), ride.trip, &ask)
            .await
            .unwrap();
    }

    pub async fn tip(&self, ride: &Ride, minor: i64) {
        let key = request();
        let tip = self.store.tip(&key, ride.trip, ride.rider, usd(minor));
        tip.await.unwrap();
    }

    /// Compares everything.
    pub async fn reconcile(&self) -> Run {
        self.reconcile_with(ReconcilerConfig::default()).await
    }

    pub async fn reconcile_with(&self, config: ReconcilerConfig) -> Run {
        let processor = Arc::new(self.sandbox.processor());
        let reconciler = self.reconciler_with(processor, config);
        let run = reconciler.run(Uuid::now_v7()).await.unwrap();
        let run = run.expect("no other runs");
        assert_eq!(run.error, None, "it was ended");
        run
    }

    /// Kind and subject of open mismatches, and how often they were seen.
    pub async fn open(&self) -> Vec<(String, String, i32)> {
        sqlx::query_as("SELECT kind, subject, times_seen FROM mismatches WHERE state = 'OPEN' ORDER BY kind, subject")
            .fetch_all(self.pg.pool())
            .await
            .unwrap()
    }

    /// Statements on payment's database behind the back of its guards.
    pub async fn behind(&self, sql: &'static str) {
        behind(&self.pg, sql).await;
    }

    /// Kinds of the outbox's events about mismatches.
    pub async fn told_of_mismatches(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT replace(kind, 'hexcab.payment.v1.', '') FROM outbox WHERE subject LIKE 'mismatches/%' ORDER BY seq")
            .fetch_all(self.pg.pool())
            .await
            .unwrap()
    }
}

/// Statements behind the back of every trigger.
pub async fn behind(pg: &hexcab_pg::Pg, sql: &str) {
    let all = format!(
        "SET session_replication_role = replica; {sql}; SET session_replication_role = DEFAULT"
    );
    let mut connection = pg.pool().acquire().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(all))
        .execute(&mut *connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn books_that_fit_have_no_mismatch() {
    let rig = Rig::start().await;
    rig.held().await;
    let taken = rig.captured().await;
    rig.refund(&taken, 500).await;
    rig.tip(&taken, 300).await;
    let above = rig.held().await;
    rig.tell(&above.completed(2_700)).await;
    let voided = rig.held().await;
    rig.tell(&voided.cancelled(0)).await;
    let waited = rig.held().await;
    rig.tell(&waited.started(400)).await;
    let (declined, never) = (Ride::new(), Ride::new());
    rig.sandbox
        .fault(json!({"kind": "decline", "trip": declined.trip.to_string()}))
        .await;
    rig.tell(&declined.requested()).await;
    rig.tell(&never.cancelled(0)).await;
    let cash = Ride::new();
    rig.tell(&Ride::in_cash(&cash.requested())).await;
    rig.tell(&Ride::in_cash(&cash.completed(2_000))).await;
    rig.work().await;
    let disputed = rig.captured().await;
    let payment = rig.payment_of(&disputed).await;
    rig.sandbox
        .befall("disputes", json!({"payment_intent": payment.0}))
        .await;
    assert_eq!(rig.outstanding().await, 0);

    let run = rig.reconcile().await;
    assert_eq!(rig.open().await, []);
    let tally = run.tally;
    assert_eq!(
        (
            tally.refunds,
            tally.disputes,
            tally.intents,
            tally.found,
            run.open
        ),
        (1, 1, 9, 0, 0)
    );
    assert_eq!(
        tally.payments,
        6 + 1 + 1 + 1,
        "holds, a refused one, a tip, a rest"
    );
}

/// What is done behind everybody's back, what is found, and what puts it right.
struct Case {
    kind: &'static str,
    /// Statements on the sandbox's book, with `{payment}` for the ride's.
    there: &'static str,
    /// Statements on payment's database.
    here: &'static str,
    undo_there: &'static str,
    undo_here: &'static str,
}

const NOTHING: Case = Case {
    kind: "",
    there: "",
    here: "",
    undo_there: "",
    undo_here: "",
};

#[tokio::test]
async fn every_kind_of_mismatch_is_found_seen_again_and_gone_when_it_is_put_right() {
    let cases = [
        Case {
            kind: "MISSING_THERE",
            // Without its label it is somebody else's payment, and none of ours that we do not know.
            there: "UPDATE payment_intents SET id = 'gone', metadata = jsonb_build_object('was', metadata::text) WHERE id = '{payment}'",
            undo_there: "UPDATE payment_intents SET id = '{payment}', metadata = (metadata->>'was')::jsonb WHERE id = 'gone'",
            ..NOTHING
        },
        Case {
            kind: "MISSING_THERE",
            there: "UPDATE refunds SET payment_intent = 'gone' WHERE payment_intent = '{payment}'",
            undo_there: "UPDATE refunds SET payment_intent = '{payment}' WHERE payment_intent = 'gone'",
            ..NOTHING
        },
        Case {
            kind: "MISSING_HERE",
            there: "INSERT INTO payment_intents (id, amount, currency, status, payment_method, metadata)
                    SELECT 'pi_second', amount, currency, 'requires_capture', payment_method, metadata
                    FROM payment_intents WHERE id = '{payment}'",
            undo_there: "DELETE FROM payment_intents WHERE id = 'pi_second'",
            ..NOTHING
        },
        Case {
            kind: "MISSING_HERE",
            there: "INSERT INTO refunds (id, payment_intent, amount, status) VALUES ('re_by_hand', '{payment}', 1, 'succeeded')",
            undo_there: "DELETE FROM refunds WHERE id = 're_by_hand'",
            ..NOTHING
        },
        Case {
            kind: "AMOUNT_DIFFERS",
            there: "UPDATE payment_intents SET amount_received = 1999 WHERE id = '{payment}'",
            undo_there: "UPDATE payment_intents SET amount_received = 2000 WHERE id = '{payment}'",
            ..NOTHING
        },
        Case {
            kind: "AMOUNT_DIFFERS",
            there: "UPDATE refunds SET amount = amount + 1",
            undo_there: "UPDATE refunds SET amount = amount - 1",
            ..NOTHING
        },
        Case {
            kind: "STATE_DIFFERS",
            there: "UPDATE payment_intents SET status = 'requires_capture', amount_received = 0 WHERE id = '{payment}'",
            undo_there: "UPDATE payment_intents SET status = 'succeeded', amount_received = 2000 WHERE id = '{payment}'",
            ..NOTHING
        },
        Case {
            kind: "STATE_DIFFERS",
            there: "UPDATE refunds SET status = 'failed', failure_reason = 'expired_or_canceled_card'",
            undo_there: "UPDATE refunds SET status = 'succeeded', failure_reason = NULL",
            ..NOTHING
        },
        Case {
            kind: "LEDGER_DIFFERS",
            here: "UPDATE intents SET tax_minor = tax_minor - 1",
            undo_here: "UPDATE intents SET tax_minor = tax_minor + 1",
            ..NOTHING
        },
        Case {
            kind: "STUCK_UNKNOWN",
            here: "UPDATE work SET finished_at = NULL, begun_at = now() - interval '1 hour', due_at = 'infinity' WHERE step = 'refund'",
            undo_here: "UPDATE work SET finished_at = now() WHERE finished_at IS NULL",
            ..NOTHING
        },
    ];
    for case in &cases {
        found_and_gone(case).await;
    }
}

async fn found_and_gone(case: &Case) {
    let rig = Rig::start().await;
    let ride = rig.captured().await;
    rig.refund(&ride, 500).await;
    rig.work().await;
    let payment = rig.payment_of(&ride).await.0;
    let sandbox = &rig.sandbox.pg;
    behind(sandbox, &case.there.replace("{payment}", &payment)).await;
    rig.behind(case.here).await;
    for seen in 1..=2 {
        let run = rig.reconcile().await;
        let open = rig.open().await;
        let kinds: Vec<(&str, i32)> = open
            .iter()
            .map(|(kind, _, seen)| (kind.as_str(), *seen))
            .collect();
        assert_eq!(kinds, [(case.kind, seen)], "{} {}", case.there, case.here);
        assert_eq!((run.tally.found, run.open), (i32::from(seen == 1), 1));
    }
    behind(sandbox, &case.undo_there.replace("{payment}", &payment)).await;
    rig.behind(case.undo_here).await;
    let run = rig.reconcile().await;
    assert_eq!(
        (run.tally.resolved, run.open),
        (1, 0),
        "{}{}",
        case.there,
        case.here
    );
    assert_eq!(
        rig.told_of_mismatches().await,
        ["MismatchFound", "MismatchResolved"],
        "each is told once"
    );
}

#[tokio::test]
async fn a_hold_that_expired_at_the_processor_and_one_that_nobody_settles_are_mismatches() {
    let rig = Rig::start().await;
    let (expired, left) = (rig.held().await, rig.held().await);
    let payment = rig.payment_of(&expired).await;
    rig.sandbox
        .befall(&format!("payment_intents/{payment}/expire"), json!({}))
        .await;
    rig.reconcile().await;
    let differs = ("STATE_DIFFERS".to_owned(), format!("payment:{payment}"), 1);
    assert_eq!(rig.open().await, [differs]);
    rig.behind("UPDATE work SET finished_at = now() - interval '13 hours'")
        .await;
    rig.reconcile().await;
    let stuck: Vec<String> = rig
        .open()
        .await
        .into_iter()
        .filter_map(|(kind, subject, _)| (kind == "STUCK_HOLD").then_some(subject))
        .collect();
    assert_eq!(stuck.len(), 2);
    assert!(stuck.contains(&format!("intent:{}", rig.intent(&left).await.id)));
    // The trip ended after all.
    rig.tell(&left.completed(2_000)).await;
    rig.work().await;
    rig.reconcile().await;
    assert_eq!(rig.open().await.len(), 2, "the expired one is both");
}

#[tokio::test]
async fn what_is_in_flight_is_no_mismatch() {
    let rig = Rig::start().await;
    // Held there, and the answer is lost.
    let ride = Ride::new();
    rig.sandbox
        .fault(json!({"kind": "timeout_after", "on": "create", "count": 1, "delay_ms": 1_000}))
        .await;
    rig.tell(&ride.requested()).await;
    rig.worker().work_once().await.unwrap();
    assert!(matches!(rig.intent(&ride).await.state, State::Unknown(_)));
    assert_eq!(rig.sandbox.payments(&ride).await.len(), 1);
    let run = rig.reconcile().await;
    assert_eq!((run.tally.payments, run.open), (1, 0));
    // Captured there, and not recorded yet.
    let taken = rig.held().await;
    rig.tell(&taken.completed(2_000)).await;
    let payment = rig.payment_of(&taken).await;
    rig.sandbox
        .processor()
        .capture("other", &payment, usd(2_000))
        .await
        .unwrap();
    assert_eq!(rig.reconcile().await.open, 0);
}

#[tokio::test]
async fn what_only_the_processor_knows_is_a_mismatch_when_it_is_old_enough() {
    let rig = Rig::start().await;
    let orphan = PaymentRequest {
        intent: Uuid::now_v7().into(),
        trip: Uuid::now_v7().into(),
        rider: Uuid::now_v7().into(),
        amount: usd(900),
    };
    rig.sandbox
        .processor()
        .hold("orphan", &orphan)
        .await
        .unwrap();
    let processor = Arc::new(rig.sandbox.processor());
    let patient = hexcab_payment::reconciler::Reconciler::new(
        rig.service.clone(),
        rig.store.clone(),
        processor,
        &ReconcilerConfig {
            interval_s: 0,
            grace_s: 60,
            ..ReconcilerConfig::default()
        },
        hexcab_chassis::Clock::system(),
    );
    let young = patient.run(Uuid::now_v7()).await.unwrap().unwrap();
    assert_eq!((young.tally.payments, young.open), (1, 0));
    assert_eq!(rig.reconcile().await.open, 1, "without any grace");
    // Somebody else's business with the same processor is none of ours.
    let foreign = [
        ("amount", "5"),
        ("currency", "usd"),
        ("capture_method", "automatic"),
        ("confirm", "true"),
        ("payment_method", "pm_card_visa"),
    ];
    let url = format!("{}/v1/payment_intents", rig.sandbox.url());
    assert_eq!(
        reqwest::Client::new()
            .post(url)
            .form(&foreign)
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    let run = rig.reconcile().await;
    assert_eq!((run.tally.payments, run.open), (2, 1));
}

/// The real processor, with something that happens here whenever a payment is asked for.
struct Meanwhile<'a> {
    inner: HttpProcessor,
    rig: &'a Rig,
    ride: Ride,
}

impl Meanwhile<'_> {
    /// The trip ends, is captured and recorded.
    async fn happens(&self) {
        self.rig.tell(&self.ride.completed(2_000)).await;
        self.rig.work().await;
    }
}

#[async_trait]
impl Processor for Meanwhile<'_> {
    async fn hold(&self, key: &str, request: &PaymentRequest) -> Result<Payment, Failure> {
        self.inner.hold(key, request).await
    }
    async fn charge(&self, key: &str, request: &PaymentRequest) -> Result<Payment, Failure> {
        self.inner.charge(key, request).await
    }
    async fn raise(&self, key: &str, id: &ProcessorId, total: Money) -> Result<Payment, Failure> {
        self.inner.raise(key, id, total).await
    }
    async fn capture(
        &self,
        key: &str,
        id: &ProcessorId,
        amount: Money,
    ) -> Result<Payment, Failure> {
        self.inner.capture(key, id, amount).await
    }
    async fn cancel(&self, key: &str, id: &ProcessorId) -> Result<Payment, Failure> {
        self.inner.cancel(key, id).await
    }
    async fn refund(&self, key: &str, request: &RefundRequest) -> Result<Refund, Failure> {
        self.inner.refund(key, request).await
    }
    async fn get(&self, id: &ProcessorId) -> Result<Payment, Failure> {
        let answer = self.inner.get(id).await;
        self.happens().await;
        answer
    }
    async fn find(&self, key: &str) -> Result<Option<Payment>, Failure> {
        self.inner.find(key).await
    }
    async fn find_refund(
        &self,
        payment: &ProcessorId,
        key: &str,
    ) -> Result<Option<Refund>, Failure> {
        self.inner.find_refund(payment, key).await
    }
    async fn refunds_of(&self, payment: &ProcessorId) -> Result<Vec<Refund>, Failure> {
        self.inner.refunds_of(payment).await
    }
    async fn dispute(&self, id: &str) -> Result<Dispute, Failure> {
        self.inner.dispute(id).await
    }
    async fn payments(
        &self,
        within: Between,
        after: Option<&str>,
    ) -> Result<Page<Payment>, Failure> {
        self.inner.payments(within, after).await
    }
    async fn refunds(&self, within: Between, after: Option<&str>) -> Result<Page<Refund>, Failure> {
        self.inner.refunds(within, after).await
    }
    async fn disputes(
        &self,
        within: Between,
        after: Option<&str>,
    ) -> Result<Page<Dispute>, Failure> {
        self.inner.disputes(within, after).await
    }
}

#[tokio::test]
async fn what_moves_while_it_is_looked_at_is_no_mismatch() {
    let rig: &'static Rig = Box::leak(Box::new(Rig::start().await));
    let ride = rig.held().await;
    let payment = rig.payment_of(&ride).await;
    // It seems not to fit when it is listed, so that it is looked at.
    behind(&rig.sandbox.pg, "UPDATE payment_intents SET amount = 2001").await;
    let processor = Arc::new(Meanwhile {
        inner: rig.sandbox.processor(),
        rig,
        ride,
    });
    let moving = rig.reconciler_with(processor, ReconcilerConfig::default());
    moving.examine(&payment, None).await.unwrap();
    assert!(matches!(
        rig.intent(&ride).await.state,
        State::Captured { .. }
    ));
    assert_eq!(rig.open().await, []);
    rig.reconcile().await;
    assert_eq!(rig.open().await, [], "taken is what counts now");
}

#[tokio::test]
async fn a_dispute_that_no_webhook_told_of_is_handed_over() {
    let rig = Rig::start().await;
    let ride = rig.captured().await;
    let payment = rig.payment_of(&ride).await;
    let dispute = rig
        .sandbox
        .befall("disputes", json!({"payment_intent": payment.0}))
        .await;
    assert_eq!(rig.reconcile().await.open, 0);
    let state = async || -> String {
        let state = sqlx::query_scalar("SELECT state FROM disputes");
        state.fetch_one(rig.pg.pool()).await.unwrap()
    };
    assert_eq!(state().await, "OPEN");
    let close = format!("disputes/{}/close", dispute["id"].as_str().unwrap());
    rig.sandbox.befall(&close, json!({"status": "lost"})).await;
    assert_eq!(rig.reconcile().await.open, 0);
    assert_eq!(state().await, "LOST");
    assert!(rig.told_of_mismatches().await.is_empty());
    // Closed otherwise afterwards: nobody can follow that.
    behind(&rig.sandbox.pg, "UPDATE disputes SET status = 'won'").await;
    rig.reconcile().await;
    let open = rig.open().await;
    assert_eq!(open[0].0, "STATE_DIFFERS");
}

#[tokio::test]
async fn a_hint_at_a_payment_that_does_not_fit_finds_its_mismatch_at_once() {
    let rig = Rig::start().await;
    let ride = rig.held().await;
    let payment = rig.payment_of(&ride).await;
    rig.sandbox
        .befall(&format!("payment_intents/{payment}/expire"), json!({}))
        .await;
    rig.reconciler().examine(&payment, None).await.unwrap();
    assert_eq!(rig.open().await.len(), 1);
    rig.reconciler().examine(&payment, None).await.unwrap();
    assert_eq!(rig.open().await[0].2, 2);
}

#[tokio::test]
async fn lists_of_many_pages_and_what_is_older_than_them_are_compared() {
    let rig = Rig::start().await;
    let rides: Vec<Ride> = (0..105).map(|_| Ride::new()).collect();
    for ride in &rides {
        rig.tell(&ride.requested()).await;
    }
    rig.work().await;
    let run = rig.reconcile().await;
    assert_eq!(
        (run.tally.payments, run.tally.intents, run.open),
        (105, 105, 0)
    );
    // One is older than the window, and not ended; another one old and wrong.
    let (old, wrong) = (
        rig.payment_of(&rides[0]).await,
        rig.payment_of(&rides[1]).await,
    );
    let age = format!(
        "UPDATE payment_intents SET created_at = now() - interval '30 days' WHERE id IN ('{old}', '{wrong}')"
    );
    behind(&rig.sandbox.pg, &age).await;
    let change = format!("UPDATE payment_intents SET amount = 1 WHERE id = '{wrong}'");
    behind(&rig.sandbox.pg, &change).await;
    let run = rig.reconcile().await;
    assert_eq!(run.tally.payments, 103);
    let found = ("AMOUNT_DIFFERS".to_owned(), format!("payment:{wrong}"), 1);
    assert_eq!(rig.open().await, [found]);
}

#[tokio::test]
async fn the_keys_that_are_looked_for_are_those_that_steps_were_asked_with() {
    let rig = Rig::start().await;
    let ride = rig.held().await;
    rig.tell(&ride.completed(2_700)).await;
    rig.work().await;
    rig.refund(&ride, 2_500).await;
    rig.tip(&ride, 300).await;
    rig.work().await;
    let intent = rig.intent(&ride).await.id;
    let ours = hexcab_payment::reconciler::ours::Books::new(rig.service.clone());
    let ours = ours.one(intent).await.unwrap().unwrap();
    let mut keys: Vec<String> = ours
        .payments
        .iter()
        .map(|payment| payment.key.clone())
        .collect();
    keys.extend(ours.refunds.iter().map(|refund| refund.key.clone()));
    keys.sort();
    let mut asked: Vec<String> = sqlx::query_scalar(
        "SELECT metadata->>'key' FROM payment_intents UNION ALL SELECT metadata->>'key' FROM refunds",
    )
    .fetch_all(rig.sandbox.pg.pool())
    .await
    .unwrap();
    asked.sort();
    assert_eq!(keys, asked);
    assert_eq!(keys.len(), 5, "hold, rest, tip, a refund of each part");
    tokio::time::timeout(Duration::from_secs(20), rig.reconcile())
        .await
        .unwrap();
    assert_eq!(rig.open().await, []);
}
