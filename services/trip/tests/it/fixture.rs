//! A city, its people and their trips, for tests.

use std::time::Duration;

use chrono::TimeDelta;
use hexcab_chassis::{Clock, ManualClock};
use hexcab_pg::Pg;
use hexcab_testkit::TestDb;
use hexcab_trip::{
    app,
    domain::{
        Command, Event, NewTrip, OfferRef, OfferTo, PaymentMethod, Refusal, Rules, StartCode, Trip,
        decide, request,
    },
    events,
    store::{ExecuteError, RequestKey, Trips},
};
use hexcab_types::{
    BasisPoints, CityId, Currency, DriverId, Money, OperatorId, Point, ProductId, QuoteClaims,
    QuoteId, RequestId, RiderId, Timestamp, TripId,
};
use uuid::Uuid;

use crate::keeper::Keeper;

/// A Friday evening.
pub fn start() -> Timestamp {
    "2026-06-05T18:00:00Z".parse().unwrap()
}

pub fn rules() -> Rules {
    Rules {
        offer_ttl: TimeDelta::seconds(15),
        request_ttl: TimeDelta::seconds(480),
        pickup_geofence_m: 150.0,
        free_cancellation: TimeDelta::seconds(120),
        schedule_lead: TimeDelta::seconds(900),
        schedule_ahead: TimeDelta::days(7),
        stall_min: TimeDelta::seconds(900),
        no_show_after: TimeDelta::seconds(300),
        waiting_free: TimeDelta::seconds(120),
        waiting_per_minute_minor: 45,
        driver_share: BasisPoints(7_500),
        cash: true,
    }
}

pub fn driver(n: u128) -> DriverId {
    Uuid::from_u128(0xd000 + n).into()
}

pub fn rider(n: u128) -> RiderId {
    Uuid::from_u128(0xa000 + n).into()
}

pub fn operator() -> OperatorId {
    Uuid::from_u128(0xf000).into()
}

pub fn pickup() -> Point {
    Point::from_degrees(37.7749, -122.4194).unwrap()
}

pub fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::Usd)
}

pub fn code() -> StartCode {
    StartCode::of(4711)
}

/// A quote for the rider, good for two minutes from [`start`].
pub fn quote(rider: RiderId) -> QuoteClaims {
    QuoteClaims {
        quote: QuoteId::from(Uuid::new_v4()),
        rider,
        city: CityId::new("sf").unwrap(),
        product: ProductId::new("standard").unwrap(),
        pickup: pickup(),
        dropoff: Point::from_degrees(37.7955, -122.3937).unwrap(),
        price: usd(1840),
        driver_pay: usd(1120),
        tax: usd(58),
        cancellation_fee: usd(500),
        duration_s: 720,
        distance_m: 4100,
        expires_at: start() + TimeDelta::seconds(120),
        traceparent: None,
    }
}

pub fn new_trip(rider: RiderId) -> NewTrip {
    NewTrip {
        id: TripId::from(Uuid::new_v4()),
        rider,
        quote: quote(rider),
        pickup_time: None,
        payment_method: PaymentMethod::Card,
        start_code: code(),
        traceparent: None,
    }
}

/// The same, for being picked up so many seconds after [`start`].
pub fn booking(rider: RiderId, seconds: i64) -> NewTrip {
    NewTrip {
        pickup_time: Some(start() + TimeDelta::seconds(seconds)),
        ..new_trip(rider)
    }
}

pub fn offer_to(driver: DriverId) -> Command {
    Command::Offer(OfferTo {
        driver,
        version: None,
        decision: None,
        pickup_eta_s: 240,
        pickup_distance_m: 900,
    })
}

pub fn accept(driver: DriverId, epoch: i32) -> Command {
    Command::Accept(OfferRef { driver, epoch })
}

pub fn decline(driver: DriverId, epoch: i32) -> Command {
    Command::Decline(OfferRef { driver, epoch })
}

pub fn arrive(driver: DriverId) -> Command {
    Command::Arrive {
        driver,
        position: pickup(),
    }
}

pub fn begin(driver: DriverId) -> Command {
    Command::Start {
        driver,
        code: code(),
    }
}

pub fn cancel(rider: RiderId) -> Command {
    use hexcab_trip::domain::{Canceller, RiderReason};
    Command::Cancel(Canceller::Rider {
        rider,
        reason: RiderReason::ChangedMind,
    })
}

pub fn no_show(driver: DriverId) -> Command {
    Command::NoShow { driver }
}

pub fn stall(epoch: i32) -> Command {
    Command::Stall { epoch }
}

pub fn reassign() -> Command {
    Command::Reassign {
        operator: operator(),
        note: "his car broke down".to_owned(),
    }
}

pub fn force() -> Command {
    Command::ForceEnd {
        operator: operator(),
        note: "lost property desk".to_owned(),
    }
}

/// A trip of rider 1 with driver 1, brought to a state by commands at [`start`].
pub fn trip_in(state: &str) -> Trip {
    let (requested, _) = request(new_trip(rider(1)), &rules(), start()).unwrap();
    let (booked, _) = request(booking(rider(1), 3600), &rules(), start()).unwrap();
    let to_ride = [
        offer_to(driver(1)),
        accept(driver(1), 1),
        arrive(driver(1)),
        begin(driver(1)),
    ];
    let by = |commands: &[Command]| {
        commands.iter().fold(requested.clone(), |trip, command| {
            must(trip, command, start())
        })
    };
    match state {
        "SCHEDULED" => booked,
        "REQUESTED" => requested,
        "OFFERED" => by(&to_ride[..1]),
        "EN_ROUTE" => by(&to_ride[..2]),
        "ARRIVED" => by(&to_ride[..3]),
        "IN_PROGRESS" => by(&to_ride),
        "COMPLETED" => must(
            by(&to_ride),
            &Command::Complete { driver: driver(1) },
            start(),
        ),
        "CANCELLED" => by(&[cancel(rider(1))]),
        "EXPIRED" => must(
            requested,
            &Command::ExpireRequest,
            start() + TimeDelta::seconds(481),
        ),
        other => panic!("no state {other}"),
    }
}

pub fn must(trip: Trip, command: &Command, now: Timestamp) -> Trip {
    let event = decide(&trip, command, &rules(), now).unwrap();
    trip.apply(&event, now)
}

pub fn kind(decided: &Result<Event, Refusal>) -> &'static str {
    match decided {
        Ok(event) => event.kind(),
        Err(refusal) => refusal.reason(),
    }
}

/// A key of its own for every call.
pub fn key() -> RequestKey {
    RequestKey {
        id: RequestId::from(Uuid::new_v4()),
        body_hash: [7; 32],
    }
}

/// A store on a database of its own, and the hand on its clock.
pub struct Store {
    pub db: TestDb,
    pub pg: Pg,
    pub trips: Keeper,
    pub hand: ManualClock,
}

impl Store {
    pub async fn new() -> Self {
        hexcab_testkit::telemetry();
        let db = TestDb::create("trip").await;
        let pg = db.connect().await;
        app::migrate(&pg).await.unwrap();
        let (clock, hand) = Clock::manual(start());
        let trips = Self::keeper(&pg, clock);
        Self {
            db,
            pg,
            trips,
            hand,
        }
    }

    /// A keeper of the same database by another clock.
    pub fn keeper(pg: &Pg, clock: Clock) -> Keeper {
        Keeper(Trips::new(
            pg.clone(),
            clock,
            app::rules(&["sf".to_owned()]).unwrap(),
            events::encode,
        ))
    }

    pub fn advance(&self, seconds: u64) {
        self.hand.advance(Duration::from_secs(seconds));
    }

    pub async fn request(&self, n: u128) -> Trip {
        self.trips.create(key(), new_trip(rider(n))).await.unwrap()
    }

    pub async fn execute(&self, trip: TripId, command: Command) -> Result<Trip, ExecuteError> {
        self.trips.execute(key(), trip, command).await
    }

    /// Does all of these.
    pub async fn must(&self, trip: TripId, commands: impl IntoIterator<Item = Command>) -> Trip {
        let mut last = self.trips.get(trip).await.unwrap();
        for command in commands {
            last = self.execute(trip, command).await.unwrap();
        }
        last
    }

    /// A trip of rider n, booked for being picked up so many seconds after [`start`].
    pub async fn book(&self, n: u128, seconds: i64) -> Trip {
        let new = booking(rider(n), seconds);
        self.trips.create(key(), new).await.unwrap()
    }

    /// A trip of rider n that driver n is being asked for.
    pub async fn offered(&self, n: u128) -> Trip {
        let trip = self.request(n).await;
        self.execute(trip.id, offer_to(driver(n))).await.unwrap()
    }
}

/// The reason of a refusal, or what else it was.
pub fn reason(result: &Result<Trip, ExecuteError>) -> String {
    match result {
        Ok(trip) => trip.state.name().to_owned(),
        Err(ExecuteError::Refused(refusal)) => refusal.reason().to_owned(),
        Err(other) => format!("{other:?}"),
    }
}
