//! Where a tail begins: at the end of every partition, in no group.

use std::time::Duration;

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{Consumer as _, StreamConsumer},
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Consumer,
    client::{self, Change, Rebalances},
};

/// How long the client may take for metadata.
const CLIENT_WAIT: Duration = Duration::from_secs(5);

impl Consumer {
    /// Assigns every partition of the topics at its end. False when it is time to end.
    pub(super) async fn assign_ends(
        &self,
        client: &StreamConsumer<Rebalances>,
        changes: &mpsc::UnboundedSender<Change>,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<bool> {
        loop {
            match self.ends(client) {
                Ok(ends) => {
                    client.assign(&ends)?;
                    let _ = changes.send(Change::Assigned(client::names(&ends)));
                    return Ok(true);
                }
                Err(error) => tracing::warn!(%error, "waiting for the broker"),
            }
            tokio::select! {
                () = tokio::time::sleep(self.backoff().first) => {}
                () = shutdown.cancelled() => return Ok(false),
            }
        }
    }

    fn ends(&self, client: &StreamConsumer<Rebalances>) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        for topic in &self.topics {
            let metadata = client.fetch_metadata(Some(topic), CLIENT_WAIT)?;
            let found = metadata.topics().iter().find(|found| found.name() == topic);
            let partitions = found
                .map(rdkafka::metadata::MetadataTopic::partitions)
                .unwrap_or_default();
            if partitions.is_empty() {
                return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic));
            }
            for partition in partitions {
                let (_, end) = client.fetch_watermarks(topic, partition.id(), CLIENT_WAIT)?;
                list.add_partition_offset(topic, partition.id(), Offset::Offset(end))?;
            }
        }
        Ok(list)
    }
}
