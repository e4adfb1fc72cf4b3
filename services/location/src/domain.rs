//! What location knows: sightings of drivers, and the index that holds the newest of each.
//!
//! - [`ping`] a ping as sent → a [`Sighting`], or why it is refused
//! - [`sighting`] where a driver was at one moment
//! - [`index`] the newest sighting of every driver, by place; [`index::search`] who is near a point
//! - [`track`] how a driver drove; [`watch`] what changes in some cells
//!
//! Knows no protobuf, Kafka or clock: `now` is an argument.

pub mod index;
pub mod ping;
pub mod sighting;
pub mod track;
pub mod watch;

pub use index::{
    CityNumber, FleetIndex, Verdict,
    intake::{Batch, Taken},
    search::{Answer, Query},
};
pub use ping::{Ping, Rejection};
pub use sighting::{ProductNumber, Sighting, Status, Statuses};
pub use track::{Leg, Track};
pub use watch::Watch;

/// A driver of whom nothing was heard for so long is forgotten, seconds of the city's clock.
pub const KEEP_S: i64 = 180;

/// A position recorded later than this from now is taken to be of this moment, milliseconds.
pub const FUTURE_MAX_MS: i64 = 1_000;

/// Positions less accurate than this are flagged, metres.
pub const ACCURATE_M: u32 = 50;

/// The resolution of the cells that drivers are known to be in.
pub const HOME_RESOLUTION: u8 = 9;

/// The resolution in which drivers are counted for pricing.
pub const COUNT_RESOLUTION: u8 = 8;
