//! An event on its way out and on its way in.

use bytes::Bytes;
use hexcab_types::{EventId, Timestamp};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use uuid::Uuid;

/// An event to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// See [`crate::topic`].
    pub topic: &'static str,
    /// Events of one key stay in order.
    pub key: String,
    /// `ce_type`, such as `hexcab.trip.v1.OfferMade`.
    pub kind: String,
    /// `ce_source`: the service.
    pub source: &'static str,
    /// `ce_subject`: the resource name of what it is about.
    pub subject: String,
    /// `ce_time`: when it happened, city clock.
    pub time: Timestamp,
    /// Protobuf.
    pub payload: Vec<u8>,
    /// The trace it belongs to: see `hexcab_telemetry::current_traceparent`.
    pub traceparent: Option<String>,
}

/// The same, borrowed from wherever it is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub topic: &'a str,
    pub key: &'a str,
    pub kind: &'a str,
    pub source: &'a str,
    pub subject: &'a str,
    pub time: Timestamp,
    pub payload: &'a [u8],
    pub traceparent: Option<&'a str>,
}

impl Outgoing {
    pub(crate) fn record(&self) -> Record<'_> {
        Record {
            topic: self.topic,
            key: &self.key,
            kind: &self.kind,
            source: self.source,
            subject: &self.subject,
            time: self.time,
            payload: &self.payload,
            traceparent: self.traceparent.as_deref(),
        }
    }
}

/// An event as it came.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Where it came from.
    pub topic: String,
    /// Where it came from.
    pub partition: i32,
    /// Where it came from.
    pub offset: i64,
    /// The record's key.
    pub key: String,
    /// `ce_id`: the same for every delivery of one event.
    pub id: EventId,
    /// `ce_type`.
    pub kind: String,
    /// `ce_source`.
    pub source: String,
    /// `ce_subject`.
    pub subject: String,
    /// `ce_time`.
    pub time: Timestamp,
    /// The context of the span that published it.
    pub traceparent: Option<String>,
    /// Protobuf.
    pub payload: Bytes,
}

impl Incoming {
    /// Reads the payload.
    ///
    /// # Errors
    /// [`crate::Failure::Poison`] when it is not such a message.
    pub fn decode<M: prost::Message + Default>(&self) -> Result<M, crate::Failure> {
        M::decode(self.payload.clone())
            .map_err(|error| crate::Failure::Poison(format!("payload: {error}")))
    }

    /// Reads a record. What cannot be read is poison.
    pub(crate) fn read(record: &rdkafka::message::BorrowedMessage<'_>) -> Result<Self, String> {
        let text =
            |name: &str| header(record, name).ok_or_else(|| format!("header {name} is missing"));
        let id: Uuid = text("ce_id")?
            .parse()
            .map_err(|error| format!("header ce_id: {error}"))?;
        let time = text("ce_time")?;
        let time = time
            .parse::<Timestamp>()
            .map_err(|error| format!("header ce_time {time:?}: {error}"))?;
        Ok(Self {
            topic: record.topic().to_owned(),
            partition: record.partition(),
            offset: record.offset(),
            key: String::from_utf8_lossy(record.key().unwrap_or_default()).into_owned(),
            id: id.into(),
            kind: text("ce_type")?,
            source: text("ce_source")?,
            subject: text(SUBJECT)?,
            time,
            traceparent: header(record, "traceparent"),
            payload: Bytes::copy_from_slice(record.payload().unwrap_or_default()),
        })
    }
}

/// The header of what an event is about.
pub(crate) const SUBJECT: &str = "ce_subject";

/// A header's text, if it has one.
pub(crate) fn header(record: &rdkafka::message::BorrowedMessage<'_>, name: &str) -> Option<String> {
    let headers = record.headers()?;
    let found = headers.iter().find(|header| header.key == name)?;
    std::str::from_utf8(found.value?).ok().map(str::to_owned)
}

/// CloudEvents 1.0 headers in binary mode (Kafka protocol binding 1.0.2), and the trace.
pub(crate) fn headers(event: Record<'_>, id: EventId, traceparent: Option<&str>) -> OwnedHeaders {
    let (id, time) = (id.to_string(), event.time.to_rfc3339());
    let mut headers = OwnedHeaders::new_with_capacity(8);
    let all = [
        ("ce_specversion", "1.0"),
        ("ce_id", &id),
        ("ce_type", event.kind),
        ("ce_source", event.source),
        (SUBJECT, event.subject),
        ("ce_time", &time),
        ("content-type", "application/protobuf"),
    ];
    for (key, value) in all {
        headers = headers.insert(Header {
            key,
            value: Some(value),
        });
    }
    match traceparent {
        Some(value) => headers.insert(Header {
            key: "traceparent",
            value: Some(value),
        }),
        None => headers,
    }
}
