//! Every refusal of what people ask for, by the word that callers see and that is kept as the answer to their request.
//!
//! Invariant: a word reads back to its refusal.

use super::{payout::PayoutRefusal, refund::RefundRefusal, tip::TipRefusal};

/// Why something that was asked for is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A refund.
    #[error(transparent)]
    Refund(#[from] RefundRefusal),
    /// A tip.
    #[error(transparent)]
    Tip(#[from] TipRefusal),
    /// A payout.
    #[error(transparent)]
    Payout(#[from] PayoutRefusal),
}

/// What a caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedKind {
    /// Ask for something that makes sense.
    Malformed,
    /// Ask as somebody else.
    NotYours,
    /// Nothing, or wait.
    State,
}

impl Refused {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Refund(RefundRefusal::NothingTaken),
        Self::Refund(RefundRefusal::MoreThanTaken),
        Self::Refund(RefundRefusal::Amount),
        Self::Refund(RefundRefusal::Disputed),
        Self::Refund(RefundRefusal::Unsettled),
        Self::Tip(TipRefusal::NotYourTrip),
        Self::Tip(TipRefusal::NotDriven),
        Self::Tip(TipRefusal::RiderOwes),
        Self::Tip(TipRefusal::AlreadyTipped),
        Self::Tip(TipRefusal::TooLate),
        Self::Tip(TipRefusal::TooLarge),
        Self::Tip(TipRefusal::Amount),
        Self::Payout(PayoutRefusal::NothingToPayOut),
        Self::Payout(PayoutRefusal::AsOfInFuture),
        Self::Payout(PayoutRefusal::Closed),
        Self::Payout(PayoutRefusal::NoSuchLine),
        Self::Payout(PayoutRefusal::Minimum),
    ];

    /// The word for it.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Refund(RefundRefusal::NothingTaken) => "NOTHING_TAKEN",
            Self::Refund(RefundRefusal::MoreThanTaken) => "MORE_THAN_TAKEN",
            Self::Refund(RefundRefusal::Amount) => "REFUND_AMOUNT_INVALID",
            Self::Refund(RefundRefusal::Disputed) => "DISPUTED",
            Self::Refund(RefundRefusal::Unsettled) => "UNSETTLED",
            Self::Tip(TipRefusal::NotYourTrip) => "NOT_YOUR_TRIP",
            Self::Tip(TipRefusal::NotDriven) => "NOT_DRIVEN",
            Self::Tip(TipRefusal::RiderOwes) => "RIDER_OWES",
            Self::Tip(TipRefusal::AlreadyTipped) => "ALREADY_TIPPED",
            Self::Tip(TipRefusal::TooLate) => "TIP_TOO_LATE",
            Self::Tip(TipRefusal::TooLarge) => "TIP_TOO_LARGE",
            Self::Tip(TipRefusal::Amount) => "TIP_AMOUNT_INVALID",
            Self::Payout(PayoutRefusal::NothingToPayOut) => "NOTHING_TO_PAY_OUT",
            Self::Payout(PayoutRefusal::AsOfInFuture) => "AS_OF_IN_FUTURE",
            Self::Payout(PayoutRefusal::Closed) => "PAYOUT_CLOSED",
            Self::Payout(PayoutRefusal::NoSuchLine) => "NO_SUCH_LINE",
            Self::Payout(PayoutRefusal::Minimum) => "MINIMUM_INVALID",
        }
    }

    /// The refusal of a word.
    pub fn from_reason(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.reason() == word)
    }

    /// What a caller can do about it.
    pub const fn kind(self) -> RefusedKind {
        match self {
            Self::Refund(RefundRefusal::Amount)
            | Self::Tip(TipRefusal::Amount)
            | Self::Payout(
                PayoutRefusal::AsOfInFuture | PayoutRefusal::NoSuchLine | PayoutRefusal::Minimum,
            ) => RefusedKind::Malformed,
            Self::Tip(TipRefusal::NotYourTrip) => RefusedKind::NotYours,
            Self::Refund(
                RefundRefusal::NothingTaken
                | RefundRefusal::MoreThanTaken
                | RefundRefusal::Disputed
                | RefundRefusal::Unsettled,
            )
            | Self::Tip(
                TipRefusal::NotDriven
                | TipRefusal::RiderOwes
                | TipRefusal::AlreadyTipped
                | TipRefusal::TooLate
                | TipRefusal::TooLarge,
            )
            | Self::Payout(PayoutRefusal::NothingToPayOut | PayoutRefusal::Closed) => {
                RefusedKind::State
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_reads_back_to_its_refusal() {
        for refused in Refused::ALL {
            assert_eq!(Refused::from_reason(refused.reason()), Some(refused));
        }
        assert_eq!(Refused::from_reason("NO_REASON"), None);
    }
}
