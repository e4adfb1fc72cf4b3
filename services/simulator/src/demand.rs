//! Who wants to go where, and when: drawn from the city's profile, or recorded rides one by one.
//! Invariant: the same seed, city, window and scale give the same requests, whatever happens to them later.

use std::ops::Range;

use chrono::TimeDelta;
use hexcab_cities::{City, Profile, replay::Ride};
use hexcab_types::{Point, Timestamp};
use rand::{Rng, RngExt};

use crate::chance::{Chance, Kind};

/// A copied ride begins so much before or after the recorded one, seconds.
const COPY_JITTER_S: f64 = 120.0;
/// and at most so far from its places, degrees (about 200 m).
const COPY_JITTER_DEGREES: f64 = 0.002;
const HOUR_S: i64 = 3_600;

/// A ride that a rider will ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Its number in this simulation, from 0, in the order of time; the rider's too.
    pub number: u64,
    /// When, on the window's own time axis.
    pub at: Timestamp,
    /// From.
    pub pickup: Point,
    /// To.
    pub dropoff: Point,
    /// How long the recorded ride took, seconds.
    pub ride_s: Option<u32>,
}

/// Requests of a window drawn from the profile: Poisson arrivals at the rate of each hour times `scale`.
pub fn drawn(
    profile: &Profile,
    city: &City,
    window: &Range<Timestamp>,
    scale: f64,
    chance: Chance,
) -> Vec<Request> {
    let mut rng = chance.stream(Kind::Demand, 0, 0);
    let mut requests = Vec::new();
    let mut begin = window.start;
    while begin < window.end {
        let hour = city.hour_of_week(begin);
        let end = next_hour(begin).min(window.end);
        let per_second = profile.rides_per_hour(hour) * scale / HOUR_S as f64;
        for at in arrivals(begin..end, per_second, &mut rng) {
            if let Some((pickup, dropoff)) = profile.draw_ride(hour, &mut rng)
                && city.area.contains(pickup)
                && city.area.contains(dropoff)
            {
                requests.push(Request {
                    number: 0,
                    at,
                    pickup,
                    dropoff,
                    ride_s: None,
                });
            }
        }
        begin = end;
    }
    numbered(requests)
}

/// Recorded rides as requests: those with both ends on the street graph and within the area. A scale below 1 leaves
/// rides out, one above 1 copies them with some jitter in time and place.
pub fn replayed(
    rides: impl Iterator<Item = Ride>,
    city: &City,
    window: &Range<Timestamp>,
    scale: f64,
    chance: Chance,
) -> Vec<Request> {
    let served = |p: Point| city.area.contains(p);
    let mut requests = Vec::new();
    for ride in rides.filter(|ride| ride.in_graph && served(ride.pickup) && served(ride.dropoff)) {
        let mut rng = chance.stream(Kind::Demand, ride.trip, 1);
        for copy in 0..copies(scale, &mut rng) {
            let recorded = Request {
                number: 0,
                at: ride.pickup_at,
                pickup: ride.pickup,
                dropoff: ride.dropoff,
                ride_s: Some(ride.duration_s),
            };
            requests.push(if copy == 0 {
                recorded
            } else {
                Request {
                    at: near_time(recorded.at, window, &mut rng),
                    pickup: near_place(recorded.pickup, city, &mut rng),
                    dropoff: near_place(recorded.dropoff, city, &mut rng),
                    ..recorded
                }
            });
        }
    }
    numbered(requests)
}

/// How many of one there are at this scale: its whole part, and one more with its fraction as probability.
pub fn copies(scale: f64, rng: &mut impl Rng) -> u32 {
    let whole = scale.max(0.0).floor();
    whole as u32 + u32::from(rng.random_range(0.0..1.0) < scale - whole)
}

/// A place not far away, within the area; the same place when there is none.
pub fn near_place(point: Point, city: &City, rng: &mut impl Rng) -> Point {
    let mut shift = || rng.random_range(-COPY_JITTER_DEGREES..COPY_JITTER_DEGREES);
    let (lat, lon) = (point.lat() + shift(), point.lon() + shift());
    let moved = Point::from_degrees(lat, lon).ok();
    moved
        .filter(|moved| city.area.contains(*moved))
        .unwrap_or(point)
}

fn near_time(at: Timestamp, window: &Range<Timestamp>, rng: &mut impl Rng) -> Timestamp {
    let moved = at + seconds(rng.random_range(-COPY_JITTER_S..COPY_JITTER_S));
    if window.contains(&moved) { moved } else { at }
}

/// A Poisson process: exponential gaps.
fn arrivals(window: Range<Timestamp>, per_second: f64, rng: &mut impl Rng) -> Vec<Timestamp> {
    let mut arrivals = Vec::new();
    if per_second <= 0.0 {
        return arrivals;
    }
    let mut at = window.start;
    loop {
        // 1 - u lies in (0, 1], so that its logarithm is finite.
        let gap = -(1.0 - rng.random_range(0.0..1.0_f64)).ln() / per_second;
        at += seconds(gap);
        if at >= window.end {
            break;
        }
        arrivals.push(at);
    }
    arrivals
}

fn seconds(s: f64) -> TimeDelta {
    TimeDelta::microseconds((s * 1e6) as i64)
}

fn next_hour(at: Timestamp) -> Timestamp {
    at + TimeDelta::seconds(HOUR_S - at.timestamp().rem_euclid(HOUR_S))
}

fn numbered(mut requests: Vec<Request>) -> Vec<Request> {
    requests.sort_by_key(|request| request.at);
    for (number, request) in (0..).zip(&mut requests) {
        request.number = number;
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    fn friday() -> Range<Timestamp> {
        // Friday 30 May 2008, 17:00 to 19:00 in San Francisco.
        let from: Timestamp = "2008-05-31T00:00:00Z".parse().unwrap();
        from..from + TimeDelta::hours(2)
    }

    fn ride(trip: u64) -> Ride {
        let point = |lat, lon| Point::from_degrees(lat, lon).unwrap();
        Ride {
            trip,
            driver: 1,
            pickup_at: friday().start + TimeDelta::seconds(trip as i64),
            pickup: point(37.78, -122.41),
            dropoff: point(37.76, -122.43),
            duration_s: 600,
            in_graph: true,
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_requests() {
        let (city, profile) = (City::load("sf").unwrap(), Profile::load("sf").unwrap());
        let draw = |seed| drawn(&profile, &city, &friday(), 1.0, Chance::new(seed));
        let (one, two, other) = (draw(7), draw(7), draw(8));
        assert_eq!(one, two);
        assert_ne!(one, other);
        assert!(
            one.windows(2)
                .all(|w| w[0].at <= w[1].at && w[0].number + 1 == w[1].number)
        );
        assert!(
            one.iter()
                .all(|r| friday().contains(&r.at) && city.area.contains(r.pickup))
        );
    }

    #[test]
    fn the_rate_is_the_profile_times_the_scale() {
        let (city, profile) = (City::load("sf").unwrap(), Profile::load("sf").unwrap());
        let window = friday();
        let hours =
            [window.start, window.start + TimeDelta::hours(1)].map(|t| city.hour_of_week(t));
        let expected: f64 = hours.iter().map(|hour| profile.rides_per_hour(*hour)).sum();
        for scale in [1.0, 4.0] {
            let count = drawn(&profile, &city, &window, scale, Chance::new(7)).len() as f64;
            let five_sigma = 5.0 * (expected * scale).sqrt();
            let least = expected * scale * 0.97 - five_sigma;
            assert!(
                (least..expected * scale + five_sigma).contains(&count),
                "{count} at {scale}"
            );
        }
    }

    #[test]
    fn recorded_rides_come_one_by_one_and_only_within_the_area() {
        let city = City::load("sf").unwrap();
        let airport = Point::from_degrees(37.6165, -122.386).unwrap();
        let rides = [
            ride(1),
            ride(2),
            Ride {
                dropoff: airport,
                ..ride(3)
            },
            Ride {
                in_graph: false,
                ..ride(4)
            },
        ];
        let requests = replayed(rides.into_iter(), &city, &friday(), 1.0, Chance::new(7));
        assert_eq!(
            requests.iter().map(|r| r.at).collect::<Vec<_>>(),
            [ride(1).pickup_at, ride(2).pickup_at]
        );
        assert_eq!(requests[1].ride_s, Some(600));
    }

    #[test]
    fn a_scale_thins_or_copies_by_seed() {
        let city = City::load("sf").unwrap();
        let replay = |scale, seed| {
            replayed(
                (0..2_000).map(ride),
                &city,
                &friday(),
                scale,
                Chance::new(seed),
            )
        };
        assert!((900..1_100).contains(&replay(0.5, 1).len()));
        assert_eq!(replay(4.0, 1).len(), 8_000);
        assert_eq!(replay(1.5, 1), replay(1.5, 1));
        assert_ne!(replay(1.5, 1), replay(1.5, 2));
        assert!(replay(4.0, 1).iter().all(|r| friday().contains(&r.at)));
    }
}
