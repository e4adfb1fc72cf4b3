//! Policies: rules that make a plan of a window, behind one trait and looked up by name.
//!
//! Invariants: `plan` is a function of options and window alone; every pair of a plan costs what `cost_ms` says.
//! A policy whose answers change for the same window gets a new `version`.
//! Does not: keep anything between windows.

mod batched;
mod chained;
mod least;
mod nearest;
mod swaps;

use serde::{Deserialize, Serialize};

pub use self::{batched::Batched, chained::Chained, nearest::Nearest, swaps::Swaps};
use crate::{
    assignment::COST_LIMIT,
    window::{Candidate, OpenRequest, Plan, Window},
};

/// The names that [`policy`] knows.
pub const POLICIES: [&str; 4] = [Nearest::NAME, Batched::NAME, Swaps::NAME, Chained::NAME];

/// A rule for who picks up whom.
pub trait Policy: Send + Sync {
    /// The name by which configuration and decisions call it.
    fn name(&self) -> &'static str;

    /// Raised whenever the same window with the same options may get another plan.
    fn version(&self) -> u32;

    /// What this pair costs, in milliseconds, or none when this driver must not be given this request: excluded, no
    /// way there, or too far. A decision is recorded with these figures for all its candidates.
    fn cost_ms(&self, request: &OpenRequest, candidate: &Candidate) -> Option<i64>;

    /// The plan for a window.
    fn plan(&self, window: &Window) -> Plan;
}

/// What a city may tune. Each policy reads what concerns it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// No rider is offered a driver further away than this, in seconds by road.
    pub max_eta_s: f64,
    /// `batched`: what it costs to leave a request unassigned for a window, in seconds. A pair is made only when it is
    /// cheaper. Above `max_eta_s`, drivers are withheld from a request only for the sake of others.
    pub unassigned_price_s: f64,
    /// `batched`: seconds taken off a pair's cost per second that its rider has waited.
    pub waiting_credit: f64,
    /// `batched`: seconds added per second of the position's age. A driver on the move has since gone somewhere: half
    /// of it, on average, away from the pickup.
    pub position_age_weight: f64,
    /// All but `nearest`: how much it counts what the place costs where the ride ends ([`OpenRequest::end_cost_s`]).
    pub end_weight: f64,
    /// All but `nearest`: how much it counts what the place costs that the driver leaves ([`Candidate::here_cost_s`]).
    pub here_weight: f64,
    /// `swaps`: what it costs to give a rider another driver than the one already on his way, in seconds: a driver is
    /// told to turn, and is compensated.
    pub swap_price_s: f64,
    /// `chained`: seconds added per second that a driver still has to go with his present rider: what is known of it may
    /// be wrong.
    pub chain_weight: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_eta_s: 1_200.0,
            unassigned_price_s: 1_800.0,
            waiting_credit: 1.0,
            position_age_weight: 0.5,
            end_weight: 0.2,
            here_weight: 0.2,
            swap_price_s: 10.0,
            chain_weight: 0.1,
        }
    }
}

impl Options {
    fn validate(&self) -> Result<(), PolicyError> {
        let options = [
            ("max_eta_s", self.max_eta_s),
            ("unassigned_price_s", self.unassigned_price_s),
            ("waiting_credit", self.waiting_credit),
            ("position_age_weight", self.position_age_weight),
            ("end_weight", self.end_weight),
            ("here_weight", self.here_weight),
            ("swap_price_s", self.swap_price_s),
            ("chain_weight", self.chain_weight),
        ];
        match options
            .into_iter()
            .find(|(_, value)| !(value.is_finite() && *value >= 0.0))
        {
            Some((option, value)) => Err(PolicyError::BadOption { option, value }),
            None => Ok(()),
        }
    }
}

/// A policy that cannot be had.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// No policy has this name.
    #[error("there is no policy {name:?}; known are {}", POLICIES.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// No repositioning policy has this name.
    #[error(
        "there is no repositioning policy {name:?}; known are {}",
        crate::reposition::REPOSITIONS.join(", ")
    )]
    UnknownReposition {
        /// The name asked for.
        name: String,
    },
    /// An option is negative, infinite or not a number.
    #[error("policy option {option} is {value}; it must be a number, 0 or more")]
    BadOption {
        /// The option's name.
        option: &'static str,
        /// Its value.
        value: f64,
    },
}

/// The policy of this name.
///
/// # Errors
/// When there is none, or an option is negative or no finite number.
pub fn policy(name: &str, options: Options) -> Result<Box<dyn Policy>, PolicyError> {
    match name {
        Nearest::NAME => Ok(Box::new(Nearest::new(options)?)),
        Batched::NAME => Ok(Box::new(Batched::new(options)?)),
        Swaps::NAME => Ok(Box::new(Swaps::new(options)?)),
        Chained::NAME => Ok(Box::new(Chained::new(options)?)),
        _ => Err(PolicyError::Unknown {
            name: name.to_owned(),
        }),
    }
}

/// Whether this driver may be given this request at all, by a policy that takes only drivers without a rider.
fn eligible(request: &OpenRequest, candidate: &Candidate, options: &Options) -> bool {
    candidate.free_in_s <= 0.0 && in_time(request, candidate, options)
}

/// Whether this driver may be given this request and comes in time for it.
fn in_time(request: &OpenRequest, candidate: &Candidate, options: &Options) -> bool {
    (0.0..=options.max_eta_s).contains(&candidate.eta_s)
        && (candidate.eta_s <= request.leaves_in_s || request.held == Some(candidate.driver))
        && candidate.position_age_s.is_finite()
        && !request.excluded.contains(&candidate.driver)
}

/// Whole milliseconds, kept within what the assignment can add up (35 years).
fn to_ms(seconds: f64) -> i64 {
    ((seconds * 1_000.0).round() as i64).clamp(-COST_LIMIT, COST_LIMIT)
}
