//! Stripe's JSON, as far as we read it, and its meaning in the port's words.
//!
//! Invariant: what is not understood is a failure, or [`PaymentStatus::Open`]; never a guess.

use std::collections::HashMap;

use hexcab_types::{Currency, Money, Timestamp};
use serde::Deserialize;

use super::{
    Dispute as DisputeOf, DisputeStatus, Failure, Label, Page, Payment, PaymentStatus,
    Refund as RefundOf, RefundStatus,
};
use crate::domain::ProcessorId;

type Metadata = HashMap<String, String>;

/// A PaymentIntent.
#[derive(Debug, Deserialize)]
pub struct PaymentIntent {
    id: String,
    status: String,
    amount: i64,
    currency: String,
    created: i64,
    #[serde(default)]
    amount_received: i64,
    #[serde(default)]
    metadata: Metadata,
    last_payment_error: Option<ApiError>,
    latest_charge: Option<Expandable<Charge>>,
}

/// A Refund.
#[derive(Debug, Deserialize)]
pub struct Refund {
    id: String,
    amount: i64,
    currency: String,
    created: i64,
    status: Option<String>,
    failure_reason: Option<String>,
    payment_intent: Option<Expandable<Id>>,
    metadata: Option<Metadata>,
}

/// A Dispute.
#[derive(Debug, Deserialize)]
pub struct Dispute {
    id: String,
    amount: i64,
    currency: String,
    created: i64,
    status: String,
    reason: String,
    payment_intent: Option<Expandable<Id>>,
}

/// A reference: the id, or with `expand[]` the object itself.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Expandable<T> {
    /// Not expanded.
    Id(String),
    /// Expanded.
    Object(Box<T>),
}

/// Any object, as far as its id.
#[derive(Debug, Deserialize)]
pub struct Id {
    id: String,
}

/// The charge that a PaymentIntent made.
#[derive(Debug, Deserialize)]
pub struct Charge {
    payment_method_details: Option<MethodDetails>,
}

/// How it was paid.
#[derive(Debug, Deserialize)]
struct MethodDetails {
    card: Option<Card>,
}

#[derive(Debug, Deserialize)]
struct Card {
    incremental_authorization: Option<Feature>,
}

#[derive(Debug, Deserialize)]
struct Feature {
    status: String,
}

/// A page.
#[derive(Debug, Deserialize)]
pub struct List<W> {
    /// Newest first.
    pub data: Vec<W>,
    #[serde(default)]
    has_more: bool,
}

/// What stands on pages.
pub trait Listed<T> {
    /// Where the page after it begins.
    fn id(&self) -> &str;
    /// What it says; none when it is in a currency that this build does not know.
    fn item(self) -> Option<T>;
}

/// The body of every error.
#[derive(Debug, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ApiError,
}

/// What went wrong.
#[derive(Debug, Deserialize)]
pub struct ApiError {
    code: Option<String>,
    decline_code: Option<String>,
    message: Option<String>,
}

impl ApiError {
    /// The most exact code there is.
    pub fn code(&self) -> String {
        let code = self.decline_code.as_ref().or(self.code.as_ref());
        code.map_or_else(|| "card_declined".to_owned(), Clone::clone)
    }

    /// For a log line.
    pub fn describe(&self) -> String {
        let (code, message) = (
            self.code.as_deref().unwrap_or("-"),
            self.message.as_deref().unwrap_or("-"),
        );
        format!("{code}: {message}")
    }
}

impl PaymentIntent {
    fn status(&self) -> PaymentStatus {
        match self.status.as_str() {
            "requires_capture" => PaymentStatus::Held,
            "succeeded" => PaymentStatus::Captured {
                amount_minor: self.amount_received,
            },
            "canceled" => PaymentStatus::Canceled,
            "requires_payment_method" => PaymentStatus::Declined {
                code: self
                    .last_payment_error
                    .as_ref()
                    .map_or_else(|| "card_declined".to_owned(), ApiError::code),
            },
            status => PaymentStatus::Open {
                status: status.to_owned(),
            },
        }
    }

    fn raisable(&self) -> bool {
        let feature = match &self.latest_charge {
            Some(Expandable::Object(charge)) => charge
                .payment_method_details
                .as_ref()
                .and_then(|details| details.card.as_ref())
                .and_then(|card| card.incremental_authorization.as_ref()),
            Some(Expandable::Id(_)) | None => None,
        };
        self.status == "requires_capture"
            && feature.is_some_and(|feature| feature.status == "available")
    }
}

impl TryFrom<PaymentIntent> for Payment {
    type Error = Failure;
    fn try_from(body: PaymentIntent) -> Result<Self, Failure> {
        Ok(Self {
            status: body.status(),
            amount: money(body.amount, &body.currency)?,
            raisable: body.raisable(),
            label: label(&body.metadata),
            created_at: time(body.created)?,
            id: ProcessorId(body.id),
        })
    }
}

impl TryFrom<Refund> for RefundOf {
    type Error = Failure;
    fn try_from(body: Refund) -> Result<Self, Failure> {
        let status = match body.status.as_deref() {
            Some("succeeded") => RefundStatus::Succeeded,
            Some(ended @ ("failed" | "canceled")) => RefundStatus::Failed {
                reason: body.failure_reason.unwrap_or_else(|| ended.to_owned()),
            },
            // `pending`, `requires_action` and what may come: under way.
            Some(_) | None => RefundStatus::Pending,
        };
        Ok(Self {
            id: body.id,
            payment: body.payment_intent.map(ProcessorId::from),
            amount: money(body.amount, &body.currency)?,
            status,
            label: body.metadata.as_ref().and_then(label),
            created_at: time(body.created)?,
        })
    }
}

impl TryFrom<Dispute> for DisputeOf {
    type Error = Failure;
    fn try_from(body: Dispute) -> Result<Self, Failure> {
        let status = match body.status.as_str() {
            "won" => DisputeStatus::Won,
            "lost" => DisputeStatus::Lost,
            "needs_response" | "under_review" => DisputeStatus::Open,
            // No money has moved, or none will: `warning_…`, `prevented`.
            status if status.starts_with("warning_") || status == "prevented" => {
                DisputeStatus::Inquiry
            }
            status => {
                let why = format!("dispute {} has status {status:?}", body.id);
                return Err(Failure::Rejected(why));
            }
        };
        Ok(Self {
            id: body.id,
            payment: body.payment_intent.map(ProcessorId::from),
            amount: money(body.amount, &body.currency)?,
            status,
            reason: body.reason,
            created_at: time(body.created)?,
        })
    }
}

impl From<Expandable<Id>> for ProcessorId {
    fn from(reference: Expandable<Id>) -> Self {
        match reference {
            Expandable::Id(id) => Self(id),
            Expandable::Object(object) => Self(object.id),
        }
    }
}

macro_rules! listed {
    ($wire:ty, $item:ty) => {
        impl Listed<$item> for $wire {
            fn id(&self) -> &str {
                &self.id
            }
            fn item(self) -> Option<$item> {
                let id = self.id.clone();
                match self.try_into() {
                    Ok(item) => Some(item),
                    Err(failure) => {
                        let failure: Failure = failure;
                        tracing::debug!(id, %failure, "left out of a list");
                        None
                    }
                }
            }
        }
    };
}
listed!(PaymentIntent, Payment);
listed!(Refund, RefundOf);
listed!(Dispute, DisputeOf);

impl<W: Listed<T>, T> From<List<W>> for Page<T> {
    fn from(list: List<W>) -> Self {
        let next = list.data.last().map(|last| last.id().to_owned());
        Self {
            next: next.filter(|_| list.has_more),
            items: list.data.into_iter().filter_map(Listed::item).collect(),
        }
    }
}

fn money(minor: i64, currency: &str) -> Result<Money, Failure> {
    let code = currency.to_ascii_uppercase();
    let currency: Currency = code
        .parse()
        .map_err(|_| Failure::Rejected(format!("an amount in {code:?}, which is not known")))?;
    Ok(Money::new(minor, currency))
}

fn time(seconds: i64) -> Result<Timestamp, Failure> {
    Timestamp::from_timestamp(seconds, 0)
        .ok_or_else(|| Failure::Rejected(format!("created at {seconds}, which is no time")))
}

fn label(metadata: &Metadata) -> Option<Label> {
    Some(Label {
        intent: metadata.get("intent")?.parse().ok()?,
        key: metadata.get("key")?.clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn payment(change: impl FnOnce(&mut Value)) -> Result<Payment, Failure> {
        let mut body = json!({"id": "pi_1", "status": "requires_capture", "amount": 2000, "currency": "usd",
            "created": 1_700_000_000, "metadata": {"intent": "00000000-0000-0000-0000-000000000007", "key": "k"},
            "latest_charge": {"payment_method_details": {"card": {"incremental_authorization": {"status": "available"}}}}});
        change(&mut body);
        serde_json::from_value::<PaymentIntent>(body)
            .unwrap()
            .try_into()
    }

    #[test]
    fn a_payment_says_what_it_is_whose_it_is_and_what_can_be_done() {
        let held = payment(|_| {}).unwrap();
        assert_eq!(held.status, PaymentStatus::Held);
        assert_eq!(held.amount, Money::new(2_000, Currency::Usd));
        assert_eq!(held.label.unwrap().key, "k");
        assert!(held.raisable);
        for (status, expected) in [
            ("canceled", PaymentStatus::Canceled),
            ("succeeded", PaymentStatus::Captured { amount_minor: 0 }),
            (
                "processing",
                PaymentStatus::Open {
                    status: "processing".into(),
                },
            ),
        ] {
            let read = payment(|body| body["status"] = status.into()).unwrap();
            assert_eq!(read.status, expected);
            assert!(!read.raisable, "{status}");
        }
        let plain = payment(|body| body["latest_charge"] = "ch_1".into()).unwrap();
        assert!(!plain.raisable, "not known to be");
    }

    #[test]
    fn what_others_made_has_no_label() {
        for metadata in [
            json!({}),
            json!({"intent": "x", "key": "k"}),
            json!({"key": "k"}),
        ] {
            assert_eq!(
                payment(|body| body["metadata"] = metadata).unwrap().label,
                None
            );
        }
    }

    #[test]
    fn a_page_goes_on_after_its_last_item_even_if_that_is_left_out() {
        let body = |id: &str, currency: &str| {
            json!({"id": id, "amount": 5, "currency": currency, "created": 1,
                "status": "succeeded", "payment_intent": "pi_1"})
        };
        let list = json!({"data": [body("re_2", "usd"), body("re_1", "xau")], "has_more": true});
        let page: Page<RefundOf> = serde_json::from_value::<List<Refund>>(list).unwrap().into();
        assert_eq!((page.items.len(), page.next.as_deref()), (1, Some("re_1")));
    }

    #[test]
    fn a_status_of_a_dispute_that_is_not_known_is_no_guess() {
        let read = |status: &str| {
            let body = json!({"id": "dp_1", "amount": 5, "currency": "usd", "created": 1, "status": status,
                "reason": "general", "payment_intent": {"id": "pi_1"}});
            DisputeOf::try_from(serde_json::from_value::<Dispute>(body).unwrap())
        };
        assert_eq!(
            read("warning_closed").unwrap().status,
            DisputeStatus::Inquiry
        );
        assert_eq!(
            read("lost").unwrap().payment,
            Some(ProcessorId("pi_1".into()))
        );
        assert!(matches!(read("brand_new"), Err(Failure::Rejected(_))));
    }
}
