//! Where a chaos run may end this process: between any two effects of a step.
//!
//! Does nothing without the feature `crash-points`.

use crate::domain::Step;

/// A place between two effects of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Phase A is committed; nobody was woken.
    Noted,
    /// The step is leased; the processor was not asked.
    Claimed,
    /// The processor answered; nothing is recorded.
    Answered,
    /// Phase C is committed; the next step was not looked for.
    Recorded,
}

/// The process dies here when it was armed for this place: `payment.<step>.<place>`.
pub fn point(step: Step, at: At) {
    hexcab_chassis::crash::point(name(step, at));
}

const fn name(step: Step, at: At) -> &'static str {
    let [noted, claimed, answered, recorded] = match step {
        Step::Hold => places!("hold"),
        Step::Raise => places!("raise"),
        Step::Capture => places!("capture"),
        Step::Void => places!("void"),
        Step::Charge => places!("charge"),
        Step::Refund => places!("refund"),
        Step::Tip => places!("tip"),
    };
    match at {
        At::Noted => noted,
        At::Claimed => claimed,
        At::Answered => answered,
        At::Recorded => recorded,
    }
}

macro_rules! places {
    ($step:literal) => {
        [
            concat!("payment.", $step, ".noted"),
            concat!("payment.", $step, ".claimed"),
            concat!("payment.", $step, ".answered"),
            concat!("payment.", $step, ".recorded"),
        ]
    };
}
use places;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_its_places_by_name() {
        for step in Step::ALL {
            for (at, place) in [
                (At::Noted, "noted"),
                (At::Claimed, "claimed"),
                (At::Answered, "answered"),
                (At::Recorded, "recorded"),
            ] {
                assert_eq!(name(step, at), format!("payment.{}.{place}", step.as_str()));
            }
        }
    }
}
