//! What an order asks of the processor in each state, and what its answers mean.
//!
//! Invariant: whoever was asked before is asked what became of it before anything is sent again.
//! Does not: call anybody.

use hexcab_types::Money;

use super::{Charge, Order, ProcessorId, State, Step, Unanswered, decide::Command};
use crate::processor::{Failure, Payment, PaymentStatus};

/// What is to be done for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Ask the processor.
    Call(Call),
    /// Nobody has to be asked.
    Record(Command),
    /// Nothing was held and the trip cost something all the same: the rider owes it.
    Owe(Charge),
    /// The intent is past this order: a void of what was declined, or a step that is answered.
    Close,
    /// Orders were not carried out in order: our bug.
    Stuck,
}

/// A step at the processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Hold the intent's amount.
    Hold,
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
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// It is known what happened.
    Known(Command),
    /// It has not happened: send it, with the key of before.
    NotYet,
    /// It is not known what happened.
    Lost(String),
    /// It cannot be: somebody must look.
    Wrong(String),
}

/// What `order` asks for in `state`.
pub fn next(state: &State, order: &Order) -> Next {
    match (state, order) {
        (State::RequiresHold | State::Unknown(Unanswered::Hold), Order::Hold) => {
            Next::Call(Call::Hold)
        }
        (State::RequiresHold, Order::Void) => Next::Record(Command::Void),
        (State::RequiresHold, Order::Capture(_))
        | (State::Unknown(Unanswered::Hold), Order::Capture(_) | Order::Void) => Next::Stuck,
        (
            State::Held { processor_id } | State::Unknown(Unanswered::Capture { processor_id }),
            Order::Capture(charge),
        ) => Next::Call(Call::Capture {
            id: processor_id.clone(),
            amount: charge.amount,
        }),
        (
            State::Held { processor_id } | State::Unknown(Unanswered::Void { processor_id }),
            Order::Void,
        ) => Next::Call(Call::Void {
            id: processor_id.clone(),
        }),
        (State::Unknown(Unanswered::Capture { .. }), Order::Void)
        | (State::Unknown(Unanswered::Void { .. }), Order::Capture(_)) => Next::Stuck,
        (
            State::Held { .. }
            | State::Unknown(Unanswered::Capture { .. } | Unanswered::Void { .. }),
            Order::Hold,
        ) => Next::Close,
        (State::Declined { .. }, Order::Capture(charge)) => Next::Owe(*charge),
        (State::Declined { .. }, Order::Hold | Order::Void)
        | (
            State::Captured { .. } | State::Voided { .. },
            Order::Hold | Order::Capture(_) | Order::Void,
        ) => Next::Close,
    }
}

impl Call {
    /// Which step this is.
    pub const fn step(&self) -> Step {
        match self {
            Self::Hold => Step::Hold,
            Self::Capture { .. } => Step::Capture,
            Self::Void { .. } => Step::Void,
        }
    }

    /// What the processor's answer to this call, or to the question what became of it, means.
    pub fn meaning(&self, answer: Result<Payment, Failure>) -> Meaning {
        let payment = match (self, answer) {
            (_, Ok(payment)) => payment,
            (Self::Hold, Err(Failure::Declined { code })) => {
                return Meaning::Known(Command::DeclineHold { code });
            }
            (Self::Capture { .. } | Self::Void { .. }, Err(failure @ Failure::Declined { .. }))
            | (Self::Capture { .. } | Self::Void { .. }, Err(failure @ Failure::Spent(_)))
            | (_, Err(failure @ (Failure::Rejected(_) | Failure::Missing(_)))) => {
                return Meaning::Wrong(failure.to_string());
            }
            // Nothing was found that it had made, or it would not have been sent again: it failed.
            (Self::Hold, Err(Failure::Spent(_))) => {
                return Meaning::Known(Command::DeclineHold {
                    code: "processing_error".to_owned(),
                });
            }
            (_, Err(failure @ (Failure::Unanswered(_) | Failure::InFlight))) => {
                return Meaning::Lost(failure.to_string());
            }
        };
        match (self, payment.status) {
            (_, PaymentStatus::Open { status }) => {
                Meaning::Lost(format!("{} is {status} at the processor", payment.id))
            }
            (Self::Hold, PaymentStatus::Held) => Meaning::Known(Command::PlaceHold {
                processor_id: payment.id,
            }),
            (Self::Hold, PaymentStatus::Declined { code }) => {
                Meaning::Known(Command::DeclineHold { code })
            }
            (Self::Capture { amount, .. }, PaymentStatus::Captured { amount_minor })
                if amount_minor == amount.minor =>
            {
                Meaning::Known(Command::Capture { amount: *amount })
            }
            (Self::Void { .. }, PaymentStatus::Canceled) => Meaning::Known(Command::Void),
            (Self::Capture { .. } | Self::Void { .. }, PaymentStatus::Held) => Meaning::NotYet,
            (Self::Hold, status @ (PaymentStatus::Captured { .. } | PaymentStatus::Canceled))
            | (
                Self::Capture { .. },
                status @ (PaymentStatus::Captured { .. }
                | PaymentStatus::Canceled
                | PaymentStatus::Declined { .. }),
            )
            | (
                Self::Void { .. },
                status @ (PaymentStatus::Captured { .. } | PaymentStatus::Declined { .. }),
            ) => Meaning::Wrong(format!("{} is {status:?} at the processor", payment.id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use hexcab_types::Currency;

    use super::*;
    use crate::domain::Charge;

    fn id() -> ProcessorId {
        ProcessorId("pi_1".into())
    }

    fn usd(minor: i64) -> Money {
        Money::new(minor, Currency::Usd)
    }

    fn payment(status: PaymentStatus) -> Result<Payment, Failure> {
        Ok(Payment {
            id: id(),
            status,
            amount: usd(5),
            raisable: false,
            label: None,
            created_at: hexcab_types::Timestamp::default(),
        })
    }

    #[test]
    fn every_state_asks_for_every_order_as_the_table_says() {
        let capture = Order::Capture(Charge {
            amount: usd(5),
            driver: None,
            tax: usd(0),
        });
        let orders = [Order::Hold, capture, Order::Void];
        let states = [
            (State::RequiresHold, ["call", "stuck", "record"]),
            (State::Unknown(Unanswered::Hold), ["call", "stuck", "stuck"]),
            (
                State::Held { processor_id: id() },
                ["close", "call", "call"],
            ),
            (
                State::Unknown(Unanswered::Capture { processor_id: id() }),
                ["close", "call", "stuck"],
            ),
            (
                State::Unknown(Unanswered::Void { processor_id: id() }),
                ["close", "stuck", "call"],
            ),
            (
                State::Captured {
                    processor_id: id(),
                    amount: usd(5),
                },
                ["close"; 3],
            ),
            (State::Voided { processor_id: None }, ["close"; 3]),
            (
                State::Declined { code: "x".into() },
                ["close", "owe", "close"],
            ),
        ];
        for (state, expected) in states {
            for (order, expected) in orders.iter().zip(expected) {
                let word = match next(&state, order) {
                    Next::Call(call) => {
                        assert_eq!(call.step(), order.step());
                        "call"
                    }
                    Next::Record(_) => "record",
                    Next::Owe(charge) => {
                        assert_eq!(charge.amount, usd(5));
                        "owe"
                    }
                    Next::Close => "close",
                    Next::Stuck => "stuck",
                };
                assert_eq!(word, expected, "{state:?} × {order:?}");
            }
        }
    }

    #[test]
    fn an_answer_that_says_nothing_is_lost_and_never_a_refusal() {
        for call in [
            Call::Hold,
            Call::Capture {
                id: id(),
                amount: usd(5),
            },
            Call::Void { id: id() },
        ] {
            for failure in [Failure::Unanswered("timed out".into()), Failure::InFlight] {
                assert!(
                    matches!(call.meaning(Err(failure)), Meaning::Lost(_)),
                    "{call:?}"
                );
            }
            assert!(
                matches!(
                    call.meaning(Err(Failure::Rejected("400".into()))),
                    Meaning::Wrong(_)
                ),
                "{call:?}"
            );
        }
    }

    #[test]
    fn a_capture_of_another_amount_wakes_somebody() {
        let call = Call::Capture {
            id: id(),
            amount: usd(5),
        };
        let meaning = |minor| {
            call.meaning(payment(PaymentStatus::Captured {
                amount_minor: minor,
            }))
        };
        assert_eq!(
            meaning(5),
            Meaning::Known(Command::Capture { amount: usd(5) })
        );
        assert!(matches!(meaning(4), Meaning::Wrong(_)));
    }

    #[test]
    fn a_payment_still_held_has_not_been_settled_yet() {
        for call in [
            Call::Capture {
                id: id(),
                amount: usd(5),
            },
            Call::Void { id: id() },
        ] {
            assert_eq!(
                call.meaning(payment(PaymentStatus::Held)),
                Meaning::NotYet,
                "{call:?}"
            );
        }
    }
}
