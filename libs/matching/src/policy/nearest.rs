//! First come, first served: whoever has waited longest gets the driver who is there soonest.
//!
//! Invariants: a request is unassigned only when all its eligible drivers went to riders who waited as long or longer.
//! Does not: weigh one rider's gain against another's; that is [`Batched`](super::Batched).

use std::collections::HashSet;

use super::{Options, Policy, PolicyError, eligible, to_ms};
use crate::{
    row::rows,
    window::{Candidate, OpenRequest, Pair, Plan, Window},
};

/// Greedy: requests by waiting time, each takes the free driver with the lowest road ETA. Ties go to the lower id.
#[derive(Debug, Clone, Copy)]
pub struct Nearest {
    options: Options,
}

impl Nearest {
    /// Its name in configuration and decisions.
    pub const NAME: &'static str = "nearest";

    /// The policy with these options.
    ///
    /// # Errors
    /// When an option is negative or no finite number.
    pub fn new(options: Options) -> Result<Self, PolicyError> {
        options.validate()?;
        Ok(Self { options })
    }
}

impl Policy for Nearest {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn cost_ms(&self, request: &OpenRequest, candidate: &Candidate) -> Option<i64> {
        eligible(request, candidate, &self.options).then(|| to_ms(candidate.eta_s))
    }

    fn plan(&self, window: &Window) -> Plan {
        let mut rows = rows(self, window);
        rows.sort_by(|a, b| b.waited_s.total_cmp(&a.waited_s).then(a.trip.cmp(&b.trip)));
        let mut plan = Plan::default();
        let mut taken: HashSet<_> = rows.iter().filter_map(|row| row.held).collect();
        for row in rows {
            if let Some(pair) = row.held_pair() {
                plan.pairs.push(pair);
                continue;
            }
            let free = row
                .drivers
                .iter()
                .filter(|(driver, _)| !taken.contains(driver));
            match free.min_by_key(|&&(driver, cost_ms)| (cost_ms, driver)) {
                Some(&(driver, cost_ms)) => {
                    taken.insert(driver);
                    plan.pairs.push(Pair {
                        trip: row.trip,
                        driver,
                        cost_ms,
                    });
                }
                None => plan.unassigned.push(row.trip),
            }
        }
        plan.pairs.sort_unstable_by_key(|pair| pair.trip);
        plan.unassigned.sort_unstable();
        plan
    }
}
