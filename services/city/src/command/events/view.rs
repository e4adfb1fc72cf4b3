//! How an event looks: a line with its trace and what it says for eyes, or a JSON object for tools.
//!
//! Does not: hide anything: what cannot be read is shown as its bytes, in hex.

use hexcab_bus::dlq;
use serde_json::{Map, Value, json};

use super::{decode::decode, kafka::Record};

/// How much of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// A line.
    Brief,
    /// A line, and a second one with the payload.
    Lines,
    /// One JSON object with everything.
    Json,
}

/// The event, without the last line's end.
pub fn event(record: &Record, look: Look) -> String {
    match look {
        Look::Brief => line(record),
        Look::Lines => format!("{}\n    {}", line(record), payload(record)),
        Look::Json => json(record).to_string(),
    }
}

/// Time, type, subject, trace, place.
fn line(record: &Record) -> String {
    let [time, kind, subject] = ["ce_time", "ce_type", "ce_subject"].map(|key| record.header(key));
    let place = record.position();
    format!(
        "{time:<32} {kind:<34} {subject:<44} trace {} {place}",
        trace(record).unwrap_or_else(|| "-".to_owned())
    )
}

fn trace(record: &Record) -> Option<String> {
    let traceparent = record.header("traceparent");
    hexcab_telemetry::trace_id(&traceparent).map(str::to_owned)
}

/// The payload on one line.
fn payload(record: &Record) -> String {
    match decode(&record.header("ce_type"), &record.payload) {
        Ok(read) => read.to_string(),
        Err(unread) => format!("{unread}; bytes {}", hex::encode(&record.payload)),
    }
}

fn json(record: &Record) -> Value {
    let mut all = Map::new();
    all.insert("topic".into(), json!(record.topic));
    all.insert("partition".into(), json!(record.partition));
    all.insert("offset".into(), json!(record.offset));
    all.insert("key".into(), json!(record.key_text()));
    let headers: Map<String, Value> = record
        .headers
        .iter()
        .map(|(key, _)| (key.clone(), json!(record.header(key))))
        .collect();
    all.insert("trace".into(), json!(trace(record)));
    all.insert("headers".into(), Value::Object(headers));
    match decode(&record.header("ce_type"), &record.payload) {
        Ok(read) => all.insert("payload".into(), read),
        Err(unread) => {
            all.insert("unread".into(), json!(unread.to_string()));
            all.insert("bytes".into(), json!(hex::encode(&record.payload)))
        }
    };
    Value::Object(all)
}

/// A dead letter, whole: why it is one, what it was, what it says, its bytes.
pub fn letter(record: &Record) -> String {
    let mut lines = vec![record.position()];
    let mut say = |name: &str, value: &str| {
        if !value.is_empty() {
            lines.push(format!("  {name:<14} {value}"));
        }
    };
    say("reason", &record.header(dlq::REASON));
    say("refused by", &record.header(dlq::CONSUMER));
    let from = format!(
        "{}:{}",
        record.header(dlq::TOPIC),
        record.header(dlq::POSITION)
    );
    say("came from", &from);
    say("key", &record.key_text());
    say("trace", &trace(record).unwrap_or_default());
    let own = dlq::HEADERS;
    for (key, _) in record
        .headers
        .iter()
        .filter(|(key, _)| !own.contains(&key.as_str()))
    {
        say(key, &record.header(key));
    }
    match decode(&record.header("ce_type"), &record.payload) {
        Ok(read) => say("says", &format!("{read:#}").replace('\n', "\n  ")),
        Err(unread) => say("unread", &unread.to_string()),
    }
    let size = format!("{} in hex", record.payload.len());
    say(
        "bytes",
        &format!("{size}: {}", hex::encode(&record.payload)),
    );
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use hexcab_bus::topic;
    use hexcab_proto::dispatch::v1::DecisionMade;
    use prost::Message as _;

    use super::*;

    fn record(kind: &str, payload: Vec<u8>) -> Record {
        let headers = [
            ("ce_id", "7"),
            ("ce_type", kind),
            ("ce_subject", "trips/1"),
            ("ce_time", "2008-05-31T00:00:00+00:00"),
            (
                "traceparent",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ),
        ];
        Record {
            topic: topic::DISPATCH.into(),
            partition: 0,
            offset: 5,
            key: b"k".to_vec(),
            payload,
            headers: headers
                .map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()))
                .to_vec(),
        }
    }

    fn decision() -> Record {
        let decision = DecisionMade {
            city: "sf".into(),
            ..DecisionMade::default()
        };
        record("hexcab.dispatch.v1.DecisionMade", decision.encode_to_vec())
    }

    #[test]
    fn an_event_is_a_line_with_its_trace_and_a_line_with_what_it_says() {
        let text = event(&decision(), Look::Lines);
        let lines: Vec<&str> = text.lines().collect();
        for part in [
            "2008-05-31T00:00:00+00:00",
            "hexcab.dispatch.v1.DecisionMade",
            "trips/1",
            "trace 0af7651916cd43dd8448eb211c80319c",
            "hexcab.dispatch.v1:0:5",
        ] {
            assert!(lines[0].contains(part), "{part} in {text}");
        }
        assert_eq!(lines[1].trim(), r#"{"city":"sf"}"#);
        assert_eq!(event(&decision(), Look::Brief), lines[0]);
    }

    #[test]
    fn an_event_is_one_object_for_tools() {
        let text = event(&decision(), Look::Json);
        assert_eq!(text.lines().count(), 1);
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["payload"], json!({"city": "sf"}));
        assert_eq!(read["trace"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(read["headers"]["ce_subject"], "trips/1");
        assert_eq!((&read["offset"], &read["key"]), (&json!(5), &json!("k")));
    }

    #[test]
    fn what_cannot_be_read_is_shown_as_its_bytes() {
        let odd = record("org.example.Thing", vec![0xca, 0xfe]);
        let lines = event(&odd, Look::Lines);
        assert!(
            lines.contains("\"org.example.Thing\" is no type"),
            "{lines}"
        );
        assert!(lines.ends_with("bytes cafe"), "{lines}");
        let read: Value = serde_json::from_str(&event(&odd, Look::Json)).unwrap();
        assert_eq!(read["bytes"], "cafe");
        assert!(letter(&odd).contains("2 in hex: cafe"));
        let bare = Record {
            headers: Vec::new(),
            ..odd
        };
        assert!(event(&bare, Look::Brief).contains("trace -"));
    }
}
