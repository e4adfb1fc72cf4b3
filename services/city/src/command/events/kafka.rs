//! Records of the broker, read without a group and written with their headers.
//!
//! Does not: commit anything; whoever reads here takes nothing from anybody.

use std::time::Duration;

use anyhow::{Context as _, bail};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, StreamConsumer},
    message::{BorrowedMessage, Header, Headers as _, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};

/// How long the broker may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A record, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it is.
    pub topic: String,
    /// Where it is.
    pub partition: i32,
    /// Where it is.
    pub offset: i64,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub payload: Vec<u8>,
    /// Its headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// Takes a copy.
    pub fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message
            .headers()
            .into_iter()
            .flat_map(|headers| headers.iter());
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().unwrap_or_default().to_vec(),
            payload: message.payload().unwrap_or_default().to_vec(),
            headers: headers
                .map(|header| {
                    (
                        header.key.to_owned(),
                        header.value.unwrap_or_default().to_vec(),
                    )
                })
                .collect(),
        }
    }

    /// A header as text; empty when it is not there.
    pub fn header(&self, key: &str) -> String {
        let found = self.headers.iter().find(|(name, _)| name == key);
        found
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
            .unwrap_or_default()
    }

    /// Its key as text.
    pub fn key_text(&self) -> String {
        String::from_utf8_lossy(&self.key).into_owned()
    }

    /// `topic:partition:offset`.
    pub fn position(&self) -> String {
        format!("{}:{}:{}", self.topic, self.partition, self.offset)
    }
}

/// The partitions of these topics, with the offsets of their first and next record.
struct Partition {
    topic: String,
    number: i32,
    first: i64,
    next: i64,
}

impl Partition {
    const fn is_empty(&self) -> bool {
        self.first >= self.next
    }
}

fn partitions(
    brokers: &str,
    client: &BaseConsumer,
    topics: &[String],
) -> anyhow::Result<Vec<Partition>> {
    let mut all = Vec::new();
    for topic in topics {
        let metadata = client
            .fetch_metadata(Some(topic), PATIENCE)
            .with_context(|| format!("ask the broker at {brokers} about topic {topic}"))?;
        for partition in metadata
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions())
        {
            let (first, next) = client.fetch_watermarks(topic, partition.id(), PATIENCE)?;
            all.push(Partition {
                topic: topic.clone(),
                number: partition.id(),
                first,
                next,
            });
        }
    }
    Ok(all)
}

fn settings(brokers: &str) -> ClientConfig {
    let mut settings = ClientConfig::new();
    settings
        .set("bootstrap.servers", brokers)
        .set("group.id", "hexcab-events");
    settings
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false");
    settings
        .set("fetch.wait.max.ms", "10")
        .set("auto.offset.reset", "earliest");
    settings
}

/// Everything that the broker has of these topics now.
///
/// # Errors
/// When it does not answer.
pub async fn read_all(brokers: &str, topics: Vec<String>) -> anyhow::Result<Vec<Record>> {
    read_newest(brokers, topics, usize::MAX).await
}

/// The newest so many records of each partition of these topics.
///
/// # Errors
/// When the broker does not answer.
pub async fn read_newest(
    brokers: &str,
    topics: Vec<String>,
    newest: usize,
) -> anyhow::Result<Vec<Record>> {
    let (settings, brokers) = (settings(brokers), brokers.to_owned());
    let newest = i64::try_from(newest).unwrap_or(i64::MAX);
    // librdkafka's calls block.
    tokio::task::spawn_blocking(move || {
        let client: BaseConsumer = settings.create().context("connect to the broker")?;
        let mut left = partitions(&brokers, &client, &topics)?;
        left.retain(|partition| !partition.is_empty());
        let mut list = TopicPartitionList::new();
        for partition in &left {
            let from = partition.first.max(partition.next.saturating_sub(newest));
            list.add_partition_offset(&partition.topic, partition.number, Offset::Offset(from))?;
        }
        client.assign(&list)?;
        let mut records = Vec::new();
        while !left.is_empty() {
            let Some(message) = client.poll(PATIENCE) else {
                bail!("the broker at {brokers} stopped answering")
            };
            let record = Record::of(&message?);
            left.retain(|partition| {
                let here = partition.topic == record.topic && partition.number == record.partition;
                !(here && record.offset + 1 >= partition.next)
            });
            records.push(record);
        }
        Ok(records)
    })
    .await?
}

/// A consumer of these topics, from now on.
///
/// # Errors
/// When the broker does not answer.
pub async fn follow(brokers: &str, topics: Vec<String>) -> anyhow::Result<StreamConsumer> {
    let (settings, brokers) = (settings(brokers), brokers.to_owned());
    tokio::task::spawn_blocking(move || {
        let client: BaseConsumer = settings.create().context("connect to the broker")?;
        let all = partitions(&brokers, &client, &topics)?;
        let consumer: StreamConsumer = settings.create()?;
        let mut list = TopicPartitionList::new();
        for partition in &all {
            list.add_partition_offset(&partition.topic, partition.number, Offset::End)?;
        }
        consumer.assign(&list)?;
        Ok(consumer)
    })
    .await?
}

/// Writes records, one after the other.
pub struct Writer(FutureProducer);

impl Writer {
    /// To this broker.
    ///
    /// # Errors
    /// When the settings are refused.
    pub fn new(brokers: &str) -> anyhow::Result<Self> {
        let mut settings = ClientConfig::new();
        settings
            .set("bootstrap.servers", brokers)
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", "10000");
        Ok(Self(settings.create().context("connect to the broker")?))
    }

    /// Writes one and waits until the broker has it.
    ///
    /// # Errors
    /// When it does not take it.
    pub async fn write(&self, topic: &str, record: &Record) -> anyhow::Result<()> {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &record.headers {
            headers = headers.insert(Header {
                key,
                value: Some(value),
            });
        }
        let out = FutureRecord::to(topic)
            .key(&record.key)
            .payload(&record.payload)
            .headers(headers);
        self.0
            .send(out, PATIENCE)
            .await
            .map_err(|(error, _)| error)
            .with_context(|| format!("write to {topic}"))?;
        Ok(())
    }
}
