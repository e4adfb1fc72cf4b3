//! Which answer of the processor does what to an intent, and when it is refused.
//!
//! Invariants: a finished intent never changes; a capture or void follows a hold that was answered; never more is
//! captured than was held; an outstanding answer is resolved by an answer of the same step only.
//! Does not: read the clock, touch the store, decide when to ask.

use hexcab_types::Money;

use super::{Intent, ProcessorId, State, Step, Unanswered};

/// What is known after the processor was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The processor holds the money.
    PlaceHold {
        /// The payment at the processor.
        processor_id: ProcessorId,
    },
    /// The processor refused the hold.
    DeclineHold {
        /// As the processor said it.
        code: String,
    },
    /// The processor took this much.
    Capture {
        /// More than zero.
        amount: Money,
    },
    /// The processor gave the money back, or was never asked to hold it.
    Void,
    /// The processor was asked for this step and did not answer.
    LoseAnswer(Step),
}

/// What happened to an intent. All but [`Event::AnswerLost`] are published and numbered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The money is held.
    HoldPlaced {
        /// The payment at the processor.
        processor_id: ProcessorId,
    },
    /// The money is not to be had.
    HoldDeclined {
        /// As the processor said it.
        code: String,
    },
    /// The rider paid.
    Captured {
        /// More than zero, at most what was held.
        amount: Money,
    },
    /// The rider pays nothing.
    Voided,
    /// The processor did not answer; our own note, not published.
    AnswerLost(Step),
}

impl Event {
    /// Whether the world is told, and the intent's version counts it.
    pub const fn is_published(&self) -> bool {
        match self {
            Self::HoldPlaced { .. }
            | Self::HoldDeclined { .. }
            | Self::Captured { .. }
            | Self::Voided => true,
            Self::AnswerLost(_) => false,
        }
    }
}

/// Why an answer does not fit an intent. Each is a bug of ours or of the processor, and wakes somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The intent is captured, voided or declined.
    #[error("the intent is finished")]
    Finished,
    /// The hold is answered already.
    #[error("the hold is answered already")]
    AlreadyHeld,
    /// Nothing is held that could be captured or voided.
    #[error("nothing is held")]
    NotHeld,
    /// Another step's answer is outstanding and must be known first.
    #[error("the answer to another step is outstanding")]
    AnswerOutstanding,
    /// More than was held, nothing, or another currency.
    #[error("the captured amount is not within the held amount")]
    NotWithinHold,
}

/// What `command` does to an intent that is in `state` and holds `held`.
///
/// # Errors
/// When the state forbids it.
pub fn decide(state: &State, held: Money, command: Command) -> Result<Event, Refusal> {
    use Command as C;
    use State as S;
    match (state, command) {
        (S::RequiresHold | S::Unknown(Unanswered::Hold), C::PlaceHold { processor_id }) => {
            Ok(Event::HoldPlaced { processor_id })
        }
        (S::RequiresHold | S::Unknown(Unanswered::Hold), C::DeclineHold { code }) => {
            Ok(Event::HoldDeclined { code })
        }
        (S::RequiresHold | S::Unknown(Unanswered::Hold), C::LoseAnswer(Step::Hold)) => {
            Ok(Event::AnswerLost(Step::Hold))
        }
        // The trip ended before a hold was ever asked for: steps are ordered, so no hold can be in flight here.
        (S::RequiresHold, C::Void) => Ok(Event::Voided),
        (S::RequiresHold, C::Capture { .. } | C::LoseAnswer(Step::Capture | Step::Void)) => {
            Err(Refusal::NotHeld)
        }
        (
            S::Unknown(Unanswered::Hold),
            C::Capture { .. } | C::Void | C::LoseAnswer(Step::Capture | Step::Void),
        ) => Err(Refusal::AnswerOutstanding),

        (S::Held { .. } | S::Unknown(Unanswered::Capture { .. }), C::Capture { amount }) => {
            within(held, amount)
        }
        (S::Held { .. } | S::Unknown(Unanswered::Void { .. }), C::Void) => Ok(Event::Voided),
        (S::Held { .. } | S::Unknown(Unanswered::Capture { .. }), C::LoseAnswer(Step::Capture)) => {
            Ok(Event::AnswerLost(Step::Capture))
        }
        (S::Held { .. } | S::Unknown(Unanswered::Void { .. }), C::LoseAnswer(Step::Void)) => {
            Ok(Event::AnswerLost(Step::Void))
        }
        (S::Unknown(Unanswered::Capture { .. }), C::Void | C::LoseAnswer(Step::Void))
        | (S::Unknown(Unanswered::Void { .. }), C::Capture { .. } | C::LoseAnswer(Step::Capture)) => {
            Err(Refusal::AnswerOutstanding)
        }
        (
            S::Held { .. } | S::Unknown(Unanswered::Capture { .. } | Unanswered::Void { .. }),
            C::PlaceHold { .. } | C::DeclineHold { .. } | C::LoseAnswer(Step::Hold),
        ) => Err(Refusal::AlreadyHeld),

        (
            S::Captured { .. } | S::Voided { .. } | S::Declined { .. },
            C::PlaceHold { .. }
            | C::DeclineHold { .. }
            | C::Capture { .. }
            | C::Void
            | C::LoseAnswer(_),
        ) => Err(Refusal::Finished),
    }
}

fn within(held: Money, amount: Money) -> Result<Event, Refusal> {
    let fits = amount.currency == held.currency && amount.minor > 0 && amount.minor <= held.minor;
    if fits {
        Ok(Event::Captured { amount })
    } else {
        Err(Refusal::NotWithinHold)
    }
}

impl Intent {
    /// The intent after `event`. Never refuses: [`decide`] did.
    #[must_use]
    pub fn apply(self, event: &Event) -> Self {
        let processor_id = self.state.processor_id().cloned();
        let state = match (event, processor_id) {
            (Event::HoldPlaced { processor_id }, _) => State::Held {
                processor_id: processor_id.clone(),
            },
            (Event::HoldDeclined { code }, _) => State::Declined { code: code.clone() },
            (Event::Voided, processor_id) => State::Voided { processor_id },
            (Event::AnswerLost(Step::Hold), _) => State::Unknown(Unanswered::Hold),
            (Event::Captured { amount }, Some(processor_id)) => State::Captured {
                processor_id,
                amount: *amount,
            },
            (Event::AnswerLost(Step::Capture), Some(processor_id)) => {
                State::Unknown(Unanswered::Capture { processor_id })
            }
            (Event::AnswerLost(Step::Void), Some(processor_id)) => {
                State::Unknown(Unanswered::Void { processor_id })
            }
            (Event::Captured { .. } | Event::AnswerLost(Step::Capture | Step::Void), None) => {
                self.state
            }
        };
        Self {
            state,
            version: self.version + i64::from(event.is_published()),
            ..self
        }
    }
}

#[cfg(test)]
mod tests;
