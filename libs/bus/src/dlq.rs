//! Dead letters: events that could not be read or must not be retried, with their original bytes, origin and reason.

use hexcab_types::Timestamp;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};

use crate::{
    BusError, Producer,
    measures::{self, DEAD_LETTERS},
    topic,
};

/// Headers that a dead letter has beside the original ones.
pub const REASON: &str = "dlq_reason";
/// Which consumer group refused it.
pub const CONSUMER: &str = "dlq_consumer";
/// The topic it came from.
pub const TOPIC: &str = "dlq_topic";
/// `partition:offset` it came from.
pub const POSITION: &str = "dlq_position";
/// When it was put aside, city clock.
pub const TIME: &str = "dlq_time";

/// All of them.
pub const HEADERS: [&str; 5] = [REASON, CONSUMER, TOPIC, POSITION, TIME];

/// Puts a record aside in `<topic>.dlq`.
pub(crate) async fn put_aside(
    producer: &Producer,
    record: &BorrowedMessage<'_>,
    consumer: &str,
    reason: &str,
    at: Option<Timestamp>,
) -> Result<(), BusError> {
    let mut headers = OwnedHeaders::new();
    for header in record
        .headers()
        .into_iter()
        .flat_map(|headers| headers.iter())
    {
        headers = headers.insert(Header {
            key: header.key,
            value: header.value,
        });
    }
    let position = format!("{}:{}", record.partition(), record.offset());
    let time = at.map(|at| at.to_rfc3339()).unwrap_or_default();
    let own = [
        (REASON, reason),
        (CONSUMER, consumer),
        (TOPIC, record.topic()),
        (POSITION, &position),
        (TIME, &time),
    ];
    for (key, value) in own {
        headers = headers.insert(Header {
            key,
            value: Some(value),
        });
    }
    let to = topic::dead_letters(record.topic());
    producer
        .publish_raw(
            &to,
            record.key().unwrap_or_default(),
            record.payload().unwrap_or_default(),
            headers,
        )
        .await?;
    let of = [
        measures::of_group(consumer),
        measures::of_topic(record.topic()),
    ];
    DEAD_LETTERS.add(1, &of);
    Ok(())
}
