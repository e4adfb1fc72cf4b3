//! What an order asks of the processor in each state.
//!
//! - [`meaning`] what the processor's answers mean
//!
//! Invariants: whoever was asked before is asked what became of it before anything is sent again; an order that the intent
//! is past asks for nothing.
//! Does not: call anybody.

use hexcab_types::Money;

use super::{
    Answer, Extra, ExtraKind, Intent, Order, ProcessorId, Refund, State, Unanswered,
    decide::Command, refund::Of,
};

pub mod meaning;

pub use meaning::Meaning;

/// What is to be done for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Ask the processor.
    Call(Call),
    /// Nobody has to be asked.
    Record(Command),
    /// The intent is past this order: a void of what was declined, or a step that is answered.
    Close,
    /// Orders were not carried out in order: our bug.
    Stuck,
}

/// A step at the processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Hold this much.
    Hold {
        /// The intent's amount.
        amount: Money,
    },
    /// Hold this much in all.
    Raise {
        /// This payment.
        id: ProcessorId,
        /// More than is held.
        to: Money,
    },
    /// Take this much.
    Capture {
        /// Out of this payment.
        id: ProcessorId,
        /// More than zero.
        amount: Money,
    },
    /// Give it back.
    Void {
        /// This payment.
        id: ProcessorId,
    },
    /// Take a rest or a tip, without a hold.
    Charge(Extra),
    /// Give back.
    Refund {
        /// What.
        refund: Refund,
        /// Out of this payment.
        payment: ProcessorId,
    },
}

/// What `order` asks for in the state of `intent`.
pub fn next(intent: &Intent, order: &Order) -> Next {
    match order {
        Order::Hold => hold(intent),
        Order::Raise { to } => raise(intent, *to),
        Order::Capture => capture(intent),
        Order::Void => void(intent),
        Order::Charge(extra) => charge(intent, extra),
        Order::Tip(extra) => charge(intent, extra),
        Order::Refund(refund) => give_back(intent, refund),
    }
}

fn hold(intent: &Intent) -> Next {
    match &intent.state {
        State::RequiresHold | State::Unknown(Unanswered::Hold) => Next::Call(Call::Hold {
            amount: intent.amount,
        }),
        State::Held(_)
        | State::Unknown(Unanswered::Raise(_) | Unanswered::Capture(_) | Unanswered::Void(_))
        | State::Captured { .. }
        | State::CaptureFailed { .. }
        | State::Voided { .. }
        | State::Declined { .. } => Next::Close,
        State::AwaitsCash | State::CashCollected | State::Owed { .. } => Next::Stuck,
    }
}

fn raise(intent: &Intent, to: Money) -> Next {
    match &intent.state {
        State::Held(hold) | State::Unknown(Unanswered::Raise(hold)) => {
            if to.minor > hold.amount.minor {
                let id = hold.id.clone();
                Next::Call(Call::Raise { id, to })
            } else {
                Next::Close
            }
        }
        State::Captured { .. }
        | State::CaptureFailed { .. }
        | State::Voided { .. }
        | State::Declined { .. } => Next::Close,
        State::RequiresHold
        | State::Unknown(Unanswered::Hold | Unanswered::Capture(_) | Unanswered::Void(_))
        | State::AwaitsCash
        | State::CashCollected
        | State::Owed { .. } => Next::Stuck,
    }
}

fn capture(intent: &Intent) -> Next {
    let Some(ending) = &intent.ending else {
        return Next::Stuck;
    };
    match &intent.state {
        State::Held(hold) | State::Unknown(Unanswered::Capture(hold)) => {
            let charge = ending.charge.amount;
            let minor = charge.minor.min(hold.amount.minor);
            Next::Call(Call::Capture {
                id: hold.id.clone(),
                amount: Money { minor, ..charge },
            })
        }
        State::Declined { owed: None, .. } => Next::Record(Command::Owe),
        State::Declined { owed: Some(_), .. }
        | State::Captured { .. }
        | State::CaptureFailed { .. }
        | State::Voided { .. } => Next::Close,
        State::RequiresHold
        | State::Unknown(Unanswered::Hold | Unanswered::Raise(_) | Unanswered::Void(_))
        | State::AwaitsCash
        | State::CashCollected
        | State::Owed { .. } => Next::Stuck,
    }
}

fn void(intent: &Intent) -> Next {
    let Some(ending) = &intent.ending else {
        return Next::Stuck;
    };
    match &intent.state {
        State::RequiresHold => Next::Record(Command::Void),
        State::Held(hold) | State::Unknown(Unanswered::Void(hold)) => {
            let id = hold.id.clone();
            Next::Call(Call::Void { id })
        }
        // Nothing was held and nothing is charged, but the driver may be owed something.
        State::Declined { owed: None, .. } if ending.charge.driver_due().minor > 0 => {
            Next::Record(Command::Owe)
        }
        State::Declined { .. }
        | State::Captured { .. }
        | State::CaptureFailed { .. }
        | State::Voided { .. } => Next::Close,
        State::Unknown(Unanswered::Hold | Unanswered::Raise(_) | Unanswered::Capture(_))
        | State::AwaitsCash
        | State::CashCollected
        | State::Owed { .. } => Next::Stuck,
    }
}

fn charge(intent: &Intent, extra: &Extra) -> Next {
    let follows = match (&intent.state, extra.kind) {
        (State::Captured { .. }, ExtraKind::Rest | ExtraKind::Tip { .. })
        | (State::CashCollected, ExtraKind::Tip { .. }) => true,
        (State::CashCollected, ExtraKind::Rest)
        | (
            State::RequiresHold
            | State::Held(_)
            | State::Unknown(_)
            | State::CaptureFailed { .. }
            | State::Voided { .. }
            | State::Declined { .. }
            | State::AwaitsCash
            | State::Owed { .. },
            ExtraKind::Rest | ExtraKind::Tip { .. },
        ) => false,
    };
    answered(&extra.answer, follows, || Call::Charge(extra.clone()))
}

fn give_back(intent: &Intent, refund: &Refund) -> Next {
    let payment = match (&intent.state, &refund.of) {
        (State::Captured { hold, .. }, Of::Capture) => Some(hold.id.clone()),
        (State::Captured { .. }, Of::Rest { processor_id, .. }) => Some(processor_id.clone()),
        (
            State::RequiresHold
            | State::Held(_)
            | State::Unknown(_)
            | State::CaptureFailed { .. }
            | State::Voided { .. }
            | State::Declined { .. }
            | State::AwaitsCash
            | State::CashCollected
            | State::Owed { .. },
            Of::Capture | Of::Rest { .. },
        ) => None,
    };
    let Some(payment) = payment else {
        return Next::Stuck;
    };
    answered(&refund.answer, true, || Call::Refund {
        refund: refund.clone(),
        payment,
    })
}

fn answered(answer: &Answer, follows: bool, call: impl FnOnce() -> Call) -> Next {
    match answer {
        Answer::Awaited | Answer::Unknown if follows => Next::Call(call()),
        Answer::Awaited | Answer::Unknown => Next::Stuck,
        Answer::Done { .. } | Answer::Refused { .. } => Next::Close,
    }
}

#[cfg(test)]
mod tests;
