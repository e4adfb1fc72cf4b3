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
/// The same where the group must have formed by then.
const PATIENT_MS: u32 = 8_000;
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

fn quick(bench: &Bench, stands_still_ms: u32) -> BusConfig {
    BusConfig {
        stands_still_ms,
        ..bench.config()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_never_returns_ends_its_consumer() {
    let bench = Bench::new().await;
    let producer = Producer::connect(&bench.config()).unwrap();
    producer.publish(event("trips/0")).await.unwrap();
    let why = ended(&quick(&bench, STILL_MS), Arc::new(Stuck)).await;
    assert!(why.contains("stood still"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_its_group_never_lets_in_ends() {
    let bench = Bench::new().await;
    bench.broker.with(|cluster| {
        let refused = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS; 10_000];
        cluster.request_errors(RDKafkaApiKey::JoinGroup, &refused);
    });
    let why = ended(&quick(&bench, STILL_MS), Arc::new(Seen::default())).await;
    assert!(why.contains("stood still"), "{why}");
}

/// For longer than a consumer may stand still, a member of a group and a tail, which is in none.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_to_which_nothing_comes_goes_on() {
    let bench = Bench::new().await;
    let config = quick(&bench, PATIENT_MS);
    let (member, tail) = (Arc::new(Seen::default()), Arc::new(Seen::default()));
    bench.member_with(&config, "patient", &[topic::TRIP], member.clone());
    let component = Readiness::new().component("kafka");
    let consumer = Consumer::tail(&config, "tail", &[topic::TRIP], tail.clone(), component);
    bench
        .tasks
        .spawn("tail", consumer.run(bench.tasks.shutdown()));
    let producer = Producer::connect(&bench.config()).unwrap();
    producer.publish(event("trips/0")).await.unwrap();
    member.until(1).await;
    let longer = Duration::from_millis(u64::from(PATIENT_MS)) + Duration::from_secs(2);
    let begun = tokio::time::Instant::now();
    let passed = || async { (begun.elapsed() > longer).then_some(()) };
    within(longer * 2, || "time to pass", passed).await;
    let seen = tail.subjects().len();
    producer.publish(event("trips/1")).await.unwrap();
    member.until(2).await;
    tail.until(seen + 1).await;
}
