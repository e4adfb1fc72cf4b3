//! Payouts: batches of what drivers are owed, set aside until the bank has said what it did.

use std::collections::BTreeMap;

use hexcab_payment::{
    domain::{
        Refused,
        payout::{Batch, LineState, PayoutRefusal},
    },
    store::{AskError, PayoutAsk},
};
use hexcab_proto::payment::v1::{PaymentEvent, payment_event::Event};
use hexcab_types::{Currency, DriverId, Money, PayoutId, Timestamp};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::rig::{Ride, Rig, give_back, key};

const EVERYBODY: PayoutAsk = PayoutAsk {
    currency: Currency::Usd,
    as_of: None,
    minimum: None,
};

fn refused(answer: Result<Batch, AskError>) -> PayoutRefusal {
    match answer {
        Err(AskError::Refused(Refused::Payout(refusal))) => refusal,
        other => panic!("{other:?}"),
    }
}

fn amounts(batch: &Batch) -> BTreeMap<DriverId, i64> {
    let lines = batch.lines.iter();
    lines.map(|line| (line.driver, line.amount.minor)).collect()
}

async fn earned(rig: &Rig, due: i64) -> Ride {
    let ride = Ride::new();
    rig.tell(&ride.requested()).await;
    rig.tell(&ride.completed_with(2_000, due)).await;
    rig.work().await;
    ride
}

#[tokio::test]
async fn every_driver_who_is_owed_something_gets_a_line_and_is_paid_once() {
    let rig = Rig::start().await;
    let (one, two, owing) = (
        earned(&rig, 1_400).await,
        earned(&rig, 900).await,
        Ride::new(),
    );
    for event in [owing.requested(), owing.completed(2_000)] {
        rig.tell(&Ride::in_cash(&event)).await;
    }
    let batch = rig.store.pay_out(&key(), EVERYBODY).await.unwrap();
    let expected = BTreeMap::from([(one.driver, 1_400), (two.driver, 900)]);
    assert_eq!(amounts(&batch), expected);
    assert_eq!(
        rig.balances(&one).await["driver"],
        (1_400, -1_400),
        "set aside"
    );
    assert_eq!(
        refused(rig.store.pay_out(&key(), EVERYBODY).await),
        PayoutRefusal::NothingToPayOut,
        "nobody is in two open batches"
    );

    let failed = [(two.driver, "no such account".to_owned())];
    let confirmed = rig.store.confirm(&key(), batch.id, &failed).await.unwrap();
    let states: BTreeMap<DriverId, &LineState> = confirmed
        .lines
        .iter()
        .map(|line| (line.driver, &line.state))
        .collect();
    assert_eq!(states[&one.driver], &LineState::Paid);
    let reason = "no such account".to_owned();
    assert_eq!(states[&two.driver], &LineState::Failed { reason });
    let balances = rig.all_balances().await;
    assert_eq!(balances[&one.driver.name()], (0, 0));
    assert_eq!(
        balances[&two.driver.name()],
        (900, 0),
        "it is on his account again"
    );
    assert_eq!(
        (balances["bank"], balances["platform:payouts"]),
        ((1_400, 0), (0, 0))
    );
    rig.at_rest().await;

    let next = rig.store.pay_out(&key(), EVERYBODY).await.unwrap();
    assert_eq!(amounts(&next), BTreeMap::from([(two.driver, 900)]));
}

#[tokio::test]
async fn the_same_request_is_the_same_batch_and_confirmed_once() {
    let rig = Rig::start().await;
    let ride = earned(&rig, 1_400).await;
    let (make, confirm) = (key(), key());
    let batch = rig.store.pay_out(&make, EVERYBODY).await.unwrap();
    assert_eq!(rig.store.pay_out(&make, EVERYBODY).await.unwrap(), batch);
    let confirmed = rig.store.confirm(&confirm, batch.id, &[]).await.unwrap();
    assert_eq!(
        rig.store.confirm(&confirm, batch.id, &[]).await.unwrap(),
        confirmed
    );
    assert_eq!(
        rig.store.pay_out(&make, EVERYBODY).await.unwrap(),
        batch,
        "as it was made"
    );
    assert_eq!(
        refused(rig.store.confirm(&key(), batch.id, &[]).await),
        PayoutRefusal::Closed
    );
    assert!(!rig.balances(&ride).await.contains_key("driver"));
    let none = rig
        .store
        .confirm(&key(), PayoutId::from(Uuid::now_v7()), &[])
        .await;
    assert!(matches!(none, Err(AskError::NoPayout)));
    rig.at_rest().await;
}

#[tokio::test]
async fn requests_at_once_never_pay_anybody_twice() {
    let rig = Rig::start().await;
    let rides = [earned(&rig, 1_400).await, earned(&rig, 900).await];
    let asks = (0..6).map(|_| async {
        let key = key();
        loop {
            match rig.store.pay_out(&key, EVERYBODY).await {
                Err(AskError::Store(_) | AskError::RequestInFlight) => {}
                answer => break answer,
            }
        }
    });
    let answers = futures::future::join_all(asks).await;
    let made: Vec<Batch> = answers.into_iter().filter_map(Result::ok).collect();
    let lines: Vec<DriverId> = made
        .iter()
        .flat_map(|batch| batch.lines.iter().map(|line| line.driver))
        .collect();
    assert_eq!(lines.len(), rides.len(), "{made:?}");
    rig.at_rest().await;
}

#[tokio::test]
async fn what_was_earned_after_the_time_is_left_for_the_next_batch() {
    let rig = Rig::start().await;
    let ride = earned(&rig, 1_400).await;
    let then = hexcab_chassis::Clock::system().now();
    let later = Ride {
        driver: ride.driver,
        ..Ride::new()
    };
    rig.tell(&later.requested()).await;
    rig.tell(&later.completed_with(2_000, 900)).await;
    rig.work().await;
    let as_of = |at: Timestamp| PayoutAsk {
        as_of: Some(at),
        ..EVERYBODY
    };
    let batch = rig.store.pay_out(&key(), as_of(then)).await.unwrap();
    assert_eq!(amounts(&batch), BTreeMap::from([(ride.driver, 1_400)]));
    let ahead = then + std::time::Duration::from_secs(3_600);
    assert_eq!(
        refused(rig.store.pay_out(&key(), as_of(ahead)).await),
        PayoutRefusal::AsOfInFuture
    );
}

#[tokio::test]
async fn what_was_taken_back_since_is_not_paid_out() {
    let rig = Rig::start().await;
    let ride = earned(&rig, 1_400).await;
    let then = hexcab_chassis::Clock::system().now();
    rig.store
        .refund(&key(), ride.trip, &give_back(Some(1_000), true))
        .await
        .unwrap();
    rig.work().await;
    let ask = PayoutAsk {
        as_of: Some(then),
        ..EVERYBODY
    };
    let batch = rig.store.pay_out(&key(), ask).await.unwrap();
    assert_eq!(
        amounts(&batch),
        BTreeMap::from([(ride.driver, 700)]),
        "half of it was clawed back"
    );
    rig.at_rest().await;
}

#[tokio::test]
async fn who_is_owed_less_than_the_minimum_waits() {
    let rig = Rig::start().await;
    let (rich, _) = (earned(&rig, 1_400).await, earned(&rig, 900).await);
    let minimum = |minor, currency| PayoutAsk {
        minimum: Some(Money::new(minor, currency)),
        ..EVERYBODY
    };
    let ask = minimum(901, Currency::Usd);
    let batch = rig.store.pay_out(&key(), ask).await.unwrap();
    assert_eq!(amounts(&batch), BTreeMap::from([(rich.driver, 1_400)]));
    let euro = rig.store.pay_out(&key(), minimum(1, Currency::Eur)).await;
    assert_eq!(refused(euro), PayoutRefusal::Minimum);
    let none = PayoutAsk {
        currency: Currency::Eur,
        ..EVERYBODY
    };
    assert_eq!(
        refused(rig.store.pay_out(&key(), none).await),
        PayoutRefusal::NothingToPayOut
    );
}

#[tokio::test]
async fn a_line_of_nobody_or_named_twice_is_refused() {
    let rig = Rig::start().await;
    let ride = earned(&rig, 1_400).await;
    let batch = rig.store.pay_out(&key(), EVERYBODY).await.unwrap();
    let failed = |driver| (driver, "x".to_owned());
    for lines in [
        vec![failed(Ride::new().driver)],
        vec![failed(ride.driver), failed(ride.driver)],
    ] {
        let answer = rig.store.confirm(&key(), batch.id, &lines).await;
        assert_eq!(refused(answer), PayoutRefusal::NoSuchLine);
    }
    assert_eq!(rig.balances(&ride).await["driver"], (1_400, -1_400));
}

#[tokio::test]
async fn the_file_is_the_same_whenever_it_is_asked_for() {
    let rig = Rig::start().await;
    let rides = [earned(&rig, 1_400).await, earned(&rig, 900).await];
    let batch = rig.store.pay_out(&key(), EVERYBODY).await.unwrap();
    let file = batch.file().unwrap();
    let hash: [u8; 32] = Sha256::digest(file.as_bytes()).into();
    assert_eq!(hash, batch.sha256);
    let failed = [(rides[1].driver, "x".to_owned())];
    rig.store.confirm(&key(), batch.id, &failed).await.unwrap();
    let read = rig.store.payout(batch.id).await.unwrap().unwrap();
    assert_eq!(read.file().unwrap(), file);
    assert_eq!(file.lines().count(), 4, "header, two lines, totals");
    let totals: Vec<&str> = file.lines().last().unwrap().split(',').collect();
    assert_eq!((totals[0], totals[2], totals[4]), ("total", "2", "2300"));
}

#[tokio::test]
async fn a_batch_is_told_when_it_is_made_and_when_it_is_confirmed() {
    let rig = Rig::start().await;
    let ride = earned(&rig, 1_400).await;
    let batch = rig.store.pay_out(&key(), EVERYBODY).await.unwrap();
    let failed = [(ride.driver, "x".to_owned())];
    rig.store.confirm(&key(), batch.id, &failed).await.unwrap();
    let told: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT payload FROM outbox WHERE subject = $1 ORDER BY seq")
            .bind(batch.id.name())
            .fetch_all(rig.pg.pool())
            .await
            .unwrap();
    let told: Vec<PaymentEvent> = told
        .iter()
        .map(|body| PaymentEvent::decode(&**body).unwrap())
        .collect();
    let Some(Event::PayoutBatchCreated(created)) = &told[0].event else {
        panic!("{told:?}")
    };
    assert_eq!((created.lines, told[0].version), (1, 1));
    let Some(Event::PayoutBatchConfirmed(confirmed)) = &told[1].event else {
        panic!("{told:?}")
    };
    assert_eq!(
        (
            confirmed.paid_lines,
            confirmed.failed_lines,
            told[1].version
        ),
        (0, 1, 2)
    );
}

#[tokio::test]
async fn a_batch_of_more_drivers_than_a_group_holds_is_made_in_one_piece() {
    let rig = Rig::start().await;
    let drivers = 150_i64;
    // Earned by hand: a ride each would take its time.
    sqlx::query(
        "INSERT INTO ledger.transfers (id, kind, debit, credit, currency, amount_minor, code, reference, at, group_id, group_line, group_size)
         SELECT id, 'posted', 'platform:losses', 'drivers/' || gen_random_uuid(), 'USD', n, 'adjustment', id, now(), id, 1, 1
         FROM (SELECT gen_random_uuid() AS id, n FROM generate_series(1, $1::bigint) AS n) AS made",
    )
    .bind(drivers)
    .execute(rig.pg.pool())
    .await
    .unwrap();
    let batch = rig.store.pay_out(&key(), EVERYBODY).await.unwrap();
    assert_eq!(batch.lines.len(), 150);
    rig.store.confirm(&key(), batch.id, &[]).await.unwrap();
    assert_eq!(
        rig.all_balances().await["bank"],
        (drivers * (drivers + 1) / 2, 0)
    );
    rig.at_rest().await;
}
