//! Form fields → what is asked of the sandbox.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::answer::{Answer, ErrorType};

/// What callers attach to a payment: `metadata[trip]=…`.
pub type Metadata = BTreeMap<String, String>;

/// The kinds of mutation, for fault rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Create and confirm: a hold.
    Create,
    /// Take it.
    Capture,
    /// Give it back.
    Cancel,
}

/// A mutation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// `POST /v1/payment_intents`
    Create(NewPayment),
    /// `POST /v1/payment_intents/{id}/capture`
    Capture {
        /// Which payment.
        id: String,
        /// Minor units; the whole when absent.
        amount: Option<i64>,
    },
    /// `POST /v1/payment_intents/{id}/cancel`
    Cancel {
        /// Which payment.
        id: String,
    },
}

/// A hold to be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPayment {
    /// Minor units, more than zero.
    pub amount: i64,
    /// ISO 4217 in lower case.
    pub currency: String,
    /// Such as `pm_card_visa`; `pm_card_declined` and the like are refused.
    pub payment_method: String,
    /// What the caller attached.
    pub metadata: Metadata,
    /// Why it is to be refused, when it is.
    pub decline: Option<String>,
}

impl Operation {
    /// Its kind.
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Create(_) => Verb::Create,
            Self::Capture { .. } => Verb::Capture,
            Self::Cancel { .. } => Verb::Cancel,
        }
    }

    /// Reads the fields of a create. Only manual capture, confirmed at once: what a hold is.
    ///
    /// # Errors
    /// 400 naming the field.
    pub fn create(fields: &[(String, String)]) -> Result<Self, Answer> {
        let currency = required(fields, "currency")?.to_ascii_lowercase();
        if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Err(invalid("currency", "must be a three-letter ISO code"));
        }
        if field(fields, "capture_method") != Some("manual") {
            return Err(invalid(
                "capture_method",
                "this sandbox holds only: must be manual",
            ));
        }
        if field(fields, "confirm") != Some("true") {
            return Err(invalid(
                "confirm",
                "this sandbox confirms at once: must be true",
            ));
        }
        let payment_method = required(fields, "payment_method")?.to_owned();
        let decline = decline_of(&payment_method);
        let amount = amount(fields, "amount")?.ok_or_else(|| invalid("amount", "is required"))?;
        Ok(Self::Create(NewPayment {
            amount,
            currency,
            payment_method,
            metadata: metadata(fields),
            decline,
        }))
    }

    /// Reads the fields of a capture.
    ///
    /// # Errors
    /// 400 naming the field.
    pub fn capture(id: String, fields: &[(String, String)]) -> Result<Self, Answer> {
        Ok(Self::Capture {
            id,
            amount: amount(fields, "amount_to_capture")?,
        })
    }
}

/// What tells one request from another under the same idempotency key.
pub fn fingerprint(path: &str, fields: &[(String, String)]) -> String {
    let mut sorted = fields.to_vec();
    sorted.sort();
    let mut hash = Sha256::new();
    for text in std::iter::once(path).chain(
        sorted
            .iter()
            .flat_map(|(name, value)| [name.as_str(), value.as_str()]),
    ) {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hex::encode(hash.finalize())
}

/// The metadata asked for by a search query: `metadata['trip']:'…' AND metadata['rider']:'…'`.
///
/// # Errors
/// 400 when it is anything else.
pub fn search(query: &str) -> Result<Metadata, Answer> {
    let clauses = query.split(" AND ").map(|clause| {
        let (key, value) = clause.trim().strip_prefix("metadata[")?.split_once("]:")?;
        Some((unquote(key)?.to_owned(), unquote(value)?.to_owned()))
    });
    clauses
        .collect::<Option<Metadata>>()
        .ok_or_else(|| invalid("query", "only metadata['key']:'value' AND … is known"))
}

fn unquote(text: &str) -> Option<&str> {
    let quote = |mark: char| {
        text.strip_prefix(mark)
            .and_then(|rest| rest.strip_suffix(mark))
    };
    quote('\'').or_else(|| quote('"'))
}

/// Stripe's test cards that are refused, by name.
fn decline_of(payment_method: &str) -> Option<String> {
    let rest = payment_method.strip_prefix("pm_card_")?;
    match rest {
        "declined" | "chargeDeclined" | "visa_chargeDeclined" => Some("generic_decline".to_owned()),
        "chargeDeclinedInsufficientFunds" | "visa_chargeDeclinedInsufficientFunds" => {
            Some("insufficient_funds".to_owned())
        }
        _ => None,
    }
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

fn required<'a>(fields: &'a [(String, String)], name: &str) -> Result<&'a str, Answer> {
    field(fields, name)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| invalid(name, "is required"))
}

fn amount(fields: &[(String, String)], name: &str) -> Result<Option<i64>, Answer> {
    let Some(text) = field(fields, name) else {
        return Ok(None);
    };
    let amount = text.parse::<i64>().ok().filter(|amount| *amount > 0);
    amount.map(Some).ok_or_else(|| {
        invalid(
            name,
            "must be a positive integer in the currency's minor unit",
        )
    })
}

fn metadata(fields: &[(String, String)]) -> Metadata {
    let entry = |(name, value): &(String, String)| {
        let key = name.strip_prefix("metadata[")?.strip_suffix(']')?;
        Some((key.to_owned(), value.clone()))
    };
    fields.iter().filter_map(entry).collect()
}

fn invalid(field: &str, problem: &str) -> Answer {
    Answer::error(
        400,
        ErrorType::InvalidRequest,
        "parameter_invalid",
        format!("{field}: {problem}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    const HOLD: [(&str, &str); 6] = [
        ("amount", "2000"),
        ("currency", "USD"),
        ("capture_method", "manual"),
        ("confirm", "true"),
        ("payment_method", "pm_card_visa"),
        ("metadata[trip]", "t1"),
    ];

    #[test]
    fn a_hold_is_read() {
        let expected = NewPayment {
            amount: 2_000,
            currency: "usd".into(),
            payment_method: "pm_card_visa".into(),
            metadata: Metadata::from([("trip".into(), "t1".into())]),
            decline: None,
        };
        assert_eq!(
            Operation::create(&fields(&HOLD)),
            Ok(Operation::Create(expected))
        );
    }

    #[test]
    fn a_hold_without_any_of_its_fields_is_refused() {
        for missing in 0..5 {
            let mut pairs = HOLD.to_vec();
            let (name, _) = pairs.remove(missing);
            let answer = Operation::create(&fields(&pairs)).unwrap_err();
            assert!(
                answer.status == 400 && answer.body.to_string().contains(name),
                "{answer:?}"
            );
        }
    }

    #[test]
    fn amounts_that_are_none_are_refused() {
        for bad in ["0", "-1", "1.5", "", "99999999999999999999"] {
            assert!(
                Operation::capture("pi".into(), &fields(&[("amount_to_capture", bad)])).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_fingerprint_knows_every_field_but_not_their_order() {
        let (one, mut two) = (fields(&HOLD), fields(&HOLD));
        two.reverse();
        assert_eq!(fingerprint("/a", &one), fingerprint("/a", &two));
        assert_ne!(fingerprint("/a", &one), fingerprint("/b", &one));
        two[0].1.push('x');
        assert_ne!(fingerprint("/a", &one), fingerprint("/a", &two));
    }

    #[test]
    fn a_search_is_read() {
        let expected = Metadata::from([("a".into(), "1".into()), ("b".into(), "2".into())]);
        assert_eq!(
            search(r#"metadata['a']:'1' AND metadata["b"]:"2""#),
            Ok(expected)
        );
        assert!(search("status:'succeeded'").is_err());
    }
}
