//! Surge rises under demand and falls back, through the real service.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use hexcab_bus::{Consumer, Failure, Handler, Incoming, topic};
use hexcab_chassis::Readiness;
use hexcab_proto::pricing::v1::{DemandObserved, SurgeComputed};
use hexcab_testkit::eventually;
use parking_lot::Mutex;
use prost::Message as _;

use crate::city::{City, ask, pickup_cell};

/// Forty riders ask for a ride where one driver is free.
async fn rush(city: &mut City) {
    for _ in 0..40 {
        city.quote(ask()).await.unwrap();
    }
}

/// Lets the city's time run by intervals, with supply told in each, until this multiplier holds at the pickup.
async fn run_until(city: &mut City, wanted: impl Fn(i32) -> bool) -> i32 {
    let city = tokio::sync::Mutex::new(city);
    eventually(async || {
        let mut city = city.lock().await;
        city.tell_supply(1).await;
        city.hand.advance(Duration::from_secs(15));
        let cells = city.surge().await.cells;
        let here = cells
            .iter()
            .find(|cell| cell.cell == pickup_cell())
            .map_or(10_000, |cell| cell.surge_bp);
        wanted(here).then_some(here)
    })
    .await
}

#[tokio::test]
async fn surge_rises_under_demand_and_falls_back() {
    let mut city = City::start().await;
    let usual = city.quote(ask()).await.unwrap();
    rush(&mut city).await;
    let high = run_until(&mut city, |surge_bp| surge_bp > 12_000).await;
    assert!(high <= 25_000, "{high}");
    let dear = city.quote(ask()).await.unwrap();
    assert!(
        dear.surge_bp > 10_000 && dear.surge_snapshot.starts_with("snapshots/"),
        "{dear:?}"
    );
    let price =
        |quote: &hexcab_proto::pricing::v1::Quote| quote.price.as_ref().unwrap().amount_minor;
    assert!(price(&dear) > price(&usual));
    assert!(
        dear.lines.iter().any(|line| line.label == "surge"),
        "{:?}",
        dear.lines
    );
    run_until(&mut city, |surge_bp| surge_bp == 10_000).await;
    let later = city.quote(ask()).await.unwrap();
    assert_eq!(later.surge_bp, 10_000);
}

#[tokio::test]
async fn without_fresh_supply_surge_is_one() {
    let mut city = City::start().await;
    rush(&mut city).await;
    run_until(&mut city, |surge_bp| surge_bp > 12_000).await;
    // Supply falls silent; demand goes on.
    city.hand.advance(Duration::from_secs(121));
    let quote = city.quote(ask()).await.unwrap();
    assert_eq!(quote.surge_bp, 10_000);
    let city = tokio::sync::Mutex::new(city);
    eventually(async || {
        city.lock()
            .await
            .surge()
            .await
            .cells
            .is_empty()
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_restart_goes_on_with_the_surge_there_was() {
    let mut city = City::start().await;
    rush(&mut city).await;
    run_until(&mut city, |surge_bp| surge_bp > 12_000).await;
    let before = city.surge().await;
    city.restart().await;
    assert_eq!(city.surge().await.cells, before.cells);
    assert!(city.quote(ask()).await.unwrap().surge_bp > 10_000);
}

#[derive(Default)]
struct Heard(Mutex<Vec<Incoming>>);

#[async_trait]
impl Handler for Heard {
    async fn handle(&self, event: &Incoming) -> Result<(), Failure> {
        self.0.lock().push(event.clone());
        Ok(())
    }
}

#[tokio::test]
async fn surge_and_demand_are_told_through_the_outbox() {
    let mut city = City::start().await;
    let heard = Arc::new(Heard::default());
    let topics = [topic::SURGE, topic::DEMAND];
    let consumer = Consumer::new(
        &city.kafka(),
        "test",
        &topics,
        heard.clone(),
        Readiness::new().component("test"),
    );
    city.tasks
        .spawn("consumer", consumer.run(city.tasks.shutdown()));
    rush(&mut city).await;
    run_until(&mut city, |surge_bp| surge_bp > 12_000).await;
    let (surge, observed) = eventually(async || {
        let events = heard.0.lock();
        let surge = events.iter().filter(|event| event.topic == topic::SURGE);
        let surge = surge.map(|event| SurgeComputed::decode(event.payload.clone()).unwrap());
        let surge = surge
            .into_iter()
            .find(|event| event.cells.iter().any(|cell| cell.surge_bp > 12_000));
        let demand = events.iter().filter(|event| event.topic == topic::DEMAND);
        let demand = demand.map(|event| DemandObserved::decode(event.payload.clone()).unwrap());
        let quotes: i32 = demand
            .flat_map(|event| event.cells)
            .map(|cell| cell.quotes)
            .sum();
        // They come in two topics: one may be behind the other.
        surge.filter(|_| quotes >= 40).map(|surge| (surge, quotes))
    })
    .await;
    assert_eq!(surge.city, "sf");
    assert_eq!(observed, 40, "each quote is told of once");
}
