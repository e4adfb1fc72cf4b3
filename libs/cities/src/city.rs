//! The rules of a city, `city.toml`: where it is, what it sells at what fare, how it surges and dispatches.
//! Invariants: a [`City`] in hand has passed [`City::read`]'s checks; an unknown key or a rule that cannot be is refused
//! by its name. Does not: compute with the rules.

use std::path::Path;

use chrono::{Datelike, Timelike};
use chrono_tz::Tz;
use hexcab_road::{HourOfWeek, ReadError};
use hexcab_types::{BasisPoints, CityId, Currency, Point, ProductId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::folder::Folder;

mod check;

/// The file of the rules in a city's folder.
pub const CITY_FILE: &str = "city.toml";

/// Why a city cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CityError {
    /// Its file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its file is not TOML, lacks a field, or has one that no city has.
    #[error("{file}")]
    Toml {
        /// The file.
        file: String,
        /// Line and field.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A rule that cannot be.
    #[error("{file}: {field} {problem}")]
    Rule {
        /// The file.
        file: String,
        /// The field, as in `surge.cap`.
        field: String,
        /// What it must be, and what it is.
        problem: String,
    },
    /// Not in this binary.
    #[error("no built-in city {0:?}; there is {known}", known = crate::BUILT_IN.join(", "))]
    NotBuiltIn(String),
}

/// A city and its rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct City {
    /// Its id, the name of its folder.
    pub id: CityId,
    /// Its name for people.
    pub name: String,
    /// Its time zone, an IANA name.
    #[serde(with = "time_zone")]
    pub time_zone: Tz,
    /// The currency of all its fares.
    pub currency: Currency,
    /// How long a quote holds, in seconds.
    pub quote_ttl_s: u32,
    /// Whose data its profile was computed from, to be shown with maps and figures.
    #[serde(default)]
    pub source: String,
    /// Where it serves.
    pub area: Area,
    /// What it sells; the first is the usual one.
    pub products: Vec<Product>,
    /// How prices follow demand.
    pub surge: SurgeRules,
    /// How drivers are found.
    pub dispatch: DispatchRules,
    /// How pickups go.
    pub trip: TripRules,
}

/// A service area between two parallels and two meridians, in degrees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Area {
    /// Southern latitude.
    pub south: f64,
    /// Western longitude.
    pub west: f64,
    /// Northern latitude.
    pub north: f64,
    /// Eastern longitude.
    pub east: f64,
}

impl Area {
    /// Whether a point lies within, the border included.
    pub fn contains(&self, point: Point) -> bool {
        (self.south..=self.north).contains(&point.lat())
            && (self.west..=self.east).contains(&point.lon())
    }
}

/// A kind of ride.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// Its id, such as `standard`.
    pub id: ProductId,
    /// Its name for people.
    pub name: String,
    /// Seats for passengers.
    pub seats: u32,
    /// What it costs.
    pub fare: FarePolicy,
}

/// What a ride costs; amounts in minor units of the city's currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FarePolicy {
    /// For getting in.
    pub base_minor: i64,
    /// For each kilometre.
    pub per_km_minor: i64,
    /// For each minute of driving.
    pub per_minute_minor: i64,
    /// The least that base, way and time come to, the booking fee aside.
    pub minimum_minor: i64,
    /// The platform's own fee on every ride; not surged, not shared.
    pub booking_fee_minor: i64,
    /// For cancelling late, or not coming.
    pub cancellation_minor: i64,
    /// How long after a driver accepted cancelling is free, in seconds.
    pub free_cancellation_s: u32,
    /// How long the driver waits at the pickup for nothing, in seconds.
    pub waiting_free_s: u32,
    /// For each minute of waiting after that.
    pub waiting_per_minute_minor: i64,
    /// The driver's share of the fare without booking fee and tax.
    pub driver_share: BasisPoints,
    /// Tax on the fare.
    pub tax: BasisPoints,
}

/// How prices follow demand, in each H3 r8 cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SurgeRules {
    /// How often multipliers are computed, in seconds.
    pub interval_s: u32,
    /// How long a quote or request counts as demand, in seconds.
    pub window_s: u32,
    /// In how many seconds half of a change of demand over supply shows.
    pub half_life_s: u32,
    /// With less demand than this in the window, a cell does not surge.
    pub minimum_samples: u32,
    /// The least multiplier; 10 000 is 1.
    pub floor: BasisPoints,
    /// The greatest multiplier.
    pub cap: BasisPoints,
    /// Multipliers are whole multiples of this.
    pub step: BasisPoints,
    /// A shown multiplier stays while the computed one is nearer to it than this.
    pub hysteresis: BasisPoints,
    /// How much each neighbour's demand and supply count beside a cell's own.
    pub neighbour_weight: BasisPoints,
    /// A cell not computed for so many seconds falls back to 1.
    pub stale_after_s: u32,
}

/// How drivers are found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DispatchRules {
    /// The assignment policy.
    pub policy: DispatchPolicy,
    /// How long requests are gathered before they are assigned together, in milliseconds; 0 is at once.
    pub window_ms: u32,
    /// How long a driver may think about an offer, in seconds.
    pub offer_ttl_s: u32,
    /// How long a request looks for a driver before it expires, in seconds.
    pub request_ttl_s: u32,
    /// How many drivers are considered for a request.
    pub max_candidates: u32,
    /// How far away they may be, great circle, in metres.
    pub radius_m: u32,
    /// How old their position may be, in seconds.
    pub max_position_age_s: u32,
}

/// How open requests are given to drivers; all policies are `hexcab-matching`'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DispatchPolicy {
    /// Each request its nearest driver, first come first served.
    Nearest,
    /// The cheapest assignment of a window.
    Batched,
    /// As batched; pairs not yet picked up may be exchanged.
    Swaps,
    /// As batched; drivers about to finish a ride count too.
    Chained,
}

impl DispatchPolicy {
    /// Its name in `city.toml`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nearest => "nearest",
            Self::Batched => "batched",
            Self::Swaps => "swaps",
            Self::Chained => "chained",
        }
    }
}

/// How pickups go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TripRules {
    /// A driver within so many metres of the pickup has arrived.
    pub pickup_geofence_m: u32,
    /// How long boarding and paying take beside the drive, in seconds.
    pub boarding_s: u32,
    /// How long before its pickup time a booked ride begins to look for a driver, in seconds. One that is asked for
    /// within it is looked for at once.
    #[serde(default = "schedule_lead_s")]
    pub schedule_lead_s: u32,
    /// How far ahead a ride may be booked, in seconds.
    #[serde(default = "schedule_ahead_s")]
    pub schedule_ahead_s: u32,
    /// How long a driver waits at the pickup before he may say that nobody came, in seconds.
    #[serde(default = "no_show_after_s")]
    pub no_show_after_s: u32,
    /// How long a driver has at least to reach the pickup before the trip is taken from him, in seconds. (He has three
    /// times what the road takes, where that is more.)
    #[serde(default = "stall_min_s")]
    pub stall_min_s: u32,
    /// Whether riders may pay their driver in cash.
    #[serde(default)]
    pub cash: bool,
}

/// A quarter of an hour.
const fn schedule_lead_s() -> u32 {
    900
}

/// A week.
const fn schedule_ahead_s() -> u32 {
    604_800
}

/// Five minutes.
const fn no_show_after_s() -> u32 {
    300
}

/// A quarter of an hour.
const fn stall_min_s() -> u32 {
    900
}

impl City {
    /// A city that is in this binary.
    ///
    /// # Errors
    /// When it is not: the error names those that are.
    pub fn built_in(id: &str) -> Result<Self, CityError> {
        Self::of(&Folder::built_in(id).ok_or_else(|| CityError::NotBuiltIn(id.to_owned()))?)
    }

    /// The city of a folder.
    ///
    /// # Errors
    /// When its `city.toml` cannot be read or has a rule that cannot be.
    pub fn read(dir: &Path) -> Result<Self, CityError> {
        Self::of(&Folder::disk(dir))
    }

    /// A built-in city by its id, else the city of this folder.
    ///
    /// # Errors
    /// As [`City::read`].
    pub fn load(folder_or_id: &str) -> Result<Self, CityError> {
        Self::of(&Folder::named(folder_or_id))
    }

    /// A city from the text of a `city.toml`; `file` names it in errors.
    ///
    /// # Errors
    /// As [`City::read`].
    pub fn parse(file: &str, text: &str) -> Result<Self, CityError> {
        let city: Self = toml::from_str(text).map_err(|source| CityError::Toml {
            file: file.to_owned(),
            source: Box::new(source),
        })?;
        check::city(&city).map_err(|refusal| CityError::Rule {
            file: file.to_owned(),
            field: refusal.field,
            problem: refusal.problem,
        })?;
        Ok(city)
    }

    fn of(folder: &Folder) -> Result<Self, CityError> {
        Self::parse(&folder.file(CITY_FILE), &folder.text(CITY_FILE)?)
    }

    /// The product of an id.
    pub fn product(&self, id: &ProductId) -> Option<&Product> {
        self.products.iter().find(|product| product.id == *id)
    }

    /// The hour of the week of an instant, in the city's local time.
    pub fn hour_of_week(&self, at: Timestamp) -> HourOfWeek {
        let local = at.with_timezone(&self.time_zone);
        HourOfWeek::of_day(local.weekday().num_days_from_sunday(), local.hour())
    }
}

/// A time zone as its IANA name.
mod time_zone {
    use chrono_tz::Tz;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(zone: &Tz, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(zone.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tz, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(|_| {
            D::Error::custom(format!("{name:?} is not a time zone of the IANA database"))
        })
    }
}

#[cfg(test)]
mod tests;
