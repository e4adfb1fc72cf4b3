//! The recording, and when its feed was there.
//!
//! A *hole* is a stretch of four minutes or more without a pickup, in which the busiest hour of its kind (same hour of the
//! week) had at least twenty: chance does not do that. A hole of more than ten minutes also swallowed the rides that were
//! under way at its start (the recording drops rides with such a gap), so the twenty minutes before it do not count
//! either: a ride takes less. What does not count is neither in a figure's rides nor in its time.

use std::{ops::Range, path::Path};

use chrono::{Duration, DurationRound};
use hexcab_road::HourOfWeek;
use hexcab_types::Timestamp;

use crate::{
    City,
    replay::{self, ReplayError, Ride, Shift},
};

const HOLE_MIN: Duration = Duration::minutes(4);
const HOLE_EXPECTED_RIDES: f64 = 20.0;
const HOLE_SWALLOWS_RIDES: Duration = Duration::minutes(10);
const RIDES_LOST_BEFORE: Duration = Duration::minutes(20);

/// All rides and shifts of a data folder, by time.
pub(super) struct Recording {
    pub(super) rides: Vec<Ride>,
    pub(super) shifts: Vec<Shift>,
}

impl Recording {
    pub(super) fn read(dir: &Path) -> Result<Self, ReplayError> {
        let always = Timestamp::MIN_UTC..Timestamp::MAX_UTC;
        Ok(Self {
            rides: replay::rides(dir, always.clone())?.collect::<Result<_, _>>()?,
            shifts: replay::shifts(dir, always)?.collect::<Result<_, _>>()?,
        })
    }
}

/// A minute of the recorded time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Minute {
    pub(super) hour: HourOfWeek,
    /// Whether the feed was there.
    pub(super) observed: bool,
}

/// The recorded time, whole hours from the first pickup to the last.
pub(super) struct Feed {
    pub(super) recorded: Range<Timestamp>,
    pub(super) holes: Vec<Range<Timestamp>>,
    pub(super) minutes: Vec<Minute>,
}

impl Feed {
    /// None when there is no ride.
    pub(super) fn of(city: &City, recording: &Recording) -> Option<Self> {
        let (first, last) = (
            recording.rides.first()?.pickup_at,
            recording.rides.last()?.pickup_at,
        );
        let hour = Duration::hours(1);
        let recorded = first.duration_trunc(hour).ok()?..last.duration_trunc(hour).ok()? + hour;
        let hours: Vec<HourOfWeek> = (0..(recorded.end - recorded.start).num_minutes())
            .map(|minute| city.hour_of_week(recorded.start + Duration::minutes(minute)))
            .collect();
        let mut feed = Self {
            recorded,
            holes: Vec::new(),
            minutes: hours
                .into_iter()
                .map(|hour| Minute {
                    hour,
                    observed: true,
                })
                .collect(),
        };
        feed.holes = feed.find_holes(&recording.rides);
        for hole in feed.holes.clone() {
            let lost = if hole.end - hole.start > HOLE_SWALLOWS_RIDES {
                RIDES_LOST_BEFORE
            } else {
                Duration::zero()
            };
            feed.forget(hole.start - lost..hole.end);
        }
        Some(feed)
    }

    /// The minute that an instant is in.
    pub(super) fn minute(&self, at: Timestamp) -> Option<&Minute> {
        self.minutes.get(self.index(at)?)
    }

    /// The number of the minute that an instant of the recorded time is in.
    pub(super) fn index(&self, at: Timestamp) -> Option<usize> {
        usize::try_from((at - self.recorded.start).num_seconds().div_euclid(60)).ok()
    }

    /// Minutes of each hour of the week that are wanted.
    pub(super) fn minutes_by_hour(&self, wanted: impl Fn(&Minute) -> bool) -> Vec<u32> {
        let mut sums = vec![0; HourOfWeek::all().count()];
        for minute in self.minutes.iter().filter(|minute| wanted(minute)) {
            sums[minute.hour.index()] += 1;
        }
        sums
    }

    fn find_holes(&self, rides: &[Ride]) -> Vec<Range<Timestamp>> {
        let busiest = self.busiest_hours(rides);
        let gaps = rides
            .windows(2)
            .map(|pair| pair[0].pickup_at..pair[1].pickup_at);
        gaps.filter(|gap| {
            let length = gap.end - gap.start;
            let middle = self.minute(gap.start + length / 2);
            let usual = middle.map_or(0.0, |minute| f64::from(busiest[minute.hour.index()]));
            length >= HOLE_MIN
                && usual * length.num_seconds() as f64 / 3600.0 >= HOLE_EXPECTED_RIDES
        })
        .collect()
    }

    /// Pickups in the busiest hour of each hour of the week.
    fn busiest_hours(&self, rides: &[Ride]) -> Vec<u32> {
        let mut hours = vec![0_u32; self.minutes.len() / 60];
        for hour in rides
            .iter()
            .filter_map(|ride| Some(self.index(ride.pickup_at)? / 60))
        {
            hours[hour] += 1;
        }
        let mut busiest = vec![0; HourOfWeek::all().count()];
        for (hour, pickups) in hours.into_iter().enumerate() {
            let most = &mut busiest[self.minutes[hour * 60].hour.index()];
            *most = pickups.max(*most);
        }
        busiest
    }

    /// No minute that has a part in this time counts.
    fn forget(&mut self, time: Range<Timestamp>) {
        let (from, to) = (
            self.index(time.start.max(self.recorded.start)),
            self.index(time.end),
        );
        if let (Some(from), Some(to)) = (from, to) {
            self.minutes
                .iter_mut()
                .take(to + 1)
                .skip(from)
                .for_each(|minute| minute.observed = false);
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use hexcab_types::Point;

    use super::*;

    /// Two weeks from a Sunday 00 h in San Francisco, a ride every `every` seconds but for the `silent` seconds.
    fn feed(every: usize, silent: Range<i64>) -> Feed {
        let start = DateTime::from_timestamp(1_211_094_000, 0).unwrap();
        let point = Point::from_degrees(37.77, -122.41).unwrap();
        let rides = (0..14 * 86_400)
            .step_by(every)
            .filter(|second| !silent.contains(second))
            .map(|second| Ride {
                trip: 0,
                driver: 0,
                pickup_at: start + Duration::seconds(second),
                pickup: point,
                dropoff: point,
                duration_s: 60,
                in_graph: true,
            });
        Feed::of(
            &City::built_in("sf").unwrap(),
            &Recording {
                rides: rides.collect(),
                shifts: Vec::new(),
            },
        )
        .unwrap()
    }

    #[test]
    fn a_steady_feed_has_no_hole_and_two_hours_of_each_kind() {
        let feed = feed(10, 0..0);
        assert!(feed.holes.is_empty());
        assert!(
            feed.minutes_by_hour(|minute| minute.observed)
                .iter()
                .all(|minutes| *minutes == 120)
        );
    }

    #[test]
    fn silence_of_a_busy_hour_is_a_hole_and_does_not_count() {
        let feed = feed(10, 36_000..36_300);
        assert_eq!(feed.holes.len(), 1);
        let observed = feed.minutes_by_hour(|minute| minute.observed);
        assert_eq!(
            (observed[9], observed[10]),
            (119, 114),
            "five minutes and the two it begins and ends in"
        );
    }

    #[test]
    fn a_long_hole_takes_the_twenty_minutes_before_it_along() {
        let feed = feed(10, 36_000..39_600);
        let observed = feed.minutes_by_hour(|minute| minute.observed);
        assert_eq!((observed[9], observed[10], observed[11]), (99, 60, 119));
    }

    #[test]
    fn silence_where_rides_are_rare_is_chance() {
        assert!(feed(120, 36_000..36_600).holes.is_empty());
    }

    #[test]
    fn without_rides_there_is_no_feed() {
        let city = City::built_in("sf").unwrap();
        assert!(
            Feed::of(
                &city,
                &Recording {
                    rides: Vec::new(),
                    shifts: Vec::new()
                }
            )
            .is_none()
        );
    }
}
