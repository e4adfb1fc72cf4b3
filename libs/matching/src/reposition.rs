//! Where drivers without a rider should wait: towards the requests that are expected.
mod cover;
mod flow;

use hexcab_types::DriverId;

pub use cover::{Cover, CoverOptions};
pub use flow::{Flow, FlowOptions};

/// A rule for where idle drivers go.
pub trait Reposition: Send + Sync {
    /// The name by which configuration and decisions call it.
    fn name(&self) -> &'static str;
    /// Raised whenever the same outlook with the same options may get other moves.
    fn version(&self) -> u32;
    /// Who should go where.
    fn plan(&self, outlook: &Outlook<'_>) -> Advice;
}

/// Driving times between zones.
#[derive(Debug, Clone, PartialEq)]
pub struct Travel {
    zones: usize,
    seconds: Vec<f32>,
}

impl Travel {
    /// Row by row: from zone i to zone j at `i * zones + j`; infinite where there is no way.
    pub fn new(zones: usize, seconds: Vec<f32>) -> Option<Self> {
        (zones * zones == seconds.len()).then_some(Self { zones, seconds })
    }
    /// How many zones.
    pub fn zones(&self) -> usize {
        self.zones
    }
    /// Seconds from one zone to another at the factor 1.
    pub fn seconds(&self, from: u32, to: u32) -> f32 {
        self.seconds[from as usize * self.zones + to as usize]
    }
    /// Seconds from one zone to all.
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
    /// For how long he has had no rider, in seconds.
    pub idle_s: f32,
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

/// What a repositioning policy answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Advice {
    /// Suggestions.
    pub moves: Vec<Move>,
    /// What it costs a driver to come free in each zone and not in the best: seconds of driving to where he is wanted, or
    /// of waiting that come to the same.
    pub place_cost_s: Vec<f32>,
}

/// A suggestion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Move {
    /// Who: an index into [`Outlook::idle`].
    pub idle: usize,
    /// Where to.
    pub zone: u32,
}
