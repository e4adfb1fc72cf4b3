//! What happened, for the outbox: an intent's events keyed by trip, a payout batch's by the batch.
//!
//! Does not: publish (the relay does).

use hexcab_bus::{Outgoing, topic};
use hexcab_proto::{
    convert,
    payment::v1::{self as proto, payment_event::Event as Body},
};
use hexcab_types::{Money, Timestamp};
use prost::Message as _;

use crate::domain::{
    Charge, DriverPay, Extra, ExtraKind, Intent, Refund,
    decide::Event,
    dispute::{Dispute, DisputeState},
    payout::Batch,
};

/// What happened to a payout batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayoutEvent {
    /// It was made.
    Created {
        /// Of all lines.
        total: Money,
        /// How many.
        lines: usize,
    },
    /// The bank said what it did.
    Confirmed {
        /// Of the lines that it paid.
        paid: Money,
        /// How many.
        paid_lines: usize,
        /// Of the lines that it did not.
        failed: Money,
        /// How many.
        failed_lines: usize,
    },
}

/// What happened to an intent, which is `after` it. None for what is not published.
pub fn of_intent(after: &Intent, event: &Event, now: Timestamp) -> Option<Outgoing> {
    let (name, body) = body(after, event)?;
    let message = proto::PaymentEvent {
        intent: after.id.name(),
        trip: after.trip.name(),
        rider: after.rider.name(),
        version: after.version,
        occur_time: Some(convert::to_timestamp(now)),
        payout: String::new(),
        event: Some(body),
    };
    let (key, subject) = (after.trip.to_string(), after.id.name());
    Some(outgoing(&message, name, key, subject, now))
}

/// What happened to a payout batch.
pub fn of_payout(batch: &Batch, event: &PayoutEvent, now: Timestamp) -> Outgoing {
    let count = |lines: usize| i32::try_from(lines).unwrap_or(i32::MAX);
    let (name, version, body) = match *event {
        PayoutEvent::Created { total, lines } => {
            let created = proto::PayoutBatchCreated {
                total: Some(total.into()),
                lines: count(lines),
            };
            ("PayoutBatchCreated", 1, Body::PayoutBatchCreated(created))
        }
        PayoutEvent::Confirmed {
            paid,
            paid_lines,
            failed,
            failed_lines,
        } => {
            let confirmed = proto::PayoutBatchConfirmed {
                paid: Some(paid.into()),
                paid_lines: count(paid_lines),
                failed: Some(failed.into()),
                failed_lines: count(failed_lines),
            };
            let body = Body::PayoutBatchConfirmed(confirmed);
            ("PayoutBatchConfirmed", 2, body)
        }
    };
    let message = proto::PaymentEvent {
        version,
        occur_time: Some(convert::to_timestamp(now)),
        payout: batch.id.name(),
        event: Some(body),
        ..proto::PaymentEvent::default()
    };
    outgoing(&message, name, batch.id.to_string(), batch.id.name(), now)
}

fn outgoing(
    message: &proto::PaymentEvent,
    name: &str,
    key: String,
    subject: String,
    now: Timestamp,
) -> Outgoing {
    Outgoing {
        topic: topic::PAYMENT,
        key,
        kind: format!("hexcab.payment.v1.{name}"),
        source: "payment",
        subject,
        time: now,
        payload: message.encode_to_vec(),
        traceparent: hexcab_telemetry::current_traceparent(),
    }
}

fn body(after: &Intent, event: &Event) -> Option<(&'static str, Body)> {
    let charge = after.ending.as_ref().map(|ending| &ending.charge);
    let (driver, driver_pay) = pay(charge, after.amount);
    Some(match event {
        Event::HoldPlaced { hold } => {
            let amount = some(hold.amount);
            ("HoldPlaced", Body::HoldPlaced(proto::HoldPlaced { amount }))
        }
        Event::HoldDeclined { code } => {
            let code = code.clone();
            let declined = proto::HoldDeclined { code };
            ("HoldDeclined", Body::HoldDeclined(declined))
        }
        Event::HoldRaised { to } => {
            let amount = some(*to);
            ("HoldRaised", Body::HoldRaised(proto::HoldRaised { amount }))
        }
        Event::RaiseDeclined { code, held } => {
            let declined = proto::RaiseDeclined {
                code: code.clone(),
                amount: some(*held),
            };
            ("RaiseDeclined", Body::RaiseDeclined(declined))
        }
        Event::Captured { amount, rest } => {
            let captured = proto::Captured {
                amount: some(*amount),
                driver_pay,
                driver,
                rest: some(*rest),
            };
            ("Captured", Body::Captured(captured))
        }
        Event::CaptureFailed { code, owed } => {
            let failed = proto::CaptureFailed {
                code: code.clone(),
                owed: some(*owed),
                driver_pay,
                driver,
            };
            ("CaptureFailed", Body::CaptureFailed(failed))
        }
        Event::Voided => ("Voided", Body::Voided(proto::Voided {})),
        Event::AnswerLost(_) => return None,
        Event::CashCollected { amount } => {
            let collected = proto::CashCollected {
                amount: some(*amount),
                driver_pay,
                driver,
            };
            ("CashCollected", Body::CashCollected(collected))
        }
        Event::DebtIncurred { owed } => {
            let incurred = proto::DebtIncurred {
                owed: some(*owed),
                driver_pay,
                driver,
            };
            ("DebtIncurred", Body::DebtIncurred(incurred))
        }
        Event::RestCharged { amount } => {
            let amount = some(*amount);
            let charged = proto::RestCharged { amount };
            ("RestCharged", Body::RestCharged(charged))
        }
        Event::RestDeclined { code, owed } => {
            let declined = proto::RestDeclined {
                code: code.clone(),
                owed: some(*owed),
            };
            ("RestDeclined", Body::RestDeclined(declined))
        }
        Event::Refunded(refund) => ("Refunded", Body::Refunded(refunded(refund, charge))),
        Event::RefundFailed(refund, code) => {
            let failed = proto::RefundFailed {
                refund: refund.id.name(),
                code: code.clone(),
            };
            ("RefundFailed", Body::RefundFailed(failed))
        }
        Event::TipCharged(tip) => ("TipCharged", Body::TipCharged(tipped(tip))),
        Event::TipDeclined(tip, code) => {
            let declined = proto::TipDeclined {
                charge: tip.id.name(),
                code: code.clone(),
            };
            ("TipDeclined", Body::TipDeclined(declined))
        }
        Event::ChargebackOpened(dispute) => {
            let opened = proto::ChargebackOpened {
                dispute: dispute.id.clone(),
                amount: some(dispute.amount),
                reason: dispute.reason.clone(),
            };
            ("ChargebackOpened", Body::ChargebackOpened(opened))
        }
        Event::ChargebackClosed(dispute) => {
            ("ChargebackClosed", Body::ChargebackClosed(closed(dispute)))
        }
    })
}

type WireMoney = Option<hexcab_proto::common::v1::Money>;

fn some(money: Money) -> WireMoney {
    Some(money.into())
}

/// The driver's name and what he is owed; nobody and nothing where nobody is owed anything.
fn pay(charge: Option<&Charge>, like: Money) -> (String, WireMoney) {
    let owed = charge
        .and_then(|charge| charge.driver)
        .filter(|pay| pay.amount.minor > 0);
    owed.map_or_else(
        || (String::new(), some(Money::zero(like.currency))),
        |DriverPay { driver, amount }| (driver.name(), some(amount)),
    )
}

fn refunded(refund: &Refund, charge: Option<&Charge>) -> proto::Refunded {
    let driver = charge
        .and_then(|charge| charge.driver)
        .filter(|_| refund.driver_part.minor > 0);
    proto::Refunded {
        refund: refund.id.name(),
        amount: some(refund.amount),
        driver_part: some(refund.driver_part),
        driver: driver.map(|pay| pay.driver.name()).unwrap_or_default(),
    }
}

fn tipped(tip: &Extra) -> proto::TipCharged {
    let driver = match tip.kind {
        ExtraKind::Rest => String::new(),
        ExtraKind::Tip { driver } => driver.name(),
    };
    proto::TipCharged {
        charge: tip.id.name(),
        amount: some(tip.amount),
        driver,
    }
}

fn closed(dispute: &Dispute) -> proto::ChargebackClosed {
    proto::ChargebackClosed {
        dispute: dispute.id.clone(),
        amount: some(dispute.amount),
        won: dispute.state == DisputeState::Won,
    }
}
