//! Free drivers per H3 cell, counted in steps, so that who counts a million does not keep others waiting.

use std::{collections::HashMap, sync::atomic::Ordering};

use hexcab_types::{Cell, Timestamp};

use super::{CityNumber, FleetIndex, records::Slot};
use crate::domain::{COUNT_RESOLUTION, Status};

/// Records looked at in one step: a tenth of a millisecond.
const STEP: u32 = 512;

/// A count under way.
pub struct Census<'a> {
    index: &'a FleetIndex,
    city: CityNumber,
    oldest_ms: i64,
    next: u32,
    counts: HashMap<Cell, u32>,
}

impl FleetIndex {
    /// A count of a city's available drivers who were seen within `max_age_ms`, to be taken step by step.
    pub fn census(&self, city: CityNumber, max_age_ms: i64, now: Timestamp) -> Census<'_> {
        Census {
            index: self,
            city,
            oldest_ms: now.timestamp_millis().saturating_sub(max_age_ms),
            next: 0,
            counts: HashMap::new(),
        }
    }
}

impl Census<'_> {
    /// Counts some more; false when there are none. A driver who comes in meanwhile may be counted or not.
    pub fn step(&mut self) -> bool {
        let made = self.index.made.load(Ordering::Acquire);
        let until = self.next.saturating_add(STEP).min(made);
        for slot in (self.next..until).map(Slot) {
            self.count(slot);
        }
        self.next = until;
        until < made
    }

    /// What was counted, by r8 cell. A driver counts in the r8 parent of his r9 cell, which at its border is not always
    /// the r8 cell of his position.
    pub fn counts(self) -> Vec<(Cell, u32)> {
        let mut parents: HashMap<Cell, u32> = HashMap::new();
        for (cell, count) in self.counts {
            if let Some(parent) = cell.parent(COUNT_RESOLUTION) {
                *parents.entry(parent).or_default() += count;
            }
        }
        let mut counts: Vec<_> = parents.into_iter().collect();
        counts.sort_unstable();
        counts
    }

    fn count(&mut self, slot: Slot) {
        let record = self.index.records.get(slot);
        let Some((city, seen)) = record.read() else {
            return;
        };
        if city == self.city
            && seen.status == Status::Available
            && seen.recorded_ms >= self.oldest_ms
        {
            let cell = self.index.homes.cell_of(seen.point, record.home());
            *self.counts.entry(cell).or_default() += 1;
        }
    }
}
