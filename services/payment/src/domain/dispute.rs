//! Chargebacks: a rider's bank takes a payment back, and later decides whose the money is.
//!
//! Invariants: a dispute is opened once and closed once; what is heard twice, late or from the middle changes nothing that
//! is known. Does not: believe a webhook: the object was read again at the processor.

use hexcab_types::{Money, Timestamp};

use super::ProcessorId;

/// A payment that the rider's bank took back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispute {
    /// The processor's id of the dispute.
    pub id: String,
    /// The payment there.
    pub payment: ProcessorId,
    /// More than zero.
    pub amount: Money,
    /// As the processor says it.
    pub reason: String,
    /// Where it is.
    pub state: DisputeState,
    /// City clock.
    pub opened_at: Timestamp,
    /// City clock; none while open.
    pub closed_at: Option<Timestamp>,
}

/// Where a dispute is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisputeState {
    /// The bank has the money.
    Open,
    /// The money came back. Terminal.
    Won,
    /// The money is gone. Terminal.
    Lost,
}

/// What is to be done when a dispute is heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// The money goes to the bank.
    Open,
    /// It comes back.
    Win,
    /// It is lost.
    Lose,
}

/// The bank changed its decision: somebody must look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the dispute was {was:?} and is said to be {said:?}")]
pub struct Contradiction {
    /// What is known.
    pub was: DisputeState,
    /// What was heard.
    pub said: DisputeState,
}

impl Dispute {
    /// Whether the bank has not decided.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, DisputeState::Open)
    }

    /// Whether the money is not ours, for now or for good.
    pub const fn counts(&self) -> bool {
        match self.state {
            DisputeState::Open | DisputeState::Lost => true,
            DisputeState::Won => false,
        }
    }
}

impl DisputeState {
    /// As it stands in columns.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Won => "WON",
            Self::Lost => "LOST",
        }
    }
}

/// What hearing `said` of a dispute does, of which `known` is known.
///
/// # Errors
/// When it was closed otherwise.
pub fn hear(known: Option<DisputeState>, said: DisputeState) -> Result<Vec<Move>, Contradiction> {
    use DisputeState as S;
    match (known, said) {
        (None, S::Open) => Ok(vec![Move::Open]),
        (None, S::Won) => Ok(vec![Move::Open, Move::Win]),
        (None, S::Lost) => Ok(vec![Move::Open, Move::Lose]),
        (Some(S::Open), S::Won) => Ok(vec![Move::Win]),
        (Some(S::Open), S::Lost) => Ok(vec![Move::Lose]),
        // Heard twice, or read before it was closed and told after.
        (Some(S::Open | S::Won | S::Lost), S::Open)
        | (Some(S::Won), S::Won)
        | (Some(S::Lost), S::Lost) => Ok(Vec::new()),
        (Some(was @ S::Won), S::Lost) | (Some(was @ S::Lost), S::Won) => {
            Err(Contradiction { was, said })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dispute_is_opened_once_and_closed_once_in_whatever_order_it_is_heard() {
        use DisputeState as S;
        use Move as M;
        #[rustfmt::skip]
        let table = [
            (None,          S::Open, Some(vec![M::Open])),
            (None,          S::Won,  Some(vec![M::Open, M::Win])),
            (None,          S::Lost, Some(vec![M::Open, M::Lose])),
            (Some(S::Open), S::Open, Some(vec![])),
            (Some(S::Open), S::Won,  Some(vec![M::Win])),
            (Some(S::Open), S::Lost, Some(vec![M::Lose])),
            (Some(S::Won),  S::Open, Some(vec![])),
            (Some(S::Won),  S::Won,  Some(vec![])),
            (Some(S::Won),  S::Lost, None),
            (Some(S::Lost), S::Open, Some(vec![])),
            (Some(S::Lost), S::Won,  None),
            (Some(S::Lost), S::Lost, Some(vec![])),
        ];
        for (known, said, expected) in table {
            assert_eq!(hear(known, said).ok(), expected, "{known:?} × {said:?}");
        }
    }
}
