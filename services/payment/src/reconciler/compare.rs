//! Whether what we know of a payment, its refunds and its disputes is what the processor says.
//!
//! Invariants: what is in flight is no mismatch, whatever the processor says; money that the processor has and we do not
//! know of is always one; what fits today was not "nearly" right: amounts are equal or differ.
//! Does not: read anything. Both sides are given as they were at one time.

use std::fmt;

use hexcab_types::{Currency, IntentId, Money};

use super::finding::{Finding, Kind, Subject};
use crate::processor::{Dispute, DisputeStatus, Payment, PaymentStatus, Refund, RefundStatus};

/// What we know of one intent's money at the processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ours {
    /// Whose.
    pub intent: IntentId,
    /// Of all its amounts.
    pub currency: Currency,
    /// Whether a step is outstanding: what the processor says may be ahead of us.
    pub busy: bool,
    /// The hold, and charges beside it.
    pub payments: Vec<OurPayment>,
    /// Refunds of any of them.
    pub refunds: Vec<OurRefund>,
    /// Disputes of any of them.
    pub disputes: Vec<OurDispute>,
}

/// A payment as we know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OurPayment {
    /// The processor's id, once it said so.
    pub id: Option<String>,
    /// The key of the step that made it.
    pub key: String,
    /// What it must be.
    pub is: Is,
}

/// What a payment must be at the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Is {
    /// On hold: so many minor units.
    Held(i64),
    /// Taken: so many minor units.
    Taken(i64),
    /// Given back.
    GivenBack,
    /// Refused, at the beginning or the end: no money of it is on hold or taken.
    Refused,
    /// Never asked for, or not known to have been made.
    Nothing,
    /// Asked for, and not answered.
    Open,
}

/// A refund as we know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OurRefund {
    /// The processor's id, once it said so.
    pub id: Option<String>,
    /// Of which payment there.
    pub payment: String,
    /// The key of the step that made it.
    pub key: String,
    /// Minor units.
    pub amount: i64,
    /// Whether it was given back; none while that is not known.
    pub done: Option<bool>,
}

/// A dispute as we know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OurDispute {
    /// The processor's id.
    pub id: String,
    /// Minor units.
    pub amount: i64,
    /// Open, won or lost.
    pub status: DisputeStatus,
}

impl fmt::Display for Is {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(minor) => write!(f, "held {minor}"),
            Self::Taken(minor) => write!(f, "taken {minor}"),
            Self::GivenBack => f.write_str("given back"),
            Self::Refused => f.write_str("refused"),
            Self::Nothing => f.write_str("nothing"),
            Self::Open => f.write_str("not answered"),
        }
    }
}

/// What of a payment does not fit. `ours` is the intent that it belongs to, if we know one.
pub fn payment(ours: Option<&Ours>, theirs: &Payment) -> Option<Finding> {
    let known = ours.and_then(|ours| known(ours, theirs));
    let is = match (&theirs.label, known) {
        // Not made by us, and not taken for ours: somebody else's business with the same processor.
        (None, None) => return None,
        (_, Some(known)) => known.is,
        (Some(_), None) => Is::Nothing,
    };
    let kind = differs(is, theirs, ours.map(|ours| ours.currency))?;
    Some(Finding {
        kind,
        subject: Subject::Payment(theirs.id.0.clone()),
        intent: ours
            .map(|ours| ours.intent)
            .or_else(|| theirs.label.as_ref().map(|label| label.intent)),
        ours: is.to_string(),
        theirs: said(theirs),
    })
}

/// A payment of ours that the processor does not have.
pub fn missing_payment(ours: &Ours, id: &str) -> Option<Finding> {
    let payment = ours
        .payments
        .iter()
        .find(|payment| payment.id.as_deref() == Some(id))?;
    Some(Finding {
        kind: Kind::MissingThere,
        subject: Subject::Payment(id.to_owned()),
        intent: Some(ours.intent),
        ours: payment.is.to_string(),
        theirs: "nothing".to_owned(),
    })
}

/// The payment of ours that this is: by its id, or by its key where the processor's answer got lost and the step ended
/// otherwise.
fn known<'a>(ours: &'a Ours, theirs: &Payment) -> Option<&'a OurPayment> {
    let by_id = ours
        .payments
        .iter()
        .find(|payment| payment.id.as_deref() == Some(theirs.id.0.as_str()));
    let key = theirs.label.as_ref().map(|label| label.key.as_str());
    by_id.or_else(|| {
        ours.payments
            .iter()
            .find(|payment| payment.id.is_none() && key == Some(payment.key.as_str()))
    })
}

fn differs(is: Is, theirs: &Payment, currency: Option<Currency>) -> Option<Kind> {
    let amount = |ours: i64, theirs_minor: i64| {
        let same = ours == theirs_minor && currency == Some(theirs.amount.currency);
        (!same).then_some(Kind::AmountDiffers)
    };
    match (is, &theirs.status) {
        (Is::Open, _) => None,
        (Is::Held(minor), PaymentStatus::Held) => amount(minor, theirs.amount.minor),
        (Is::Taken(minor), PaymentStatus::Captured { amount_minor }) => {
            amount(minor, *amount_minor)
        }
        (Is::GivenBack, PaymentStatus::Canceled)
        | (Is::Refused, PaymentStatus::Declined { .. } | PaymentStatus::Canceled)
        | (
            Is::Nothing,
            PaymentStatus::Declined { .. } | PaymentStatus::Canceled | PaymentStatus::Open { .. },
        ) => None,
        (Is::Nothing, PaymentStatus::Held | PaymentStatus::Captured { .. }) => {
            Some(Kind::MissingHere)
        }
        (
            Is::Held(_),
            PaymentStatus::Captured { .. }
            | PaymentStatus::Canceled
            | PaymentStatus::Declined { .. }
            | PaymentStatus::Open { .. },
        )
        | (
            Is::Taken(_),
            PaymentStatus::Held
            | PaymentStatus::Canceled
            | PaymentStatus::Declined { .. }
            | PaymentStatus::Open { .. },
        )
        | (
            Is::GivenBack,
            PaymentStatus::Held
            | PaymentStatus::Captured { .. }
            | PaymentStatus::Declined { .. }
            | PaymentStatus::Open { .. },
        )
        | (
            Is::Refused,
            PaymentStatus::Held | PaymentStatus::Captured { .. } | PaymentStatus::Open { .. },
        ) => Some(Kind::StateDiffers),
    }
}

fn said(theirs: &Payment) -> String {
    let currency = theirs.amount.currency;
    match &theirs.status {
        PaymentStatus::Held => format!("held {}", theirs.amount),
        PaymentStatus::Captured { amount_minor } => {
            format!("taken {}", Money::new(*amount_minor, currency))
        }
        PaymentStatus::Canceled => "given back".to_owned(),
        PaymentStatus::Declined { code } => format!("refused: {code}"),
        PaymentStatus::Open { status } => status.clone(),
    }
}

/// What of a payment's refunds does not fit. `payment` is as the processor says it, and `theirs` all its refunds there.
pub fn refunds(ours: Option<&Ours>, payment: &Payment, theirs: &[Refund]) -> Vec<Finding> {
    let id = &payment.id.0;
    let known = |ours: &Ours| ours.payments.iter().any(|own| own.id.as_ref() == Some(id));
    if payment.label.is_none() && !ours.is_some_and(known) {
        return Vec::new(); // Somebody else's.
    }
    let own: Vec<&OurRefund> = ours
        .into_iter()
        .flat_map(|ours| &ours.refunds)
        .filter(|refund| refund.payment == *id)
        .collect();
    let intent = ours
        .map(|ours| ours.intent)
        .or_else(|| payment.label.as_ref().map(|label| label.intent));
    let finding = |kind, refund: &str, ours: String, theirs: String| Finding {
        kind,
        subject: Subject::Refund {
            id: refund.to_owned(),
            payment: id.clone(),
        },
        intent,
        ours,
        theirs,
    };
    let mut found = Vec::new();
    for refund in theirs {
        let same = own.iter().find(|own| is_same(own, refund));
        let (kind, ours) = match (same, gave(refund)) {
            (Some(own), gave) => match differs_refund(own, refund, gave) {
                Some(kind) => (kind, own.to_string()),
                None => continue,
            },
            (None, true) if !is_release(payment, refund) => {
                (Kind::MissingHere, "nothing".to_owned())
            }
            (None, true | false) => continue,
        };
        found.push(finding(kind, &refund.id, ours, said_refund(refund)));
    }
    for own in own {
        let there = theirs.iter().any(|refund| is_same(own, refund));
        if own.done == Some(true) && !there {
            let id = own.id.as_deref().unwrap_or(&own.key);
            found.push(finding(
                Kind::MissingThere,
                id,
                own.to_string(),
                "nothing".to_owned(),
            ));
        }
    }
    found
}

fn is_same(own: &OurRefund, theirs: &Refund) -> bool {
    let key = theirs.label.as_ref().map(|label| label.key.as_str());
    match &own.id {
        Some(id) => *id == theirs.id,
        None => key == Some(own.key.as_str()),
    }
}

fn differs_refund(own: &OurRefund, theirs: &Refund, gave: bool) -> Option<Kind> {
    match own.done {
        None => None,
        Some(done) if done != gave => Some(Kind::StateDiffers),
        Some(_) => (own.amount != theirs.amount.minor).then_some(Kind::AmountDiffers),
    }
}

/// Whether the rider has the money, or will.
const fn gave(refund: &Refund) -> bool {
    match refund.status {
        RefundStatus::Pending | RefundStatus::Succeeded => true,
        RefundStatus::Failed { .. } => false,
    }
}

/// A capture of less than was held gives back the rest, and some processors show that as a refund of their own.
fn is_release(payment: &Payment, refund: &Refund) -> bool {
    match payment.status {
        PaymentStatus::Captured { amount_minor } => {
            refund.label.is_none() && refund.amount.minor == payment.amount.minor - amount_minor
        }
        PaymentStatus::Canceled => refund.label.is_none(),
        PaymentStatus::Held | PaymentStatus::Declined { .. } | PaymentStatus::Open { .. } => false,
    }
}

impl fmt::Display for OurRefund {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.done {
            Some(true) => "given back",
            Some(false) => "refused",
            None => "not answered",
        };
        write!(f, "{state} {}", self.amount)
    }
}

fn said_refund(refund: &Refund) -> String {
    match &refund.status {
        RefundStatus::Pending => format!("on its way back {}", refund.amount),
        RefundStatus::Succeeded => format!("given back {}", refund.amount),
        RefundStatus::Failed { reason } => format!("failed {}: {reason}", refund.amount),
    }
}

/// What of a dispute does not fit. `theirs` is none when the processor does not know it.
pub fn dispute(ours: Option<&Ours>, id: &str, theirs: Option<&Dispute>) -> Option<Finding> {
    let known = ours.and_then(|ours| ours.disputes.iter().find(|dispute| dispute.id == id));
    let kind = match (known, theirs) {
        (None, None) => None,
        (Some(_), None) => Some(Kind::MissingThere),
        // Of no payment of ours, or no money has moved.
        (None, Some(theirs)) => {
            (ours.is_some() && theirs.status != DisputeStatus::Inquiry).then_some(Kind::MissingHere)
        }
        (Some(own), Some(theirs)) if own.amount != theirs.amount.minor => Some(Kind::AmountDiffers),
        (Some(own), Some(theirs)) => (own.status != theirs.status).then_some(Kind::StateDiffers),
    }?;
    let said = |status: DisputeStatus, minor: i64| format!("{} {minor}", status.as_str());
    Some(Finding {
        kind,
        subject: Subject::Dispute(id.to_owned()),
        intent: ours.map(|ours| ours.intent),
        ours: known.map_or_else(|| "nothing".to_owned(), |own| said(own.status, own.amount)),
        theirs: theirs.map_or_else(
            || "nothing".to_owned(),
            |theirs| said(theirs.status, theirs.amount.minor),
        ),
    })
}

#[cfg(test)]
mod tests;
