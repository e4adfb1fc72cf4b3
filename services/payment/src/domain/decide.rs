//! Which answer of the processor does what to an intent, and when it is refused.
//!
//! Invariants: a finished intent never changes, refunds aside; a raise, capture or void follows a hold that was answered;
//! never more is captured than is held, nor more given back than was taken; an outstanding answer is resolved by an
//! answer of the same step only; what an ending charges is captured, owed or collected exactly.
//! Does not: read the clock, touch the store, decide when to ask.

use hexcab_types::Money;

use super::{
    Ending, Extra, ExtraKind, Hold, HoldStep, Intent, ProcessorId, Refund, Said, State, Taken,
    Unanswered, dispute::Dispute,
};

/// What is known after the processor was asked, or without asking it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The processor holds the intent's amount.
    PlaceHold {
        /// The payment at the processor.
        processor_id: ProcessorId,
    },
    /// The processor refused the hold.
    DeclineHold {
        /// As the processor said it.
        code: String,
    },
    /// The processor holds this much now.
    RaiseHold {
        /// More than before.
        to: Money,
    },
    /// The processor holds what it held.
    DeclineRaise {
        /// As the processor said it.
        code: String,
    },
    /// The processor took this much.
    Capture {
        /// What the trip costs, as far as it is held.
        amount: Money,
    },
    /// The processor refused the capture.
    FailCapture {
        /// As the processor said it.
        code: String,
    },
    /// The processor gave the money back, or was never asked to hold it.
    Void,
    /// The processor was asked for this step and did not answer.
    LoseAnswer(HoldStep),
    /// The driver has the rider's cash.
    CollectCash,
    /// Nothing was held, or nothing can be: the rider owes what the trip costs.
    Owe,
    /// The processor answered about the rest.
    AnswerRest(Extra, Said),
    /// The processor answered about a tip.
    AnswerTip(Extra, Said),
    /// The processor answered about a refund.
    AnswerRefund(Refund, Said),
}

/// What happened to an intent. All but [`Event::AnswerLost`] are published and numbered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The money is held.
    HoldPlaced {
        /// What is held.
        hold: Hold,
    },
    /// The money is not to be had.
    HoldDeclined {
        /// As the processor said it.
        code: String,
    },
    /// More money is held.
    HoldRaised {
        /// In all.
        to: Money,
    },
    /// No more money is held.
    RaiseDeclined {
        /// As the processor said it.
        code: String,
        /// What is held still.
        held: Money,
    },
    /// The rider paid.
    Captured {
        /// More than zero, at most what was held.
        amount: Money,
        /// What the trip cost above it; charged next.
        rest: Money,
    },
    /// The rider did not pay, though his money was held.
    CaptureFailed {
        /// As the processor said it.
        code: String,
        /// What he owes.
        owed: Money,
    },
    /// The rider pays nothing.
    Voided,
    /// The processor did not answer; our own note, not published.
    AnswerLost(HoldStep),
    /// The driver has the rider's money.
    CashCollected {
        /// More than zero.
        amount: Money,
    },
    /// The trip cost something that nothing can be taken for.
    DebtIncurred {
        /// What the rider owes; zero when only the driver is owed something.
        owed: Money,
    },
    /// The rest was taken.
    RestCharged {
        /// More than zero.
        amount: Money,
    },
    /// The rest is owed.
    RestDeclined {
        /// As the processor said it.
        code: String,
        /// What the rider owes.
        owed: Money,
    },
    /// Money was given back.
    Refunded(Refund),
    /// Money was not given back.
    RefundFailed(Refund, String),
    /// The driver got a tip.
    TipCharged(Extra),
    /// The driver got no tip.
    TipDeclined(Extra, String),
    /// The rider's bank took a payment back, for now.
    ChargebackOpened(Dispute),
    /// The rider's bank decided.
    ChargebackClosed(Dispute),
}

impl Event {
    /// Whether the world is told, and the intent's version counts it.
    pub const fn is_published(&self) -> bool {
        match self {
            Self::HoldPlaced { .. }
            | Self::HoldDeclined { .. }
            | Self::HoldRaised { .. }
            | Self::RaiseDeclined { .. }
            | Self::Captured { .. }
            | Self::CaptureFailed { .. }
            | Self::Voided
            | Self::CashCollected { .. }
            | Self::DebtIncurred { .. }
            | Self::RestCharged { .. }
            | Self::RestDeclined { .. }
            | Self::Refunded(_)
            | Self::RefundFailed(..)
            | Self::TipCharged(_)
            | Self::TipDeclined(..)
            | Self::ChargebackOpened(_)
            | Self::ChargebackClosed(_) => true,
            Self::AnswerLost(_) => false,
        }
    }
}

/// Why an answer does not fit an intent. Each is a bug of ours or of the processor, and wakes somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The intent, or what was asked beside it, is finished.
    #[error("the intent is finished")]
    Finished,
    /// The hold is answered already.
    #[error("the hold is answered already")]
    AlreadyHeld,
    /// Nothing is held that could be raised, captured or voided.
    #[error("nothing is held")]
    NotHeld,
    /// Another step's answer is outstanding and must be known first.
    #[error("the answer to another step is outstanding")]
    AnswerOutstanding,
    /// More than was held, nothing, or another currency.
    #[error("the amount is not within the held amount")]
    NotWithinHold,
    /// Nothing is to be raised, or not to this amount.
    #[error("the hold is not to be raised to this amount")]
    NotRaised,
    /// The trip has not ended, or it ended with another charge.
    #[error("the trip's ending charges something else")]
    NotTheCharge,
    /// A card for a cash ride, or cash for a card.
    #[error("the rider pays otherwise")]
    OtherMethod,
    /// Nothing was taken that a rest, a tip or a refund could follow.
    #[error("nothing was taken")]
    NothingTaken,
    /// More would be given back than was taken.
    #[error("more would be given back than was taken")]
    MoreThanTaken,
}

/// What `command` does to `intent`.
///
/// # Errors
/// When its state forbids it.
pub fn decide(intent: &Intent, command: Command) -> Result<Event, Refusal> {
    use Command as C;
    use State as S;
    use Unanswered as U;
    match (&intent.state, command) {
        (S::RequiresHold | S::Unknown(U::Hold), C::PlaceHold { processor_id }) => {
            placed(intent, processor_id)
        }
        (S::RequiresHold | S::Unknown(U::Hold), C::DeclineHold { code }) => {
            Ok(Event::HoldDeclined { code })
        }
        (S::RequiresHold | S::Unknown(U::Hold), C::LoseAnswer(HoldStep::Hold)) => {
            Ok(Event::AnswerLost(HoldStep::Hold))
        }
        // The trip ended before a hold was ever asked for: steps are ordered, so no hold can be in flight here.
        (S::RequiresHold | S::AwaitsCash, C::Void) => free(intent),
        (S::Held(hold) | S::Unknown(U::Raise(hold)), C::RaiseHold { to }) => {
            raised(intent, hold, to)
        }
        (S::Held(hold) | S::Unknown(U::Raise(hold)), C::DeclineRaise { code }) => {
            let held = hold.amount;
            asked_to_raise(intent, hold)?;
            Ok(Event::RaiseDeclined { code, held })
        }
        (S::Held(hold) | S::Unknown(U::Capture(hold)), C::Capture { amount }) => {
            captured(intent, hold, amount)
        }
        (S::Held(_) | S::Unknown(U::Capture(_)), C::FailCapture { code }) => {
            Ok(Event::CaptureFailed {
                code,
                owed: costs(intent)?.charge.amount,
            })
        }
        (S::Held(_) | S::Unknown(U::Void(_)), C::Void) => free(intent),
        (
            S::Held(_),
            C::LoseAnswer(step @ (HoldStep::Raise | HoldStep::Capture | HoldStep::Void)),
        )
        | (S::Unknown(U::Raise(_)), C::LoseAnswer(step @ HoldStep::Raise))
        | (S::Unknown(U::Capture(_)), C::LoseAnswer(step @ HoldStep::Capture))
        | (S::Unknown(U::Void(_)), C::LoseAnswer(step @ HoldStep::Void)) => {
            Ok(Event::AnswerLost(step))
        }
        (S::AwaitsCash, C::CollectCash) => {
            let ending = costs(intent)?;
            if !ending.is_driven() {
                return Err(Refusal::NotTheCharge);
            }
            Ok(Event::CashCollected {
                amount: ending.charge.amount,
            })
        }
        (S::AwaitsCash, C::Owe) => Ok(Event::DebtIncurred {
            owed: costs(intent)?.charge.amount,
        }),
        (S::Declined { owed: None, .. }, C::Owe) => Ok(Event::DebtIncurred {
            owed: ended(intent)?.charge.amount,
        }),
        (S::Captured { taken, .. }, C::AnswerRest(rest, said)) => {
            answer_rest(intent, taken, &rest, said)
        }
        (S::Captured { .. } | S::CashCollected, C::AnswerTip(tip, said)) => answer_tip(tip, said),
        (S::Captured { taken, .. }, C::AnswerRefund(refund, said)) => {
            answer_refund(taken, refund, said)
        }

        (
            S::RequiresHold,
            C::RaiseHold { .. }
            | C::DeclineRaise { .. }
            | C::Capture { .. }
            | C::FailCapture { .. }
            | C::LoseAnswer(HoldStep::Raise | HoldStep::Capture | HoldStep::Void),
        ) => Err(Refusal::NotHeld),
        (
            S::Unknown(U::Hold),
            C::RaiseHold { .. }
            | C::DeclineRaise { .. }
            | C::Capture { .. }
            | C::FailCapture { .. }
            | C::Void
            | C::LoseAnswer(HoldStep::Raise | HoldStep::Capture | HoldStep::Void),
        )
        | (
            S::Unknown(U::Raise(_)),
            C::Capture { .. }
            | C::FailCapture { .. }
            | C::Void
            | C::LoseAnswer(HoldStep::Capture | HoldStep::Void),
        )
        | (
            S::Unknown(U::Capture(_)),
            C::RaiseHold { .. }
            | C::DeclineRaise { .. }
            | C::Void
            | C::LoseAnswer(HoldStep::Raise | HoldStep::Void),
        )
        | (
            S::Unknown(U::Void(_)),
            C::RaiseHold { .. }
            | C::DeclineRaise { .. }
            | C::Capture { .. }
            | C::FailCapture { .. }
            | C::LoseAnswer(HoldStep::Raise | HoldStep::Capture),
        ) => Err(Refusal::AnswerOutstanding),
        (
            S::Held(_) | S::Unknown(U::Raise(_) | U::Capture(_) | U::Void(_)),
            C::PlaceHold { .. } | C::DeclineHold { .. } | C::LoseAnswer(HoldStep::Hold),
        ) => Err(Refusal::AlreadyHeld),
        (
            S::AwaitsCash,
            C::PlaceHold { .. }
            | C::DeclineHold { .. }
            | C::RaiseHold { .. }
            | C::DeclineRaise { .. }
            | C::Capture { .. }
            | C::FailCapture { .. }
            | C::LoseAnswer(_),
        )
        | (S::RequiresHold | S::Held(_) | S::Unknown(_), C::CollectCash | C::Owe) => {
            Err(Refusal::OtherMethod)
        }
        (
            S::Captured { .. }
            | S::CaptureFailed { .. }
            | S::Voided { .. }
            | S::Declined { .. }
            | S::CashCollected
            | S::Owed { .. },
            C::PlaceHold { .. }
            | C::DeclineHold { .. }
            | C::RaiseHold { .. }
            | C::DeclineRaise { .. }
            | C::Capture { .. }
            | C::FailCapture { .. }
            | C::Void
            | C::LoseAnswer(_)
            | C::CollectCash
            | C::Owe,
        ) => Err(Refusal::Finished),
        (
            S::RequiresHold
            | S::Held(_)
            | S::Unknown(_)
            | S::CaptureFailed { .. }
            | S::Voided { .. }
            | S::Declined { .. }
            | S::AwaitsCash
            | S::Owed { .. },
            C::AnswerRest(..) | C::AnswerTip(..) | C::AnswerRefund(..),
        )
        | (S::CashCollected, C::AnswerRest(..) | C::AnswerRefund(..)) => Err(Refusal::NothingTaken),
    }
}

fn ended(intent: &Intent) -> Result<&Ending, Refusal> {
    intent.ending.as_ref().ok_or(Refusal::NotTheCharge)
}

/// The ending of a trip that the rider owes something for.
fn costs(intent: &Intent) -> Result<&Ending, Refusal> {
    let ending = ended(intent)?;
    if ending.charge.amount.minor > 0 {
        Ok(ending)
    } else {
        Err(Refusal::NotTheCharge)
    }
}

fn free(intent: &Intent) -> Result<Event, Refusal> {
    if ended(intent)?.charge.amount.minor == 0 {
        Ok(Event::Voided)
    } else {
        Err(Refusal::NotTheCharge)
    }
}

fn placed(intent: &Intent, id: ProcessorId) -> Result<Event, Refusal> {
    let amount = intent.amount;
    if amount.minor <= 0 {
        return Err(Refusal::NotWithinHold);
    }
    Ok(Event::HoldPlaced {
        hold: Hold { id, amount },
    })
}

/// What is to be held in all, while that has not been answered.
fn asked_to_raise(intent: &Intent, hold: &Hold) -> Result<Money, Refusal> {
    match intent.amount.plus(intent.raise) {
        Ok(to) if to.minor > hold.amount.minor => Ok(to),
        Ok(_) | Err(_) => Err(Refusal::NotRaised),
    }
}

fn raised(intent: &Intent, hold: &Hold, to: Money) -> Result<Event, Refusal> {
    if to == asked_to_raise(intent, hold)? {
        Ok(Event::HoldRaised { to })
    } else {
        Err(Refusal::NotRaised)
    }
}

fn captured(intent: &Intent, hold: &Hold, amount: Money) -> Result<Event, Refusal> {
    let held = hold.amount;
    if amount.currency != held.currency || amount.minor <= 0 || amount.minor > held.minor {
        return Err(Refusal::NotWithinHold);
    }
    let charge = costs(intent)?.charge.amount;
    if amount.minor != charge.minor.min(held.minor) {
        return Err(Refusal::NotTheCharge);
    }
    let rest = charge.minus(amount).map_err(|_| Refusal::NotTheCharge)?;
    Ok(Event::Captured { amount, rest })
}

fn answer_rest(intent: &Intent, taken: &Taken, rest: &Extra, said: Said) -> Result<Event, Refusal> {
    // Nothing is given back before the whole charge is taken or owed, so a refund says that the rest was answered too.
    let answered = [taken.rest, taken.owed, taken.refunded].map(|money| money.minor) != [0, 0, 0];
    if rest.kind != ExtraKind::Rest || answered {
        return Err(Refusal::Finished);
    }
    if costs(intent)?.charge.amount.minus(taken.captured) != Ok(rest.amount) {
        return Err(Refusal::NotTheCharge);
    }
    rest.answer.hear(&said)?;
    Ok(match said {
        Said::Done { .. } => Event::RestCharged {
            amount: rest.amount,
        },
        Said::Refused { code } => Event::RestDeclined {
            code,
            owed: rest.amount,
        },
    })
}

fn answer_tip(tip: Extra, said: Said) -> Result<Event, Refusal> {
    let answer = tip.answer.hear(&said)?;
    Ok(match said {
        Said::Done { .. } => Event::TipCharged(Extra { answer, ..tip }),
        Said::Refused { code } => Event::TipDeclined(Extra { answer, ..tip }, code),
    })
}

fn answer_refund(taken: &Taken, refund: Refund, said: Said) -> Result<Event, Refusal> {
    let answer = refund.answer.hear(&said)?;
    match said {
        Said::Done { .. } => {
            let sums = [
                taken.refunded.plus(refund.amount),
                taken.captured.plus(taken.rest),
            ];
            match sums {
                [Ok(given_back), Ok(taken)] if given_back.minor <= taken.minor => {
                    Ok(Event::Refunded(Refund { answer, ..refund }))
                }
                [Ok(_) | Err(_), Ok(_) | Err(_)] => Err(Refusal::MoreThanTaken),
            }
        }
        Said::Refused { code } => Ok(Event::RefundFailed(Refund { answer, ..refund }, code)),
    }
}

mod apply;

#[cfg(test)]
mod tests;
