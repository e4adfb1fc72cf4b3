//! Form fields → what is asked of the sandbox.
//!
//! - [`fields`] single fields, and what Stripe says of wrong ones
//!
//! Does not: know what is in the book.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::answer::Answer;

pub mod fields;

use fields::{Fields, amount, field, invalid, metadata, required};

/// What callers attach to a payment or refund: `metadata[trip]=…`.
pub type Metadata = BTreeMap<String, String>;

/// The kinds of request, for fault rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Create and confirm with manual capture: a hold.
    Create,
    /// Create and confirm with automatic capture: a charge without a hold.
    Charge,
    /// Raise a hold.
    Raise,
    /// Take it.
    Capture,
    /// Give it back.
    Cancel,
    /// Give back what was taken.
    Refund,
    /// Any question. A rule must name it: rules without a verb are for mutations.
    Read,
    /// A webhook on its way out.
    Webhook,
}

/// A mutation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// `POST /v1/payment_intents`
    Create(NewPayment),
    /// `POST /v1/payment_intents/{id}/increment_authorization`
    Raise {
        /// Which payment.
        id: String,
        /// The new total, minor units.
        amount: i64,
        /// Why it is to be refused, when it is.
        decline: Option<String>,
    },
    /// `POST /v1/payment_intents/{id}/capture`
    Capture {
        /// Which payment.
        id: String,
        /// Minor units; the whole when absent.
        amount: Option<i64>,
        /// Why it is to fail, when it is.
        decline: Option<String>,
    },
    /// `POST /v1/payment_intents/{id}/cancel`
    Cancel {
        /// Which payment.
        id: String,
        /// Why.
        reason: Option<String>,
    },
    /// `POST /v1/refunds`
    Refund(NewRefund),
}

/// A payment to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPayment {
    /// Minor units, more than zero.
    pub amount: i64,
    /// ISO 4217 in lower case.
    pub currency: String,
    /// Such as `pm_card_visa`; `pm_card_declined` and the like are refused.
    pub payment_method: String,
    /// Held, to be captured later; otherwise taken at once.
    pub manual: bool,
    /// Whether the hold may be raised later.
    pub raisable: bool,
    /// What the caller attached.
    pub metadata: Metadata,
    /// Why it is to be refused, when it is.
    pub decline: Option<String>,
}

/// A refund to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRefund {
    /// Of which payment.
    pub payment: String,
    /// Minor units; what is left when absent.
    pub amount: Option<i64>,
    /// Why.
    pub reason: Option<String>,
    /// What the caller attached.
    pub metadata: Metadata,
    /// Why it is to fail, when it is.
    pub failure: Option<String>,
}

/// Cards that cannot raise a hold.
const NOT_RAISABLE: [&str; 1] = ["pm_card_amex"];

impl Operation {
    /// Its kind.
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Create(new) if new.manual => Verb::Create,
            Self::Create(_) => Verb::Charge,
            Self::Raise { .. } => Verb::Raise,
            Self::Capture { .. } => Verb::Capture,
            Self::Cancel { .. } => Verb::Cancel,
            Self::Refund(_) => Verb::Refund,
        }
    }

    /// The payment it is about; none for one that is to be made.
    pub fn payment(&self) -> Option<&str> {
        match self {
            Self::Create(_) => None,
            Self::Raise { id, .. } | Self::Capture { id, .. } | Self::Cancel { id, .. } => Some(id),
            Self::Refund(new) => Some(&new.payment),
        }
    }

    /// Makes it fail with this code. Cancels are not affected.
    pub fn refuse(&mut self, code: &str) {
        let code = Some(code.to_owned());
        match self {
            Self::Create(new) => new.decline = code,
            Self::Raise { decline, .. } | Self::Capture { decline, .. } => *decline = code,
            Self::Refund(new) => new.failure = code,
            Self::Cancel { .. } => {}
        }
    }

    /// Reads the fields of a create. Confirmed at once: nobody is there to do it later.
    ///
    /// # Errors
    /// 400 naming the field.
    pub fn create(fields: &Fields) -> Result<Self, Answer> {
        let currency = required(fields, "currency")?.to_ascii_lowercase();
        if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Err(invalid("currency", "must be a three-letter ISO code"));
        }
        let manual = match field(fields, "capture_method") {
            Some("manual") => true,
            Some("automatic" | "automatic_async") => false,
            Some(_) | None => {
                return Err(invalid("capture_method", "must be manual or automatic"));
            }
        };
        if field(fields, "confirm") != Some("true") {
            return Err(invalid(
                "confirm",
                "this sandbox confirms at once: must be true",
            ));
        }
        let payment_method = required(fields, "payment_method")?.to_owned();
        let asked = field(
            fields,
            "payment_method_options[card][request_incremental_authorization]",
        );
        Ok(Self::Create(NewPayment {
            amount: amount(fields, "amount")?.ok_or_else(|| invalid("amount", "is required"))?,
            currency,
            manual,
            raisable: manual
                && asked == Some("if_available")
                && !NOT_RAISABLE.contains(&payment_method.as_str()),
            metadata: metadata(fields),
            decline: decline_of(&payment_method),
            payment_method,
        }))
    }

    /// Reads the fields of a raise.
    ///
    /// # Errors
    /// 400 naming the field.
    pub fn raise(id: String, fields: &Fields) -> Result<Self, Answer> {
        let amount = amount(fields, "amount")?.ok_or_else(|| invalid("amount", "is required"))?;
        Ok(Self::Raise {
            id,
            amount,
            decline: None,
        })
    }

    /// Reads the fields of a capture.
    ///
    /// # Errors
    /// 400 naming the field.
    pub fn capture(id: String, fields: &Fields) -> Result<Self, Answer> {
        Ok(Self::Capture {
            id,
            amount: amount(fields, "amount_to_capture")?,
            decline: None,
        })
    }

    /// Reads the fields of a cancel.
    pub fn cancel(id: String, fields: &Fields) -> Self {
        let reason = field(fields, "cancellation_reason").map(ToOwned::to_owned);
        Self::Cancel { id, reason }
    }

    /// Reads the fields of a refund.
    ///
    /// # Errors
    /// 400 naming the field.
    pub fn refund(fields: &Fields) -> Result<Self, Answer> {
        Ok(Self::Refund(NewRefund {
            payment: required(fields, "payment_intent")?.to_owned(),
            amount: amount(fields, "amount")?,
            reason: field(fields, "reason").map(ToOwned::to_owned),
            metadata: metadata(fields),
            failure: None,
        }))
    }
}

/// What tells one request from another under the same idempotency key.
pub fn fingerprint(path: &str, fields: &Fields) -> String {
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
            manual: true,
            raisable: false,
            metadata: Metadata::from([("trip".into(), "t1".into())]),
            decline: None,
        };
        let read = Operation::create(&fields(&HOLD)).unwrap();
        assert_eq!(read.verb(), Verb::Create);
        assert_eq!(read, Operation::Create(expected));
    }

    #[test]
    fn a_charge_is_a_payment_that_is_captured_at_once() {
        let mut pairs = HOLD.to_vec();
        pairs[2].1 = "automatic";
        let read = Operation::create(&fields(&pairs)).unwrap();
        assert_eq!(read.verb(), Verb::Charge);
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
    fn a_hold_can_be_raised_if_that_was_asked_for_and_the_card_can() {
        let raisable = |card: &'static str, asked: &'static str| {
            let mut pairs = HOLD.to_vec();
            pairs[4].1 = card;
            pairs.push((
                "payment_method_options[card][request_incremental_authorization]",
                asked,
            ));
            let Operation::Create(new) = Operation::create(&fields(&pairs)).unwrap() else {
                panic!("a hold is not what was made of {pairs:?}");
            };
            new.raisable
        };
        assert!(raisable("pm_card_visa", "if_available"));
        assert!(!raisable("pm_card_visa", "never"));
        assert!(!raisable("pm_card_amex", "if_available"));
    }

    #[test]
    fn amounts_that_are_none_are_refused() {
        for bad in ["0", "-1", "1.5", "", "99999999999999999999"] {
            let of = |name| fields(&[("payment_intent", "pi"), (name, bad)]);
            assert!(
                Operation::capture("pi".into(), &of("amount_to_capture")).is_err(),
                "{bad}"
            );
            assert!(
                Operation::raise("pi".into(), &of("amount")).is_err(),
                "{bad}"
            );
            assert!(Operation::refund(&of("amount")).is_err(), "{bad}");
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
}
