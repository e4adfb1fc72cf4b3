//! A consumer that does nothing is no consumer: it ends with an error, and is begun again.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use hexcab_bus::{BusConfig, Consumer, Failure, Handler, Incoming, Producer, topic};
use hexcab_chassis::Readiness;
use hexcab_testkit::within;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio_util::sync::CancellationToken;

use crate::{Bench, Seen, event};

/// As long as a consumer may stand still here.
const STILL_MS: u32 = 1_500;
/// Within which it has ended: the group needs a while to form.
const ENDS_WITHIN: Duration = Duration::from_secs(15);

/// Takes an event and never gives it back.
struct Stuck;

#[async_trait]
impl Handler for Stuck {
    async fn handle(&self, _: &Incoming) -> Result<(), Failure> {
        std::future::pending().await
    }
}

/// A consumer that is run here, so that its end is seen.
async fn ended(config: &BusConfig, handler: Arc<dyn Handler>) -> String {
    let component = Readiness::new().component("kafka");
    let consumer = Consumer::new(config, "still", &[topic::TRIP], handler, component);
    let ended = tokio::time::timeout(ENDS_WITHIN, consumer.run(CancellationToken::new())).await;
    ended
        .expect("it stands still for good")
        .unwrap_err()
        .to_string()
}

fn quick(bench: &Bench) -> BusConfig {
    BusConfig {
        stands_still_ms: STILL_MS,
        ..bench.config()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_never_returns_ends_its_consumer() {
    let bench = Bench::new().await;
    let producer = Producer::connect(&bench.config()).unwrap();
    producer.publish(event("trips/0")).await.unwrap();
    let why = ended(&quick(&bench), Arc::new(Stuck)).await;
    assert!(why.contains("stood still"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_its_group_never_lets_in_ends() {
    let bench = Bench::new().await;
    bench.broker.with(|cluster| {
        let refused = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS; 10_000];
        cluster.request_errors(RDKafkaApiKey::JoinGroup, &refused);
    });
    let why = ended(&quick(&bench), Arc::new(Seen::default())).await;
    assert!(why.contains("stood still"), "{why}");
}

/// For several times as long as a consumer may stand still.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_to_which_nothing_comes_goes_on() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    bench.member_with(&quick(&bench), "patient", &[topic::TRIP], seen.clone());
    let producer = Producer::connect(&bench.config()).unwrap();
    producer.publish(event("trips/0")).await.unwrap();
    seen.until(1).await;
    let longer = Duration::from_millis(u64::from(STILL_MS) * 3);
    let waited = tokio::time::Instant::now();
    within(
        longer * 2,
        || "time to pass",
        || async { (waited.elapsed() > longer).then_some(()) },
    )
    .await;
    producer.publish(event("trips/1")).await.unwrap();
    seen.until(2).await;
}
