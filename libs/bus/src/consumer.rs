//! Hands events to a handler, one at a time per process, in order per partition, at least once.
//!
//! - done → the offset is stored (and committed within a second)
//! - [`Failure::Poison`] → `<topic>.dlq` at once, with the original bytes; then it counts as done
//! - [`Failure::Dependency`] → the partition is paused, backing off to 30 s, and begins again with the same event;
//!   nothing is lost, nothing overtakes, other partitions go on

use std::{collections::HashMap, ops::Deref, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::FutureExt as _;
use hexcab_chassis::Component;
use rdkafka::{
    ClientContext, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance, StreamConsumer},
    error::KafkaError,
    message::BorrowedMessage,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use crate::{BusConfig, Incoming, Producer, dlq};

/// Back-off of a partition whose dependency is away.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// How long the client may take for a seek or for metadata.
const CLIENT_WAIT: Duration = Duration::from_secs(5);

/// How long leaving the group may take at the end.
const CLOSE_WAIT: Duration = Duration::from_secs(3);

/// Why an event was not handled.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It can never be handled: put it aside.
    #[error("poison: {0}")]
    Poison(String),
    /// Something needed is away: try the same event again.
    #[error("dependency: {0:#}")]
    Dependency(anyhow::Error),
}

/// What a service does with events.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Handles one event; runs inside its consume span. The same event may come again.
    async fn handle(&self, event: &Incoming) -> Result<(), Failure>;

    /// These partitions (topic, number) are now this process's. Called before their first event.
    async fn assigned(&self, _partitions: &[(String, i32)]) -> Result<(), Failure> {
        Ok(())
    }

    /// These partitions are no longer this process's.
    async fn revoked(&self, _partitions: &[(String, i32)]) {}
}

/// A consumer of some topics.
pub struct Consumer {
    config: BusConfig,
    group: Option<String>,
    name: String,
    topics: Vec<String>,
    handler: Arc<dyn Handler>,
    component: Component,
}

enum Change {
    Assigned(Vec<(String, i32)>),
    Revoked(Vec<(String, i32)>),
}

struct Context(mpsc::UnboundedSender<Change>);

impl ClientContext for Context {}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(partitions) = rebalance {
            let _ = self.0.send(Change::Revoked(names(partitions)));
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance {
            let _ = self.0.send(Change::Assigned(names(partitions)));
        }
    }
}

fn names(partitions: &TopicPartitionList) -> Vec<(String, i32)> {
    partitions
        .elements()
        .iter()
        .map(|element| (element.topic().to_owned(), element.partition()))
        .collect()
}

/// Partitions whose dependency is away: how long the last pause was, and until when it lasts if it still does.
#[derive(Default)]
struct Paused(HashMap<(String, i32), Pause>);

struct Pause {
    wait: Duration,
    until: Option<Instant>,
}

impl Consumer {
    /// A member of a group: partitions are shared out among its members, offsets are kept.
    pub fn new(
        config: &BusConfig,
        group: &str,
        topics: &[&str],
        handler: Arc<dyn Handler>,
        component: Component,
    ) -> Self {
        Self::with(
            config,
            Some(group.to_owned()),
            group,
            topics,
            handler,
            component,
        )
    }

    /// Sees every event from now on, whatever other replicas see: for pushing to connected users.
    pub fn tail(
        config: &BusConfig,
        name: &str,
        topics: &[&str],
        handler: Arc<dyn Handler>,
        component: Component,
    ) -> Self {
        Self::with(config, None, name, topics, handler, component)
    }

    fn with(
        config: &BusConfig,
        group: Option<String>,
        name: &str,
        topics: &[&str],
        handler: Arc<dyn Handler>,
        component: Component,
    ) -> Self {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        Self {
            config: config.clone(),
            group,
            name: name.to_owned(),
            topics,
            handler,
            component,
        }
    }

    /// Consumes until shutdown.
    ///
    /// # Errors
    /// When the client cannot be made or has failed for good.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let (changes, mut changed) = mpsc::unbounded_channel();
        let producer = Producer::connect(&self.config)?;
        let group = self
            .group
            .clone()
            .unwrap_or_else(|| format!("{}-{}", self.name, uuid::Uuid::new_v4()));
        let client: StreamConsumer<Context> = self
            .config
            .consumer(&group)
            .create_with_context(Context(changes.clone()))?;
        let consumer = Held(Some(client));
        if self.group.is_some() {
            let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
            consumer.subscribe(&topics)?;
        } else if !self.assign_ends(&consumer, &changes, &shutdown).await? {
            return Ok(());
        }
        let mut paused = Paused::default();
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(change) = changed.recv() => self.on_change(&consumer, change, &mut paused).await,
                () = paused.next_due() => paused.resume_due(&consumer),
                record = consumer.recv() => match record {
                    Ok(record) => {
                        // A change that came with the record is told first.
                        while let Some(change) = changed.recv().now_or_never().flatten() {
                            self.on_change(&consumer, change, &mut paused).await;
                        }
                        self.on_record(&consumer, &producer, &record, &mut paused).await;
                    }
                    Err(error) => self.on_error(error)?,
                },
            }
        }
        self.component.set(false);
        consumer.close().await;
        Ok(())
    }

    /// Assigns every partition of the topics at its end. False when it is time to end.
    async fn assign_ends(
        &self,
        consumer: &StreamConsumer<Context>,
        changes: &mpsc::UnboundedSender<Change>,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<bool> {
        loop {
            match self.ends(consumer) {
                Ok(ends) => {
                    consumer.assign(&ends)?;
                    let _ = changes.send(Change::Assigned(names(&ends)));
                    return Ok(true);
                }
                Err(error) => tracing::warn!(%error, "waiting for the broker"),
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE.0) => {}
                () = shutdown.cancelled() => return Ok(false),
            }
        }
    }

    fn ends(&self, consumer: &StreamConsumer<Context>) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        for topic in &self.topics {
            let metadata = consumer.fetch_metadata(Some(topic), CLIENT_WAIT)?;
            let found = metadata.topics().iter().find(|found| found.name() == topic);
            let partitions = found
                .map(rdkafka::metadata::MetadataTopic::partitions)
                .unwrap_or_default();
            if partitions.is_empty() {
                return Err(KafkaError::MetadataFetch(
                    rdkafka::types::RDKafkaErrorCode::UnknownTopic,
                ));
            }
            for partition in partitions {
                let (_, end) = consumer.fetch_watermarks(topic, partition.id(), CLIENT_WAIT)?;
                list.add_partition_offset(topic, partition.id(), Offset::Offset(end))?;
            }
        }
        Ok(list)
    }

    async fn on_change(
        &self,
        consumer: &StreamConsumer<Context>,
        change: Change,
        paused: &mut Paused,
    ) {
        match change {
            Change::Assigned(partitions) => {
                tracing::info!(consumer = self.name, ?partitions, "partitions assigned");
                let mut wait = PAUSE.0;
                while let Err(error) = self.handler.assigned(&partitions).await {
                    tracing::warn!(consumer = self.name, %error, ?wait, "cannot take partitions yet");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(PAUSE.1);
                }
                self.component.set(true);
            }
            Change::Revoked(partitions) => {
                tracing::info!(consumer = self.name, ?partitions, "partitions revoked");
                paused.0.retain(|key, _| !partitions.contains(key));
                self.handler.revoked(&partitions).await;
            }
        }
        paused.resume_due(consumer);
    }

    async fn on_record(
        &self,
        consumer: &StreamConsumer<Context>,
        producer: &Producer,
        record: &BorrowedMessage<'_>,
        paused: &mut Paused,
    ) {
        let key = (record.topic().to_owned(), record.partition());
        if paused.is_paused(&key) {
            // Fetched before the pause took hold; the seek brings it again.
            return;
        }
        let outcome = match Incoming::read(record) {
            Ok(event) => {
                let span = self.span(&event);
                let outcome = self.handler.handle(&event).instrument(span.clone()).await;
                if let Err(failure) = &outcome {
                    span.in_scope(|| tracing::warn!(consumer = self.name, event.kind, id = %event.id, %failure, "event not handled"));
                }
                outcome.map_err(|failure| (failure, Some(event.time)))
            }
            Err(problem) => Err((Failure::Poison(problem), None)),
        };
        let outcome = match outcome {
            Err((Failure::Poison(reason), at)) => {
                dlq::put_aside(producer, record, &self.name, &reason, at)
                    .await
                    .map_err(|error| Failure::Dependency(error.into()))
            }
            Err((failure @ Failure::Dependency(_), _)) => Err(failure),
            Ok(()) => Ok(()),
        };
        match outcome {
            Ok(()) => {
                paused.0.remove(&key);
                if let Err(error) = consumer.store_offset_from_message(record) {
                    // The partition went to another member meanwhile: it will see the event again.
                    tracing::debug!(%error, "offset not stored");
                }
            }
            Err(failure) => {
                let wait = paused.pause(consumer, record, key);
                tracing::warn!(consumer = self.name, topic = record.topic(), partition = record.partition(), %failure, ?wait, "partition paused");
            }
        }
    }

    fn on_error(&self, error: KafkaError) -> anyhow::Result<()> {
        if let Some(rdkafka::types::RDKafkaErrorCode::Fatal) = error.rdkafka_error_code() {
            return Err(anyhow::Error::new(error).context("the consumer failed for good"));
        }
        tracing::debug!(consumer = self.name, %error, "consumer");
        Ok(())
    }

    /// A consumer span, child of the span that published the event, and linked to it.
    fn span(&self, event: &Incoming) -> Span {
        let Some(traceparent) = &event.traceparent else {
            return Span::none();
        };
        let span = tracing::info_span!(
            parent: None,
            "bus.consume",
            otel.name = format!("process {}", event.topic),
            otel.kind = "consumer",
            messaging.system = "kafka",
            messaging.operation.name = "process",
            messaging.operation.type = "process",
            messaging.destination.name = event.topic,
            messaging.destination.partition.id = event.partition,
            messaging.consumer.group.name = self.name,
            messaging.message.id = %event.id,
            messaging.kafka.offset = event.offset,
            hexcab.event = event.kind,
            hexcab.subject = event.subject,
        );
        hexcab_telemetry::set_parent(&span, traceparent);
        hexcab_telemetry::add_link(&span, traceparent);
        span
    }
}

/// The client, closed on a thread of its own: closing commits and leaves the group, and blocks for as long as the broker
/// does not answer.
struct Held(Option<StreamConsumer<Context>>);

impl Deref for Held {
    type Target = StreamConsumer<Context>;
    fn deref(&self) -> &Self::Target {
        self.0.as_ref().expect("held until it is dropped")
    }
}

impl Held {
    async fn close(mut self) {
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

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            std::thread::spawn(move || drop(client));
        }
    }
}

impl Paused {
    /// Pauses the record's partition, to begin again with this record. Returns for how long.
    fn pause(
        &mut self,
        consumer: &StreamConsumer<Context>,
        record: &BorrowedMessage<'_>,
        key: (String, i32),
    ) -> Duration {
        let mut list = TopicPartitionList::new();
        list.add_partition(record.topic(), record.partition());
        let moved = consumer.pause(&list).and_then(|()| {
            consumer.seek(
                record.topic(),
                record.partition(),
                Offset::Offset(record.offset()),
                CLIENT_WAIT,
            )
        });
        if let Err(error) = moved {
            // Revoked meanwhile: whoever has it now begins at the stored offset.
            tracing::warn!(%error, "could not pause");
        }
        let wait = self
            .0
            .get(&key)
            .map_or(PAUSE.0, |last| (last.wait * 2).min(PAUSE.1));
        self.0.insert(
            key,
            Pause {
                wait,
                until: Some(Instant::now() + wait),
            },
        );
        wait
    }

    fn is_paused(&self, key: &(String, i32)) -> bool {
        self.0.get(key).is_some_and(|pause| pause.until.is_some())
    }

    /// Waits until the next pause is over; for ever when there is none.
    async fn next_due(&self) {
        match self.0.values().filter_map(|pause| pause.until).min() {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    }

    /// Lets the partitions go on whose pause is over.
    fn resume_due(&mut self, consumer: &StreamConsumer<Context>) {
        let now = Instant::now();
        for ((topic, partition), pause) in &mut self.0 {
            if pause.until.is_some_and(|until| until <= now) {
                pause.until = None;
                let mut list = TopicPartitionList::new();
                list.add_partition(topic, *partition);
                if let Err(error) = consumer.resume(&list) {
                    tracing::debug!(%error, "partition not resumed: it went to another");
                }
            }
        }
    }
}
