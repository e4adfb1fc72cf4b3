//! Workers that die between the processor's answer and its record, and leases that run out.

use std::sync::Arc;

use hexcab_payment::{
    domain::{ProcessorId, State, Step, decide::Command},
    processor::http::HttpProcessor,
    store::StoreError,
};
use hexcab_types::{Currency, Money};
use tokio::sync::Notify;

use crate::{
    rig::{Ride, Rig, give_back, key},
    tampered::{Tampered, Tampering},
};

/// A worker that is killed after the processor did the step and before the answer was recorded.
async fn die_in_the_middle(rig: &Rig) {
    let done = Arc::new(Notify::new());
    let worker = rig.worker_with(Arc::new(Tampered {
        inner: rig.sandbox.processor(),
        with: Tampering::AnswersNever(done.clone()),
    }));
    tokio::select! {
        ended = worker.work_once() => panic!("the worker lived: {ended:?}"),
        () = done.notified() => {}
    }
}

#[tokio::test]
async fn a_worker_killed_before_it_recorded_is_completed_by_another_without_a_second_charge() {
    let rig = Rig::start().await;
    let (driven, cancelled) = (Ride::new(), Ride::new());
    for (ride, end, status, received) in [
        (driven, driven.completed(2_000), "succeeded", 2_000),
        (cancelled, cancelled.cancelled(0), "canceled", 0),
    ] {
        rig.tell(&ride.requested()).await;
        die_in_the_middle(&rig).await;
        rig.work().await;
        assert_eq!(
            rig.intent(&ride).await.state,
            State::RequiresHold,
            "the dead worker's lease still runs"
        );
        rig.expire_leases().await;
        rig.work().await;
        assert!(matches!(rig.intent(&ride).await.state, State::Held(_)));

        rig.tell(&end).await;
        die_in_the_middle(&rig).await;
        rig.expire_leases().await;
        rig.work().await;
        assert!(rig.intent(&ride).await.state.is_terminal());
        assert_eq!(
            rig.sandbox.payments(&ride).await,
            [(status.to_owned(), received)]
        );
        assert_eq!(rig.told_kinds(&ride).await.len(), 2);
    }
    assert_eq!(rig.outstanding().await, 0);
}

/// Where a worker is killed.
#[derive(Debug, Clone, Copy)]
enum Killed {
    /// With the lease, before it asked.
    Claimed,
    /// After the processor did it, before it was recorded.
    Answered,
}

/// A ride brought to where `step` is the next to be done.
async fn brought_to(rig: &Rig, step: Step) -> Ride {
    let ride = Ride::new();
    rig.tell(&ride.requested()).await;
    if step == Step::Hold {
        return ride;
    }
    rig.work().await;
    match step {
        Step::Hold => {}
        Step::Raise => rig.tell(&ride.started(300)).await,
        Step::Capture => rig.tell(&ride.completed(2_000)).await,
        Step::Void => rig.tell(&ride.cancelled(0)).await,
        Step::Charge => {
            rig.tell(&ride.completed_with(2_500, 1_900)).await;
            assert!(rig.worker().work_once().await.unwrap());
        }
        Step::Refund | Step::Tip => {
            rig.tell(&ride.completed(2_000)).await;
            rig.work().await;
            if step == Step::Refund {
                let ask = give_back(Some(700), true);
                rig.store.refund(&key(), ride.trip, &ask).await.unwrap();
            } else {
                let tip = Money::new(200, Currency::Usd);
                rig.store
                    .tip(&key(), ride.trip, ride.rider, tip)
                    .await
                    .unwrap();
            }
        }
    }
    ride
}

/// How many payments and refunds the processor made, of how many keys.
async fn made(rig: &Rig) -> (i64, i64) {
    sqlx::query_as(
        "SELECT count(*), count(DISTINCT key) FROM (SELECT metadata->>'key' AS key FROM payment_intents
         UNION ALL SELECT metadata->>'key' FROM refunds) AS made",
    )
    .fetch_one(rig.sandbox.pg.pool())
    .await
    .unwrap()
}

#[tokio::test]
async fn a_worker_killed_at_any_step_is_completed_and_nothing_is_done_twice() {
    let rig = Rig::start().await;
    for step in Step::ALL {
        for killed in [Killed::Claimed, Killed::Answered] {
            let said = format!("{step:?}, {killed:?}");
            let ride = brought_to(&rig, step).await;
            let before = rig.told_kinds(&ride).await.len();
            match killed {
                Killed::Claimed => {
                    let claim = rig.store.claim().await.unwrap().expect("it is due");
                    assert_eq!(claim.order.step(), step, "{said}");
                }
                Killed::Answered => die_in_the_middle(&rig).await,
            }
            assert_eq!(rig.told_kinds(&ride).await.len(), before, "{said}");
            assert!(
                !rig.worker().work_once().await.unwrap(),
                "{said}: its lease runs"
            );
            rig.expire_leases().await;
            rig.work().await;
            assert_eq!(rig.told_kinds(&ride).await.len(), before + 1, "{said}");
            let (made, keys) = made(&rig).await;
            assert_eq!(made, keys, "{said}");
            rig.at_rest().await;
        }
    }
}

#[tokio::test]
async fn a_worker_whose_lease_ran_out_records_nothing() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.requested()).await;
    let slow = rig.store.claim().await.unwrap().expect("the hold is due");
    rig.expire_leases().await;
    let quick = rig
        .store
        .claim()
        .await
        .unwrap()
        .expect("the hold is due again");
    assert_eq!((slow.attempt, quick.attempt), (1, 2));

    let placed = Command::PlaceHold {
        processor_id: ProcessorId("pi_1".into()),
    };
    assert!(matches!(
        rig.store.record(&slow, &placed).await,
        Err(StoreError::LeaseLost)
    ));
    let pause = std::time::Duration::ZERO;
    assert!(matches!(
        rig.store.lose(&slow, "late", pause).await,
        Err(StoreError::LeaseLost)
    ));
    assert!(matches!(
        rig.store.postpone(&slow, "late", pause).await,
        Err(StoreError::LeaseLost)
    ));
    assert!(matches!(
        rig.store.close(&slow).await,
        Err(StoreError::LeaseLost)
    ));
    rig.store.record(&quick, &placed).await.unwrap();
    assert!(
        matches!(
            rig.store.record(&quick, &placed).await,
            Err(StoreError::LeaseLost)
        ),
        "recorded once"
    );
    assert_eq!(rig.told_kinds(&ride).await, ["HoldPlaced"]);
}

#[tokio::test]
async fn a_processor_that_is_away_costs_delay_only() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.requested()).await;
    let nowhere = hexcab_payment::config::ProcessorConfig {
        url: "http://127.0.0.1:1".into(),
        ..hexcab_payment::config::ProcessorConfig::default()
    };
    let worker = rig.worker_with(Arc::new(HttpProcessor::new(&nowhere).unwrap()));
    assert!(worker.work_once().await.unwrap());
    assert!(matches!(rig.intent(&ride).await.state, State::Unknown(_)));
    rig.work_until(&ride, |state| matches!(state, State::Held(_)))
        .await;
}
