//! The nearest found so far, each driver once. Those that rounding cannot tell from the last one who is wanted are kept as
//! well: the exact distance decides in the end.

use hexcab_types::{DriverId, Point};

use crate::domain::index::{
    records::{Facts, Slot},
    sphere::slackened,
};

/// A driver who fits.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    pub haversine: f64,
    pub slot: Slot,
    pub driver: DriverId,
    pub point: Point,
    pub facts: Facts,
}

/// The nearest so far.
#[derive(Debug, Default)]
pub struct Best {
    limit: usize,
    /// Nearest first.
    found: Vec<Candidate>,
    /// Beyond this nobody is wanted.
    enough: f64,
}

impl Best {
    /// Forgets everybody; so many are wanted, one at least.
    pub fn reset(&mut self, limit: usize) {
        self.limit = limit;
        self.found.clear();
        self.enough = f64::INFINITY;
    }

    /// Whether one at this haversine could still be among the nearest.
    pub fn is_wanted(&self, haversine: f64) -> bool {
        haversine <= self.enough
    }

    /// The haversine of the last one wanted, once there are as many.
    pub fn bound(&self) -> Option<f64> {
        Some(self.found.get(self.limit - 1)?.haversine)
    }

    /// Adds one, unless he is there: then either place was his while the search went on.
    pub fn put(&mut self, candidate: Candidate) {
        if self.found.iter().any(|known| known.slot == candidate.slot) {
            return;
        }
        let at = self
            .found
            .partition_point(|known| known.haversine <= candidate.haversine);
        self.found.insert(at, candidate);
        if let Some(bound) = self.bound() {
            self.enough = slackened(bound);
            while self.found.len() > self.limit
                && self
                    .found
                    .last()
                    .is_some_and(|last| last.haversine > self.enough)
            {
                self.found.pop();
            }
        }
    }

    /// All of them.
    pub fn all(&self) -> &[Candidate] {
        &self.found
    }
}
