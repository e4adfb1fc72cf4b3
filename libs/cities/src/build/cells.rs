//! The cells of a city, and the places on streets that stand for them.
//!
//! A cell is in when a junction with a kerb lies in it and in the city's area. Its first place, the *anchor*, is the
//! junction nearest to the median of the rides that begin or end there, so that travel between anchors is travel between
//! where people are; then each next place is the junction farthest from those chosen. Ties go to the lower junction.

use std::collections::BTreeMap;

use hexcab_road::{CELL_RESOLUTION, HourOfWeek, Leg, RoadGraph, RoadTimes};
use hexcab_types::{Cell, Point};

use crate::{City, replay::Ride};

/// Most places that stand for a cell.
const PLACES_MAX: usize = 8;

/// Places of a cell are at least so far apart.
const PLACES_APART_M: f64 = 50.0;

pub(super) struct Cells {
    places: BTreeMap<Cell, Vec<Point>>,
}

impl Cells {
    /// None when no street lies in the area.
    pub(super) fn of(city: &City, graph: &RoadGraph, rides: &[Ride]) -> Option<Self> {
        let mut kerbs: BTreeMap<Cell, Vec<Point>> = BTreeMap::new();
        for node in graph
            .nodes()
            .iter()
            .filter(|node| node.kerb && city.area.contains(node.point))
        {
            kerbs.entry(cell(node.point)).or_default().push(node.point);
        }
        let mut ends: BTreeMap<Cell, Vec<Point>> = BTreeMap::new();
        for ride in rides.iter().filter(|ride| ride.in_graph) {
            for end in [ride.pickup, ride.dropoff] {
                ends.entry(cell(end)).or_default().push(end);
            }
        }
        let places: BTreeMap<Cell, Vec<Point>> = kerbs
            .into_iter()
            .map(|(cell, kerbs)| {
                let middle = median(ends.get(&cell).unwrap_or(&kerbs));
                (cell, spread(&kerbs, middle))
            })
            .collect();
        (!places.is_empty()).then_some(Self { places })
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn place_count(&self) -> usize {
        self.places.values().map(Vec::len).sum()
    }

    /// Cells with their places, in ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Cell, &[Point])> {
        self.places
            .iter()
            .map(|(cell, places)| (*cell, places.as_slice()))
    }

    /// The number of the cell that a point counts for: its own, or where that has no street the one with the nearest
    /// anchor (a ride from a pier counts for its landing).
    pub(super) fn index(&self, point: Point) -> usize {
        let own = cell(point);
        self.iter()
            .position(|(cell, _)| cell == own)
            .unwrap_or_else(|| {
                let anchors = self
                    .iter()
                    .map(|(_, places)| places[0].distance_m(point))
                    .enumerate();
                anchors
                    .min_by(|a, b| a.1.total_cmp(&b.1))
                    .map_or(0, |(i, _)| i)
            })
    }

    /// The drives between all anchors, row by row, free of the hour's factor.
    pub(super) fn travel(&self, graph: &RoadGraph) -> Vec<Option<Leg>> {
        let hour = HourOfWeek::of_day(0, 0);
        let factor = graph.factors().of(hour);
        let anchors: Vec<Point> = self.iter().map(|(_, places)| places[0]).collect();
        let columns: Vec<Vec<Option<Leg>>> = anchors
            .iter()
            .map(|&to| graph.legs_to(&anchors, to, hour))
            .collect();
        let free = |leg: Leg| Leg {
            seconds: leg.seconds / factor,
            ..leg
        };
        (0..anchors.len())
            .flat_map(|from| columns.iter().map(move |to| to[from].map(free)))
            .collect()
    }
}

fn cell(point: Point) -> Cell {
    point
        .cell(CELL_RESOLUTION)
        .expect("a fixed resolution that exists")
}

/// The point of the median latitude and the median longitude; `points` are not empty.
fn median(points: &[Point]) -> Point {
    let middle = |coordinate: fn(Point) -> i32| {
        let mut sorted: Vec<i32> = points.iter().map(|&point| coordinate(point)).collect();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    };
    Point::from_e7(middle(Point::lat_e7), middle(Point::lon_e7)).expect("between points on earth")
}

/// Some of these points (not empty), the one nearest to `middle` first.
fn spread(points: &[Point], middle: Point) -> Vec<Point> {
    // `min_by` takes the first of equals, `max_by` the last: distances are compared so that the lower junction wins.
    let nearest = points
        .iter()
        .copied()
        .min_by(|a, b| a.distance_m(middle).total_cmp(&b.distance_m(middle)));
    let mut chosen: Vec<Point> = nearest.into_iter().collect();
    while chosen.len() < PLACES_MAX {
        let apart = |point: &Point| {
            chosen
                .iter()
                .map(|other| point.distance_m(*other))
                .fold(f64::INFINITY, f64::min)
        };
        let farthest = points
            .iter()
            .rev()
            .max_by(|a, b| apart(a).total_cmp(&apart(b)));
        match farthest.filter(|point| apart(point) >= PLACES_APART_M) {
            Some(&point) => chosen.push(point),
            None => break,
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(lat: f64, lon: f64) -> Point {
        Point::from_degrees(lat, lon).unwrap()
    }

    #[test]
    fn places_spread_from_the_middle_and_do_not_crowd() {
        let points: Vec<Point> = (0..100)
            .map(|i| {
                point(
                    37.0 + f64::from(i / 10) * 0.001,
                    -122.0 + f64::from(i % 10) * 0.001,
                )
            })
            .collect();
        let places = spread(&points, point(37.0041, -121.9959));
        assert_eq!(places[0], point(37.004, -121.996));
        assert_eq!(places.len(), PLACES_MAX);
        for (i, a) in places.iter().enumerate() {
            assert!(places[..i].iter().all(|b| a.distance_m(*b) > 300.0));
        }
        assert_eq!(spread(&points[..1], points[0]), [points[0]]);
        let crowd = [
            point(37.0, -122.0),
            point(37.0001, -122.0),
            point(37.0, -122.0),
        ];
        assert_eq!(spread(&crowd, crowd[0]), [crowd[0]]);
    }

    #[test]
    fn the_median_ignores_the_stray() {
        let points = [
            point(37.0, -122.0),
            point(37.001, -122.001),
            point(37.9, -122.9),
        ];
        assert_eq!(median(&points), point(37.001, -122.001));
    }
}
