//! A plan with perfect knowledge: how many riders could have been served had everything been known in advance.
//!
//! Each cab's day is a chain: its start, rides one after the other, its end. A link leads from a ride to one that can be
//! reached in time, and the most riders are served by the cheapest flow over all links, solved as an assignment: each
//! start and ride gets a successor, each ride and end a predecessor, and a ride that is its own successor is not served.
//!
//! Two figures, of which the truth lies between. *On time*: everybody is picked up when he asks; a plan that could be
//! carried out, but for cabs that exchange the ends of their shifts. *At most*: every link may use the whole patience of
//! its rider anew, as if the one before had not been late: more than any plan that takes riders in the order in which they
//! asked. Of all links only the [`LINKS`] soonest of each ride are looked at. Does not: say how to do it.

use hexcab_matching::assignment::{Problem, solve};

use crate::scene::{Cab, Scene, Spot, Trip, World, apart_m};

/// Links of each start and ride.
const LINKS: usize = 60;

/// A ride is linked to those asked for within this time of its end, in milliseconds, and to later ones where these are few.
const AHEAD_MS: i64 = 2_700_000;

/// What a rider not served costs, in seconds of driving: more than any plan drives for one.
const UNSERVED: i64 = 1 << 26;

/// What a chain that does not end costs: thousands of riders, more than a cab can serve. There is always one that ends.
const NEVER: i64 = 1 << 39;

/// Ends that a chain may come to, of those after its ride.
const ENDS: usize = 12;

/// The share of requests that perfect knowledge could serve, each picked up at most `late_ms` after it was asked for and
/// on to the next as if it had been on time.
pub fn served_share(
    world: &World,
    scene: &Scene,
    trips: &[Trip],
    cabs: &[Cab],
    late_ms: i64,
) -> f64 {
    if trips.is_empty() {
        return 0.0;
    }
    let mut ends: Vec<(i64, usize)> = cabs
        .iter()
        .map(|cab| cab.end_ms)
        .zip(trips.len()..)
        .collect();
    ends.sort_unstable();
    let mut links = Links {
        world,
        scene,
        trips,
        late_ms,
        spread: world.spread(),
    };
    let mut problem = Problem::new(trips.len() + cabs.len());
    for (at, trip) in trips.iter().enumerate() {
        let mut row = links.from(&trip.dropoff, trip.request_ms + trip.ride_ms);
        // Riders are taken in the order in which they asked: else two who are patient could follow each other in a ring.
        row.retain(|&(next, _)| next > at);
        row.push((at, UNSERVED));
        row.extend(ends_after(&ends, trip.request_ms));
        problem.push_row(NEVER, row);
    }
    for (at, cab) in cabs.iter().enumerate() {
        let mut row = links.from(&cab.start, cab.start_ms);
        // A cab may do nothing all day.
        row.push((trips.len() + at, 0));
        problem.push_row(NEVER, row);
    }
    let solution = solve(&problem);
    let unserved = solution.chosen[..trips.len()]
        .iter()
        .enumerate()
        .filter(|(at, chosen)| chosen.is_none_or(|edge| edge.column() == *at))
        .count();
    1.0 - unserved as f64 / trips.len() as f64
}

/// Shifts that end after a ride has begun: the next ones, and some later, so that late ends find a chain.
fn ends_after(ends: &[(i64, usize)], from_ms: i64) -> Vec<(usize, i64)> {
    let after = &ends[ends.partition_point(|&(end_ms, _)| end_ms < from_ms)..];
    let stride = (after.len() / ENDS).max(1);
    let near = after.iter().take(ENDS);
    let far = after.iter().skip(ENDS).step_by(stride);
    near.chain(far).map(|&(_, column)| (column, 0)).collect()
}

struct Links<'a> {
    world: &'a World,
    scene: &'a Scene,
    trips: &'a [Trip],
    late_ms: i64,
    spread: hexcab_road::Spread<'a>,
}

impl Links<'_> {
    /// The rides that a cab can be in time for, free at a place and a time, with what the drive costs.
    fn from(&mut self, place: &Spot, free_ms: i64) -> Vec<(usize, i64)> {
        let patience_ms = self.late_ms;
        let first = self
            .trips
            .partition_point(|trip| trip.request_ms < free_ms - patience_ms);
        let factor = self.scene.factor(free_ms);
        let pace = factor / f64::from(self.world.fastest_m_ms);
        let leave = place.place.leave.iter().flatten();
        self.spread.away(leave.map(|end| (end.node, end.ms)));
        let mut soonest: Vec<(i64, usize, i64)> = Vec::new();
        for (at, trip) in self.trips.iter().enumerate().skip(first) {
            if trip.request_ms > free_ms + AHEAD_MS && soonest.len() >= LINKS {
                break;
            }
            let slack_ms = trip.request_ms + patience_ms - free_ms;
            if f64::from(apart_m(place.flat, trip.pickup.flat)) * pace > slack_ms as f64 {
                continue;
            }
            let enter = trip.pickup.place.enter.iter().flatten();
            let ms = enter
                .map(|end| self.spread.ms(end.node).saturating_add(end.ms))
                .min();
            let Some(ms) = ms.filter(|&ms| ms < hexcab_road::labels::NO_WAY) else {
                continue;
            };
            let drive_ms = (f64::from(ms) * factor) as i64;
            if drive_ms <= slack_ms {
                soonest.push((trip.request_ms.max(free_ms + drive_ms), at, drive_ms));
            }
        }
        soonest.sort_unstable();
        soonest.truncate(LINKS);
        soonest
            .into_iter()
            .map(|(_, at, drive_ms)| (at, drive_ms / 1_000))
            .collect()
    }
}
