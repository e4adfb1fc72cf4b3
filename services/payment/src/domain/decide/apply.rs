//! The intent after an event. Never refuses: [`super::decide`] did.

use hexcab_types::Money;

use super::Event;
use crate::domain::{Hold, HoldStep, Intent, State, Taken, Unanswered};

impl Intent {
    /// The intent after `event`.
    #[must_use]
    pub fn apply(self, event: &Event) -> Self {
        let version = self.version + i64::from(event.is_published());
        let state = match (self.state, event) {
            (_, Event::HoldPlaced { hold }) => State::Held(hold.clone()),
            (_, Event::HoldDeclined { code }) => State::Declined {
                code: code.clone(),
                owed: None,
            },
            (_, Event::AnswerLost(HoldStep::Hold)) => State::Unknown(Unanswered::Hold),
            (_, Event::CashCollected { .. }) => State::CashCollected,
            (State::Declined { code, .. }, Event::DebtIncurred { owed }) => State::Declined {
                code,
                owed: Some(*owed),
            },
            (_, Event::DebtIncurred { owed }) => State::Owed { owed: *owed },
            (State::Captured { hold, taken }, event) => State::Captured {
                hold,
                taken: count(taken, event),
            },
            (state, Event::Voided) => State::Voided {
                hold: state.hold().cloned(),
            },
            (state, event) => match state.hold().cloned() {
                Some(hold) => of_hold(state, hold, event),
                None => state,
            },
        };
        let raise = match event {
            Event::RaiseDeclined { .. } => Money::zero(self.raise.currency),
            Event::HoldPlaced { .. }
            | Event::HoldDeclined { .. }
            | Event::HoldRaised { .. }
            | Event::Captured { .. }
            | Event::CaptureFailed { .. }
            | Event::Voided
            | Event::AnswerLost(_)
            | Event::CashCollected { .. }
            | Event::DebtIncurred { .. }
            | Event::RestCharged { .. }
            | Event::RestDeclined { .. }
            | Event::Refunded(_)
            | Event::RefundFailed(..)
            | Event::TipCharged(_)
            | Event::TipDeclined(..)
            | Event::ChargebackOpened(_)
            | Event::ChargebackClosed(_) => self.raise,
        };
        Self {
            state,
            raise,
            version,
            ..self
        }
    }
}

/// What follows from money that is on hold.
fn of_hold(state: State, hold: Hold, event: &Event) -> State {
    match event {
        Event::HoldRaised { to } => State::Held(Hold {
            amount: *to,
            ..hold
        }),
        Event::RaiseDeclined { .. } => State::Held(hold),
        Event::Captured { amount, .. } => State::Captured {
            hold,
            taken: Taken::captured(*amount),
        },
        Event::CaptureFailed { code, owed } => State::CaptureFailed {
            hold,
            code: code.clone(),
            owed: *owed,
        },
        Event::AnswerLost(HoldStep::Raise) => State::Unknown(Unanswered::Raise(hold)),
        Event::AnswerLost(HoldStep::Capture) => State::Unknown(Unanswered::Capture(hold)),
        Event::AnswerLost(HoldStep::Void) => State::Unknown(Unanswered::Void(hold)),
        Event::HoldPlaced { .. }
        | Event::HoldDeclined { .. }
        | Event::Voided
        | Event::AnswerLost(HoldStep::Hold)
        | Event::CashCollected { .. }
        | Event::DebtIncurred { .. }
        | Event::RestCharged { .. }
        | Event::RestDeclined { .. }
        | Event::Refunded(_)
        | Event::RefundFailed(..)
        | Event::TipCharged(_)
        | Event::TipDeclined(..)
        | Event::ChargebackOpened(_)
        | Event::ChargebackClosed(_) => state,
    }
}

/// What an event does to what was taken. Sums fit: `decide` made them.
fn count(taken: Taken, event: &Event) -> Taken {
    match event {
        Event::RestCharged { amount } => Taken {
            rest: *amount,
            ..taken
        },
        Event::RestDeclined { owed, .. } => Taken {
            owed: *owed,
            ..taken
        },
        Event::Refunded(refund) => Taken {
            refunded: taken.refunded.plus(refund.amount).unwrap_or(taken.refunded),
            ..taken
        },
        Event::HoldPlaced { .. }
        | Event::HoldDeclined { .. }
        | Event::HoldRaised { .. }
        | Event::RaiseDeclined { .. }
        | Event::Captured { .. }
        | Event::CaptureFailed { .. }
        | Event::Voided
        | Event::AnswerLost(_)
        | Event::CashCollected { .. }
        | Event::DebtIncurred { .. }
        | Event::RefundFailed(..)
        | Event::TipCharged(_)
        | Event::TipDeclined(..)
        | Event::ChargebackOpened(_)
        | Event::ChargebackClosed(_) => taken,
    }
}
