//! As `batched`, and pairs that are given but not yet picked up may be exchanged: a driver who has come free nearer by
//! takes over, two drivers who pass each other on their ways change riders.
//!
//! Invariants: those of [`least`]; a rider gets another driver only where the whole plan gains more than
//! `swap_price_s` by each exchange. Does not: know until when a pair may be exchanged (the caller lists a trip as held
//! without its driver among the candidates, and it stays as it is), or that a driver is never asked twice (`excluded`).

use super::{Options, Policy, PolicyError, batched::pair_s, eligible, least, to_ms};
use crate::window::{Candidate, OpenRequest, Plan, Window};

/// Minimum-cost assignment of open requests and given ones together.
#[derive(Debug, Clone, Copy)]
pub struct Swaps {
    options: Options,
}

impl Swaps {
    /// Its name in configuration and decisions.
    pub const NAME: &'static str = "swaps";

    /// The policy with these options.
    ///
    /// # Errors
    /// When an option is negative or no finite number.
    pub fn new(options: Options) -> Result<Self, PolicyError> {
        options.validate()?;
        Ok(Self { options })
    }
}

impl Policy for Swaps {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn cost_ms(&self, request: &OpenRequest, candidate: &Candidate) -> Option<i64> {
        eligible(request, candidate, &self.options).then(|| {
            to_ms(
                pair_s(request, candidate, &self.options)
                    + swap_s(request, candidate, &self.options),
            )
        })
    }

    fn plan(&self, window: &Window) -> Plan {
        least::exchanging(self, window, &self.options)
    }
}

/// What it costs that this is another driver than the one on his way, in seconds.
pub(super) fn swap_s(request: &OpenRequest, candidate: &Candidate, options: &Options) -> f64 {
    match request.held {
        Some(held) if held != candidate.driver => options.swap_price_s,
        Some(_) | None => 0.0,
    }
}
