//! What operators see beside trips: events, decisions, how the city is.

use hexcab_proto::{
    dispatch::v1::{ConsideredDriver, DecisionMade, GetCityStatusResponse},
    trip::v1::{TripEvent, trip_event::Event},
};
use hexcab_types::Timestamp;
use serde::Serialize;

use super::{bare, instant, optional_bare, trip::state_name};

/// One event of a trip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventView {
    /// 1..n without gaps.
    pub version: i64,
    /// Such as OfferMade.
    pub kind: &'static str,
    /// City clock.
    pub occurred_at: Option<Timestamp>,
    /// The driver it is about.
    pub driver: Option<String>,
    /// The offer it is about.
    pub epoch: Option<i32>,
    /// State afterwards.
    pub state: Option<&'static str>,
}

impl From<&TripEvent> for EventView {
    fn from(event: &TripEvent) -> Self {
        let (kind, driver, epoch) = parts(event.event.as_ref());
        Self {
            version: event.version,
            kind,
            occurred_at: instant(event.occur_time),
            driver: driver.and_then(optional_bare),
            epoch,
            state: event.after.as_ref().map(|after| state_name(after.state())),
        }
    }
}

/// Name, driver and epoch of an event.
fn parts(event: Option<&Event>) -> (&'static str, Option<&str>, Option<i32>) {
    match event {
        None => ("Unknown", None, None),
        Some(Event::Requested(_)) => ("TripRequested", None, None),
        Some(Event::Scheduled(_)) => ("TripScheduled", None, None),
        Some(Event::Activated(_)) => ("TripActivated", None, None),
        Some(Event::OfferMade(e)) => ("OfferMade", Some(&e.driver), Some(e.epoch)),
        Some(Event::OfferAccepted(e)) => ("OfferAccepted", Some(&e.driver), Some(e.epoch)),
        Some(Event::OfferDeclined(e)) => ("OfferDeclined", Some(&e.driver), Some(e.epoch)),
        Some(Event::OfferExpired(e)) => ("OfferExpired", Some(&e.driver), Some(e.epoch)),
        Some(Event::DriverArrived(_)) => ("DriverArrived", None, None),
        Some(Event::Started(_)) => ("TripStarted", None, None),
        Some(Event::Completed(_)) => ("TripCompleted", None, None),
        Some(Event::Cancelled(e)) => ("TripCancelled", Some(&e.driver), None),
        Some(Event::Released(e)) => ("TripReleased", Some(&e.driver), None),
        Some(Event::Expired(_)) => ("TripExpired", None, None),
    }
}

/// The driver whom an event names, beside those the trip names afterwards.
pub fn named_driver(event: &TripEvent) -> Option<&str> {
    parts(event.event.as_ref()).1
}

/// Why a driver was chosen, or nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecisionView {
    /// UUID.
    pub id: String,
    /// The trip.
    pub trip: String,
    /// City.
    pub city: String,
    /// City clock.
    pub occurred_at: Option<Timestamp>,
    /// Which policy decided.
    pub policy: String,
    /// And which version of it.
    pub policy_version: i32,
    /// Number of the window.
    pub window: i64,
    /// Open requests in it.
    pub window_requests: i32,
    /// Who was chosen; null when nobody.
    pub driver: Option<String>,
    /// Cheapest first.
    pub considered: Vec<ConsideredView>,
}

/// A driver who was considered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConsideredView {
    /// UUID.
    pub driver: String,
    /// Road ETA, seconds.
    pub eta_s: i32,
    /// Great circle, metres.
    pub distance_m: i32,
    /// How old his position was, milliseconds.
    pub position_age_ms: i32,
    /// What the policy made of it, milliseconds of ETA.
    pub cost_ms: i64,
}

impl From<DecisionMade> for DecisionView {
    fn from(decision: DecisionMade) -> Self {
        Self {
            id: bare(&decision.decision),
            trip: bare(&decision.trip),
            city: decision.city,
            occurred_at: instant(decision.occur_time),
            policy: decision.policy,
            policy_version: decision.policy_version,
            window: decision.window,
            window_requests: decision.window_requests,
            driver: optional_bare(&decision.driver),
            considered: decision.considered.iter().map(Into::into).collect(),
        }
    }
}

impl From<&ConsideredDriver> for ConsideredView {
    fn from(driver: &ConsideredDriver) -> Self {
        Self {
            driver: bare(&driver.driver),
            eta_s: driver.eta_s,
            distance_m: driver.distance_m,
            position_age_ms: driver.position_age_ms,
            cost_ms: driver.cost_ms,
        }
    }
}

/// How the city is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusView {
    /// Each service behind the door.
    pub peers: Vec<PeerView>,
    /// Each city, as dispatch sees it.
    pub cities: Vec<CityView>,
    /// Connected here.
    pub rider_sessions: usize,
    /// Connected here.
    pub driver_sessions: usize,
    /// Pings that had to make room since the start.
    pub pings_dropped: u64,
}

/// Whether a service is serving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeerView {
    /// Its name.
    pub name: &'static str,
    /// Whether it says so.
    pub serving: bool,
    /// What it says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A city as dispatch sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CityView {
    /// Its id.
    pub city: String,
    /// Why it cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Trips that wait for a driver.
    pub open_requests: Vec<OpenRequestView>,
    /// Closed since dispatch took the city.
    pub windows: i64,
    /// How long the last one took, milliseconds.
    pub last_window_ms: Option<i64>,
    /// Which policy decides.
    pub policy: String,
    /// When dispatch last read the open set from trip.
    pub rebuilt_at: Option<Timestamp>,
}

/// A trip that waits for a driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenRequestView {
    /// UUID.
    pub trip: String,
    /// City clock.
    pub created_at: Option<Timestamp>,
    /// Drivers who will not be asked again.
    pub excluded_drivers: i32,
}

impl From<GetCityStatusResponse> for CityView {
    fn from(status: GetCityStatusResponse) -> Self {
        let open = status.open_requests.iter().map(|request| OpenRequestView {
            trip: bare(&request.trip),
            created_at: instant(request.create_time),
            excluded_drivers: request.excluded_drivers,
        });
        Self {
            open_requests: open.collect(),
            problem: None,
            windows: status.windows,
            last_window_ms: status
                .last_window
                .map(|took| took.seconds * 1000 + i64::from(took.nanos) / 1_000_000),
            policy: status.policy,
            rebuilt_at: instant(status.rebuild_time),
            city: status.city,
        }
    }
}

impl CityView {
    /// A city that dispatch cannot tell of.
    pub fn unknown(city: String, problem: String) -> Self {
        Self {
            city,
            problem: Some(problem),
            open_requests: Vec::new(),
            windows: 0,
            last_window_ms: None,
            policy: String::new(),
            rebuilt_at: None,
        }
    }
}
