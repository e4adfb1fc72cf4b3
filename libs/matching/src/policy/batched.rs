//! The whole window at once: the plan with the least total cost.
//!
//! Invariants: no other plan of the same window is cheaper, unassigned requests counted at their price.
//! Does not: promise a rider his nearest driver, nor a driver to whoever waits longest: the waiting credit shifts the
//! balance, it does not rank.

use hexcab_types::DriverId;

use super::{Options, Policy, PolicyError, eligible, to_ms};
use crate::{
    assignment::{Problem, solve},
    row::{Row, rows},
    window::{Candidate, OpenRequest, Pair, Plan, Window},
};

/// Minimum-cost assignment: a pair costs its road ETA, less credit for the rider's wait, plus a charge for an old
/// position; a request left over costs `unassigned_price_s`. Among plans of equal cost, ids decide.
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

    fn problem(&self, rows: &[Row], drivers: &[DriverId]) -> Problem {
        let price_ms = to_ms(self.options.unassigned_price_s);
        let mut problem = Problem::new(drivers.len());
        for row in rows {
            let column = |driver| {
                drivers
                    .binary_search(driver)
                    .expect("every driver of a row has a column")
            };
            problem.push_row(
                price_ms,
                row.drivers
                    .iter()
                    .map(|(driver, cost_ms)| (column(driver), *cost_ms)),
            );
        }
        problem
    }
}

impl Policy for Batched {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn cost_ms(&self, request: &OpenRequest, candidate: &Candidate) -> Option<i64> {
        let credit_s = self.options.waiting_credit * request.waited_s();
        let age_s = self.options.position_age_weight * candidate.position_age_s.max(0.0);
        eligible(request, candidate, &self.options)
            .then(|| to_ms(candidate.eta_s - credit_s + age_s))
    }

    fn plan(&self, window: &Window) -> Plan {
        let rows = rows(self, window);
        let mut drivers: Vec<DriverId> = rows
            .iter()
            .flat_map(|row| &row.drivers)
            .map(|&(driver, _)| driver)
            .collect();
        drivers.sort_unstable();
        drivers.dedup();

        let solution = solve(&self.problem(&rows, &drivers));
        let mut plan = Plan::default();
        for (row, chosen) in rows.iter().zip(&solution.chosen) {
            match chosen {
                Some(edge) => {
                    plan.pairs.push(Pair {
                        trip: row.trip,
                        driver: drivers[edge.column()],
                        cost_ms: edge.cost,
                    });
                }
                None => plan.unassigned.push(row.trip),
            }
        }
        plan
    }
}
