//! What operators do about mismatches: resolved once, with who and why, and not opened again unless it changes.

use hexcab_payment::reconciler::{
    Mismatch,
    mismatches::{Resolve, ResolveError},
};
use uuid::Uuid;

use super::behind;
use crate::rig::Rig;

async fn found(rig: &Rig) -> Mismatch {
    rig.captured().await;
    behind(
        &rig.sandbox.pg,
        "UPDATE payment_intents SET amount_received = 1999",
    )
    .await;
    rig.reconcile().await;
    let mut open = rig.reconciler().mismatches().open(None).await.unwrap();
    open.remove(0)
}

fn resolve(mismatch: &Mismatch) -> Resolve {
    Resolve {
        id: mismatch.id,
        request: Uuid::now_v7(),
        operator: Uuid::now_v7().into(),
        reason: "a cent was given back by hand".into(),
    }
}

#[tokio::test]
async fn a_mismatch_is_resolved_once_with_who_and_why() {
    let rig = Rig::start().await;
    let mismatch = found(&rig).await;
    let mismatches = rig.reconciler().mismatches().clone();
    let ask = resolve(&mismatch);
    let resolved = mismatches.resolve(&ask).await.unwrap();
    let resolution = resolved.resolution.clone().unwrap();
    assert_eq!(
        (resolution.operator, resolution.reason.as_str()),
        (Some(ask.operator), ask.reason.as_str())
    );
    assert_eq!(
        mismatches.resolve(&ask).await.unwrap(),
        resolved,
        "the same request"
    );
    let other = Resolve {
        reason: "another reason".into(),
        ..ask.clone()
    };
    assert!(matches!(
        mismatches.resolve(&other).await,
        Err(ResolveError::RequestIdReused)
    ));
    let second = resolve(&mismatch);
    assert!(matches!(
        mismatches.resolve(&second).await,
        Err(ResolveError::Resolved)
    ));
    let none = Resolve {
        id: Uuid::now_v7(),
        ..resolve(&mismatch)
    };
    assert!(matches!(
        mismatches.resolve(&none).await,
        Err(ResolveError::NotFound)
    ));
    assert!(!mismatches.gone(mismatch.id).await.unwrap());
    assert_eq!(
        rig.told_of_mismatches().await,
        ["MismatchFound", "MismatchResolved"]
    );
}

#[tokio::test]
async fn what_an_operator_accepted_is_not_opened_again_unless_it_changes() {
    let rig = Rig::start().await;
    let mismatch = found(&rig).await;
    let mismatches = rig.reconciler().mismatches().clone();
    mismatches.resolve(&resolve(&mismatch)).await.unwrap();
    let run = rig.reconcile().await;
    assert_eq!((run.tally.found, run.open), (0, 0));
    behind(
        &rig.sandbox.pg,
        "UPDATE payment_intents SET amount_received = 1998",
    )
    .await;
    let run = rig.reconcile().await;
    assert_eq!((run.tally.found, run.open), (1, 1), "that is another one");
    // Gone by itself, and there again: nobody accepted that.
    behind(
        &rig.sandbox.pg,
        "UPDATE payment_intents SET amount_received = 2000",
    )
    .await;
    assert_eq!(rig.reconcile().await.open, 0);
    behind(
        &rig.sandbox.pg,
        "UPDATE payment_intents SET amount_received = 1998",
    )
    .await;
    assert_eq!(rig.reconcile().await.open, 1);
}

/// The constraint that refuses a statement of the service.
async fn refused(rig: &Rig, sql: &'static str) -> String {
    let error = sqlx::query(sql).execute(rig.pg.pool()).await.unwrap_err();
    let error = error.as_database_error().expect("Postgres refuses");
    error.constraint().unwrap_or(error.message()).to_owned()
}

#[tokio::test]
async fn the_database_keeps_mismatches_as_they_were_resolved() {
    let rig = Rig::start().await;
    let mismatch = found(&rig).await;
    let second = "INSERT INTO mismatches (id, kind, subject, ours, theirs) SELECT gen_random_uuid(), kind, subject, ours, theirs FROM mismatches";
    assert_eq!(refused(&rig, second).await, "one_open_mismatch");
    let silent = "UPDATE mismatches SET state = 'RESOLVED', resolved_at = now()";
    assert_eq!(
        refused(&rig, silent).await,
        "mismatch_resolved_says_when_and_why"
    );
    let alone = "UPDATE mismatches SET state = 'RESOLVED', resolved_at = now(), reason = 'x', operator = gen_random_uuid()";
    assert_eq!(refused(&rig, alone).await, "mismatch_operator_asked");
    assert_eq!(
        refused(&rig, "UPDATE mismatches SET subject = 'payment:x'").await,
        "mismatch_resolved_once"
    );
    assert_eq!(
        refused(&rig, "DELETE FROM mismatches").await,
        "mismatches_kept"
    );
    rig.reconciler()
        .mismatches()
        .resolve(&resolve(&mismatch))
        .await
        .unwrap();
    assert_eq!(
        refused(&rig, "UPDATE mismatches SET reason = 'another'").await,
        "mismatch_resolved_once"
    );
    let again = "UPDATE mismatches SET state = 'OPEN', resolved_at = NULL, reason = NULL, operator = NULL, resolved_request = NULL";
    assert_eq!(refused(&rig, again).await, "mismatch_resolved_once");
    let denied = sqlx::query("DELETE FROM mismatches")
        .execute(rig.service.pool())
        .await;
    assert!(
        denied
            .unwrap_err()
            .to_string()
            .contains("permission denied"),
        "the service may not even try"
    );
}
