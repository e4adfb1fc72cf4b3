//! What the bus says about itself in numbers. Names are listed in docs/telemetry.md.

use hexcab_telemetry::metrics::{Counter, Gauge, KeyValue};

/// Seconds the oldest row waits that is not published.
pub static OUTBOX_AGE: Gauge = Gauge::new(
    "hexcab.outbox.age",
    "s",
    "how long the oldest unpublished event has waited",
);
/// Rows that are not published.
pub static OUTBOX_WAITING: Gauge = Gauge::new(
    "hexcab.outbox.waiting",
    "{event}",
    "unpublished events, counted up to 100,000",
);
/// 1 while an old partition of the outbox cannot be dropped.
pub static OUTBOX_HELD: Gauge = Gauge::new(
    "hexcab.outbox.held",
    "{partition}",
    "1 while a partition whose time is over is kept for events that are not published",
);
/// Events published from the outbox.
pub static RELAY_PUBLISHED: Counter = Counter::new(
    "hexcab.relay.published",
    "{event}",
    "events published from the outbox by type, repetitions included: the funnel of rides and their money",
);
/// Events that a consumer has before it.
pub static CONSUMER_LAG: Gauge = Gauge::new(
    "hexcab.consumer.lag",
    "{event}",
    "events that the broker has and the consumer has not handled",
);
/// 1 while a partition waits for a dependency.
pub static CONSUMER_PAUSED: Gauge = Gauge::new(
    "hexcab.consumer.paused",
    "{partition}",
    "1 while a partition waits for a dependency that is away",
);
/// Events put aside.
pub static DEAD_LETTERS: Counter = Counter::new(
    "hexcab.dlq.letters",
    "{event}",
    "events put aside as dead letters",
);

/// Of one database.
pub fn of_database(name: &str) -> KeyValue {
    KeyValue::new("db.namespace", name.to_owned())
}

/// Of one topic.
pub fn of_topic(name: &str) -> KeyValue {
    KeyValue::new("messaging.destination.name", name.to_owned())
}

/// Of one kind of event, such as `hexcab.trip.v1.OfferMade`.
pub fn of_kind(name: &str) -> KeyValue {
    KeyValue::new("hexcab.event.type", name.to_owned())
}

/// Of one consumer.
pub fn of_group(name: &str) -> KeyValue {
    KeyValue::new("messaging.consumer.group.name", name.to_owned())
}

/// Of one partition of one consumer.
pub fn of_partition(group: &str, topic: &str, partition: i32) -> [KeyValue; 3] {
    let number = KeyValue::new("messaging.destination.partition.id", partition.to_string());
    [of_group(group), of_topic(topic), number]
}
