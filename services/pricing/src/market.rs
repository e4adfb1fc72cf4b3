//! One city as this process sees it now: its rules and roads, which stay, and its newest surge and supply, which change.
//!
//! Invariants: the newest wins, whatever the order in which news comes; what is stale is as good as nothing.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwapOption;
use hexcab_cities::City;
use hexcab_road::RoadTimes;
use hexcab_types::{BasisPoints, Cell, CityId, SnapshotId, Timestamp};

use crate::domain::surge::{Counts, Snapshot};

/// The cities of this process.
pub type Markets = Arc<HashMap<CityId, Market>>;

/// Free drivers at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supply {
    /// When they were counted, city clock.
    pub counted_at: Timestamp,
    /// How many, per cell.
    pub available: Counts,
}

/// One city.
pub struct Market {
    /// Its rules.
    pub city: City,
    /// Its roads.
    pub roads: Arc<dyn RoadTimes>,
    /// The version of its fare policies.
    pub fare_version: i32,
    surge: ArcSwapOption<Snapshot>,
    supply: ArcSwapOption<Supply>,
}

impl Market {
    /// A city of which neither surge nor supply is known yet.
    pub fn new(city: City, roads: Arc<dyn RoadTimes>, fare_version: i32) -> Self {
        Self {
            city,
            roads,
            fare_version,
            surge: ArcSwapOption::empty(),
            supply: ArcSwapOption::empty(),
        }
    }

    /// The newest snapshot, fresh or not.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.surge.load_full()
    }

    /// The multiplier of a cell and where it is from: 1 and nowhere when there is no fresh snapshot.
    pub fn surge(&self, cell: Cell, now: Timestamp) -> (BasisPoints, Option<SnapshotId>) {
        match self.surge.load_full() {
            Some(snapshot) if snapshot.is_fresh(&self.city.surge, now) => {
                (snapshot.of(cell), Some(snapshot.id))
            }
            Some(_) | None => (BasisPoints::ONE, None),
        }
    }

    /// Takes a snapshot over, unless a newer one is known.
    pub fn adopt(&self, snapshot: Snapshot) {
        let snapshot = Some(Arc::new(snapshot));
        self.surge
            .rcu(|known| newer(known, &snapshot, |snapshot| snapshot.created_at));
    }

    /// Takes a count of supply over, unless a newer one is known.
    pub fn hear(&self, supply: Supply) {
        let supply = Some(Arc::new(supply));
        self.supply
            .rcu(|known| newer(known, &supply, |supply| supply.counted_at));
    }

    /// The newest supply, when it is fresh.
    pub fn fresh_supply(&self, now: Timestamp) -> Option<Arc<Supply>> {
        let stale_after_s = i64::from(self.city.surge.stale_after_s);
        self.supply
            .load_full()
            .filter(|supply| (now - supply.counted_at).num_seconds() <= stale_after_s)
    }
}

fn newer<T>(
    known: &Option<Arc<T>>,
    other: &Option<Arc<T>>,
    time: impl Fn(&T) -> Timestamp,
) -> Option<Arc<T>> {
    let time_of = |it: &Option<Arc<T>>| it.as_deref().map(&time);
    if time_of(known) >= time_of(other) {
        known.clone()
    } else {
        other.clone()
    }
}
