//! Which brokers, and how patiently.

use std::time::Duration;

use anyhow::ensure;
use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};

/// What a partition of the outbox spans, by which a row outlives its time.
const PARTITION_HOURS: u32 = 24;

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
    /// How long a consumer leaves a partition alone whose dependency is away, the first time, milliseconds; doubled each
    /// time that it still is.
    pub backoff_ms: u64,
    /// The same at most, milliseconds.
    pub backoff_max_ms: u64,
    /// A consumer that shows no sign of life for so long although a broker is there, or is not let into its group, ends with
    /// an error and is begun again, milliseconds. Longer than any handler takes, and than a rebalance.
    pub stands_still_ms: u32,
    /// How often the outbox's age and the consumers' lag are measured, milliseconds.
    pub measure_ms: u32,
    /// How long events are kept in the outbox after they were published, hours: how far `republish` goes back.
    pub outbox_keep_hours: u32,
    /// How long the inbox remembers an event, hours from when the event was made. An older one is put aside as poison, for
    /// nobody knows whether it had its effect: so longer than the outbox, the broker's topics and the dead letters are
    /// kept.
    pub inbox_keep_hours: u32,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self {
            brokers: "127.0.0.1:9092".to_owned(),
            session_timeout_ms: 6_000,
            fetch_wait_ms: 10,
            relay_batch_max: 500,
            relay_idle_ms: 20,
            backoff_ms: 100,
            backoff_max_ms: 30_000,
            stands_still_ms: 30_000,
            measure_ms: 5_000,
            outbox_keep_hours: 7 * 24,
            inbox_keep_hours: 45 * 24,
        }
    }
}

/// A pause that doubles: the first and the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    pub first: Duration,
    pub longest: Duration,
}

impl Backoff {
    /// The pause after this one.
    pub fn after(self, last: Option<Duration>) -> Duration {
        last.map_or(self.first, |last| (last * 2).min(self.longest))
    }
}

impl BusConfig {
    /// Whether the times fit together.
    ///
    /// # Errors
    /// Which do not, and why.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.inbox_keep_hours > self.outbox_keep_hours + PARTITION_HOURS,
            "inbox_keep_hours ({}) must be more than outbox_keep_hours ({}) and a day: an inbox that forgets first would \
             refuse what `republish` sends",
            self.inbox_keep_hours,
            self.outbox_keep_hours,
        );
        Ok(())
    }

    /// How long a consumer may stand still; as long as it likes when nothing is measured, for then nothing is known.
    pub(crate) fn stands_still(&self) -> Duration {
        match self.measure_ms {
            0 => Duration::from_secs(u32::MAX.into()),
            _ => Duration::from_millis(self.stands_still_ms.into()),
        }
    }

    /// How long a consumer waits for a dependency.
    pub(crate) fn backoff(&self) -> Backoff {
        Backoff {
            first: Duration::from_millis(self.backoff_ms),
            longest: Duration::from_millis(self.backoff_max_ms),
        }
    }

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
            .set("statistics.interval.ms", self.measure_ms.to_string())
            .set("queued.max.messages.kbytes", "8192");
        client
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By default a dependency that is away for a minute is asked ten times, and then every half minute.
    #[test]
    fn a_pause_doubles_from_a_tenth_of_a_second_to_half_a_minute() {
        let backoff = BusConfig::default().backoff();
        let pauses = std::iter::successors(Some(backoff.after(None)), |last| {
            Some(backoff.after(Some(*last)))
        });
        let ms: Vec<u128> = pauses.take(11).map(|pause| pause.as_millis()).collect();
        let expected = [
            100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000,
        ];
        assert_eq!(ms, expected);
    }

    #[test]
    fn an_inbox_that_forgets_before_the_outbox_is_refused() {
        let keeps = |outbox_keep_hours, inbox_keep_hours| BusConfig {
            outbox_keep_hours,
            inbox_keep_hours,
            ..BusConfig::default()
        };
        assert!(BusConfig::default().check().is_ok());
        assert!(keeps(10, 35).check().is_ok());
        let refused = keeps(10, 34).check().unwrap_err().to_string();
        assert!(refused.contains("inbox_keep_hours (34)"), "{refused}");
    }
}
