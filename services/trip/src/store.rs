//! Where trips are kept, and what the keeper promises.
//!
//! - A command is one SERIALIZABLE transaction: state, event, outbox row and answer together or not at all (I7). Where the
//!   trip is remembered as it was written last, that takes one round trip (`at_once`), otherwise four (`postgres`).
//! - The same [`RequestKey`] gets the same answer for ever after, refusals included (I6); what was not decided (no such
//!   trip, contention, a stale version) is not an answer and not kept.
//! - A race that the domain cannot see (another trip of the same rider or driver, a used quote) is decided by Postgres
//!   and comes back as a [`Refusal`] like any other.
//!
//! [`postgres::Trips`] is the keeper; there is no other.

pub mod postgres;

mod at_once;
mod fetch;
mod guards;
mod list;
mod measures;
mod near;
mod requests;
mod row;
mod save;
mod start_codes;

use std::sync::Arc;

use hexcab_pg::{PgError, PgFailure};
use hexcab_types::{CityId, DriverId, RequestId, RiderId, Timestamp, TripId};

use crate::domain::{Event, Refusal, Trip};

pub use postgres::Trips;

/// Under which id something is asked, and what exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestKey {
    /// The caller's id.
    pub id: RequestId,
    /// SHA-256 of method and body.
    pub body_hash: [u8; 32],
}

/// An event as the world reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Its type, `hexcab.trip.v1.…`.
    pub kind: String,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// What a command is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Done now: the trip after it.
    Done(Arc<Trip>),
    /// Done before under the same key: the event that told it, as [`Encode`] wrote it then.
    Before(Vec<u8>),
}

/// How an event of a trip is written, given the trip after it.
pub type Encode = fn(&Trip, &Event) -> Encoded;

/// Why a command has no new trip as its answer.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// It was decided against.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no such trip.
    #[error("there is no such trip")]
    NoSuchTrip,
    /// The same id came with another body before.
    #[error("this request_id was used for another request")]
    RequestIdReused,
    /// The same id is being worked on.
    #[error("a request with this request_id is in flight")]
    RequestInFlight,
    /// The trip changed in between although nothing else can have changed it.
    #[error("the trip changed in between")]
    VersionConflict,
    /// A row or answer that cannot be read: our bug.
    #[error("cannot read {0}")]
    Unreadable(String),
    /// Postgres.
    #[error(transparent)]
    Pg(#[from] PgError),
}

impl From<sqlx::Error> for ExecuteError {
    fn from(error: sqlx::Error) -> Self {
        Self::Pg(PgError::from(error))
    }
}

impl PgFailure for ExecuteError {
    fn pg(&self) -> Option<&PgError> {
        match self {
            Self::Pg(error) => Some(error),
            Self::Refused(_)
            | Self::NoSuchTrip
            | Self::RequestIdReused
            | Self::RequestInFlight
            | Self::VersionConflict
            | Self::Unreadable(_) => None,
        }
    }
}

/// What became of a consumed event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consumed {
    /// The command was carried out.
    Done(Arc<Trip>),
    /// The state forbade it: nothing to do.
    Refused(Refusal),
    /// It was consumed before.
    Before,
    /// There was nothing to do for it.
    Noted,
}

/// A trip whose deadline passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub trip: TripId,
    /// The context of its ride's trace.
    pub traceparent: Option<String>,
}

/// Which trips are listed. Newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this city.
    pub city: Option<CityId>,
    /// Of this rider.
    pub rider: Option<RiderId>,
    /// Driven by this driver, or offered to him now.
    pub driver: Option<DriverId>,
    /// In one of these states; any when empty.
    pub states: Vec<&'static str>,
    /// After this one, the last of the page before.
    pub after: Option<PageToken>,
    /// This many at most.
    pub limit: u32,
}

/// The place of a trip in a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageToken {
    /// When it was requested.
    pub created_at: Timestamp,
    /// Which it is.
    pub trip: TripId,
}
