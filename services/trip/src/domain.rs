//! The life of one trip, pure: no SQL, Kafka, protobuf, tokio, clock or chance; `now` and new ids are arguments.
//!
//! - [`trip`] the trip, and how an event changes it ([`Trip::apply`]); [`state`] its states with the data each has
//! - [`command`] what may be asked of a trip, [`event`] what happened to it
//! - [`decide`](mod@decide) which command does what in which state: the one table of states and commands
//! - [`deadline`](mod@deadline) until when a trip waits, and what is ordered then
//! - `search`, `schedule`, `offer`, `release`, `ride`, `waiting`, `cancellation` one rule each; [`refusal`] the catalogue
//!   of reasons

pub mod command;
pub mod deadline;
pub mod decide;
pub mod event;
pub mod refusal;
pub mod state;
pub mod trip;

mod cancellation;
mod offer;
mod release;
mod ride;
mod schedule;
mod search;
mod waiting;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use hexcab_types::{BasisPoints, CityId, Money, ProductId};

pub use command::{Canceller, Command, OfferRef, OfferTo, RiderReason};
pub use deadline::{Deadline, deadline};
pub use decide::decide;
pub use event::{Event, ReleasedBy};
pub use refusal::{Refusal, RefusalKind};
pub use search::{NewTrip, request};
pub use state::{
    Acceptance, Arrival, Cancellation, CancelledBy, Exclusion, ExclusionReason, Offer, Progress,
    Ride, State,
};
pub use trip::{Order, PaymentMethod, StartCode, Trip};

/// How long after its deadline an acceptance still counts, by the city's clock: a driver who pressed in time must not
/// lose to the network. Postgres knows the same second (`trips_acceptance_in_time`).
pub const ACCEPTANCE_GRACE: TimeDelta = TimeDelta::seconds(1);

/// The city's figures that the rules need.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// How long a driver may think about an offer.
    pub offer_ttl: TimeDelta,
    /// How long a driver is looked for before the rider is told that there is none.
    pub request_ttl: TimeDelta,
    /// How near the pickup a driver must be to have arrived, metres.
    pub pickup_geofence_m: f64,
    /// How long after the acceptance a rider may cancel for nothing.
    pub free_cancellation: TimeDelta,
    /// How long before its pickup time a booked ride begins to look for a driver.
    pub schedule_lead: TimeDelta,
    /// How far ahead a ride may be booked.
    pub schedule_ahead: TimeDelta,
    /// How long a driver has at least to reach the pickup.
    pub stall_min: TimeDelta,
    /// How long a driver waits before he may say that nobody came.
    pub no_show_after: TimeDelta,
    /// How long the driver waits for nothing.
    pub waiting_free: TimeDelta,
    /// What a minute of waiting costs after that, in the minor unit of the city's currency.
    pub waiting_per_minute_minor: i64,
    /// The driver's share of fees for waiting, late cancellation and not coming.
    pub driver_share: BasisPoints,
    /// Whether riders may pay in cash.
    pub cash: bool,
}

impl Rules {
    /// The driver's share of a fee, rounded half to even.
    fn share_of(&self, fee: Money) -> Result<Money, Refusal> {
        fee.times(self.driver_share)
            .map_err(|_| Refusal::AmountOutOfRange)
    }
}

/// The rules of every product of every city that is served.
#[derive(Debug, Clone, Default)]
pub struct RuleBook(BTreeMap<(CityId, ProductId), Rules>);

impl RuleBook {
    /// The rules of a product, or none when it is not served.
    pub fn of(&self, city: &CityId, product: &ProductId) -> Option<&Rules> {
        self.0.get(&(city.clone(), product.clone()))
    }
}

impl FromIterator<(CityId, ProductId, Rules)> for RuleBook {
    fn from_iter<I: IntoIterator<Item = (CityId, ProductId, Rules)>>(rules: I) -> Self {
        Self(
            rules
                .into_iter()
                .map(|(city, product, rules)| ((city, product), rules))
                .collect(),
        )
    }
}
