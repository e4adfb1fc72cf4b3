//! A tail: in no group, from the end of every partition on, whatever becomes of the broker.
//!
//! While the broker is away a tail holds no partition, so that nothing is read before it is known whose log it is. It goes
//! on where it was when the same cluster answers, and at the beginning when another one does: the embedded broker came
//! back empty, and what it lost is sent again. The handler is told, for what the others had all taken in is not.
//!
//! The client does not see to that itself (librdkafka 2.12): of a place at which it has read nothing it knows no leader
//! epoch, by which it would find the place invalid; and when it begins anew at the very offset at which it was assigned,
//! it goes on fetching at the old one, which the new log may have by then.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{Consumer as _, StreamConsumer},
    error::KafkaError,
    types::RDKafkaErrorCode,
};
use tokio_util::sync::CancellationToken;

use super::{
    Consumer, State,
    client::{self, Change, Client, Partition, Rebalances},
    positions::Positions,
};

/// How long the client may take for metadata.
const CLIENT_WAIT: Duration = Duration::from_secs(5);

/// Which end of a log.
#[derive(Debug, Clone, Copy)]
pub enum Edge {
    Beginning,
    End,
}

/// Where a tail goes on.
pub struct Tail {
    /// Whose log it is; none when the broker does not say.
    cluster: Option<String>,
    /// Where each partition goes on, as of when it was last assigned.
    places: TopicPartitionList,
    is_held: bool,
}

impl Tail {
    /// Whether its partitions are assigned. What comes nevertheless when they are not was fetched before.
    pub fn is_held(&self) -> bool {
        self.is_held
    }

    /// What it holds when the broker is there.
    pub fn partitions(&self) -> Vec<Partition> {
        client::names(&self.places)
    }

    /// The broker is away: holds nothing until it answers.
    pub fn let_go(&mut self, client: &StreamConsumer<Rebalances>) -> Result<(), KafkaError> {
        self.is_held = false;
        client.unassign()
    }

    fn hold(
        &mut self,
        client: &StreamConsumer<Rebalances>,
        positions: &Positions,
    ) -> Result<(), KafkaError> {
        for partition in self.partitions() {
            if let Some(next) = positions.next(&partition) {
                let (topic, number) = &partition;
                self.places
                    .set_partition_offset(topic, *number, Offset::Offset(next))?;
            }
        }
        client.assign(&self.places)?;
        // A partition may have been let go while it was paused.
        client.resume(&self.places)?;
        // By this its lag is measured: what came before is none.
        if let Err(error) = client.store_offsets(&self.places) {
            tracing::debug!(%error, "places not stored");
        }
        self.is_held = true;
        Ok(())
    }
}

impl Consumer {
    /// Assigns every partition of the topics at this end of its log; not when it is time to end.
    pub(super) async fn tail_from(
        &self,
        edge: Edge,
        client: &Client,
        state: &mut State,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<()> {
        loop {
            let (asked, topics) = (Arc::clone(client), self.topics.clone());
            // Asking the broker blocks its thread.
            let asking = tokio::task::spawn_blocking(move || find(&asked, &topics, edge));
            match asking.await.context("ask for the places")? {
                Ok(mut tail) => {
                    tail.hold(client, &Positions::default())?;
                    let assigned = Change::Assigned(tail.partitions());
                    state.tail = Some(tail);
                    self.on_change(client, assigned, state, shutdown).await;
                    return Ok(());
                }
                Err(error) => tracing::warn!(%error, "waiting for the broker"),
            }
            state.pulse.beat();
            tokio::select! {
                () = tokio::time::sleep(self.backoff().first) => {}
                () = shutdown.cancelled() => return Ok(()),
            }
        }
    }

    /// The broker that was away answers.
    pub(super) async fn on_answer(
        &self,
        client: &Client,
        state: &mut State,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<()> {
        if let Some(tail) = &mut state.tail {
            if tail.cluster != cluster(client) {
                tracing::warn!(
                    consumer = self.name,
                    "another broker answers: from the beginning"
                );
                return self
                    .tail_from(Edge::Beginning, client, state, shutdown)
                    .await;
            }
            tail.hold(client, &state.positions)?;
        }
        state.reach.found();
        Ok(())
    }
}

/// The name of the cluster that answered last. Blocks only before the first answer.
fn cluster(client: &StreamConsumer<Rebalances>) -> Option<String> {
    client.client().fetch_cluster_id(CLIENT_WAIT)
}

fn find(
    client: &StreamConsumer<Rebalances>,
    topics: &[String],
    edge: Edge,
) -> Result<Tail, KafkaError> {
    let mut partitions = Vec::new();
    for topic in topics {
        let metadata = client.fetch_metadata(Some(topic), CLIENT_WAIT)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let found = found
            .map(rdkafka::metadata::MetadataTopic::partitions)
            .unwrap_or_default();
        if found.is_empty() {
            return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic));
        }
        partitions.extend(found.iter().map(|partition| (topic, partition.id())));
    }
    // Before the places: when they are another cluster's already, that will be noticed.
    let cluster = cluster(client);
    let mut places = TopicPartitionList::new();
    for (topic, number) in partitions {
        // Asked for, even the beginning: the client remembers where the log of the broker before this one began.
        let (beginning, end) = client.fetch_watermarks(topic, number, CLIENT_WAIT)?;
        let place = match edge {
            Edge::Beginning => beginning,
            Edge::End => end,
        };
        places.add_partition_offset(topic, number, Offset::Offset(place))?;
    }
    Ok(Tail {
        cluster,
        places,
        is_held: false,
    })
}
