//! Money as riders, drivers and operators see it.

use hexcab_proto::{common::v1::Money, payment::v1 as payment};
use hexcab_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::{MoneyView, bare, bare_enum, instant, optional_bare};

/// An amount that somebody names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmountAsked {
    amount_minor: i64,
    currency: String,
}

impl From<AmountAsked> for Money {
    fn from(asked: AmountAsked) -> Self {
        Self {
            amount_minor: asked.amount_minor,
            currency_code: asked.currency,
        }
    }
}

/// Where the money of a trip is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IntentView {
    /// HELD, CAPTURED, … as payment's IntentState.
    pub state: &'static str,
    /// CARD or CASH.
    pub method: &'static str,
    /// On hold now, or when it ended.
    pub held: Option<MoneyView>,
    /// Taken out of the hold.
    pub captured: Option<MoneyView>,
    /// What the trip cost in the end.
    pub charge: Option<MoneyView>,
    /// Of it, what could not be taken.
    pub owed: Option<MoneyView>,
    /// Given back so far.
    pub refunded: Option<MoneyView>,
    /// Why the processor refused.
    pub decline_code: Option<String>,
    /// Beside the hold.
    pub charges: Vec<ChargeView>,
    /// What was given back.
    pub refunds: Vec<RefundView>,
    /// What the rider's bank took back; operators only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disputes: Vec<DisputeView>,
}

/// A charge beside the hold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChargeView {
    /// UUID.
    pub id: String,
    /// REST or TIP.
    pub kind: &'static str,
    /// How much.
    pub amount: Option<MoneyView>,
    /// AWAITED, UNKNOWN, DONE or REFUSED.
    pub state: &'static str,
    /// Why the processor refused it.
    pub decline_code: Option<String>,
    /// When it was begun.
    pub created_at: Option<Timestamp>,
}

/// Money given back.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RefundView {
    /// UUID.
    pub id: String,
    /// How much.
    pub amount: Option<MoneyView>,
    /// AWAITED, UNKNOWN, DONE or REFUSED.
    pub state: &'static str,
    /// Why it was given back.
    pub reason: String,
    /// Borne by the driver; operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver_part: Option<MoneyView>,
    /// When it was begun.
    pub created_at: Option<Timestamp>,
}

/// A payment that the rider's bank took back.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DisputeView {
    /// As the processor names it.
    pub id: String,
    /// How much.
    pub amount: Option<MoneyView>,
    /// OPEN, WON or LOST.
    pub state: &'static str,
    /// As the processor says it.
    pub reason: String,
}

/// A driver's account in one currency.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatementView {
    /// Owed to him at the beginning.
    pub opening: Option<MoneyView>,
    /// Owed to him at the end.
    pub closing: Option<MoneyView>,
    /// Oldest first.
    pub lines: Vec<StatementLineView>,
}

/// One line of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatementLineView {
    /// When.
    pub at: Option<Timestamp>,
    /// EARNING, CASH, TIP, CLAWBACK or PAYOUT.
    pub kind: &'static str,
    /// What it adds to what he is owed.
    pub amount: Option<MoneyView>,
    /// What he is owed after it.
    pub balance: Option<MoneyView>,
    /// Of which trip.
    pub trip: Option<String>,
    /// In which batch.
    pub payout: Option<String>,
}

/// One account of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BalanceView {
    /// Such as `processor` or `drivers/{uuid}`.
    pub account: String,
    /// Credits minus debits.
    pub posted: Option<MoneyView>,
    /// Of what is not resolved.
    pub pending: Option<MoneyView>,
}

/// Drivers to be paid.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PayoutView {
    /// UUID.
    pub id: String,
    /// OPEN or CONFIRMED.
    pub state: &'static str,
    /// Of all lines.
    pub total: Option<MoneyView>,
    /// Of all lines.
    pub count: i32,
    /// What was owed then.
    pub as_of: Option<Timestamp>,
    /// Of the file, in hex.
    pub file_sha256: String,
    /// By driver.
    pub lines: Vec<PayoutLineView>,
}

/// One driver's payout.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PayoutLineView {
    /// From 1.
    pub number: i32,
    /// Whom.
    pub driver: String,
    /// How much.
    pub amount: Option<MoneyView>,
    /// PENDING, PAID or FAILED.
    pub state: &'static str,
    /// What the bank said.
    pub failure: Option<String>,
}

impl IntentView {
    /// Without what is no business of the rider's.
    pub fn for_rider(intent: payment::Intent) -> Self {
        let mut view = Self::from(intent);
        view.disputes.clear();
        for refund in &mut view.refunds {
            refund.driver_part = None;
        }
        view
    }
}

impl From<payment::Intent> for IntentView {
    fn from(intent: payment::Intent) -> Self {
        Self {
            state: bare_enum(intent.state().as_str_name(), "INTENT_STATE_"),
            method: bare_enum(intent.method().as_str_name(), "PAYMENT_METHOD_"),
            held: intent.held.map(Into::into),
            captured: intent.captured.map(Into::into),
            charge: intent.charge.map(Into::into),
            owed: intent.owed.map(Into::into),
            refunded: intent.refunded.map(Into::into),
            decline_code: Some(intent.decline_code).filter(|code| !code.is_empty()),
            charges: intent.charges.into_iter().map(Into::into).collect(),
            refunds: intent.refunds.into_iter().map(Into::into).collect(),
            disputes: intent.disputes.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<payment::Charge> for ChargeView {
    fn from(charge: payment::Charge) -> Self {
        Self {
            id: bare(&charge.name),
            kind: bare_enum(charge.kind().as_str_name(), "CHARGE_KIND_"),
            state: bare_enum(charge.state().as_str_name(), "ANSWER_STATE_"),
            amount: charge.amount.map(Into::into),
            decline_code: Some(charge.decline_code).filter(|code| !code.is_empty()),
            created_at: instant(charge.create_time),
        }
    }
}

impl From<payment::Refund> for RefundView {
    fn from(refund: payment::Refund) -> Self {
        Self {
            id: bare(&refund.name),
            state: bare_enum(refund.state().as_str_name(), "ANSWER_STATE_"),
            amount: refund.amount.map(Into::into),
            reason: refund.reason,
            driver_part: refund.driver_part.map(Into::into),
            created_at: instant(refund.create_time),
        }
    }
}

impl From<payment::Dispute> for DisputeView {
    fn from(dispute: payment::Dispute) -> Self {
        Self {
            state: bare_enum(dispute.state().as_str_name(), "DISPUTE_STATE_"),
            id: dispute.name,
            amount: dispute.amount.map(Into::into),
            reason: dispute.reason,
        }
    }
}

impl From<payment::DriverStatement> for StatementView {
    fn from(statement: payment::DriverStatement) -> Self {
        Self {
            opening: statement.opening.map(Into::into),
            closing: statement.closing.map(Into::into),
            lines: statement.lines.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<payment::StatementLine> for StatementLineView {
    fn from(line: payment::StatementLine) -> Self {
        Self {
            at: instant(line.post_time),
            kind: bare_enum(line.kind().as_str_name(), "STATEMENT_KIND_"),
            amount: line.amount.map(Into::into),
            balance: line.balance.map(Into::into),
            trip: optional_bare(&line.trip),
            payout: optional_bare(&line.payout),
        }
    }
}

impl From<payment::AccountBalance> for BalanceView {
    fn from(balance: payment::AccountBalance) -> Self {
        Self {
            account: balance.account,
            posted: balance.posted.map(Into::into),
            pending: balance.pending.map(Into::into),
        }
    }
}

impl From<payment::PayoutBatch> for PayoutView {
    fn from(batch: payment::PayoutBatch) -> Self {
        Self {
            id: bare(&batch.name),
            state: bare_enum(batch.state().as_str_name(), "PAYOUT_STATE_"),
            total: batch.total.map(Into::into),
            count: batch.count,
            as_of: instant(batch.as_of_time),
            file_sha256: batch.file_sha256,
            lines: batch.lines.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<payment::PayoutLine> for PayoutLineView {
    fn from(line: payment::PayoutLine) -> Self {
        Self {
            number: line.number,
            driver: bare(&line.driver),
            state: bare_enum(line.state().as_str_name(), "PAYOUT_LINE_STATE_"),
            amount: line.amount.map(Into::into),
            failure: Some(line.failure).filter(|failure| !failure.is_empty()),
        }
    }
}
