//! Supply counts on their way to the broker.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use hexcab_bus::{BusConfig, Consumer, Failure, Handler, Incoming, topic};
use hexcab_chassis::{Readiness, Tasks};
use hexcab_proto::location::v1::SupplyCounted;
use hexcab_testkit::{Broker, eventually};
use parking_lot::Mutex;
use prost::Message as _;

use crate::city::City;

/// Every count of a broker.
#[derive(Default)]
pub struct Heard(Mutex<Vec<(Incoming, SupplyCounted)>>);

#[async_trait]
impl Handler for Heard {
    async fn handle(&self, event: &Incoming) -> Result<(), Failure> {
        let counted = SupplyCounted::decode(event.payload.clone()).unwrap();
        self.0.lock().push((event.clone(), counted));
        Ok(())
    }
}

/// Hears the counts of this broker.
pub fn heard(kafka: &BusConfig, counts: &Arc<Heard>, tasks: &Tasks) {
    let consumer = Consumer::new(
        kafka,
        "test",
        &[topic::SUPPLY],
        counts.clone(),
        Readiness::new().component("test"),
    );
    tasks.spawn("consumer", consumer.run(tasks.shutdown()));
}

/// How many drivers the newest count holds.
pub fn counted(counts: &Heard) -> Option<i32> {
    let counts = counts.0.lock();
    let (_, newest) = counts.last()?;
    Some(newest.cells.iter().map(|cell| cell.available).sum())
}

#[tokio::test]
async fn supply_is_published_every_few_seconds_of_the_city() {
    let broker = Broker::start();
    broker.create_topic(topic::SUPPLY, 1);
    let kafka = BusConfig {
        brokers: broker.brokers(),
        ..BusConfig::default()
    };
    let (counts, tasks) = (Arc::new(Heard::default()), Tasks::new());
    heard(&kafka, &counts, &tasks);

    let mut city = City::with(kafka).await;
    let pings = vec![city.ping(1), city.ping(2)];
    city.report(pings).await;
    let counted = eventually(async || {
        city.hand.advance(Duration::from_millis(500));
        counts.0.lock().first().cloned()
    })
    .await;
    let (event, counted) = counted;
    assert_eq!(
        (event.kind.as_str(), event.key.as_str()),
        ("hexcab.location.v1.SupplyCounted", "sf")
    );
    assert_eq!(counted.city, "sf");
    assert_eq!(
        counted
            .cells
            .iter()
            .map(|cell| cell.available)
            .collect::<Vec<_>>(),
        [2]
    );
    tasks.stop(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn without_a_broker_pings_are_taken_all_the_same() {
    let mut city = City::start().await; // nobody listens at its broker's address
    for _ in 0..20 {
        city.hand.advance(Duration::from_secs(5)); // supply is due each time
        let ping = city.ping(1);
        assert_eq!(city.report(vec![ping]).await, (1, 0, 0));
    }
    city.stop().await;
}
