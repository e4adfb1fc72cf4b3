//! What the processor's answer to a call means, or its answer to the question what became of it.
//!
//! Invariants: an answer that says nothing is never taken for a refusal; an amount other than asked for is never taken for
//! done. Does not: decide what follows ([`crate::domain::decide`]).

use hexcab_types::Money;

use super::Call;
use crate::{
    domain::{Extra, ExtraKind, ProcessorId, Refund, Said, decide::Command},
    processor::{self, Failure, Payment, PaymentStatus, RefundStatus},
};

/// The processor failed, and says so for ever.
const PROCESSING_ERROR: &str = "processing_error";
/// The processor gave the money back by itself: a hold that was not captured in its time.
const CANCELED: &str = "canceled";

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// It is known what happened.
    Known(Command),
    /// It has not happened: send it, with the key of before.
    NotYet,
    /// It is not known what happened.
    Lost(String),
    /// The processor is at it, and takes its time.
    Pending(String),
    /// The key is spent on a failure of the processor's. When nothing was made under it, this follows.
    Spent(Command),
    /// It cannot be: somebody must look.
    Wrong(String),
}

impl Call {
    /// What the answer about a payment means: every call but a refund.
    pub fn of_payment(&self, answer: Result<Payment, Failure>) -> Meaning {
        match answer {
            Ok(payment) => self.told(&payment),
            Err(failure) => self.failed(failure),
        }
    }

    /// What the answer about a refund means.
    pub fn of_refund(&self, answer: Result<processor::Refund, Failure>) -> Meaning {
        let Self::Refund { refund, .. } = self else {
            return Meaning::Wrong("a refund was answered that was not asked for".to_owned());
        };
        match answer {
            Ok(told) if told.amount != refund.amount => {
                Meaning::Wrong(format!("{} is of {}", told.id, told.amount))
            }
            Ok(told) => match told.status {
                RefundStatus::Succeeded => {
                    let processor_id = ProcessorId(told.id);
                    refunded(refund, Said::Done { processor_id })
                }
                RefundStatus::Pending => Meaning::Pending(format!("{} is pending", told.id)),
                RefundStatus::Failed { reason } => refunded(refund, Said::Refused { code: reason }),
            },
            Err(failure) => self.failed(failure),
        }
    }

    fn told(&self, payment: &Payment) -> Meaning {
        use PaymentStatus as P;
        let wrong = || {
            Meaning::Wrong(format!(
                "{} is {:?} of {} at the processor",
                payment.id, payment.status, payment.amount
            ))
        };
        match (self, &payment.status) {
            (_, P::Open { status }) => {
                Meaning::Lost(format!("{} is {status} at the processor", payment.id))
            }
            (Self::Hold { amount }, P::Held) if payment.amount == *amount => {
                Meaning::Known(Command::PlaceHold {
                    processor_id: payment.id.clone(),
                })
            }
            (Self::Hold { .. }, P::Declined { code }) => {
                Meaning::Known(Command::DeclineHold { code: code.clone() })
            }
            (Self::Hold { .. }, P::Canceled) => Meaning::Known(Command::DeclineHold {
                code: CANCELED.to_owned(),
            }),
            (Self::Raise { to, .. }, P::Held) if payment.amount == *to => {
                Meaning::Known(Command::RaiseHold { to: *to })
            }
            (Self::Raise { to, .. }, P::Held) if payment.amount.minor < to.minor => Meaning::NotYet,
            (Self::Raise { .. }, P::Canceled | P::Declined { .. }) => {
                Meaning::Known(Command::DeclineRaise {
                    code: CANCELED.to_owned(),
                })
            }
            (Self::Capture { amount, .. }, P::Captured { amount_minor })
                if *amount_minor == amount.minor =>
            {
                Meaning::Known(Command::Capture { amount: *amount })
            }
            (Self::Capture { .. }, P::Canceled) => Meaning::Known(Command::FailCapture {
                code: CANCELED.to_owned(),
            }),
            (Self::Capture { .. }, P::Declined { code }) => {
                Meaning::Known(Command::FailCapture { code: code.clone() })
            }
            (Self::Void { .. }, P::Canceled) => Meaning::Known(Command::Void),
            (Self::Capture { .. } | Self::Void { .. }, P::Held) => Meaning::NotYet,
            (Self::Charge(extra), P::Captured { amount_minor })
                if *amount_minor == extra.amount.minor =>
            {
                let processor_id = payment.id.clone();
                charged(extra, Said::Done { processor_id })
            }
            (Self::Charge(extra), P::Declined { code }) => {
                charged(extra, Said::Refused { code: code.clone() })
            }
            (Self::Charge(extra), P::Canceled) => {
                let code = CANCELED.to_owned();
                charged(extra, Said::Refused { code })
            }
            (Self::Hold { .. } | Self::Raise { .. }, P::Held | P::Captured { .. })
            | (Self::Capture { .. } | Self::Charge(_), P::Captured { .. })
            | (Self::Void { .. }, P::Captured { .. } | P::Declined { .. })
            | (Self::Charge(_), P::Held)
            | (Self::Refund { .. }, _) => wrong(),
        }
    }

    fn failed(&self, failure: Failure) -> Meaning {
        let said = failure.to_string();
        match failure {
            Failure::Unanswered(_) | Failure::InFlight => Meaning::Lost(said),
            Failure::Missing(_) => Meaning::Wrong(said),
            Failure::Declined { code } => self
                .refused(code)
                .map_or(Meaning::Wrong(said), Meaning::Known),
            Failure::Spent(_) => self
                .refused(PROCESSING_ERROR.to_owned())
                .map_or(Meaning::Wrong(said), Meaning::Spent),
            // Whatever the reason, nothing is given back: an operator asks again when he knows it.
            Failure::Rejected(why) => match self {
                Self::Refund { refund, .. } => {
                    tracing::error!(refund.id = %refund.id, why, "a refund was rejected");
                    refunded(refund, Said::Refused { code: why })
                }
                Self::Hold { .. }
                | Self::Raise { .. }
                | Self::Capture { .. }
                | Self::Void { .. }
                | Self::Charge(_) => Meaning::Wrong(said),
            },
        }
    }

    /// What it means that the processor does not do it. None for a void: nobody can refuse to give a hold back.
    fn refused(&self, code: String) -> Option<Command> {
        match self {
            Self::Hold { .. } => Some(Command::DeclineHold { code }),
            Self::Raise { .. } => Some(Command::DeclineRaise { code }),
            Self::Capture { .. } => Some(Command::FailCapture { code }),
            Self::Void { .. } => None,
            Self::Charge(extra) => Some(command(extra, Said::Refused { code })),
            Self::Refund { refund, .. } => Some(Command::AnswerRefund(
                refund.clone(),
                Said::Refused { code },
            )),
        }
    }

    /// What is moved by this call, for spans.
    pub const fn amount(&self) -> Option<Money> {
        match self {
            Self::Hold { amount } | Self::Capture { amount, .. } => Some(*amount),
            Self::Raise { to, .. } => Some(*to),
            Self::Charge(extra) => Some(extra.amount),
            Self::Refund { refund, .. } => Some(refund.amount),
            Self::Void { .. } => None,
        }
    }
}

fn command(extra: &Extra, said: Said) -> Command {
    match extra.kind {
        ExtraKind::Rest => Command::AnswerRest(extra.clone(), said),
        ExtraKind::Tip { .. } => Command::AnswerTip(extra.clone(), said),
    }
}

fn charged(extra: &Extra, said: Said) -> Meaning {
    Meaning::Known(command(extra, said))
}

fn refunded(refund: &Refund, said: Said) -> Meaning {
    Meaning::Known(Command::AnswerRefund(refund.clone(), said))
}
