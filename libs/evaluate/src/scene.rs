//! What a day asks of a fleet: its requests and its cabs, put on the street graph.
//! Invariants: times are milliseconds from the day's beginning; trips are in order of request, cabs of their start; a
//! place is on a street. Does not: decide, or let time pass; [`sim`](crate::sim) does.

use std::ops::Range;

use hexcab_cities::{
    City,
    replay::{Ride, Shift},
};
use hexcab_road::{HourOfWeek, HubLabels, RoadGraph, Spread, graph::Place, labels::NO_WAY};
use hexcab_types::{Point, Timestamp};
use rand::{RngExt as _, SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;

/// From meter on to meter off a ride holds boarding and paying: so much of it is not driving.
pub const BOARDING_MS: u32 = 60_000;

/// Demand that is doubled comes at other times: a copied ride is asked for up to so much earlier or later.
const COPY_SHIFT_S: i64 = 900;

/// A street graph made ready.
pub struct World {
    /// The streets.
    pub graph: RoadGraph,
    /// Their drives.
    pub labels: HubLabels,
    /// Junctions on a plane, metres.
    pub nodes: Vec<Flat>,
    /// No drive gets on faster: metres a millisecond.
    pub fastest_m_ms: f32,
    origin: Point,
}

/// Metres east and north of the world's origin.
pub type Flat = [f32; 2];

impl World {
    /// Labels a graph.
    pub fn new(graph: RoadGraph) -> Self {
        let labels = HubLabels::of(&graph);
        let origin = graph.nodes()[0].point;
        let nodes = graph
            .nodes()
            .iter()
            .map(|node| flat(origin, node.point))
            .collect();
        let fastest_m_ms = (graph.fastest_m_s() / 1_000.0) as f32;
        Self {
            graph,
            labels,
            nodes,
            fastest_m_ms,
            origin,
        }
    }

    /// A point on the plane.
    pub fn flat(&self, point: Point) -> Flat {
        flat(self.origin, point)
    }

    /// The drive between two places at the factor 1: milliseconds and metres.
    pub fn drive(&self, from: &Place, to: &Place) -> Option<(u32, f32)> {
        let mut best = from.along_street(to);
        for start in from.leave.iter().flatten() {
            for end in to.enter.iter().flatten() {
                let ms = self.labels.ms(start.node, end.node);
                if ms == NO_WAY {
                    continue;
                }
                let ms = ms + start.ms + end.ms;
                if best.is_none_or(|(least, _)| ms < least) {
                    let (_, metres) = self.labels.leg(start.node, end.node)?;
                    best = Some((ms, metres + start.metres + end.metres));
                }
            }
        }
        best
    }

    /// Nothing spread yet.
    pub fn spread(&self) -> Spread<'_> {
        Spread::new(&self.labels)
    }
}

fn flat(origin: Point, point: Point) -> Flat {
    const METRES_A_DEGREE: f64 = 111_195.0;
    let east = (point.lon() - origin.lon()) * origin.lat().to_radians().cos();
    [
        (east * METRES_A_DEGREE) as f32,
        ((point.lat() - origin.lat()) * METRES_A_DEGREE) as f32,
    ]
}

/// How far apart two places on the plane are, in metres.
pub fn apart_m(a: Flat, b: Flat) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// A place with its spot on the plane.
#[derive(Debug, Clone, Copy)]
pub struct Spot {
    /// On the streets.
    pub place: Place,
    /// On the plane.
    pub flat: Flat,
}

/// A request, and the ride it becomes when it is served.
#[derive(Debug, Clone, Copy)]
pub struct Trip {
    /// When it is asked for.
    pub request_ms: i64,
    /// From where.
    pub pickup: Spot,
    /// To where.
    pub dropoff: Spot,
    /// How long it really takes, boarding and paying included.
    pub ride_ms: i64,
    /// How long the streets say that the drive takes, at the factor 1.
    pub drive_ms: u32,
    /// How far the streets say that it is.
    pub metres: f32,
}

impl Trip {
    /// A junction at the end of the ride.
    pub fn end_node(&self) -> u32 {
        let ends = self.dropoff.place.leave.iter().flatten();
        ends.map(|end| end.node).next().unwrap_or_default()
    }
}

/// A cab's time on the street.
#[derive(Debug, Clone, Copy)]
pub struct Cab {
    /// From when.
    pub start_ms: i64,
    /// Until when it takes riders.
    pub end_ms: i64,
    /// Where it begins.
    pub start: Spot,
}

/// A day's requests and cabs.
pub struct Scene {
    /// The requests.
    pub trips: Vec<Trip>,
    /// The cabs.
    pub cabs: Vec<Cab>,
    /// How long the day is.
    pub length_ms: i64,
    /// The hour's factor, hour by hour from the day's beginning.
    factors: Vec<f64>,
}

impl Scene {
    /// The requests of `rides` that lie on the streets, and all `shifts`.
    pub fn new(
        world: &World,
        city: &City,
        time: &Range<Timestamp>,
        rides: &[Ride],
        shifts: &[Shift],
    ) -> Self {
        let spot = |point| {
            let place = world.graph.place(point)?;
            Some(Spot {
                place,
                flat: world.flat(place.at),
            })
        };
        let ms = |at: Timestamp| (at - time.start).num_milliseconds();
        let trip = |ride: &Ride| {
            let (pickup, dropoff) = (spot(ride.pickup)?, spot(ride.dropoff)?);
            let (drive_ms, metres) = world.drive(&pickup.place, &dropoff.place)?;
            Some(Trip {
                request_ms: ms(ride.pickup_at),
                pickup,
                dropoff,
                ride_ms: i64::from(ride.duration_s) * 1_000,
                drive_ms,
                metres,
            })
        };
        let cab = |shift: &Shift| {
            Some(Cab {
                start_ms: ms(shift.start_at).max(0),
                end_ms: ms(shift.end_at),
                start: spot(shift.start)?,
            })
        };
        let length_ms = ms(time.end);
        let on_streets = rides.iter().filter(|ride| ride.in_graph);
        let in_time = shifts
            .iter()
            .filter(|shift| shift.end_at > time.start && shift.start_at < time.end);
        let hours = length_ms / 3_600_000 + 3;
        let factor = |hour| {
            let hour: HourOfWeek = city.hour_of_week(time.start + chrono::Duration::hours(hour));
            world.graph.factors().of(hour)
        };
        Self {
            trips: on_streets.filter_map(trip).collect(),
            cabs: in_time.filter_map(cab).collect(),
            length_ms,
            factors: (0..hours).map(factor).collect(),
        }
    }

    /// The factor of the hour.
    pub fn factor(&self, now_ms: i64) -> f64 {
        let hour = usize::try_from(now_ms / 3_600_000).unwrap_or(0);
        self.factors[hour.min(self.factors.len() - 1)]
    }

    /// The same requests with a seeded share of the cabs.
    pub fn cabs_of(&self, share: f64, seed: u64) -> Vec<Cab> {
        let mut order: Vec<usize> = (0..self.cabs.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let count = (self.cabs.len() as f64 * share).round() as usize;
        let mut kept = order.split_off(self.cabs.len().saturating_sub(count));
        kept.sort_unstable();
        kept.into_iter().map(|cab| self.cabs[cab]).collect()
    }

    /// Requests for this multiple of the demand: whole copies, and a seeded share of them for the rest. Copies are asked
    /// for at other times nearby.
    pub fn trips_of(&self, demand: f64, seed: u64) -> Vec<Trip> {
        let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0xd3_4a);
        let mut trips = Vec::new();
        for trip in &self.trips {
            let mut left = demand;
            let mut copy = *trip;
            while left > 0.0 && (left >= 1.0 || random.random_bool(left)) {
                trips.push(copy);
                let shift_ms = random.random_range(-COPY_SHIFT_S..=COPY_SHIFT_S) * 1_000;
                copy.request_ms = (trip.request_ms + shift_ms).clamp(0, self.length_ms - 1);
                left -= 1.0;
            }
        }
        trips.sort_by_key(|trip| trip.request_ms);
        trips
    }
}
