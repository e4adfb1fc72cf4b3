//! What an event's payload says: read by its `ce_type`, with the descriptors of `proto/`, into JSON.
//!
//! A type that is part of an envelope's `oneof event` (`hexcab.trip.v1.OfferMade` of `TripEvent`) is read as that envelope,
//! any other as itself. Invariant: an event that says one type and holds another is not shown as if it were in order.

use std::sync::LazyLock;

use prost_reflect::{
    DescriptorPool, DynamicMessage, Kind, MessageDescriptor, OneofDescriptor, SerializeOptions,
};
use serde_json::Value;

/// The oneof of an envelope that holds what happened.
const ONEOF: &str = "event";

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(hexcab_proto::FILE_DESCRIPTOR_SET)
        .expect("the descriptors are compiled with the code")
});

/// A payload that cannot be shown as a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// No proto of ours has this type.
    #[error("{0:?} is no type of an event that this hexcab knows")]
    UnknownType(String),
    /// The bytes are none of that type.
    #[error("not a {message}: {problem}")]
    Garbled {
        /// What they should be.
        message: String,
        /// Why they are not.
        problem: String,
    },
}

/// The message, as JSON with the names of the proto. 64-bit integers are strings, as protobuf's JSON has them.
///
/// # Errors
/// When the type is unknown or the bytes are not of it.
pub fn decode(kind: &str, payload: &[u8]) -> Result<Value, Unread> {
    let unknown = || Unread::UnknownType(kind.to_owned());
    let told = POOL.get_message_by_name(kind).ok_or_else(unknown)?;
    let envelope = envelope_of(&told);
    let message = envelope
        .as_ref()
        .map_or_else(|| told.clone(), |oneof| oneof.parent_message().clone());
    let garbled = |problem: String| Unread::Garbled {
        message: message.full_name().to_owned(),
        problem,
    };
    let read = DynamicMessage::decode(message.clone(), payload)
        .map_err(|error| garbled(error.to_string()))?;
    if let Some(oneof) = &envelope {
        holds(&read, oneof, &told).map_err(garbled)?;
    }
    let options = SerializeOptions::new().use_proto_field_name(true);
    read.serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|error| garbled(error.to_string()))
}

/// The oneof that has this type as one of its cases.
fn envelope_of(told: &MessageDescriptor) -> Option<OneofDescriptor> {
    POOL.all_messages()
        .filter(|message| message.package_name() == told.package_name())
        .flat_map(|message| message.oneofs().collect::<Vec<_>>())
        .find(|oneof| {
            oneof.name() == ONEOF && oneof.fields().any(|field| is_of(&field.kind(), told))
        })
}

fn holds(
    read: &DynamicMessage,
    oneof: &OneofDescriptor,
    told: &MessageDescriptor,
) -> Result<(), String> {
    let Some(set) = oneof.fields().find(|field| read.has_field(field)) else {
        return Err(format!("it says {}, and holds nothing", told.name()));
    };
    if is_of(&set.kind(), told) {
        Ok(())
    } else {
        Err(format!("it says {}, and holds {}", told.name(), set.name()))
    }
}

fn is_of(kind: &Kind, message: &MessageDescriptor) -> bool {
    kind.as_message() == Some(message)
}

#[cfg(test)]
mod tests {
    use hexcab_proto::{
        location::v1::{SupplyCell, SupplyCounted},
        trip::v1::{OfferMade, TripEvent, trip_event::Event},
    };
    use prost::Message as _;
    use prost_reflect::Value as Field;
    use serde_json::json;

    use super::*;

    fn offer_made() -> Vec<u8> {
        let event = Event::OfferMade(OfferMade {
            driver: "drivers/1".into(),
            epoch: 2,
        });
        TripEvent {
            trip: "trips/7".into(),
            version: 3,
            event: Some(event),
            ..TripEvent::default()
        }
        .encode_to_vec()
    }

    #[test]
    fn an_event_of_an_envelope_is_read_as_the_envelope() {
        let read = decode("hexcab.trip.v1.OfferMade", &offer_made()).unwrap();
        let offer = json!({"driver": "drivers/1", "epoch": 2});
        assert_eq!(
            read,
            json!({"trip": "trips/7", "version": "3", "offer_made": offer})
        );
    }

    #[test]
    fn an_event_that_is_a_message_of_its_own_is_read_as_itself() {
        let counted = SupplyCounted {
            city: "sf".into(),
            occur_time: Some(prost_types::Timestamp {
                seconds: 1,
                nanos: 0,
            }),
            cells: vec![SupplyCell {
                cell: u64::MAX,
                available: 4,
            }],
        };
        let read = decode("hexcab.location.v1.SupplyCounted", &counted.encode_to_vec()).unwrap();
        let cell = json!({"cell": u64::MAX.to_string(), "available": 4});
        assert_eq!(
            read,
            json!({"city": "sf", "occur_time": "1970-01-01T00:00:01Z", "cells": [cell]})
        );
    }

    /// Whatever services come to tell: every case of every envelope can be read, and only under its own name.
    #[test]
    fn every_case_of_every_envelope_is_read_under_its_own_name_only() {
        let mut cases = 0;
        for message in POOL.all_messages() {
            let Some(oneof) = message.oneofs().find(|oneof| oneof.name() == ONEOF) else {
                continue;
            };
            for field in oneof.fields() {
                let kind = field.kind();
                let told = kind.as_message().unwrap();
                let mut event = DynamicMessage::new(message.clone());
                event.set_field(&field, Field::Message(DynamicMessage::new(told.clone())));
                let payload = event.encode_to_vec();
                let read = decode(told.full_name(), &payload).unwrap();
                assert_eq!(read, json!({field.name(): {}}), "{}", told.full_name());
                for other in oneof.fields().filter(|other| *other != field) {
                    let other = other.kind().as_message().unwrap().full_name().to_owned();
                    let problem = decode(&other, &payload).unwrap_err().to_string();
                    assert!(problem.contains("and holds"), "{problem}");
                }
                cases += 1;
            }
        }
        assert!(cases >= 15, "{cases}");
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let unknown = decode("hexcab.trip.v1.TripTeleported", b"x").unwrap_err();
        assert!(
            unknown.to_string().contains("no type of an event"),
            "{unknown}"
        );
        let garbled = decode("hexcab.trip.v1.OfferMade", &[0xff; 3]).unwrap_err();
        assert!(
            garbled
                .to_string()
                .starts_with("not a hexcab.trip.v1.TripEvent: "),
            "{garbled}"
        );
        let empty = decode("hexcab.trip.v1.OfferMade", b"").unwrap_err();
        assert!(empty.to_string().contains("holds nothing"), "{empty}");
    }
}
