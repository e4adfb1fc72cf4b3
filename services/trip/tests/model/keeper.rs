//! The row of a trip, which all share: commands are decided and kept one at a time, as the service does it, or with one
//! of the mistakes it could make.
//!
//! Invariant: without a mistake nothing is decided here; a mistake changes what `decide` is asked, never `decide`.

use std::sync::Arc;

use chrono::TimeDelta;
use hexcab_trip::domain::{
    ACCEPTANCE_GRACE, Command, Event, Exclusion, NewTrip, OfferRef, PaymentMethod, Refusal, Rules,
    StartCode, State, Trip, decide, request,
};
use hexcab_types::{
    BasisPoints, CityId, Currency, DriverId, Money, Point, ProductId, QuoteClaims, QuoteId,
    RiderId, Timestamp, TripId,
};
use uuid::Uuid;

/// Which guard of the protocol is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// None is.
    None,
    /// An acceptance counts for the open offer, whoever it is of and whichever it was for.
    AcceptsWhateverIsOpen,
    /// An acceptance counts for the open offer of its driver, whichever it was for.
    AcceptsWithoutEpoch,
    /// Who was asked in vain is asked again.
    AsksAgain,
    /// Both.
    AsksAgainAndAcceptsWithoutEpoch,
    /// The sweeper's word that an offer is over is taken for the one that is open.
    ExpiresWhateverIsOpen,
    /// The sweeper's word that a driver stalled is taken for the one who drives.
    StallsWhoeverDrives,
    /// The sweeper reads, decides, and writes later over whatever is there.
    SweepsWithoutVersion,
    /// The sweeper is away for ever.
    NeverSweeps,
    /// The unique index of engaged drivers is missing.
    NoIndex,
}

/// The times of the model: an offer lasts a tick, a search two, the way to the pickup one.
pub fn rules() -> Rules {
    Rules {
        offer_ttl: tick(1) - ACCEPTANCE_GRACE,
        request_ttl: tick(2),
        stall_min: tick(1),
        pickup_geofence_m: 150.0,
        free_cancellation: TimeDelta::zero(),
        schedule_lead: TimeDelta::zero(),
        schedule_ahead: TimeDelta::zero(),
        no_show_after: TimeDelta::zero(),
        waiting_free: TimeDelta::zero(),
        waiting_per_minute_minor: 0,
        driver_share: BasisPoints(0),
        cash: false,
    }
}

/// Seconds of a tick.
const TICK_S: i64 = 10;

fn tick(n: i64) -> TimeDelta {
    TimeDelta::seconds(TICK_S * n)
}

/// The instant of a tick.
pub fn at(now: u8) -> Timestamp {
    Timestamp::UNIX_EPOCH + tick(now.into())
}

/// Decides as the service does, or with a mistake.
pub fn decided(mistake: Mistake, row: &Trip, command: &Command, now: u8) -> Result<Event, Refusal> {
    let as_it_is = || decide(row, command, &rules(), at(now));
    let accepts_any_epoch = matches!(
        mistake,
        Mistake::AcceptsWithoutEpoch | Mistake::AsksAgainAndAcceptsWithoutEpoch
    );
    let asks_again = matches!(
        mistake,
        Mistake::AsksAgain | Mistake::AsksAgainAndAcceptsWithoutEpoch
    );
    let overdue = row.updated_at + tick(100);
    match (&row.state, command) {
        (State::Offered(open), Command::Accept(_)) if mistake == Mistake::AcceptsWhateverIsOpen => {
            decide(row, &accept(open.driver, open.epoch), &rules(), at(now))
        }
        (State::Offered(open), Command::Accept(answer)) if accepts_any_epoch => {
            decide(row, &accept(answer.driver, open.epoch), &rules(), at(now))
        }
        (State::Requested, Command::Offer(_)) if asks_again => {
            let forgetful = Trip {
                excluded: Vec::new(),
                ..row.clone()
            };
            decide(&forgetful, command, &rules(), at(now))
        }
        (State::Offered(open), Command::ExpireOffer { .. })
            if mistake == Mistake::ExpiresWhateverIsOpen =>
        {
            let order = Command::ExpireOffer { epoch: open.epoch };
            decide(row, &order, &rules(), overdue)
        }
        (State::EnRoute(by), Command::Stall { .. }) if mistake == Mistake::StallsWhoeverDrives => {
            let order = Command::Stall { epoch: by.epoch };
            decide(row, &order, &rules(), overdue)
        }
        _ => as_it_is(),
    }
}

const fn accept(driver: DriverId, epoch: i32) -> Command {
    Command::Accept(OfferRef { driver, epoch })
}

/// A row of the table.
#[derive(Debug, Clone)]
pub struct Row(pub Arc<Trip>);

/// What can make a difference of a row: whatever `decide` reads, instants as the time that is left until then (when
/// something was is not asked; nor is what lies behind by how much).
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Digest {
    trip: TripId,
    version: i64,
    state: &'static str,
    epoch: i32,
    excluded: Vec<(DriverId, i32, u8)>,
    search: Left,
    offer: Option<(DriverId, i32, Left)>,
    driver: Option<(DriverId, i32, Left)>,
}

/// Ticks until an instant.
type Left = i64;

const PASSED: Left = -1;

impl Row {
    /// The row of a new trip, and its first event.
    pub fn requested(trip: usize) -> (Self, Event) {
        let (trip, event) = request(new_trip(trip as u128), &rules(), at(0)).unwrap();
        (Self(Arc::new(trip)), event)
    }

    /// The row after an event.
    pub fn after(&self, event: &Event, now: u8) -> Self {
        Self(Arc::new(Trip::clone(&self.0).apply(event, at(now))))
    }

    pub fn is_over(&self) -> bool {
        self.0.state.ended_at().is_some()
    }

    /// The driver who is asked or has accepted, while the trip is alive: `trips.engaged_driver`.
    pub fn engaged(&self) -> Option<DriverId> {
        match &self.0.state {
            State::Offered(open) => Some(open.driver),
            State::EnRoute(_) | State::Arrived(_) | State::InProgress(_) => self.0.driver(),
            State::Scheduled
            | State::Requested
            | State::Completed { .. }
            | State::Cancelled { .. }
            | State::Expired { .. } => None,
        }
    }

    pub fn digest(&self, now: u8) -> Digest {
        let trip = &self.0;
        let digest = Digest {
            trip: trip.id,
            version: trip.version,
            state: trip.state.name(),
            epoch: 0,
            excluded: Vec::new(),
            search: PASSED,
            offer: None,
            driver: None,
        };
        if self.is_over() {
            return digest;
        }
        let excluded = |it: &Exclusion| (it.driver, it.epoch, it.reason as u8);
        let left = |last: Timestamp| {
            let left_s = (last - at(now)).num_seconds();
            left_s.div_euclid(TICK_S).max(PASSED)
        };
        let (mut offer, mut stalls) = (None, PASSED);
        if let State::Offered(open) = &trip.state {
            offer = Some((open.driver, open.epoch, left(open.expires_at)));
        }
        if let State::EnRoute(by) = &trip.state {
            stalls = left(by.stalls_at);
        }
        let progress = trip.state.progress();
        Digest {
            epoch: trip.epoch,
            excluded: trip.excluded.iter().map(excluded).collect(),
            search: left(trip.request_expires_at),
            offer,
            driver: progress
                .acceptance()
                .map(|by| (by.driver, by.epoch, stalls)),
            ..digest
        }
    }
}

fn new_trip(number: u128) -> NewTrip {
    let rider = RiderId::from(Uuid::from_u128(0xa000 + number));
    let nothing = Money::zero(Currency::Usd);
    let here = Point::from_degrees(37.77, -122.42).unwrap();
    NewTrip {
        id: TripId::from(Uuid::from_u128(0x7000 + number)),
        rider,
        quote: QuoteClaims {
            quote: QuoteId::from(Uuid::from_u128(0x9000 + number)),
            rider,
            city: CityId::new("sf").unwrap(),
            product: ProductId::new("standard").unwrap(),
            pickup: here,
            dropoff: here,
            price: nothing,
            driver_pay: nothing,
            tax: nothing,
            cancellation_fee: nothing,
            duration_s: 0,
            distance_m: 0,
            expires_at: at(0),
            traceparent: None,
        },
        pickup_time: None,
        payment_method: PaymentMethod::Card,
        start_code: StartCode::of(0),
        traceparent: None,
    }
}
