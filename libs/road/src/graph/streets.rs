//! The lines that streets follow, and which street is nearest to a point.
//! Invariants: a street is one line with an edge in one direction or both; a fraction runs 0 to 1 along the line.

use std::collections::HashMap;

use hexcab_types::{Point, place::EARTH_RADIUS_M};
use rstar::{
    RTree,
    primitives::{GeomWithData, Line},
};

use super::Edge;

/// Where a point is on a street.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Snapped {
    /// The place on the street.
    pub point: Point,
    /// How far the asked point is from it, in metres.
    pub distance_m: f64,
    pub(super) street: u32,
    /// Along the street's line.
    fraction: f64,
}

impl Snapped {
    /// The fraction in the direction of an edge of this street.
    pub(super) fn fraction_on(&self, edge: &Edge) -> f64 {
        if edge.along {
            self.fraction
        } else {
            1.0 - self.fraction
        }
    }
}

struct Street {
    line: Box<[Point]>,
    /// Fraction of the length at each point of the line.
    fractions: Box<[f64]>,
    along: Option<u32>,
    against: Option<u32>,
}

#[derive(Clone, Copy)]
struct Segment {
    street: u32,
    /// Index of its first point in the street's line.
    first: u32,
}

/// All streets of a graph.
pub(super) struct Streets {
    plane: Plane,
    streets: Vec<Street>,
    segments: RTree<GeomWithData<Line<[f64; 2]>, Segment>>,
}

impl Streets {
    pub(super) fn builder() -> Builder {
        Builder {
            streets: Vec::new(),
            by_ends: HashMap::new(),
        }
    }

    /// Gives edges new numbers.
    pub(super) fn renumber(&mut self, number: impl Fn(u32) -> u32) {
        for street in &mut self.streets {
            street.along = street.along.map(&number);
            street.against = street.against.map(&number);
        }
    }

    pub(super) fn edges_of(&self, street: u32) -> impl Iterator<Item = u32> {
        let street = &self.streets[street as usize];
        street.along.into_iter().chain(street.against)
    }

    pub(super) fn nearest(&self, point: Point) -> Option<Snapped> {
        let at = self.plane.flat(point);
        let segment = self.segments.nearest_neighbor(&at)?;
        let Segment { street, first } = segment.data;
        let way = along_segment(segment.geom(), at);
        let street_of = &self.streets[street as usize];
        let (a, b) = (first as usize, first as usize + 1);
        let on_street = street_of.line[a].toward(street_of.line[b], way);
        let fraction =
            street_of.fractions[a] + (street_of.fractions[b] - street_of.fractions[a]) * way;
        Some(Snapped {
            point: on_street,
            distance_m: point.distance_m(on_street),
            street,
            fraction,
        })
    }

    /// The points after `from` up to `to` (fractions in the edge's direction), each with its share of the edge since the
    /// point before it.
    pub(super) fn line_between(
        &self,
        street: u32,
        along: bool,
        from: f64,
        to: f64,
    ) -> impl Iterator<Item = (Point, f64)> {
        let street = &self.streets[street as usize];
        let last = street.line.len() - 1;
        let mut at = from;
        let within = (0..=last)
            .map(move |i| {
                if along {
                    (street.line[i], street.fractions[i])
                } else {
                    (street.line[last - i], 1.0 - street.fractions[last - i])
                }
            })
            .filter(move |(_, fraction)| from < *fraction && *fraction < to);
        within
            .chain([(street.at(if along { to } else { 1.0 - to }), to)])
            .map(move |(point, fraction)| {
                let share = fraction - at;
                at = fraction;
                (point, share)
            })
    }
}

impl Street {
    fn new(line: Vec<Point>, edge: u32) -> Self {
        let mut metres = 0.0;
        let mut fractions = vec![0.0];
        for pair in line.windows(2) {
            metres += pair[0].distance_m(pair[1]);
            fractions.push(metres);
        }
        for fraction in &mut fractions {
            *fraction = if metres > 0.0 {
                *fraction / metres
            } else {
                0.0
            };
        }
        if let Some(last) = fractions.last_mut() {
            *last = 1.0;
        }
        Self {
            line: line.into(),
            fractions: fractions.into(),
            along: Some(edge),
            against: None,
        }
    }

    fn at(&self, fraction: f64) -> Point {
        let after = self
            .fractions
            .partition_point(|&f| f < fraction)
            .clamp(1, self.line.len() - 1);
        let (from, to) = (self.fractions[after - 1], self.fractions[after]);
        let way = if to > from {
            (fraction - from) / (to - from)
        } else {
            1.0
        };
        self.line[after - 1].toward(self.line[after], way)
    }
}

/// Pairs edges that are two directions of one street.
pub(super) struct Builder {
    streets: Vec<Street>,
    by_ends: HashMap<(u32, u32), Vec<u32>>,
}

impl Builder {
    /// Adds an edge with its line from junction to junction; tells its street and whether it runs as the street's line.
    pub(super) fn add(&mut self, from: u32, to: u32, line: Vec<Point>, edge: u32) -> (u32, bool) {
        let opposite = self
            .by_ends
            .get(&(to, from))
            .into_iter()
            .flatten()
            .copied()
            .find(|&street| {
                let street = &self.streets[street as usize];
                street.against.is_none() && street.line.iter().rev().eq(line.iter())
            });
        if let Some(street) = opposite {
            self.streets[street as usize].against = Some(edge);
            return (street, false);
        }
        let street = self.streets.len() as u32;
        self.streets.push(Street::new(line, edge));
        self.by_ends.entry((from, to)).or_default().push(street);
        (street, true)
    }

    /// The index of all streets, or none when there is no street.
    pub(super) fn build(self) -> Option<Streets> {
        let plane = Plane {
            origin: *self.streets.first()?.line.first()?,
        };
        let mut segments = Vec::new();
        for (street, Street { line, .. }) in self.streets.iter().enumerate() {
            for (first, pair) in line
                .windows(2)
                .enumerate()
                .filter(|(_, pair)| pair[0] != pair[1])
            {
                let segment = Segment {
                    street: street as u32,
                    first: first as u32,
                };
                segments.push(GeomWithData::new(
                    Line::new(plane.flat(pair[0]), plane.flat(pair[1])),
                    segment,
                ));
            }
        }
        Some(Streets {
            plane,
            streets: self.streets,
            segments: RTree::bulk_load(segments),
        })
    }
}

/// Metres east and north of an origin: flat enough over a city.
#[derive(Debug, Clone, Copy)]
struct Plane {
    origin: Point,
}

impl Plane {
    fn flat(self, point: Point) -> [f64; 2] {
        let east =
            (point.lon() - self.origin.lon()).to_radians() * self.origin.lat().to_radians().cos();
        [
            east * EARTH_RADIUS_M,
            (point.lat() - self.origin.lat()).to_radians() * EARTH_RADIUS_M,
        ]
    }
}

/// How far along a segment (0 to 1) its nearest place to a point is.
fn along_segment(segment: &Line<[f64; 2]>, point: [f64; 2]) -> f64 {
    let direction = [
        segment.to[0] - segment.from[0],
        segment.to[1] - segment.from[1],
    ];
    let offset = [point[0] - segment.from[0], point[1] - segment.from[1]];
    let length_2 = direction[0].powi(2) + direction[1].powi(2);
    ((offset[0] * direction[0] + offset[1] * direction[1]) / length_2).clamp(0.0, 1.0)
}
