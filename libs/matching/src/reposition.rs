//! Where drivers without a rider should wait: towards the requests that are expected. A policy of its own, beside the one
//! that says who picks up whom.
//!
//! - [`Outlook`] what a policy is told: idle drivers, those about to be free, requests expected in each zone
//! - [`Reposition`] the trait; [`Flow`] the policy; [`reposition`] policies by name
//! - [`Advice`] what it answers: moves for idle drivers, and what it costs to come free in each zone, which the matching
//!   policy weighs when it chooses between riders
//!
//! Invariants, for every policy: a driver is in at most one move; nobody is sent where he is, or is bound for, or farther
//! than the policy's reach; the same outlook gives the same advice.
//! Does not: forecast, find zones, or send anything. A move is a suggestion: whether a driver follows is his to decide.

mod flow;

use hexcab_types::DriverId;

pub use flow::{Flow, FlowOptions};

use crate::policy::PolicyError;

/// The names that [`reposition`] knows.
pub const REPOSITIONS: [&str; 1] = [Flow::NAME];

/// A rule for where idle drivers go.
pub trait Reposition: Send + Sync {
    /// The name by which configuration and decisions call it.
    fn name(&self) -> &'static str;

    /// Raised whenever the same outlook with the same options may get other advice.
    fn version(&self) -> u32;

    /// Who should go where, and what each place is worth.
    fn plan(&self, outlook: &Outlook<'_>) -> Advice;
}

/// The repositioning policy of this name.
///
/// # Errors
/// When there is none, or an option is negative or no finite number.
pub fn reposition(name: &str, options: FlowOptions) -> Result<Box<dyn Reposition>, PolicyError> {
    match name {
        Flow::NAME => Ok(Box::new(Flow::new(options)?)),
        _ => Err(PolicyError::UnknownReposition {
            name: name.to_owned(),
        }),
    }
}

/// Driving times between zones.
#[derive(Debug, Clone, PartialEq)]
pub struct Travel {
    zones: usize,
    seconds: Vec<f32>,
}

impl Travel {
    /// Row by row: from zone i to zone j at `i * zones + j`, at the factor 1; infinite where there is no way. None when
    /// there are not as many entries as pairs of zones.
    pub fn new(zones: usize, seconds: Vec<f32>) -> Option<Self> {
        (zones * zones == seconds.len()).then_some(Self { zones, seconds })
    }

    /// How many zones.
    pub fn zones(&self) -> usize {
        self.zones
    }

    /// Seconds from one zone to another at the factor 1.
    pub fn seconds(&self, from: u32, to: u32) -> f32 {
        self.from(from)[to as usize]
    }

    /// Seconds from one zone to all, at the factor 1.
    pub fn from(&self, zone: u32) -> &[f32] {
        &self.seconds[zone as usize * self.zones..][..self.zones]
    }
}

/// A driver without a rider.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Idle {
    /// The driver.
    pub driver: DriverId,
    /// The zone that he is in.
    pub zone: u32,
    /// The zone that he is on the way to, having followed an earlier suggestion.
    pub bound_for: Option<u32>,
}

/// A driver who will set his rider down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coming {
    /// In which zone.
    pub zone: u32,
    /// In how many seconds, as far as is known.
    pub in_s: f32,
}

/// What a repositioning policy is given.
#[derive(Debug, Clone, Copy)]
pub struct Outlook<'a> {
    /// Driving times at the factor 1.
    pub travel: &'a Travel,
    /// The hour's factor.
    pub factor: f32,
    /// Requests a second expected in each zone.
    pub rates: &'a [f32],
    /// Drivers without a rider.
    pub idle: &'a [Idle],
    /// Drivers who will come free.
    pub coming: &'a [Coming],
}

/// A suggestion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Move {
    /// Who: an index into [`Outlook::idle`].
    pub idle: usize,
    /// Where to.
    pub zone: u32,
    /// How likely a rider asks there for one driver more, less what the drive costs.
    pub chance: f32,
    /// The same of where the driver is, or is bound for.
    pub chance_here: f32,
}

/// What a repositioning policy answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Advice {
    /// Suggestions.
    pub moves: Vec<Move>,
    /// What it costs a driver to come free in each zone and not in the best: seconds of driving to where he is wanted, or
    /// of waiting that come to the same. Never negative.
    pub place_cost_s: Vec<f32>,
}
