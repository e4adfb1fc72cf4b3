//! As `swaps`, and drivers who still have a rider may be given the next one, to pick up when they have set the first down.
//!
//! Invariants: those of [`least`]. Does not: know how long the present ride still takes; the caller says so
//! (`free_in_s`), and where that is a guess the policy loses more than it gains.

use super::{Options, Policy, PolicyError, batched::pair_s, in_time, least, swaps::swap_s, to_ms};
use crate::window::{Candidate, OpenRequest, Plan, Window};

/// Minimum-cost assignment over free drivers and those about to be free.
#[derive(Debug, Clone, Copy)]
pub struct Chained {
    options: Options,
}

impl Chained {
    /// Its name in configuration and decisions.
    pub const NAME: &'static str = "chained";

    /// The policy with these options.
    ///
    /// # Errors
    /// When an option is negative or no finite number.
    pub fn new(options: Options) -> Result<Self, PolicyError> {
        options.validate()?;
        Ok(Self { options })
    }
}

impl Policy for Chained {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn cost_ms(&self, request: &OpenRequest, candidate: &Candidate) -> Option<i64> {
        let knows_when = candidate.free_in_s.is_finite();
        (knows_when && in_time(request, candidate, &self.options)).then(|| {
            let doubt_s = self.options.chain_weight * candidate.free_in_s.max(0.0);
            let swap_s = swap_s(request, candidate, &self.options);
            to_ms(pair_s(request, candidate, &self.options) + doubt_s + swap_s)
        })
    }

    fn plan(&self, window: &Window) -> Plan {
        least::exchanging(self, window, &self.options)
    }
}
