//! The ledger in Postgres against a model of a few lines, over random histories of trips.

use std::collections::BTreeMap;

use hexcab_bus::Incoming;
use hexcab_payment::domain::{Order, ProcessorId, decide::Command};
use hexcab_types::{Currency, Money};
use rand::{RngExt as _, seq::IndexedRandom as _};

use crate::rig::{Ride, Rig};

/// Account → (posted, pending).
type Model = BTreeMap<String, (i64, i64)>;

fn add(model: &mut Model, account: &str, posted: i64, pending: i64) {
    let balance = model.entry(account.to_owned()).or_default();
    balance.0 += posted;
    balance.1 += pending;
}

fn pend(model: &mut Model, ride: &Ride, amount: i64) {
    add(model, "processor", 0, -amount);
    add(model, &ride.rider.name(), 0, amount);
}

/// What a capture of `charge` posts. The rider's own lines cancel out, but the account is there.
fn pay(model: &mut Model, ride: &Ride, charge: i64, driven: bool) {
    add(model, "processor", -charge, 0);
    add(model, &ride.rider.name(), 0, 0);
    earn(model, ride, charge, driven);
}

/// Whose a charge is, whoever owes it.
fn earn(model: &mut Model, ride: &Ride, charge: i64, driven: bool) {
    let (driver, tax) = if driven { (1_400, 150) } else { (0, 0) };
    for (account, amount) in [
        (ride.driver.name().as_str(), driver),
        ("platform:tax", tax),
        ("platform:revenue", charge - driver - tax),
    ] {
        if amount != 0 {
            add(model, account, amount, 0);
        }
    }
}

fn end(ride: &Ride, charge: i64, driven: bool) -> Incoming {
    if driven {
        ride.completed(charge)
    } else {
        ride.cancelled(charge)
    }
}

#[tokio::test]
async fn random_histories_leave_the_balances_that_the_model_has() {
    let rig = Rig::start().await;
    let (_, mut chance) = hexcab_testkit::seeded("ledger against its model");
    let (mut model, mut open): (Model, Vec<Ride>) = (Model::new(), Vec::new());
    for step in 0..150 {
        if open.is_empty() || chance.random_bool(0.45) {
            let ride = Ride::new();
            rig.tell(&ride.requested()).await;
            let hold = rig.store.claim().await.unwrap().expect("a hold is due");
            pend(&mut model, &ride, 2_000);
            if chance.random_bool(0.2) {
                rig.store
                    .record(&hold, &Command::DeclineHold { code: "x".into() })
                    .await
                    .unwrap();
                pend(&mut model, &ride, -2_000);
                let (charge, driven) = (chance.random_range(1..=2_000), chance.random_bool(0.7));
                rig.tell(&end(&ride, charge, driven)).await;
                let claim = rig.store.claim().await.unwrap().expect("a charge is due");
                let Order::Capture(owed) = claim.order.clone() else {
                    panic!("{claim:?}")
                };
                rig.store.owe(&claim, &owed).await.unwrap();
                add(&mut model, &ride.rider.name(), -charge, 0);
                earn(&mut model, &ride, charge, driven);
            } else {
                let processor_id = ProcessorId(format!("pi_{step}"));
                rig.store
                    .record(&hold, &Command::PlaceHold { processor_id })
                    .await
                    .unwrap();
                open.push(ride);
            }
        } else {
            let ride = *open.choose(&mut chance).unwrap();
            open.retain(|other| other.trip != ride.trip);
            let (charge, driven) = (chance.random_range(0..=2_000), chance.random_bool(0.7));
            rig.tell(&end(&ride, charge, driven)).await;
            let claim = rig
                .store
                .claim()
                .await
                .unwrap()
                .expect("a settlement is due");
            pend(&mut model, &ride, -2_000);
            let amount = Money::new(charge, Currency::Usd);
            let command = if charge > 0 {
                Command::Capture { amount }
            } else {
                Command::Void
            };
            rig.store.record(&claim, &command).await.unwrap();
            if charge > 0 {
                pay(&mut model, &ride, charge, driven);
            }
        }
        check(&rig, &model, step).await;
    }
}

async fn check(rig: &Rig, model: &Model, step: usize) {
    let balances = rig.store.balances().await.unwrap();
    let stored: Model = balances
        .iter()
        .map(|b| (b.account.to_string(), (b.posted.minor, b.pending.minor)))
        .collect();
    // Accounts that nothing is entered for and nothing is pending on do not stand in Postgres.
    let even = |model: &Model| -> Model {
        model
            .iter()
            .filter(|(_, balance)| **balance != (0, 0))
            .map(|(account, balance)| (account.clone(), *balance))
            .collect()
    };
    assert_eq!(even(&stored), even(model), "after step {step}");
    assert_eq!(
        stored
            .values()
            .fold((0, 0), |sum, b| (sum.0 + b.0, sum.1 + b.1)),
        (0, 0),
        "after step {step}"
    );
}
