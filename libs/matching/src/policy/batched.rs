//! The whole window at once: the plan with the least total cost.
//!
//! Invariants: those of [`least`]; a driver on his way stays with his rider.
//! Does not: promise a rider his nearest driver, nor a driver to whoever waits longest: the waiting credit shifts the
//! balance, it does not rank.

use super::{Options, Policy, PolicyError, eligible, least, to_ms};
use crate::window::{Candidate, OpenRequest, Plan, Window};

/// Minimum-cost assignment: a pair costs its road ETA, less credit for the rider's wait, plus a charge for an old
/// position, plus what it costs to be where the ride ends rather than where the driver is; a request left over costs `unassigned_price_s`.
#[derive(Debug, Clone, Copy)]
pub struct Batched {
    options: Options,
}

impl Batched {
    /// Its name in configuration and decisions.
    pub const NAME: &'static str = "batched";

    /// The policy with these options.
    ///
    /// # Errors
    /// When an option is negative or no finite number.
    pub fn new(options: Options) -> Result<Self, PolicyError> {
        options.validate()?;
        Ok(Self { options })
    }
}

impl Policy for Batched {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn version(&self) -> u32 {
        2
    }

    fn cost_ms(&self, request: &OpenRequest, candidate: &Candidate) -> Option<i64> {
        eligible(request, candidate, &self.options)
            .then(|| to_ms(pair_s(request, candidate, &self.options)))
    }

    fn plan(&self, window: &Window) -> Plan {
        least::keeping(self, window, &self.options)
    }
}

/// What a pair costs, in seconds.
pub(super) fn pair_s(request: &OpenRequest, candidate: &Candidate, options: &Options) -> f64 {
    let credit_s = options.waiting_credit * request.waited_s();
    let age_s = options.position_age_weight * candidate.position_age_s.max(0.0);
    let place_s = options.end_weight * finite(request.end_cost_s)
        - options.here_weight * finite(candidate.here_cost_s);
    candidate.eta_s - credit_s + age_s + place_s
}

fn finite(seconds: f64) -> f64 {
    if seconds.is_finite() { seconds } else { 0.0 }
}
