//! Which brokers, and how patiently.

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};

/// How a process speaks to Kafka.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusConfig {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// How long a consumer may be silent before its partitions go to another, milliseconds.
    pub session_timeout_ms: u32,
    /// How long a broker may wait for more before it answers a fetch, milliseconds. 10 on the embedded broker, which
    /// otherwise always waits in full.
    pub fetch_wait_ms: u32,
    /// Rows the relay publishes at once.
    pub relay_batch_max: u32,
    /// How long the relay rests when there is nothing to publish, milliseconds.
    pub relay_idle_ms: u64,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self {
            brokers: "127.0.0.1:9092".to_owned(),
            session_timeout_ms: 6_000,
            fetch_wait_ms: 10,
            relay_batch_max: 500,
            relay_idle_ms: 20,
        }
    }
}

impl BusConfig {
    /// Settings common to all clients.
    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &self.brokers)
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "2000")
            .set("topic.metadata.refresh.interval.ms", "10000");
        client
    }

    /// Settings of a producer.
    pub(crate) fn producer(&self) -> ClientConfig {
        let mut client = self.client();
        client
            .set("enable.idempotence", "true")
            .set("linger.ms", "1")
            .set("message.timeout.ms", "10000")
            .set("queue.buffering.max.messages", "50000")
            .set("queue.buffering.max.kbytes", "65536");
        client
    }

    /// Settings of a consumer in a group.
    pub(crate) fn consumer(&self, group: &str) -> ClientConfig {
        let mut client = self.client();
        client
            .set("group.id", group)
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("allow.auto.create.topics", "true")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", self.session_timeout_ms.to_string())
            .set(
                "heartbeat.interval.ms",
                (self.session_timeout_ms / 4).to_string(),
            )
            .set("fetch.wait.max.ms", self.fetch_wait_ms.to_string())
            .set("fetch.error.backoff.ms", "50")
            .set("queued.max.messages.kbytes", "8192");
        client
    }
}
