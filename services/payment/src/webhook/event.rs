//! What a webhook is about: a payment, or a dispute. Nothing else of it is believed, so nothing else is read.

use hexcab_types::Timestamp;
use serde::Deserialize;

/// A hint that something happened at the processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The processor's id of the event.
    pub id: String,
    /// Such as `payment_intent.succeeded`.
    pub kind: String,
    /// What to look at.
    pub about: About,
    /// By the processor's clock.
    pub created_at: Timestamp,
}

/// What to look at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// A payment, by its id at the processor.
    Payment(String),
    /// A dispute, by its id there.
    Dispute(String),
}

impl About {
    /// As it stands in columns.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Payment(_) => "payment",
            Self::Dispute(_) => "dispute",
        }
    }

    /// The id at the processor.
    pub fn object(&self) -> &str {
        match self {
            Self::Payment(id) | Self::Dispute(id) => id,
        }
    }

    /// What columns say.
    pub fn parse(about: &str, object: String) -> Option<Self> {
        match about {
            "payment" => Some(Self::Payment(object)),
            "dispute" => Some(Self::Dispute(object)),
            _ => None,
        }
    }
}

/// A signed body that is no event.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// Not the JSON of an event.
    #[error("no event")]
    Json(#[from] serde_json::Error),
    /// An id that could not be one.
    #[error("{0:?} is no id")]
    Id(String),
}

#[derive(Debug, Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    created: i64,
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Data {
    object: Object,
}

#[derive(Debug, Deserialize)]
struct Object {
    id: Option<String>,
    payment_intent: Option<String>,
}

/// Reads the body of a webhook. None when it is about nothing of ours.
///
/// # Errors
/// When it is no event.
pub fn read(body: &[u8]) -> Result<Option<Hint>, Malformed> {
    let event: Event = serde_json::from_slice(body)?;
    let object = event.data.object;
    let (area, _) = event.kind.split_once('.').unwrap_or((&event.kind, ""));
    let about = match area {
        "payment_intent" => object.id.map(About::Payment),
        "charge" if event.kind.starts_with("charge.dispute.") => object.id.map(About::Dispute),
        "charge" | "refund" => object.payment_intent.map(About::Payment),
        _ => None,
    };
    let Some(about) = about else { return Ok(None) };
    for id in [about.object(), &event.id] {
        if !is_id(id) {
            return Err(Malformed::Id(id.to_owned()));
        }
    }
    Ok(Some(Hint {
        id: event.id,
        kind: event.kind,
        about,
        created_at: Timestamp::from_timestamp(event.created, 0).unwrap_or_default(),
    }))
}

/// Ids become parts of URLs and rows.
fn is_id(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(kind: &str, object: Value) -> Result<Option<Hint>, Malformed> {
        let body = json!({"id": "evt_1", "type": kind, "created": 5, "data": {"object": object}});
        read(body.to_string().as_bytes())
    }

    #[test]
    fn every_kind_says_what_to_look_at() {
        let payment = About::Payment("pi_1".into());
        let of_charge = || json!({"id": "ch_1", "payment_intent": "pi_1"});
        for (kind, object, expected) in [
            (
                "payment_intent.succeeded",
                json!({"id": "pi_1"}),
                Some(payment.clone()),
            ),
            (
                "payment_intent.brand_new",
                json!({"id": "pi_1"}),
                Some(payment.clone()),
            ),
            ("charge.refunded", of_charge(), Some(payment.clone())),
            ("charge.expired", of_charge(), Some(payment.clone())),
            (
                "refund.failed",
                json!({"id": "re_1", "payment_intent": "pi_1"}),
                Some(payment),
            ),
            (
                "charge.refunded",
                json!({"id": "ch_1", "payment_intent": null}),
                None,
            ),
            (
                "charge.dispute.created",
                json!({"id": "dp_1", "payment_intent": "pi_1"}),
                Some(About::Dispute("dp_1".into())),
            ),
            ("customer.created", json!({"id": "cus_1"}), None),
            ("invoice.paid", json!({"payment_intent": "pi_1"}), None),
        ] {
            let about = event(kind, object).unwrap().map(|hint| hint.about);
            assert_eq!(about, expected, "{kind}");
        }
    }

    #[test]
    fn what_is_no_event_is_malformed() {
        assert!(read(b"{}").is_err());
        assert!(read(b"\xff").is_err());
        for id in ["", "../balance", "pi_1?expand", "pi 1"] {
            let read = event("payment_intent.succeeded", json!({"id": id}));
            assert!(matches!(read, Err(Malformed::Id(_))), "{id:?}");
        }
    }
}
