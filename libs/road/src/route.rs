//! What a drive is: its time and length, the line it follows, and the port that everyone asks.
//! Invariants: a route has at least two points; its seconds and metres never fall along it and begin at 0.

use hexcab_types::Point;

use crate::hours::HourOfWeek;

/// Time and length of a drive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leg {
    /// Driving time.
    pub seconds: f64,
    /// Driven distance.
    pub metres: f64,
}

/// A point of a route, with time and distance from its start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoutePoint {
    /// Where.
    pub point: Point,
    /// Driving time from the start.
    pub seconds: f64,
    /// Driven distance from the start.
    pub metres: f64,
}

/// The line that a drive follows.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    points: Vec<RoutePoint>,
}

impl Route {
    /// A straight line with the time and length of `leg`.
    pub fn straight(from: Point, to: Point, leg: Leg) -> Self {
        let mut line = RouteLine::new(from);
        line.push(to, leg.seconds, leg.metres);
        line.finish()
    }

    /// The points from start to end, at least two.
    pub fn points(&self) -> &[RoutePoint] {
        &self.points
    }

    /// Time and length of the whole.
    pub fn leg(&self) -> Leg {
        let last = self.last();
        Leg {
            seconds: last.seconds,
            metres: last.metres,
        }
    }

    /// Where one is after so many seconds: the start before 0, the end after the last point.
    pub fn at(&self, seconds: f64) -> Point {
        let after = self
            .points
            .partition_point(|point| point.seconds <= seconds);
        let Some(next) = self.points.get(after) else {
            return self.last().point;
        };
        let Some(before) = after.checked_sub(1).and_then(|i| self.points.get(i)) else {
            return next.point;
        };
        before.point.toward(
            next.point,
            (seconds - before.seconds) / (next.seconds - before.seconds),
        )
    }

    fn last(&self) -> &RoutePoint {
        self.points.last().expect("a route has at least two points")
    }
}

/// A route in the making: points are added with the time and distance since the one before.
pub(crate) struct RouteLine {
    points: Vec<RoutePoint>,
}

impl RouteLine {
    pub(crate) fn new(start: Point) -> Self {
        Self {
            points: vec![RoutePoint {
                point: start,
                seconds: 0.0,
                metres: 0.0,
            }],
        }
    }

    /// Adds a point; one that takes no time and no way is left out.
    pub(crate) fn push(&mut self, point: Point, seconds: f64, metres: f64) {
        let last = *self.points.last().expect("a line begins with its start");
        if seconds > 0.0 || metres > 0.0 || point != last.point {
            self.points.push(RoutePoint {
                point,
                seconds: last.seconds + seconds.max(0.0),
                metres: last.metres + metres.max(0.0),
            });
        }
    }

    pub(crate) fn finish(mut self) -> Route {
        if let [only] = self.points[..] {
            self.points.push(only);
        }
        Route {
            points: self.points,
        }
    }
}

/// Answers how long a drive takes. Driving time only; boarding is separate. `None`: the place is not on the map of this
/// source, or there is no way.
pub trait RoadTimes: Send + Sync {
    /// The drive from one point to another at an hour of the week.
    fn leg(&self, from: Point, to: Point, hour: HourOfWeek) -> Option<Leg>;

    /// The drives from many points to one, in the order of `from`: the candidates of a pickup.
    fn legs_to(&self, from: &[Point], to: Point, hour: HourOfWeek) -> Vec<Option<Leg>>;

    /// The line of the drive, with the time and length that [`RoadTimes::leg`] gives.
    fn route(&self, from: Point, to: Point, hour: HourOfWeek) -> Option<Route>;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(lat: f64, lon: f64) -> Point {
        Point::from_degrees(lat, lon).unwrap()
    }

    #[test]
    fn a_route_is_interpolated_between_its_points() {
        let (a, b, c) = (
            point(37.0, -122.0),
            point(37.0, -121.0),
            point(38.0, -121.0),
        );
        let mut line = RouteLine::new(a);
        line.push(b, 10.0, 100.0);
        line.push(c, 30.0, 200.0);
        let route = line.finish();
        for (seconds, expected) in [
            (-1.0, a),
            (0.0, a),
            (5.0, point(37.0, -121.5)),
            (10.0, b),
            (25.0, point(37.5, -121.0)),
            (40.0, c),
            (99.0, c),
        ] {
            assert_eq!(route.at(seconds), expected, "at {seconds} s");
        }
        assert_eq!(
            route.leg(),
            Leg {
                seconds: 40.0,
                metres: 300.0
            }
        );
    }

    #[test]
    fn a_drive_to_where_one_is_has_two_points_and_no_length() {
        let here = point(37.0, -122.0);
        let route = Route::straight(
            here,
            here,
            Leg {
                seconds: 0.0,
                metres: 0.0,
            },
        );
        assert_eq!(route.points().len(), 2);
        assert_eq!(route.at(1.0), here);
    }

    proptest! {
        #[test]
        fn a_route_never_runs_backwards(steps in prop::collection::vec((-5.0_f64..60.0, -5.0_f64..500.0), 0..30)) {
            let mut line = RouteLine::new(point(0.0, 0.0));
            for (i, (seconds, metres)) in steps.iter().enumerate() {
                line.push(point(0.0, i as f64 / 1000.0), *seconds, *metres);
            }
            let route = line.finish();
            prop_assert!(route.points().len() >= 2);
            prop_assert!(route.points().windows(2).all(|pair| pair[0].seconds <= pair[1].seconds && pair[0].metres <= pair[1].metres));
        }
    }
}
