//! Drivers by hour of the week, and where they come online.
//!
//! *Online* is the time of all shifts. *Serving* leaves out what is spent on rides that leave the street graph, and waiting
//! with either end of the wait outside it: a cab that brought someone to the airport, queued there and took someone back
//! was online, but nobody in the city could have had it. A hole of the feed ends no shift, so supply counts all minutes.

use std::collections::{BTreeMap, HashMap};

use hexcab_road::{HourOfWeek, RoadGraph};
use hexcab_types::Timestamp;

use super::{
    cells::Cells,
    feed::{Feed, Recording},
};
use crate::{
    Supply,
    replay::{Ride, Shift},
};

/// Average drivers by hour.
pub(super) fn by_hour(recording: &Recording, feed: &Feed, graph: &RoadGraph) -> Vec<Supply> {
    let mut rides: HashMap<u32, Vec<&Ride>> = HashMap::new();
    for ride in &recording.rides {
        rides.entry(ride.driver).or_default().push(ride);
    }
    let (mut online, mut serving) = (Seconds::new(feed), Seconds::new(feed));
    for shift in &recording.shifts {
        online.add(shift.start_at, shift.end_at);
        let of_driver = rides.get(&shift.driver).map_or(&[][..], Vec::as_slice);
        for (from, to) in serving_times(shift, of_driver, graph) {
            serving.add(from, to);
        }
    }
    let minutes = feed.minutes_by_hour(|_| true);
    let (online, serving) = (online.by_hour(), serving.by_hour());
    HourOfWeek::all()
        .map(|hour| {
            let seconds = f64::from(minutes[hour.index()].max(1)) * 60.0;
            let average = |sums: &[i64]| sums[hour.index()] as f64 / seconds;
            Supply {
                online: average(&online),
                serving: average(&serving),
            }
        })
        .collect()
}

/// How many shifts begin in each cell, those off the graph left out.
pub(super) fn starts(shifts: &[Shift], graph: &RoadGraph, cells: &Cells) -> BTreeMap<usize, u32> {
    let mut starts = BTreeMap::new();
    for shift in shifts
        .iter()
        .filter(|shift| graph.snap(shift.start).is_some())
    {
        *starts.entry(cells.index(shift.start)).or_default() += 1;
    }
    starts
}

/// The stretches of a shift in which its driver serves the city.
fn serving_times(shift: &Shift, rides: &[&Ride], graph: &RoadGraph) -> Vec<(Timestamp, Timestamp)> {
    let on_graph = |point| graph.snap(point).is_some();
    let mut times = Vec::new();
    let (mut at, mut here) = (shift.start_at, on_graph(shift.start));
    let first = rides.partition_point(|ride| ride.pickup_at < shift.start_at);
    for ride in rides[first..]
        .iter()
        .take_while(|ride| ride.pickup_at < shift.end_at)
    {
        if here && on_graph(ride.pickup) {
            times.push((at, ride.pickup_at));
        }
        let end = ride.dropoff_at().min(shift.end_at);
        if ride.in_graph {
            times.push((ride.pickup_at, end));
        }
        (at, here) = (end, on_graph(ride.dropoff));
    }
    if here && on_graph(shift.end) {
        times.push((at, shift.end_at));
    }
    times
}

/// Seconds in each minute of the recorded time.
struct Seconds<'a> {
    feed: &'a Feed,
    minutes: Vec<i64>,
}

impl<'a> Seconds<'a> {
    fn new(feed: &'a Feed) -> Self {
        Self {
            feed,
            minutes: vec![0; feed.minutes.len()],
        }
    }

    fn add(&mut self, from: Timestamp, to: Timestamp) {
        let recorded = &self.feed.recorded;
        let second =
            |at: Timestamp| (at.clamp(recorded.start, recorded.end) - recorded.start).num_seconds();
        let (mut at, end) = (second(from), second(to));
        while at < end {
            let next = ((at / 60 + 1) * 60).min(end);
            self.minutes[(at / 60) as usize] += next - at;
            at = next;
        }
    }

    fn by_hour(&self) -> Vec<i64> {
        let mut sums = vec![0; HourOfWeek::all().count()];
        for (seconds, minute) in self.minutes.iter().zip(&self.feed.minutes) {
            sums[minute.hour.index()] += seconds;
        }
        sums
    }
}
