//! Someone who drives from one place to another: where he is at an instant, which way he looks, when he is there.
//! Invariant: a drive ends at the asked place itself, whatever the street graph snapped it to.

use chrono::TimeDelta;
use hexcab_road::{HourOfWeek, Leg, RoadTimes, Route};
use hexcab_types::{Point, Timestamp};

/// Assumed where the map knows no way: 18 km/h along a line 1.3 times the great circle.
const UNMAPPED_M_S: f64 = 5.0;
const UNMAPPED_DETOUR: f64 = 1.3;
/// For heading and speed: the stretch that is looked at.
const LOOK_AHEAD: TimeDelta = TimeDelta::seconds(2);

/// Where a driver is, which way he looks and how fast he goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Motion {
    /// Where.
    pub at: Point,
    /// Degrees clockwise from north, 0 to 359.
    pub heading_deg: u16,
    /// Centimetres a second.
    pub speed_cm_s: u32,
}

impl Motion {
    /// Standing somewhere.
    pub const fn standing(at: Point, heading_deg: u16) -> Self {
        Self {
            at,
            heading_deg,
            speed_cm_s: 0,
        }
    }
}

/// A drive under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Drive {
    route: Route,
    to: Point,
    began: Timestamp,
    seconds: f64,
}

impl Drive {
    /// A drive that begins now and takes as long as the roads say, or `seconds` when given.
    pub fn begin(
        roads: &dyn RoadTimes,
        (from, to): (Point, Point),
        hour: HourOfWeek,
        began: Timestamp,
        seconds: Option<f64>,
    ) -> Self {
        let route = roads
            .route(from, to, hour)
            .unwrap_or_else(|| straight(from, to));
        let seconds = seconds.unwrap_or_else(|| route.leg().seconds).max(1.0);
        Self {
            route,
            to,
            began,
            seconds,
        }
    }

    /// When he is there.
    pub fn ends(&self) -> Timestamp {
        self.began + TimeDelta::microseconds((self.seconds * 1e6) as i64)
    }

    /// Where to.
    pub const fn to(&self) -> Point {
        self.to
    }

    /// Where he is.
    pub fn at(&self, now: Timestamp) -> Point {
        if now >= self.ends() {
            return self.to;
        }
        let gone = (now - self.began).as_seconds_f64().max(0.0);
        self.route
            .at(gone / self.seconds * self.route.leg().seconds)
    }

    /// Where he is, with heading and speed.
    pub fn motion(&self, now: Timestamp) -> Motion {
        let (here, there) = (self.at(now), self.at(now + LOOK_AHEAD));
        let metres = here.distance_m(there);
        Motion {
            at: here,
            heading_deg: heading_deg(here, there),
            speed_cm_s: (metres / LOOK_AHEAD.as_seconds_f64() * 100.0) as u32,
        }
    }
}

fn straight(from: Point, to: Point) -> Route {
    let metres = from.distance_m(to) * UNMAPPED_DETOUR;
    Route::straight(
        from,
        to,
        Leg {
            seconds: metres / UNMAPPED_M_S,
            metres,
        },
    )
}

/// The way one looks from here to there, degrees clockwise from north; 0 when there is here.
fn heading_deg(here: Point, there: Point) -> u16 {
    let north = f64::from(there.lat_e7() - here.lat_e7());
    let east = f64::from(there.lon_e7() - here.lon_e7()) * here.lat().to_radians().cos();
    (east.atan2(north).to_degrees().rem_euclid(360.0) as u16) % 360
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A world without streets.
    struct Nowhere;

    impl RoadTimes for Nowhere {
        fn leg(&self, _: Point, _: Point, _: HourOfWeek) -> Option<Leg> {
            None
        }
        fn legs_to(&self, from: &[Point], _: Point, _: HourOfWeek) -> Vec<Option<Leg>> {
            vec![None; from.len()]
        }
        fn route(&self, _: Point, _: Point, _: HourOfWeek) -> Option<Route> {
            None
        }
    }

    fn point(lat: f64, lon: f64) -> Point {
        Point::from_degrees(lat, lon).unwrap()
    }

    #[test]
    fn a_drive_goes_from_its_start_to_exactly_its_end() {
        let (from, to) = (point(37.77, -122.42), point(37.78, -122.42));
        let began = Timestamp::from_timestamp(1_000, 0).unwrap();
        let hour = HourOfWeek::of_day(5, 17);
        let drive = Drive::begin(&Nowhere, (from, to), hour, began, Some(100.0));
        assert_eq!(drive.at(began - TimeDelta::seconds(5)), from);
        assert_eq!(
            drive.at(began + TimeDelta::seconds(50)),
            from.toward(to, 0.5)
        );
        assert_eq!(drive.at(drive.ends()), to);
        assert_eq!(drive.ends(), began + TimeDelta::seconds(100));
        let motion = drive.motion(began + TimeDelta::seconds(50));
        assert_eq!(motion.heading_deg, 0);
        assert!((1_000..1_200).contains(&motion.speed_cm_s), "{motion:?}");
    }

    #[test]
    fn headings_are_clockwise_from_north() {
        let here = point(37.77, -122.42);
        assert_eq!(heading_deg(here, point(37.77, -122.41)), 90);
        assert_eq!(heading_deg(here, point(37.76, -122.42)), 180);
        assert_eq!(heading_deg(here, point(37.77, -122.43)), 270);
        assert_eq!(heading_deg(here, here), 0);
    }
}
