//! A trip and its states. Data lives in the state that has it.
//!
//! Invariants: `version` counts the events applied; [`Trip::apply`] never refuses, whatever the state was: every event
//! carries what its state needs. Does not: decide whether something may happen (see `decide`).

use hexcab_types::{
    CityId, DecisionId, DriverId, Money, OperatorId, Point, ProductId, QuoteId, RiderId, Timestamp, TripId,
};
use serde::{Deserialize, Serialize};

use super::event::Event;

/// One trip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trip {
    /// Which trip.
    pub id: TripId,
    /// What was ordered; never changes.
    pub order: Order,
    /// Where it is in its life.
    pub state: State,
    /// Number of the last event, 1 for the request.
    pub version: i64,
    /// Number of the last offer, 0 before the first.
    pub epoch: i32,
    /// Drivers who are not asked again, oldest first (I8).
    pub excluded: Vec<Exclusion>,
    /// Last instant of the search for a driver, city clock.
    pub request_expires_at: Timestamp,
    /// When it was requested, city clock.
    pub created_at: Timestamp,
    /// When the last event happened, city clock.
    pub updated_at: Timestamp,
}

/// What the rider ordered, as the quote said it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Who rides.
    pub rider: RiderId,
    /// Where.
    pub city: CityId,
    /// Which kind of ride.
    pub product: ProductId,
    /// From here.
    pub pickup: Point,
    /// To here.
    pub dropoff: Point,
    /// The quote that this trip used up.
    pub quote: QuoteId,
    /// What the rider pays for the ride, tax included.
    pub fare: Money,
    /// The driver's share of it.
    pub driver_pay: Money,
    /// The tax inside it.
    pub tax: Money,
    /// What a late cancellation costs the rider.
    pub cancellation_fee: Money,
    /// Road estimate of the ride, seconds.
    pub duration_s: i32,
    /// Road estimate of the ride, metres.
    pub distance_m: i32,
    /// What the rider tells the driver at the pickup.
    pub start_code: StartCode,
    /// W3C context of the ride's trace.
    pub traceparent: Option<String>,
}

/// Four digits, for the rider's eyes and the driver's ears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StartCode(String);

impl StartCode {
    /// The code of a number, its last four digits.
    pub fn of(number: u16) -> Self {
        Self(format!("{:04}", number % 10_000))
    }

    /// Reads a code, or none when it is not four digits.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit())).then(|| Self(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a trip is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// A driver is looked for.
    Requested,
    /// One driver is asked.
    Offered(Offer),
    /// The driver accepted and is on the way.
    EnRoute(Acceptance),
    /// The driver waits at the pickup.
    Arrived(Arrival),
    /// The rider is in the car.
    InProgress(Ride),
    /// Terminal: the rider is there.
    Completed {
        /// The ride as it was.
        ride: Ride,
        /// When it ended.
        at: Timestamp,
    },
    /// Terminal: called off.
    Cancelled {
        /// By whom, why and at what price.
        cancellation: Cancellation,
        /// How far it had come.
        progress: Progress,
        /// When it ended.
        at: Timestamp,
    },
    /// Terminal: no driver was found in time.
    Expired {
        /// When the search was given up.
        at: Timestamp,
    },
}

/// The open offer of a trip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Who is asked.
    pub driver: DriverId,
    /// Number of this offer on its trip, from 1.
    pub epoch: i32,
    /// The deadline told to the driver, city clock.
    pub expires_at: Timestamp,
    /// The decision of dispatch that made it.
    pub decision: Option<DecisionId>,
    /// Road ETA to the pickup, seconds.
    pub pickup_eta_s: i32,
    /// Great-circle distance to the pickup, metres.
    pub pickup_distance_m: i32,
}

/// A driver said yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// Who drives.
    pub driver: DriverId,
    /// Number of the offer that was accepted.
    pub epoch: i32,
    /// When.
    pub at: Timestamp,
}

/// The driver is at the pickup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// Who arrived.
    pub acceptance: Acceptance,
    /// When.
    pub at: Timestamp,
}

/// The rider is in the car.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ride {
    /// Who picked up.
    pub arrival: Arrival,
    /// When.
    pub at: Timestamp,
}

/// How far a trip has come with its driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// Nobody accepted yet.
    Searching,
    /// A driver is on the way.
    Accepted(Acceptance),
    /// A driver is at the pickup.
    Arrived(Arrival),
    /// The rider is in the car, or was.
    Started(Ride),
}

/// How a trip was called off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancellation {
    /// By whom and why.
    pub by: CancelledBy,
    /// What the rider owes for it, may be zero.
    pub fee: Money,
}

/// Who called a trip off, each with the reasons that he may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CancelledBy {
    /// The rider no longer wants the ride.
    RiderChangedMind,
    /// The rider would not wait longer.
    RiderWaitedTooLong,
    /// The processor refused the hold.
    PaymentDeclined,
    /// An operator ended it.
    Operator {
        /// Who.
        operator: OperatorId,
        /// Why, for the record.
        note: String,
    },
}

/// A driver who is not asked again for this trip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exclusion {
    /// Who.
    pub driver: DriverId,
    /// Number of the offer that ended so.
    pub epoch: i32,
    /// Why.
    pub reason: ExclusionReason,
}

/// How an offer ended without a ride.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExclusionReason {
    /// The driver refused.
    Declined,
    /// The deadline passed.
    TimedOut,
    /// The driver accepted and gave the trip back.
    Released,
}

impl Trip {
    /// A trip to which nothing happened yet: version 0, not to be stored before its [`Event::Requested`].
    pub fn new(id: TripId, order: Order, at: Timestamp) -> Self {
        Self {
            id,
            order,
            state: State::Requested,
            version: 0,
            epoch: 0,
            excluded: Vec::new(),
            request_expires_at: at,
            created_at: at,
            updated_at: at,
        }
    }

    /// The trip after this event. Never refuses.
    #[must_use]
    pub fn apply(mut self, event: &Event, at: Timestamp) -> Self {
        self.version += 1;
        self.updated_at = at;
        self.state = match event {
            Event::Requested { request_expires_at } => {
                self.request_expires_at = *request_expires_at;
                State::Requested
            }
            Event::OfferMade(offer) => {
                self.epoch = offer.epoch;
                State::Offered(offer.clone())
            }
            Event::OfferAccepted { driver, epoch } => {
                State::EnRoute(Acceptance { driver: *driver, epoch: *epoch, at })
            }
            Event::OfferDeclined { driver, epoch } => self.search_on(*driver, *epoch, ExclusionReason::Declined),
            Event::OfferExpired { driver, epoch } => self.search_on(*driver, *epoch, ExclusionReason::TimedOut),
            Event::Released { driver, epoch, request_expires_at } => {
                self.request_expires_at = *request_expires_at;
                self.search_on(*driver, *epoch, ExclusionReason::Released)
            }
            Event::Arrived { acceptance } => State::Arrived(Arrival { acceptance: acceptance.clone(), at }),
            Event::Started { arrival } => State::InProgress(Ride { arrival: arrival.clone(), at }),
            Event::Completed { ride } => State::Completed { ride: ride.clone(), at },
            Event::Cancelled { cancellation, progress, asked: _ } => {
                State::Cancelled { cancellation: cancellation.clone(), progress: progress.clone(), at }
            }
            Event::Expired => State::Expired { at },
        };
        self
    }

    /// The driver who accepted, if one has.
    pub fn driver(&self) -> Option<DriverId> {
        self.state.progress().acceptance().map(|acceptance| acceptance.driver)
    }

    /// Whether this driver may not be asked again (I8).
    pub fn excludes(&self, driver: DriverId) -> bool {
        self.excluded.iter().any(|exclusion| exclusion.driver == driver)
    }

    /// What the rider owes in the end: none while the trip is alive.
    pub fn charge(&self) -> Option<Money> {
        match &self.state {
            State::Requested | State::Offered(_) | State::EnRoute(_) | State::Arrived(_) | State::InProgress(_) => None,
            State::Completed { .. } => Some(self.order.fare),
            State::Cancelled { cancellation, .. } => Some(cancellation.fee),
            State::Expired { .. } => Some(Money::zero(self.order.fare.currency)),
        }
    }

    fn search_on(&mut self, driver: DriverId, epoch: i32, reason: ExclusionReason) -> State {
        self.excluded.push(Exclusion { driver, epoch, reason });
        State::Requested
    }
}

impl State {
    /// How far the trip has come with its driver.
    pub fn progress(&self) -> Progress {
        match self {
            Self::Requested | Self::Offered(_) | Self::Expired { .. } => Progress::Searching,
            Self::EnRoute(acceptance) => Progress::Accepted(acceptance.clone()),
            Self::Arrived(arrival) => Progress::Arrived(arrival.clone()),
            Self::InProgress(ride) | Self::Completed { ride, .. } => Progress::Started(ride.clone()),
            Self::Cancelled { progress, .. } => progress.clone(),
        }
    }

    /// When the trip ended, or none while it is alive.
    pub fn ended_at(&self) -> Option<Timestamp> {
        match self {
            Self::Requested | Self::Offered(_) | Self::EnRoute(_) | Self::Arrived(_) | Self::InProgress(_) => None,
            Self::Completed { at, .. } | Self::Cancelled { at, .. } | Self::Expired { at } => Some(*at),
        }
    }

    /// The state's name, as columns, spans and people write it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Requested => "REQUESTED",
            Self::Offered(_) => "OFFERED",
            Self::EnRoute(_) => "EN_ROUTE",
            Self::Arrived(_) => "ARRIVED",
            Self::InProgress(_) => "IN_PROGRESS",
            Self::Completed { .. } => "COMPLETED",
            Self::Cancelled { .. } => "CANCELLED",
            Self::Expired { .. } => "EXPIRED",
        }
    }
}

impl Progress {
    /// The acceptance that it rests on.
    pub const fn acceptance(&self) -> Option<&Acceptance> {
        match self {
            Self::Searching => None,
            Self::Accepted(acceptance) => Some(acceptance),
            Self::Arrived(arrival) => Some(&arrival.acceptance),
            Self::Started(ride) => Some(&ride.arrival.acceptance),
        }
    }

    /// When the driver was at the pickup.
    pub const fn arrived_at(&self) -> Option<Timestamp> {
        match self {
            Self::Searching | Self::Accepted(_) => None,
            Self::Arrived(arrival) => Some(arrival.at),
            Self::Started(ride) => Some(ride.arrival.at),
        }
    }

    /// When the rider got in.
    pub const fn started_at(&self) -> Option<Timestamp> {
        match self {
            Self::Searching | Self::Accepted(_) | Self::Arrived(_) => None,
            Self::Started(ride) => Some(ride.at),
        }
    }
}
