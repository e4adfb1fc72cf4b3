//! The Kafka client of a consumer: what its rebalances tell, and how to be rid of it.

use std::{ops::Deref, sync::Arc, time::Duration};

use rdkafka::{
    ClientConfig, ClientContext, Statistics, TopicPartitionList,
    consumer::{BaseConsumer, ConsumerContext, Rebalance, StreamConsumer},
    error::KafkaError,
};
use tokio::sync::mpsc;

use super::{lag, pulse::Pulse};

/// How long leaving the group may take at the end.
const CLOSE_WAIT: Duration = Duration::from_secs(3);

/// A partition: topic and number.
pub type Partition = (String, i32);

/// What a rebalance did.
pub enum Change {
    Assigned(Vec<Partition>),
    Revoked(Vec<Partition>),
}

/// Passes rebalances on to the consumer's loop, and says how far behind it is.
pub struct Rebalances {
    consumer: String,
    changes: mpsc::UnboundedSender<Change>,
    pulse: Pulse,
}

impl ClientContext for Rebalances {
    fn stats(&self, statistics: Statistics) {
        self.pulse.heard(&statistics);
        lag::measure(&self.consumer, &statistics);
    }
}

impl ConsumerContext for Rebalances {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(partitions) = rebalance {
            let _ = self.changes.send(Change::Revoked(names(partitions)));
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance {
            let _ = self.changes.send(Change::Assigned(names(partitions)));
        }
    }
}

/// The partitions of a list.
pub fn names(partitions: &TopicPartitionList) -> Vec<Partition> {
    partitions
        .elements()
        .iter()
        .map(|element| (element.topic().to_owned(), element.partition()))
        .collect()
}

/// The client, closed on a thread of its own: closing commits and leaves the group, and blocks for as long as the broker
/// does not answer.
pub struct Client(Option<Shared>);

/// The client for calls that block, which are made on other threads.
pub type Shared = Arc<StreamConsumer<Rebalances>>;

impl Client {
    /// A client of this consumer that tells its rebalances, and that it lives.
    pub fn create(
        config: &ClientConfig,
        consumer: &str,
        changes: mpsc::UnboundedSender<Change>,
        pulse: Pulse,
    ) -> Result<Self, KafkaError> {
        let context = Rebalances {
            consumer: consumer.to_owned(),
            changes,
            pulse,
        };
        let client = config.create_with_context(context)?;
        Ok(Self(Some(Arc::new(client))))
    }

    /// Closes it, and waits for that a while.
    pub async fn close(mut self) {
        let (done, closed) = tokio::sync::oneshot::channel();
        let client = self.0.take();
        std::thread::spawn(move || {
            drop(client);
            let _ = done.send(());
        });
        if tokio::time::timeout(CLOSE_WAIT, closed).await.is_err() {
            tracing::warn!("the broker did not let the consumer go in time");
        }
    }
}

impl Deref for Client {
    type Target = Shared;
    fn deref(&self) -> &Self::Target {
        self.0.as_ref().expect("held until it is dropped")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            std::thread::spawn(move || drop(client));
        }
    }
}
