//! Random lives of trips over the real thing: Postgres, the sandbox, faults, dying workers. Whatever happens, the ledger
//! sums to zero, the processor has what we say, and nobody keeps a cent that is not his.

use std::{collections::BTreeMap, sync::Arc};

use hexcab_payment::store::{AskError, PayoutAsk};
use hexcab_testkit::ChaCha8Rng;
use hexcab_types::{Currency, Money};
use rand::{RngExt as _, seq::IndexedRandom as _};
use serde_json::json;
use tokio::sync::Notify;

use crate::{
    rig::{Ride, Rig, give_back, key},
    tampered::{Tampered, Tampering},
};

const LIVES: usize = 40;

/// What the processor has of our trips: taken, less what it gave back.
async fn processor_has(rig: &Rig) -> i64 {
    sqlx::query_scalar(
        "SELECT (SELECT coalesce(sum(amount_received), 0) FROM payment_intents)::bigint
              - (SELECT coalesce(sum(amount), 0) FROM refunds WHERE status <> 'failed')::bigint",
    )
    .fetch_one(rig.sandbox.pg.pool())
    .await
    .unwrap()
}

async fn begin(rig: &Rig, chance: &mut ChaCha8Rng) -> (Ride, bool) {
    let (ride, is_cash) = (Ride::new(), chance.random_bool(0.2));
    let requested = ride.requested();
    rig.tell(&if is_cash {
        Ride::in_cash(&requested)
    } else {
        requested
    })
    .await;
    (ride, is_cash)
}

async fn go_on(rig: &Rig, chance: &mut ChaCha8Rng, ride: &Ride, is_cash: bool) {
    let charge = chance.random_range(0..3_000);
    let event = match chance.random_range(0..5) {
        0 => ride.started(chance.random_range(1..800)),
        1 => ride.no_show(500, chance.random_range(0..500)),
        2 => ride.cancelled(0),
        _ => ride.completed_with(charge, chance.random_range(0..2_000)),
    };
    rig.tell(&if is_cash {
        Ride::in_cash(&event)
    } else {
        event
    })
    .await;
}

/// Asks for something afterwards; that it is refused is as good as that it is done.
async fn ask(rig: &Rig, chance: &mut ChaCha8Rng, ride: &Ride) {
    let refused = if chance.random_bool(0.5) {
        let amount = chance
            .random_bool(0.7)
            .then(|| chance.random_range(1..1_500));
        let ask = give_back(amount, chance.random_bool(0.5));
        rig.store.refund(&key(), ride.trip, &ask).await.err()
    } else {
        let tip = Money::new(chance.random_range(1..500), Currency::Usd);
        rig.store
            .tip(&key(), ride.trip, ride.rider, tip)
            .await
            .err()
    };
    assert!(
        matches!(refused, None | Some(AskError::Refused(_))),
        "{refused:?}"
    );
}

/// A worker that dies when it has asked, if it has something to ask.
async fn die(rig: &Rig) {
    let asked = Arc::new(Notify::new());
    let worker = rig.worker_with(Arc::new(Tampered {
        inner: rig.sandbox.processor(),
        with: Tampering::Dies(asked.clone()),
    }));
    tokio::select! {
        lived = worker.work_once() => { lived.unwrap(); }
        () = asked.notified() => {}
    }
}

async fn fault(rig: &Rig, chance: &mut ChaCha8Rng) {
    let on = ["create", "raise", "capture", "cancel", "charge", "refund"];
    let kind = [
        "error_500",
        "error_500_kept",
        "timeout_after",
        "timeout_before",
        "decline",
    ];
    let (on, kind) = (on.choose(chance).unwrap(), kind.choose(chance).unwrap());
    if (*on, *kind) != ("cancel", "decline") {
        let rule = json!({"kind": kind, "on": on, "count": 1, "delay_ms": 500});
        rig.sandbox.fault(rule).await;
    }
}

#[tokio::test]
async fn random_lives_leave_every_cent_where_it_belongs() {
    let rig = Rig::start().await;
    let (_, mut chance) = hexcab_testkit::seeded("lives of trips");
    let chance = &mut chance;
    let mut rides: Vec<(Ride, bool)> = Vec::new();
    for _ in 0..LIVES {
        let (ride, is_cash) = begin(&rig, chance).await;
        rides.push((ride, is_cash));
        for _ in 0..chance.random_range(1..6) {
            let (ride, is_cash) = *rides.choose(chance).unwrap();
            match chance.random_range(0..10) {
                0 => fault(&rig, chance).await,
                1 => die(&rig).await,
                2 | 3 => ask(&rig, chance, &ride).await,
                4..7 => go_on(&rig, chance, &ride, is_cash).await,
                _ => rig.work().await,
            }
        }
    }
    for (ride, is_cash) in &rides {
        let end = ride.completed(2_000);
        rig.tell(&if *is_cash { Ride::in_cash(&end) } else { end })
            .await;
    }
    hexcab_testkit::eventually(|| async {
        rig.expire_leases().await;
        rig.work().await;
        (rig.outstanding().await == 0).then_some(())
    })
    .await;
    rig.at_rest().await;
    let balances = rig.all_balances().await;
    assert_eq!(balances["processor"].0, -processor_has(&rig).await);

    let everybody = PayoutAsk {
        currency: Currency::Usd,
        as_of: None,
        minimum: None,
    };
    let batch = rig.store.pay_out(&key(), everybody).await.unwrap();
    rig.store.confirm(&key(), batch.id, &[]).await.unwrap();
    let owed: i64 = balances
        .iter()
        .filter(|(account, balance)| account.starts_with("drivers/") && balance.0 > 0)
        .map(|(_, balance)| balance.0)
        .sum();
    let after: BTreeMap<_, _> = rig.all_balances().await;
    assert_eq!(after["bank"].0, owed);
    rig.at_rest().await;
}
