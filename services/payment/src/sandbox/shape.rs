//! The book's rows in Stripe's JSON.
//!
//! Does not: decide anything.

use serde_json::{Value, json};

use super::{
    answer,
    book::{Dispute, Event, Payment, Refund},
};

/// The version of Stripe's API whose shapes these are.
pub const API_VERSION: &str = "2026-08-26.dahlia";

impl Payment {
    /// A PaymentIntent; its charge by id, or with `expand` whole.
    pub fn json(&self, expand: bool) -> Value {
        let capturable = if self.is_held() { self.amount } else { 0 };
        json!({
            "id": self.id,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_capturable": capturable,
            "amount_received": self.amount_received,
            "canceled_at": self.canceled_at.map(|at| at.timestamp()),
            "cancellation_reason": self.cancellation_reason,
            "capture_method": self.capture_method,
            "confirmation_method": "automatic",
            "created": self.created_at.timestamp(),
            "currency": self.currency,
            "customer": null,
            "last_payment_error": self.decline_code.as_deref().map(answer::decline),
            "latest_charge": if expand { self.charge_json() } else { self.charge_id().into() },
            "livemode": false,
            "metadata": self.metadata.0,
            "next_action": null,
            "payment_method": self.payment_method,
            "payment_method_types": ["card"],
            "status": self.status,
        })
    }

    /// The Charge that it made: held, taken, given back, or refused.
    pub fn charge_json(&self) -> Value {
        let declined = self.decline_code.is_some();
        let raisable = if self.raisable {
            "available"
        } else {
            "unavailable"
        };
        json!({
            "id": self.charge_id(),
            "object": "charge",
            "amount": self.amount,
            "amount_captured": self.amount_received,
            "amount_refunded": self.amount_refunded,
            "captured": self.amount_received > 0,
            "created": self.created_at.timestamp(),
            "currency": self.currency,
            "disputed": self.disputed,
            "failure_code": declined.then_some("card_declined"),
            "livemode": false,
            "metadata": self.metadata.0,
            "outcome": {
                "network_status": if declined { "declined_by_network" } else { "approved_by_network" },
                "reason": self.decline_code,
            },
            "paid": !declined,
            "payment_intent": self.id,
            "payment_method": self.payment_method,
            "payment_method_details": {
                "type": "card",
                "card": {"amount_authorized": self.amount, "incremental_authorization": {"status": raisable}},
            },
            "refunded": self.amount_received > 0 && self.amount_refunded == self.amount_received,
            "status": if declined { "failed" } else { "succeeded" },
        })
    }

    fn charge_id(&self) -> String {
        charge_id(&self.id)
    }
}

fn charge_id(payment: &str) -> String {
    payment.replacen("pi_", "ch_", 1)
}

impl Refund {
    /// A Refund.
    pub fn json(&self) -> Value {
        json!({
            "id": self.id,
            "object": "refund",
            "amount": self.amount,
            "charge": charge_id(&self.payment_intent),
            "created": self.created_at.timestamp(),
            "currency": self.currency,
            "failure_reason": self.failure_reason,
            "metadata": self.metadata.0,
            "payment_intent": self.payment_intent,
            "reason": self.reason,
            "status": self.status,
        })
    }
}

impl Dispute {
    /// A Dispute.
    pub fn json(&self) -> Value {
        json!({
            "id": self.id,
            "object": "dispute",
            "amount": self.amount,
            "charge": charge_id(&self.payment_intent),
            "created": self.created_at.timestamp(),
            "currency": self.currency,
            "is_charge_refundable": false,
            "livemode": false,
            "metadata": {},
            "payment_intent": self.payment_intent,
            "reason": self.reason,
            "status": self.status,
        })
    }
}

impl Event {
    /// An Event. `pending` is how many webhooks are still to tell it.
    pub fn json(&self) -> Value {
        json!({
            "id": self.id,
            "object": "event",
            "api_version": API_VERSION,
            "created": self.created_at.timestamp(),
            "data": {"object": self.object},
            "livemode": false,
            "pending_webhooks": self.pending,
            "request": {"id": null, "idempotency_key": self.idempotency_key},
            "type": self.kind,
        })
    }
}
