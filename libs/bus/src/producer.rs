//! Publishing: idempotent, acknowledged by all replicas.
//!
//! An idempotent client that met a fatal error (such as losing its producer id) never publishes again: the [`Producer`]
//! then makes itself a new one. Does not send again what failed: the caller knows whether that still matters.

use std::{sync::Arc, time::Duration};

use hexcab_types::EventId;
use parking_lot::RwLock;
use rdkafka::{
    error::KafkaError,
    producer::{FutureProducer, FutureRecord, Producer as _},
    types::RDKafkaErrorCode,
};
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use crate::{
    BusConfig, Outgoing,
    event::{self, Record},
};

/// How long a full queue may make a caller wait.
const QUEUE_WAIT: Duration = Duration::from_secs(5);

/// Why an event was not published.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The broker did not take it in time; it may be tried again.
    #[error("publish to {topic}")]
    NotPublished {
        /// Where it was to go.
        topic: String,
        /// What Kafka said.
        #[source]
        source: KafkaError,
    },
    /// The client could not be made, or had failed for good; in the second case the next event goes to a new one.
    #[error("kafka client")]
    Client(#[source] KafkaError),
}

/// A producer; clones share its connections.
#[derive(Clone)]
pub struct Producer {
    shared: Arc<Shared>,
}

struct Shared {
    config: BusConfig,
    client: RwLock<Arc<FutureProducer>>,
}

impl Producer {
    /// A producer. Nothing is connected before the first event.
    ///
    /// # Errors
    /// When the settings are refused.
    pub fn connect(config: &BusConfig) -> Result<Self, BusError> {
        let shared = Shared {
            config: config.clone(),
            client: RwLock::new(create(config)?),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Publishes an event with an id of its own and waits until the broker has it.
    ///
    /// # Errors
    /// When the broker did not take it.
    pub async fn publish(&self, event: Outgoing) -> Result<(), BusError> {
        self.enqueue(Uuid::now_v7().into(), event.record())?.await
    }

    /// Queues an event under the id it already has; the future ends when the broker has it. Events queued in turn stay
    /// in order.
    pub(crate) fn enqueue(
        &self,
        id: EventId,
        event: Record<'_>,
    ) -> Result<impl Future<Output = Result<(), BusError>> + Send + use<>, BusError> {
        let span = span(event, id);
        // Without a span of its own (none is exported) the event stays in its trace all the same.
        let own = hexcab_telemetry::traceparent_of(&span);
        let headers = event::headers(event, id, own.as_deref().or(event.traceparent));
        let record = FutureRecord::to(event.topic)
            .key(event.key)
            .payload(event.payload)
            .headers(headers);
        let topic = event.topic.to_owned();
        let client = self.client();
        let delivery = match client.send_result(record) {
            Ok(delivery) => delivery,
            Err((source, _)) => return Err(self.failed(&client, topic, source)),
        };
        let producer = self.clone();
        let delivered = async move {
            match delivery.await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err((source, _))) => Err(producer.failed(&client, topic, source)),
                Err(_) => Err(BusError::NotPublished {
                    topic,
                    source: KafkaError::Canceled,
                }),
            }
        };
        Ok(delivered.instrument(span))
    }

    fn client(&self) -> Arc<FutureProducer> {
        self.shared.client.read().clone()
    }

    /// What a failure of `client` means; replaces the client when it was its last.
    fn failed(&self, client: &Arc<FutureProducer>, topic: String, source: KafkaError) -> BusError {
        match client.client().fatal_error() {
            Some((code, text)) => {
                self.replace(client, code, &text);
                BusError::Client(source)
            }
            None => BusError::NotPublished { topic, source },
        }
    }

    fn replace(&self, failed: &Arc<FutureProducer>, code: RDKafkaErrorCode, text: &str) {
        let mut current = self.shared.client.write();
        if !Arc::ptr_eq(&current, failed) {
            // Another event of the failed client was here first.
            return;
        }
        tracing::error!(?code, text, "the producer failed for good and is replaced");
        match create(&self.shared.config) {
            Ok(fresh) => *current = fresh,
            // The next failure tries again.
            Err(error) => tracing::error!(%error, "the producer is not replaced"),
        }
    }

    /// Publishes raw bytes with the given headers: for dead letters.
    pub(crate) async fn publish_raw(
        &self,
        topic: &str,
        key: &[u8],
        payload: &[u8],
        headers: rdkafka::message::OwnedHeaders,
    ) -> Result<(), BusError> {
        let record = FutureRecord::to(topic)
            .key(key)
            .payload(payload)
            .headers(headers);
        let client = self.client();
        let sent = client.send(record, QUEUE_WAIT).await;
        sent.map(|_| ())
            .map_err(|(source, _)| self.failed(&client, topic.to_owned(), source))
    }

    /// Waits until everything that was queued has been sent, at most this long.
    pub async fn flush(&self, patience: Duration) {
        let client = self.client();
        // The client's flush blocks its thread.
        let _ = tokio::task::spawn_blocking(move || client.flush(patience)).await;
    }
}

fn create(config: &BusConfig) -> Result<Arc<FutureProducer>, BusError> {
    let client = config.producer().create().map_err(BusError::Client)?;
    Ok(Arc::new(client))
}

/// A producer span in the event's trace. An event without a trace has no span: it belongs to no ride.
fn span(event: Record<'_>, id: EventId) -> Span {
    let Some(traceparent) = event.traceparent else {
        return Span::none();
    };
    let span = tracing::info_span!(
        parent: None,
        "bus.publish",
        otel.name = format!("send {}", event.topic),
        otel.kind = "producer",
        messaging.system = "kafka",
        messaging.operation.name = "send",
        messaging.operation.type = "send",
        messaging.destination.name = event.topic,
        messaging.message.id = %id,
        messaging.kafka.message.key = event.key,
        hexcab.event = event.kind,
        hexcab.subject = event.subject,
    );
    hexcab_telemetry::set_parent(&span, traceparent);
    span
}
