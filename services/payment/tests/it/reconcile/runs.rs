//! One comparison at a time, and what could not be read resolves nothing.

use std::time::Duration;

use hexcab_payment::reconciler::{Begun, Tally};
use hexcab_telemetry::metrics::{self, KeyValue};
use serde_json::json;
use uuid::Uuid;

use super::behind;
use crate::rig::Rig;

#[tokio::test]
async fn one_comparison_runs_at_a_time_and_the_same_request_is_the_same_one() {
    let rig = Rig::start().await;
    let runs = rig.reconciler().runs().clone();
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    assert!(matches!(runs.begin(first).await.unwrap(), Begun::Now(_)));
    assert!(matches!(runs.begin(first).await.unwrap(), Begun::Before(_)));
    assert_eq!(runs.begin(second).await.unwrap(), Begun::Another);
    assert_eq!(rig.reconciler().run(second).await.unwrap(), None);
    let guard = sqlx::query("INSERT INTO reconciliations (id, lease_until) VALUES ($1, now())")
        .bind(second)
        .execute(rig.service.pool())
        .await
        .unwrap_err();
    let constraint = guard
        .as_database_error()
        .unwrap()
        .constraint()
        .unwrap()
        .to_owned();
    assert_eq!(constraint, "one_running_reconciliation");
    runs.end(first, &Tally::default(), None)
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(runs.begin(second).await.unwrap(), Begun::Now(_)));
}

#[tokio::test]
async fn a_comparison_whose_process_died_is_ended_by_the_next() {
    let rig = Rig::start().await;
    let runs = rig.reconciler().runs().clone();
    let dead = Uuid::now_v7();
    runs.begin(dead).await.unwrap();
    sqlx::query("UPDATE reconciliations SET lease_until = now() - interval '1 s'")
        .execute(rig.pg.pool())
        .await
        .unwrap();
    let run = rig.reconcile().await;
    assert_eq!(run.error, None);
    let dead_run = runs.get(dead).await.unwrap().unwrap();
    assert_eq!(dead_run.error.as_deref(), Some("its process died"));
    assert!(
        !runs.go_on(dead, &Tally::default()).await.unwrap(),
        "it stays dead"
    );
    assert_eq!(runs.end(dead, &Tally::default(), None).await.unwrap(), None);
    assert!(runs.began_within(Duration::from_secs(60)).await.unwrap());
}

#[tokio::test]
async fn what_could_not_be_read_resolves_nothing() {
    let rig = Rig::start().await;
    rig.captured().await;
    behind(
        &rig.sandbox.pg,
        "UPDATE payment_intents SET amount_received = 1",
    )
    .await;
    rig.reconcile().await;
    assert_eq!(rig.open().await.len(), 1);
    behind(
        &rig.sandbox.pg,
        "UPDATE payment_intents SET amount_received = 2000",
    )
    .await;
    rig.sandbox
        .fault(json!({"kind": "error_500", "on": "read"}))
        .await;
    let failed = rig.reconciler().run(Uuid::now_v7()).await.unwrap().unwrap();
    assert!(failed.error.unwrap().contains("processor"));
    assert_eq!(rig.open().await.len(), 1, "nothing is known");
    let url = format!("{}/sandbox/faults", rig.sandbox.url());
    reqwest::Client::new().delete(url).send().await.unwrap();
    rig.reconcile().await;
    assert_eq!(rig.open().await, []);
}

#[tokio::test]
async fn a_processor_that_fails_now_and_then_is_asked_again() {
    let rig = Rig::start().await;
    rig.captured().await;
    rig.sandbox
        .fault(json!({"kind": "error_500", "on": "read", "count": 3}))
        .await;
    assert_eq!(rig.reconcile().await.tally.payments, 1);
}

#[tokio::test]
async fn how_many_mismatches_are_open_is_measured_by_kind() {
    let measured = metrics::in_memory();
    let rig = Rig::start().await;
    rig.captured().await;
    behind(
        &rig.sandbox.pg,
        "UPDATE payment_intents SET metadata = metadata || '{\"key\": \"other\"}', id = 'pi_other'",
    )
    .await;
    // The gauge is the process's: other tests set it too, so what counts is that this value appears.
    let of = |kind: &'static str| {
        measured.value(
            "hexcab.reconciler.mismatches",
            &[KeyValue::new("kind", kind)],
        )
    };
    let seen = hexcab_testkit::eventually(|| async {
        rig.reconcile().await;
        let both = of("MISSING_THERE") == 1.0 && of("MISSING_HERE") == 1.0;
        both.then_some(())
    });
    seen.await;
    let kinds: Vec<String> = rig
        .open()
        .await
        .into_iter()
        .map(|(kind, _, _)| kind)
        .collect();
    assert_eq!(kinds, ["MISSING_HERE", "MISSING_THERE"]);
}
