//! Steps asked of the processor, in the order of an intent's life, and their keys.
//!
//! Invariant: the key of a step is the same for every attempt, and no two steps of any two intents share one.
//! Does not: say what an order does in which state ([`super::plan`]).

use hexcab_types::{IntentId, Money};

use super::{Extra, Refund};

/// A step asked of the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Reserve the fare on the rider's card.
    Hold,
    /// Reserve the waiting fee too.
    Raise,
    /// Take what the rider owes out of the hold.
    Capture,
    /// Give the hold back.
    Void,
    /// Take what the trip cost above its hold.
    Charge,
    /// Give back what was taken.
    Refund,
    /// Take a tip.
    Tip,
}

/// A step in the life of the hold; the others are asked beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldStep {
    /// See [`Step::Hold`].
    Hold,
    /// See [`Step::Raise`].
    Raise,
    /// See [`Step::Capture`].
    Capture,
    /// See [`Step::Void`].
    Void,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Hold,
        Self::Raise,
        Self::Capture,
        Self::Void,
        Self::Charge,
        Self::Refund,
        Self::Tip,
    ];

    /// As it stands in columns, keys and span names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Raise => "raise",
            Self::Capture => "capture",
            Self::Void => "void",
            Self::Charge => "charge",
            Self::Refund => "refund",
            Self::Tip => "tip",
        }
    }

    /// The step of a column.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == text)
    }
}

impl HoldStep {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hold, Self::Raise, Self::Capture, Self::Void];

    /// As a step.
    pub const fn step(self) -> Step {
        match self {
            Self::Hold => Step::Hold,
            Self::Raise => Step::Raise,
            Self::Capture => Step::Capture,
            Self::Void => Step::Void,
        }
    }
}

/// What is to be asked of the processor for an intent: the content of a work row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Hold the intent's amount.
    Hold,
    /// Hold this much in all.
    Raise {
        /// More than the intent's amount.
        to: Money,
    },
    /// Take what the trip's ending charges, as far as it is held.
    Capture,
    /// Give the hold back.
    Void,
    /// Take the rest.
    Charge(Extra),
    /// Give back.
    Refund(Refund),
    /// Take a tip.
    Tip(Extra),
}

impl Order {
    /// Which step this order is.
    pub const fn step(&self) -> Step {
        match self {
            Self::Hold => Step::Hold,
            Self::Raise { .. } => Step::Raise,
            Self::Capture => Step::Capture,
            Self::Void => Step::Void,
            Self::Charge(_) => Step::Charge,
            Self::Refund(_) => Step::Refund,
            Self::Tip(_) => Step::Tip,
        }
    }

    /// Which step of the hold's life this order is; none for what is asked beside it.
    pub const fn hold_step(&self) -> Option<HoldStep> {
        match self {
            Self::Hold => Some(HoldStep::Hold),
            Self::Raise { .. } => Some(HoldStep::Raise),
            Self::Capture => Some(HoldStep::Capture),
            Self::Void => Some(HoldStep::Void),
            Self::Charge(_) | Self::Refund(_) | Self::Tip(_) => None,
        }
    }

    /// The processor's idempotency key: the same for every attempt of this step of this intent. Steps that an intent can
    /// have many of are told apart by what they are about.
    pub fn key(&self, intent: IntentId) -> String {
        let step = self.step().as_str();
        match self {
            Self::Hold | Self::Raise { .. } | Self::Capture | Self::Void | Self::Charge(_) => {
                format!("hexcab-{intent}-{step}")
            }
            Self::Refund(refund) => format!("hexcab-{intent}-{step}-{}", refund.id),
            Self::Tip(tip) => format!("hexcab-{intent}-{step}-{}", tip.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use uuid::Uuid;

    use super::*;
    use crate::domain::samples::{refund, rest, tip};

    #[test]
    fn a_key_depends_on_intent_and_step_only_and_no_two_steps_share_one() {
        let intents = [1, 2].map(|id| IntentId::from(Uuid::from_u128(id)));
        let orders = || {
            let to = Money::new(1, hexcab_types::Currency::Usd);
            vec![
                Order::Hold,
                Order::Raise { to },
                Order::Capture,
                Order::Void,
                Order::Charge(rest(1)),
                Order::Refund(refund(1)),
                Order::Refund(refund(2)),
                Order::Tip(tip(1)),
                Order::Tip(tip(2)),
            ]
        };
        let keys =
            || intents.map(|intent| orders().iter().map(|o| o.key(intent)).collect::<Vec<_>>());
        assert_eq!(keys(), keys());
        let all: HashSet<String> = keys().into_iter().flatten().collect();
        assert_eq!(all.len(), 2 * orders().len());
    }

    #[test]
    fn a_steps_name_reads_back() {
        for step in Step::ALL {
            assert_eq!(Step::parse(step.as_str()), Some(step));
        }
        for step in HoldStep::ALL {
            assert!(Step::ALL.contains(&step.step()));
        }
    }
}
