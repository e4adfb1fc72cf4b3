//! The hour of the week in a city's local time, and the factor by which drives take longer or shorter then.
//! Does not know time zones: `hexcab_cities::City::hour_of_week` turns an instant into an hour.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::rows::{ReadError, Rows};

/// Hours in a week.
pub const HOURS_PER_WEEK: usize = 168;

/// An hour of the week in local time, 0 to 167; 0 is Sunday 00 h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct HourOfWeek(u8);

/// An hour that no week has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not an hour of the week (0 to 167)")]
pub struct HourError(pub u8);

impl HourOfWeek {
    /// The hour with this number, or none when it is above 167.
    pub const fn new(hour: u8) -> Option<Self> {
        if (hour as usize) < HOURS_PER_WEEK {
            Some(Self(hour))
        } else {
            None
        }
    }

    /// The hour (0 to 23) of a day (0 is Sunday, 6 Saturday); larger figures wrap round the week.
    pub const fn of_day(days_from_sunday: u32, hour: u32) -> Self {
        Self(((days_from_sunday as u64 * 24 + hour as u64) % HOURS_PER_WEEK as u64) as u8)
    }

    /// All hours, from Sunday 00 h.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..HOURS_PER_WEEK as u8).map(Self)
    }

    /// The number, 0 to 167.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The number as an index into a table of 168.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl TryFrom<u8> for HourOfWeek {
    type Error = HourError;
    fn try_from(hour: u8) -> Result<Self, HourError> {
        Self::new(hour).ok_or(HourError(hour))
    }
}

impl From<HourOfWeek> for u8 {
    fn from(hour: HourOfWeek) -> u8 {
        hour.0
    }
}

impl fmt::Display for HourOfWeek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        write!(f, "{} {:02} h", DAYS[self.index() / 24], self.0 % 24)
    }
}

/// How much longer a drive takes in each hour of the week: 1 is the average, 1.2 a fifth longer. All positive.
#[derive(Debug, Clone, PartialEq)]
pub struct HourFactors([f64; HOURS_PER_WEEK]);

impl HourFactors {
    /// The same time at every hour.
    pub const fn flat() -> Self {
        Self([1.0; HOURS_PER_WEEK])
    }

    /// The factor of an hour.
    pub fn of(&self, hour: HourOfWeek) -> f64 {
        self.0[hour.index()]
    }

    /// Reads rows of `hour_of_week,time_factor` (further columns are left alone), one for each hour.
    ///
    /// # Errors
    /// When a row cannot be read, names no hour, or has a factor outside 0.1 to 10; when an hour is missing or twice.
    pub fn read(mut rows: Rows) -> Result<Self, ReadError> {
        let (hour_column, factor_column) =
            (rows.column("hour_of_week")?, rows.column("time_factor")?);
        let mut factors = [f64::NAN; HOURS_PER_WEEK];
        while let Some(row) = rows.next_row()? {
            let number: u8 = row.get(&hour_column, "hour of the week, 0 to 167")?;
            let hour = HourOfWeek::new(number)
                .ok_or_else(|| row.refuse(&hour_column, "hour of the week, 0 to 167"))?;
            let factor: f64 = row.get(&factor_column, "factor from 0.1 to 10")?;
            if !(0.1..=10.0).contains(&factor) {
                return Err(row.refuse(&factor_column, "factor from 0.1 to 10"));
            }
            if !factors[hour.index()].is_nan() {
                return Err(row.refuse(&hour_column, "hour that no earlier line has"));
            }
            factors[hour.index()] = factor;
        }
        match factors.iter().position(|factor| factor.is_nan()) {
            Some(hour) => Err(rows.incomplete(format!("no line for hour {hour}"))),
            None => Ok(Self(factors)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(rows: impl Iterator<Item = (usize, f64)>) -> String {
        rows.fold(
            "hour_of_week,time_factor\n".to_owned(),
            |text, (hour, factor)| format!("{text}{hour},{factor}\n"),
        )
    }

    fn read(text: &str) -> Result<HourFactors, ReadError> {
        HourFactors::read(Rows::from_text("speed-profile.csv", text)?)
    }

    #[test]
    fn a_full_week_reads() {
        let factors = read(&text(
            (0..168).map(|hour| (hour, 1.0 + hour as f64 / 100.0)),
        ))
        .unwrap();
        assert_eq!(factors.of(HourOfWeek::new(167).unwrap()), 2.67);
    }

    #[test]
    fn a_missing_or_repeated_hour_is_named() {
        let missing = read(&text((1..168).map(|hour| (hour, 1.0)))).unwrap_err();
        assert!(
            missing.to_string().contains("no line for hour 0"),
            "{missing}"
        );
        let twice = read(&text([(5, 1.0), (5, 1.0)].into_iter())).unwrap_err();
        assert!(twice.to_string().contains("speed-profile.csv:3"), "{twice}");
        assert!(twice.to_string().contains("hour_of_week"), "{twice}");
    }

    #[test]
    fn a_factor_that_cannot_be_is_refused() {
        for factor in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(
                read(&text((0..168).map(|hour| (hour, factor)))).is_err(),
                "{factor}"
            );
        }
    }

    #[test]
    fn hours_count_from_sunday() {
        assert_eq!(HourOfWeek::of_day(5, 17).get(), 137);
        assert_eq!(HourOfWeek::of_day(5, 17).to_string(), "Fri 17 h");
        assert_eq!(HourOfWeek::of_day(6, 24).get(), 0);
        assert_eq!(HourOfWeek::new(168), None);
        assert_eq!(HourOfWeek::all().count(), 168);
    }
}
