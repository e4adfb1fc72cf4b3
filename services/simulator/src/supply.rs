//! Who drives, and when: a fixed number of drivers who stay, or those of the recorded shifts.
//! Invariant: a driver's stints are in order and do not overlap, so that one driver is one task.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use chrono::TimeDelta;
use hexcab_cities::{City, Profile, replay::Shift};
use hexcab_types::{Point, Timestamp};
use rand::RngExt;

use crate::{
    chance::{Chance, Kind},
    demand,
};

/// A copied driver comes and goes so much earlier or later, seconds.
const COPY_JITTER_S: i64 = 900;

/// A stretch of time in which a driver wants to drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stint {
    /// When he comes online, on the window's own time axis.
    pub from: Timestamp,
    /// When he goes, once he is free; none is never.
    pub until: Option<Timestamp>,
    /// Where he begins.
    pub start: Point,
}

/// A driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverPlan {
    /// His number in this simulation.
    pub number: u64,
    /// When he drives, in order.
    pub stints: Vec<Stint>,
}

/// So many drivers at starts of the profile, all there from the beginning, all staying.
pub fn staying(
    profile: &Profile,
    count: usize,
    from: Timestamp,
    chance: Chance,
) -> Vec<DriverPlan> {
    let start = |number: u64| {
        let mut rng = chance.stream(Kind::Supply, number, 0);
        let cell = profile.draw_start(&mut rng)?;
        profile.draw_place(cell, &mut rng)
    };
    let stint = |start| Stint {
        from,
        until: None,
        start,
    };
    let plan = |number| {
        Some(DriverPlan {
            number,
            stints: vec![stint(start(number)?)],
        })
    };
    (0..count as u64).filter_map(plan).collect()
}

/// Drivers by the recorded shifts. Who is on shift at the beginning starts where he was last seen, if that is known and
/// within the area; who comes later, where his shift starts. With `count`, the drivers are thinned or copied so that
/// about that many are there at the beginning.
pub fn by_shifts(
    shifts: impl Iterator<Item = Shift>,
    seen: &HashMap<u32, (Timestamp, Point)>,
    city: &City,
    window: &Range<Timestamp>,
    count: Option<usize>,
    chance: Chance,
) -> Vec<DriverPlan> {
    let mut drivers: BTreeMap<u32, Vec<Stint>> = BTreeMap::new();
    for shift in shifts {
        let stint = stint(&shift, seen.get(&shift.driver), city, window);
        push(drivers.entry(shift.driver).or_default(), stint);
    }
    let there = drivers
        .values()
        .filter(|stints| stints[0].from <= window.start)
        .count();
    let scale = count.map_or(1.0, |count| count as f64 / there.max(1) as f64);
    let mut plans = Vec::new();
    for (driver, stints) in drivers {
        let mut rng = chance.stream(Kind::Supply, u64::from(driver), 1);
        for copy in 0..demand::copies(scale, &mut rng) {
            let stints = if copy == 0 {
                stints.clone()
            } else {
                copied(&stints, city, window, &mut rng)
            };
            plans.push(DriverPlan {
                number: plans.len() as u64,
                stints,
            });
        }
    }
    plans
}

fn stint(
    shift: &Shift,
    seen: Option<&(Timestamp, Point)>,
    city: &City,
    window: &Range<Timestamp>,
) -> Stint {
    let last = seen.filter(|(at, _)| (shift.start_at..=window.start).contains(at));
    let place = last
        .map(|(_, place)| *place)
        .filter(|place| city.area.contains(*place));
    let start = if shift.start_at < window.start {
        place.unwrap_or(shift.start)
    } else {
        shift.start
    };
    Stint {
        from: shift.start_at.max(window.start),
        until: Some(shift.end_at),
        start,
    }
}

/// Recorded shifts of one driver may touch; then he just goes on.
fn push(stints: &mut Vec<Stint>, stint: Stint) {
    match stints.last_mut() {
        Some(last) if last.until.is_none_or(|until| until >= stint.from) => {
            last.until = last.until.max(stint.until);
        }
        Some(_) | None => stints.push(stint),
    }
}

fn copied(
    stints: &[Stint],
    city: &City,
    window: &Range<Timestamp>,
    rng: &mut impl rand::Rng,
) -> Vec<Stint> {
    let shift = TimeDelta::seconds(rng.random_range(-COPY_JITTER_S..COPY_JITTER_S));
    let moved = stints.iter().map(|stint| Stint {
        // Who is there at the beginning is there at the beginning as a copy too.
        from: if stint.from <= window.start {
            stint.from
        } else {
            (stint.from + shift).max(window.start)
        },
        until: stint.until.map(|until| until + shift),
        start: demand::near_place(stint.start, city, rng),
    });
    moved
        .filter(|stint| stint.until.is_none_or(|until| until > stint.from))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        "2008-05-31T00:00:00Z".parse::<Timestamp>().unwrap() + TimeDelta::minutes(minutes)
    }

    fn point(lat: f64) -> Point {
        Point::from_degrees(lat, -122.42).unwrap()
    }

    fn shift(driver: u32, start: i64, end: i64) -> Shift {
        Shift {
            driver,
            start_at: at(start),
            start: point(37.75),
            end_at: at(end),
            end: point(37.70),
        }
    }

    fn plans(shifts: &[Shift], count: Option<usize>) -> Vec<DriverPlan> {
        let seen = HashMap::from([(1, (at(-5), point(37.79))), (2, (at(-500), point(37.71)))]);
        let city = City::load("sf").unwrap();
        by_shifts(
            shifts.iter().copied(),
            &seen,
            &city,
            &(at(0)..at(60)),
            count,
            Chance::new(7),
        )
    }

    #[test]
    fn who_is_on_shift_at_the_beginning_starts_where_he_was_last_seen() {
        let plans = plans(
            &[shift(1, -60, 30), shift(2, -60, 30), shift(3, 20, 90)],
            None,
        );
        let starts: Vec<_> = plans.iter().map(|plan| plan.stints[0]).collect();
        let stint = |from, until, lat| Stint {
            from: at(from),
            until: Some(at(until)),
            start: point(lat),
        };
        // Driver 2 was last seen before this shift: that says nothing.
        assert_eq!(
            starts,
            [
                stint(0, 30, 37.79),
                stint(0, 30, 37.75),
                stint(20, 90, 37.75)
            ]
        );
    }

    #[test]
    fn shifts_of_one_driver_are_one_plan_and_do_not_overlap() {
        let plans = plans(
            &[shift(1, -60, 10), shift(1, 10, 20), shift(1, 40, 50)],
            None,
        );
        assert_eq!(plans.len(), 1);
        let times: Vec<_> = plans[0].stints.iter().map(|s| (s.from, s.until)).collect();
        assert_eq!(times, [(at(0), Some(at(20))), (at(40), Some(at(50)))]);
    }

    #[test]
    fn a_number_of_drivers_thins_or_copies_the_shifts_by_seed() {
        let shifts: Vec<_> = (0..400).map(|driver| shift(driver, -60, 90)).collect();
        assert!((160..240).contains(&plans(&shifts, Some(200)).len()));
        assert_eq!(plans(&shifts, Some(1_200)).len(), 1_200);
        assert_eq!(plans(&shifts, Some(600)), plans(&shifts, Some(600)));
        let copies = plans(&shifts, Some(800));
        assert!(
            copies
                .iter()
                .enumerate()
                .all(|(i, plan)| plan.number == i as u64)
        );
        assert!(copies.iter().all(|plan| plan.stints[0].from == at(0)));
    }

    #[test]
    fn staying_drivers_are_there_from_the_beginning_and_on_streets_of_the_city() {
        let (city, profile) = (City::load("sf").unwrap(), Profile::load("sf").unwrap());
        let plans = staying(&profile, 300, at(0), Chance::new(7));
        assert_eq!(plans.len(), 300);
        assert!(
            plans
                .iter()
                .all(|plan| city.area.contains(plan.stints[0].start))
        );
        assert_eq!(plans, staying(&profile, 300, at(0), Chance::new(7)));
        assert_ne!(plans, staying(&profile, 300, at(0), Chance::new(8)));
    }
}
