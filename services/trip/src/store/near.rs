//! The trips that this process wrote lately, as it wrote them, and where their rows are.
//!
//! What is remembered may be old: another replica may have gone on. So it is good for trying (the statement that follows
//! compares the version) and for nothing else: no refusal and no read is answered from it. Trips that are over are
//! forgotten. Invariant: bounded by a number of trips. Does not: know Postgres.

use std::sync::Arc;

use hexcab_types::TripId;
use moka::sync::Cache;

use super::save::Place;
use crate::domain::Trip;

/// Trips that are remembered; clones share them.
#[derive(Clone)]
pub struct Near(Cache<TripId, Known>);

/// A trip as it was written.
#[derive(Clone)]
pub struct Known {
    /// The trip.
    pub trip: Arc<Trip>,
    /// Where its row is.
    pub place: Place,
}

impl Near {
    /// Remembers so many trips; the least used go first.
    pub fn of(trips: u64) -> Self {
        Self(Cache::new(trips))
    }

    /// The trip as it was when it was last written here, if that is remembered.
    pub fn get(&self, trip: TripId) -> Option<Known> {
        self.0.get(&trip)
    }

    /// Remembers a trip that was just written and committed.
    pub fn keep(&self, trip: Arc<Trip>, place: Place) {
        if trip.state.ended_at().is_some() {
            self.forget(trip.id);
        } else {
            self.0.insert(trip.id, Known { trip, place });
        }
    }

    /// Forgets what turned out to be old, or may be.
    pub fn forget(&self, trip: TripId) {
        self.0.invalidate(&trip);
    }
}
