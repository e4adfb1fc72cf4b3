//! What clients of one broker meet when the next one is at its port. On several threads: clients block theirs.

use std::time::Duration;

use hexcab_bus::topic;
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    producer::{FutureProducer, FutureRecord},
};
use tokio::io::AsyncWriteExt as _;

use super::*;
use crate::stack::ports::Ports;

const PATIENCE: Duration = Duration::from_secs(20);

fn settings(address: &str) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", address)
        .set("group.id", "it")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        // Longer than a test: no member notices by itself that its group is gone.
        .set("heartbeat.interval.ms", "30000")
        .set("reconnect.backoff.max.ms", "100")
        .set("fetch.wait.max.ms", "10");
    settings
}

async fn write(address: &str, count: usize) {
    let producer: FutureProducer = settings(address).create().unwrap();
    for _ in 0..count {
        let record = FutureRecord::<(), str>::to(topic::PAYMENT).payload("x");
        producer.send(record, PATIENCE).await.unwrap();
    }
}

/// Reads on a thread of its own, for it blocks. Returns the offsets.
async fn read(consumer: BaseConsumer, count: usize) -> (BaseConsumer, Vec<i64>) {
    let reading = move || {
        let until = std::time::Instant::now() + PATIENCE;
        let mut offsets = Vec::new();
        while offsets.len() < count {
            assert!(std::time::Instant::now() < until, "only {offsets:?}");
            // What is no record is news of a connection.
            if let Some(Ok(record)) = consumer.poll(Duration::from_millis(100)) {
                offsets.push(record.offset());
            }
        }
        (consumer, offsets)
    };
    tokio::task::spawn_blocking(reading).await.unwrap()
}

fn payments(offset: Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic::PAYMENT, 0, offset)
        .unwrap();
    list
}

#[tokio::test(flavor = "multi_thread")]
async fn every_topic_is_there_with_its_partitions_and_the_door_is_the_broker() {
    let broker = Broker::start(0, 1).await.unwrap();
    let address = broker.address();
    let client: BaseConsumer = settings(&address.to_string()).create().unwrap();
    for (topic, partitions) in topics::all() {
        let meta = client.fetch_metadata(Some(&topic), PATIENCE).unwrap();
        let found = meta.topics()[0].partitions().len();
        assert_eq!(i32::try_from(found).unwrap(), partitions, "{topic}");
        assert_eq!(meta.brokers()[0].port(), i32::from(address.port()));
    }
}

/// By which one who holds a place finds out that it is in another's log.
#[tokio::test(flavor = "multi_thread")]
async fn every_broker_has_a_name_of_its_own() {
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let broker = Broker::start(0, 0).await.unwrap();
        let address = broker.address().to_string();
        let named = || -> String {
            let client: BaseConsumer = settings(&address).create().unwrap();
            client.client().fetch_cluster_id(PATIENCE).unwrap()
        };
        let name = named();
        assert_eq!(name, named(), "everybody is told the same");
        names.insert(name);
    }
    assert_eq!(names.len(), 3, "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_in_the_log_of_another_broker_is_none() {
    let mut ports = Ports::default();
    let port = ports.take(None).unwrap();
    let (first, address) = (
        Broker::start(port, 0).await.unwrap(),
        format!("127.0.0.1:{port}"),
    );
    write(&address, 10).await;
    let consumer: BaseConsumer = settings(&address).create().unwrap();
    consumer.assign(&payments(Offset::Beginning)).unwrap();
    let (consumer, _) = read(consumer, 10).await;
    consumer.pause(&payments(Offset::Invalid)).unwrap();
    drop(first);

    let _second = Broker::start(port, 1).await.unwrap();
    write(&address, 20).await;
    consumer.resume(&payments(Offset::Invalid)).unwrap();
    let (_consumer, offsets) = read(consumer, 1).await;
    assert_eq!(
        offsets,
        [0],
        "it would have gone on at 10, and missed as many"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_committed_for_another_brokers_log_is_not_kept() {
    let mut ports = Ports::default();
    let port = ports.take(None).unwrap();
    let (first, address) = (
        Broker::start(port, 0).await.unwrap(),
        format!("127.0.0.1:{port}"),
    );
    write(&address, 10).await;
    let member: BaseConsumer = settings(&address).create().unwrap();
    member.subscribe(&[topic::PAYMENT]).unwrap();
    let (member, _) = read(member, 10).await;
    let place = payments(Offset::Offset(10));
    member.commit(&place, CommitMode::Sync).unwrap();
    assert_eq!(
        committed(&address),
        Offset::Offset(10),
        "a member's place is kept"
    );
    drop(first);

    let _second = Broker::start(port, 1).await.unwrap();
    let committing = move || {
        let until = std::time::Instant::now() + PATIENCE;
        while let Err(error) = member.commit(&place, CommitMode::Sync) {
            assert!(std::time::Instant::now() < until, "{error}");
        }
        member
    };
    let _member = tokio::task::spawn_blocking(committing).await.unwrap();
    assert_eq!(committed(&address), Offset::Invalid);
}

/// The dead would be alive for a minute, and lead the group.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_died_on_its_way_in_keeps_nobody_out() {
    let broker = Broker::start(0, 1).await.unwrap();
    let address = broker.address().to_string();
    write(&address, 1).await;
    let mut dying = TcpStream::connect(broker.address()).await.unwrap();
    dying.write_all(&join_for_a_minute()).await.unwrap();
    drop(dying);
    let next: BaseConsumer = settings(&address).create().unwrap();
    next.subscribe(&[topic::PAYMENT]).unwrap();
    let (_next, offsets) = read(next, 1).await;
    assert_eq!(offsets, [0]);
}

/// JoinGroup, version 5: of the group "it", without a name, with the protocol that clients prefer by default.
fn join_for_a_minute() -> Vec<u8> {
    let text = |text: &str| {
        let length = u16::try_from(text.len()).unwrap().to_be_bytes();
        [&length, text.as_bytes()].concat()
    };
    let minute_ms = 60_000_u32.to_be_bytes();
    let rest = [
        [0, 11, 0, 5, 0, 0, 0, 1].as_slice(),
        &text("dying"),
        &text("it"),
        &minute_ms,
        &minute_ms,
        &text(""),
        &u16::MAX.to_be_bytes(),
        &text("consumer"),
        &1_u32.to_be_bytes(),
        &text("range"),
        &0_u32.to_be_bytes(),
    ]
    .concat();
    let length = u32::try_from(rest.len()).unwrap().to_be_bytes();
    [length.as_slice(), &rest].concat()
}

/// What a new member would begin at.
fn committed(address: &str) -> Offset {
    let other: BaseConsumer = settings(address).create().unwrap();
    let asked = other.committed_offsets(payments(Offset::Invalid), PATIENCE);
    asked.unwrap().elements()[0].offset()
}
