//! Partitions whose dependency is away: paused, to begin again with the same event.
//!
//! Invariant: a partition that could not be moved back ends the task, for its next event would overtake this one.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{Consumer as _, StreamConsumer},
    error::KafkaError,
};
use tokio::time::Instant;

use super::client::{Partition, Rebalances, Shared};
use crate::{
    config::Backoff,
    measures::{self, CONSUMER_PAUSED},
};

/// How long the client may take for a seek.
const SEEK_WAIT: Duration = Duration::from_secs(5);

/// How long the last pause of each partition was, and until when it lasts if it still does.
pub struct Paused {
    consumer: String,
    backoff: Backoff,
    last: HashMap<Partition, Pause>,
}

struct Pause {
    /// How often in a row the database refused the event.
    refusals: u32,
    wait: Duration,
    until: Option<Instant>,
}

impl Paused {
    /// None is, of this consumer.
    pub fn new(consumer: &str, backoff: Backoff) -> Self {
        Self {
            consumer: consumer.to_owned(),
            backoff,
            last: HashMap::new(),
        }
    }

    /// Pauses a partition whose event was refused, or whose dependency is away, to begin again at this offset. Returns for
    /// how long.
    ///
    /// # Errors
    /// When it cannot be moved back although it is still ours: only a restart, at the stored offset, keeps the order.
    pub async fn pause(
        &mut self,
        client: &Shared,
        partition: &Partition,
        offset: i64,
        is_refused: bool,
    ) -> anyhow::Result<Duration> {
        let (moving, which) = (Arc::clone(client), partition.clone());
        // A seek blocks its thread until the client has it.
        tokio::task::spawn_blocking(move || move_back(&moving, &which, offset))
            .await
            .context("move the partition back")??;
        let last = self.last.get(partition);
        let wait = self.backoff.after(last.map(|last| last.wait));
        let pause = Pause {
            refusals: if is_refused {
                self.refusals(partition) + 1
            } else {
                0
            },
            wait,
            until: Some(Instant::now() + wait),
        };
        self.last.insert(partition.clone(), pause);
        self.say(partition, 1.0);
        Ok(wait)
    }

    /// How often in a row the event at which the partition stands was refused: an outage between begins anew.
    pub fn refusals(&self, partition: &Partition) -> u32 {
        self.last.get(partition).map_or(0, |last| last.refusals)
    }

    /// Whether the partition's pause has not ended yet.
    pub fn is_paused(&self, partition: &Partition) -> bool {
        let pause = self.last.get(partition);
        pause.is_some_and(|pause| pause.until.is_some())
    }

    /// Forgets a partition: its event was handled.
    pub fn forget(&mut self, partition: &Partition) {
        if self.last.remove(partition).is_some() {
            self.say(partition, 0.0);
        }
    }

    /// Forgets partitions that went to another.
    pub fn revoked(&mut self, partitions: &[Partition]) {
        partitions
            .iter()
            .for_each(|partition| self.forget(partition));
    }

    fn say(&self, (topic, number): &Partition, paused: f64) {
        let of = measures::of_partition(&self.consumer, topic, *number);
        CONSUMER_PAUSED.set(paused, &of);
    }

    /// Waits until the next pause is over; for ever when there is none.
    pub async fn next_due(&self) {
        match self.last.values().filter_map(|pause| pause.until).min() {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    }

    /// Lets the partitions go on whose pause is over.
    pub fn resume_due(&mut self, client: &StreamConsumer<Rebalances>) {
        let now = Instant::now();
        for (partition, pause) in &mut self.last {
            if pause.until.is_some_and(|until| until <= now) {
                pause.until = None;
                if let Err(error) = client.resume(&only(partition)) {
                    tracing::debug!(%error, "partition not resumed: it went to another");
                }
            }
        }
    }
}

/// Pauses the partition and seeks; a failure is well when the partition is no longer ours, for whoever has it now begins
/// at the stored offset. Blocks.
fn move_back(
    client: &StreamConsumer<Rebalances>,
    partition: &Partition,
    offset: i64,
) -> anyhow::Result<()> {
    let moved = client
        .pause(&only(partition))
        .and_then(|()| client.seek(&partition.0, partition.1, Offset::Offset(offset), SEEK_WAIT));
    let Err(error) = moved else { return Ok(()) };
    if is_ours(client, partition).unwrap_or(true) {
        let (topic, number) = partition;
        return Err(anyhow::Error::new(error).context(format!(
            "move {topic} partition {number} back to offset {offset}"
        )));
    }
    tracing::info!(%error, "partition not paused: it went to another");
    Ok(())
}

fn is_ours(client: &StreamConsumer<Rebalances>, partition: &Partition) -> Result<bool, KafkaError> {
    let assigned = client.assignment()?;
    Ok(assigned.find_partition(&partition.0, partition.1).is_some())
}

fn only(partition: &Partition) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(&partition.0, partition.1);
    list
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        BusConfig,
        consumer::{client::Client, pulse::Pulse},
    };

    /// The client knows the partition is assigned, and cannot seek in it: the topic has no such partition.
    #[tokio::test]
    async fn a_partition_of_ours_that_cannot_be_moved_back_is_an_error() {
        let (_broker, client, partition) = client_without_its_partition();
        client.assign(&only(&partition)).unwrap();
        let mut paused = paused();
        let moved = paused.pause(&client, &partition, 3, false).await;
        assert!(moved.is_err(), "the next event would overtake this one");
    }

    #[tokio::test]
    async fn a_partition_that_went_to_another_is_nothing_to_move_back() {
        let (_broker, client, partition) = client_without_its_partition();
        let mut paused = paused();
        let moved = paused.pause(&client, &partition, 3, false).await;
        assert!(moved.is_ok(), "{moved:?}");
    }

    fn paused() -> Paused {
        Paused::new("narrow", BusConfig::default().backoff())
    }

    fn client_without_its_partition() -> (hexcab_testkit::Broker, Client, Partition) {
        let broker = hexcab_testkit::Broker::start();
        broker.create_topic("narrow", 1);
        let config = BusConfig {
            brokers: broker.brokers(),
            ..BusConfig::default()
        };
        let (changes, _) = mpsc::unbounded_channel();
        let client =
            Client::create(&config.consumer("narrow"), "narrow", changes, Pulse::new()).unwrap();
        (broker, client, ("narrow".to_owned(), 7))
    }
}
