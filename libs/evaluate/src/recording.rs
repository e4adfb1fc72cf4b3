//! What was recorded: rides and shifts of all data folders together, and the days that they make.
//! Invariants: rides and shifts are in order of time, none twice; a day begins at 04:00 local time, when a city sleeps.
//! Does not: know streets, or judge anything.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use chrono::{Duration, NaiveDate, TimeZone as _};
use hexcab_cities::{
    City,
    replay::{self, ReplayError, Ride, Shift},
};
use hexcab_types::Timestamp;

/// The local hour at which a day begins and ends.
pub const DAY_BEGINS_H: u32 = 4;

/// All that was recorded.
#[derive(Debug, Default)]
pub struct Recording {
    /// Rides by pickup time.
    pub rides: Vec<Ride>,
    /// Shifts by start.
    pub shifts: Vec<Shift>,
}

impl Recording {
    /// Reads `trips-*` and `shifts-*` of these folders; a folder without them is passed over.
    ///
    /// # Errors
    /// When a file is wrong, or there is none in any folder.
    pub fn read(folders: &[PathBuf]) -> Result<Self, ReplayError> {
        let all = Timestamp::MIN_UTC..Timestamp::MAX_UTC;
        let mut recording = Self::default();
        let mut missing = None;
        for folder in folders {
            match Self::of_folder(folder, all.clone()) {
                Ok(more) => {
                    recording.rides.extend(more.rides);
                    recording.shifts.extend(more.shifts);
                }
                Err(error @ ReplayError::NoFiles { .. }) => missing = Some(error),
                Err(error @ ReplayError::Read(_)) => return Err(error),
            }
        }
        if let (true, Some(error)) = (recording.rides.is_empty(), missing) {
            return Err(error);
        }
        recording
            .rides
            .sort_by_key(|ride| (ride.pickup_at, ride.driver));
        recording
            .rides
            .dedup_by_key(|ride| (ride.pickup_at, ride.driver));
        recording
            .shifts
            .sort_by_key(|shift| (shift.start_at, shift.driver));
        recording
            .shifts
            .dedup_by_key(|shift| (shift.start_at, shift.driver));
        Ok(recording)
    }

    fn of_folder(folder: &Path, all: Range<Timestamp>) -> Result<Self, ReplayError> {
        Ok(Self {
            rides: replay::rides(folder, all.clone())?.collect::<Result<_, _>>()?,
            shifts: replay::shifts(folder, all)?.collect::<Result<_, _>>()?,
        })
    }

    /// The rides whose pickup lies in a stretch of time.
    pub fn rides_within(&self, time: &Range<Timestamp>) -> &[Ride] {
        let from = self
            .rides
            .partition_point(|ride| ride.pickup_at < time.start);
        let until = self.rides.partition_point(|ride| ride.pickup_at < time.end);
        &self.rides[from..until]
    }

    /// The days that have rides, first to last.
    pub fn days(&self, city: &City) -> Vec<NaiveDate> {
        let mut days: Vec<_> = self
            .rides
            .iter()
            .map(|ride| day_of(city, ride.pickup_at))
            .collect();
        days.dedup();
        days
    }
}

/// The time from 04:00 of a day to 04:00 of the next; none where the clock has no such hour.
pub fn day_time(city: &City, day: NaiveDate) -> Option<Range<Timestamp>> {
    let at = |day: NaiveDate| {
        let local = day.and_hms_opt(DAY_BEGINS_H, 0, 0)?;
        Some(
            city.time_zone
                .from_local_datetime(&local)
                .earliest()?
                .to_utc(),
        )
    };
    Some(at(day)?..at(day.succ_opt()?)?)
}

/// The day that an instant belongs to.
pub fn day_of(city: &City, at: Timestamp) -> NaiveDate {
    let local = at.with_timezone(&city.time_zone).naive_local();
    (local - Duration::hours(i64::from(DAY_BEGINS_H))).date()
}
