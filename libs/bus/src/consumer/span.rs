//! The span of a consumed event.

use tracing::Span;

use crate::Incoming;

/// A consumer span, child of the span that published the event, and linked to it. An event without a trace has none.
pub fn consume(consumer: &str, event: &Incoming) -> Span {
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
        messaging.consumer.group.name = consumer,
        messaging.message.id = %event.id,
        messaging.kafka.offset = event.offset,
        hexcab.event = event.kind,
        hexcab.subject = event.subject,
    );
    hexcab_telemetry::set_parent(&span, traceparent);
    hexcab_telemetry::add_link(&span, traceparent);
    span
}
