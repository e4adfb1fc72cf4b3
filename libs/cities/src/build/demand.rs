//! Rides by cell and hour of the week, and where they go.

use hexcab_road::HourOfWeek;

use super::{cells::Cells, feed::Feed, write::round};
use crate::replay::Ride;

pub(super) struct Demand {
    /// Rides that count.
    pub(super) counted: usize,
    /// Average rides by cell, then hour, as they are written.
    pub(super) rides: Vec<Vec<f64>>,
    /// Rides by origin, then destination: all in the graph, for a hole does not choose where a ride goes.
    pub(super) flows: Vec<Vec<u32>>,
}

impl Demand {
    pub(super) fn of(rides: &[Ride], feed: &Feed, cells: &Cells) -> Self {
        let observed = feed.minutes_by_hour(|minute| minute.observed);
        let mut counted = 0;
        let mut counts = vec![vec![0_u32; observed.len()]; cells.len()];
        let mut flows = vec![vec![0; cells.len()]; cells.len()];
        for ride in rides.iter().filter(|ride| ride.in_graph) {
            let origin = cells.index(ride.pickup);
            flows[origin][cells.index(ride.dropoff)] += 1;
            if let Some(minute) = feed.minute(ride.pickup_at).filter(|minute| minute.observed) {
                counts[origin][minute.hour.index()] += 1;
                counted += 1;
            }
        }
        let average = |(rides, minutes): (&u32, &u32)| {
            if *minutes == 0 {
                0.0
            } else {
                round(f64::from(*rides) * 60.0 / f64::from(*minutes), 2)
            }
        };
        let rides = counts
            .iter()
            .map(|row| row.iter().zip(&observed).map(average).collect())
            .collect();
        Self {
            counted,
            rides,
            flows,
        }
    }

    pub(super) fn rides_per_hour(&self, hour: HourOfWeek) -> f64 {
        self.rides.iter().map(|row| row[hour.index()]).sum()
    }
}
