//! A trip, what was ordered, and how an event changes it. (Its states are in `state`.)
//!
//! Invariants: `version` counts the events applied; [`Trip::apply`] never refuses, whatever the state was: every event
//! carries what its state needs. Does not: decide whether something may happen (see `decide`).

use hexcab_types::{
    CityId, DriverId, Money, Point, ProductId, QuoteId, RiderId, Timestamp, TripId,
};
use serde::{Deserialize, Serialize};

use super::{Acceptance, Arrival, Event, Exclusion, ExclusionReason, Ride, State};

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
    /// Wrong start codes tried so far. No event counts them: the store knows, and says so for a start only.
    #[serde(skip)]
    pub wrong_codes: i32,
    /// Drivers who are not asked again, oldest first (I8).
    pub excluded: Vec<Exclusion>,
    /// Last instant of the search for a driver, city clock; of one that has not begun, as it is planned.
    pub request_expires_at: Timestamp,
    /// When it was requested or booked, city clock.
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
    /// When the rider wants to be picked up, if not at once.
    pub pickup_time: Option<Timestamp>,
    /// Of a ride booked ahead: when the search for a driver begins.
    pub activates_at: Option<Timestamp>,
    /// How the rider pays.
    pub payment_method: PaymentMethod,
    /// W3C context of the ride's trace.
    pub traceparent: Option<String>,
}

/// How the rider pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PaymentMethod {
    /// By card: held at the processor, then captured.
    Card,
    /// In cash, to the driver.
    Cash,
}

impl Order {
    /// The later of an instant and the pickup time: before that no driver is late and no rider keeps anybody waiting.
    pub fn not_before_pickup_time(&self, at: Timestamp) -> Timestamp {
        self.pickup_time.map_or(at, |wanted| wanted.max(at))
    }
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

impl Trip {
    /// A trip to which nothing happened yet: version 0, not to be stored before its [`Event::Requested`] or
    /// [`Event::Scheduled`].
    pub fn new(id: TripId, order: Order, at: Timestamp) -> Self {
        Self {
            id,
            order,
            state: State::Requested,
            version: 0,
            epoch: 0,
            wrong_codes: 0,
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
        self.wrong_codes = 0;
        self.state = match event {
            Event::Requested { request_expires_at } | Event::Activated { request_expires_at } => {
                self.request_expires_at = *request_expires_at;
                State::Requested
            }
            Event::Scheduled { request_expires_at } => {
                self.request_expires_at = *request_expires_at;
                State::Scheduled
            }
            Event::OfferMade(offer) => {
                self.epoch = offer.epoch;
                State::Offered(offer.clone())
            }
            Event::OfferAccepted {
                driver,
                epoch,
                stalls_at,
            } => State::EnRoute(Acceptance {
                driver: *driver,
                epoch: *epoch,
                at,
                stalls_at: *stalls_at,
            }),
            Event::OfferDeclined { driver, epoch } => {
                self.search_on(*driver, *epoch, ExclusionReason::Declined)
            }
            Event::OfferExpired { driver, epoch } => {
                self.search_on(*driver, *epoch, ExclusionReason::TimedOut)
            }
            Event::Released {
                driver,
                epoch,
                by,
                request_expires_at,
            } => {
                self.request_expires_at = *request_expires_at;
                self.search_on(*driver, *epoch, by.exclusion())
            }
            Event::Arrived {
                acceptance,
                no_show_from,
            } => State::Arrived(Arrival {
                acceptance: acceptance.clone(),
                at,
                no_show_from: *no_show_from,
            }),
            Event::Started {
                arrival,
                waiting_fee,
            } => State::InProgress(Ride {
                arrival: arrival.clone(),
                at,
                waiting_fee: *waiting_fee,
            }),
            Event::Completed {
                ride,
                charge,
                driver_due,
            } => State::Completed {
                ride: ride.clone(),
                charge: *charge,
                driver_due: *driver_due,
                at,
            },
            Event::Cancelled {
                cancellation,
                progress,
                asked: _,
            } => State::Cancelled {
                cancellation: cancellation.clone(),
                progress: progress.clone(),
                at,
            },
            Event::Expired => State::Expired { at },
        };
        self
    }

    /// The driver who accepted, if one has.
    pub fn driver(&self) -> Option<DriverId> {
        self.state
            .progress()
            .acceptance()
            .map(|acceptance| acceptance.driver)
    }

    /// Whether this driver may not be asked again (I8).
    pub fn excludes(&self, driver: DriverId) -> bool {
        self.excluded
            .iter()
            .any(|exclusion| exclusion.driver == driver)
    }

    /// What the rider owes in the end: none while the trip is alive.
    pub fn charge(&self) -> Option<Money> {
        match &self.state {
            State::Scheduled
            | State::Requested
            | State::Offered(_)
            | State::EnRoute(_)
            | State::Arrived(_)
            | State::InProgress(_) => None,
            State::Completed { charge, .. } => Some(*charge),
            State::Cancelled { cancellation, .. } => Some(cancellation.fee),
            State::Expired { .. } => Some(self.nothing()),
        }
    }

    /// What the driver is owed of it: none while the trip is alive.
    pub fn driver_due(&self) -> Option<Money> {
        match &self.state {
            State::Scheduled
            | State::Requested
            | State::Offered(_)
            | State::EnRoute(_)
            | State::Arrived(_)
            | State::InProgress(_) => None,
            State::Completed { driver_due, .. } => Some(*driver_due),
            State::Cancelled { cancellation, .. } => Some(cancellation.driver_due),
            State::Expired { .. } => Some(self.nothing()),
        }
    }

    /// No money, in the currency of the order.
    pub fn nothing(&self) -> Money {
        Money::zero(self.order.fare.currency)
    }

    fn search_on(&mut self, driver: DriverId, epoch: i32, reason: ExclusionReason) -> State {
        self.excluded.push(Exclusion {
            driver,
            epoch,
            reason,
        });
        State::Requested
    }
}
