//! The gateway's JSON, as far as riders and drivers need it. Further fields are left alone.

use chrono::{DateTime, Utc};
use hexcab_types::{Point, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A place in degrees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Latitude, degrees.
    pub lat: f64,
    /// Longitude, degrees.
    pub lon: f64,
}

impl From<Point> for Place {
    fn from(point: Point) -> Self {
        Self {
            lat: point.lat(),
            lon: point.lon(),
        }
    }
}

impl Place {
    /// The point, when it is on earth.
    pub fn point(self) -> Option<Point> {
        Point::from_degrees(self.lat, self.lon).ok()
    }
}

/// Where a trip is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Looking for a driver.
    Requested,
    /// A driver is asked.
    Offered,
    /// The driver is on the way.
    EnRoute,
    /// The driver waits at the pickup.
    Arrived,
    /// The rider is in the car.
    InProgress,
    /// Done.
    Completed,
    /// Ended before the start, or by an operator.
    Cancelled,
    /// No driver was found in time.
    Expired,
    /// A state this build does not know; nobody acts on it.
    #[serde(other)]
    Unknown,
}

impl State {
    /// Whether nothing comes after it.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Completed | Self::Cancelled | Self::Expired => true,
            Self::Requested
            | Self::Offered
            | Self::EnRoute
            | Self::Arrived
            | Self::InProgress
            | Self::Unknown => false,
        }
    }
}

/// A trip as the API shows it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TripView {
    /// Its id.
    pub id: Uuid,
    /// Where it is in its life.
    pub state: State,
    /// Number of its last event.
    #[serde(default)]
    pub version: i64,
    /// Number of its last offer, 0 before the first.
    #[serde(default)]
    pub epoch: i32,
    /// From.
    pub pickup: Place,
    /// To.
    pub dropoff: Place,
    /// What the rider tells the driver; only riders see it.
    #[serde(default)]
    pub start_code: Option<String>,
    /// How it was cancelled.
    #[serde(default)]
    pub cancellation: Option<Cancellation>,
    /// What it cost in the end.
    #[serde(default)]
    pub charge: Option<Amount>,
    /// When it was requested, city time.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    /// When the driver accepted, city time.
    #[serde(default)]
    pub accepted_at: Option<DateTime<Utc>>,
    /// When the driver was there, city time.
    #[serde(default)]
    pub arrived_at: Option<DateTime<Utc>>,
    /// From when the driver may say that nobody came, city time.
    #[serde(default)]
    pub no_show_at: Option<DateTime<Utc>>,
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// In the currency's minor unit.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
}

/// How a trip was cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Cancellation {
    /// By whom, such as `RIDER`.
    #[serde(default)]
    pub by: String,
    /// Why, such as `CHANGED_MIND`.
    #[serde(default)]
    pub reason: String,
}

/// A signed price.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Quote {
    /// What a trip is requested with.
    pub token: String,
    /// How long the ride takes, seconds.
    #[serde(default)]
    pub duration_s: f64,
}

/// A trip offered to a driver.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Offer {
    /// Which.
    pub trip: Uuid,
    /// Number of the offer on its trip.
    pub epoch: i32,
    /// When it runs out, city time.
    pub expires_at: Timestamp,
    /// From.
    pub pickup: Place,
    /// To.
    pub dropoff: Place,
    /// How long the ride takes, seconds.
    #[serde(default)]
    pub duration_s: f64,
}

/// What a driver is in the middle of.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Current {
    /// The open offer.
    #[serde(default)]
    pub offer: Option<Offer>,
    /// The active trip.
    #[serde(default)]
    pub trip: Option<TripView>,
}

/// What a WebSocket says, to a driver or a rider.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Down {
    /// A trip is offered.
    Offer(Box<Offer>),
    /// A trip as it now stands.
    Trip {
        /// The trip.
        trip: Box<TripView>,
        /// False when it is no longer this driver's; riders are told of their own only.
        #[serde(default = "yes")]
        yours: bool,
    },
    /// The answer to a command.
    Result {
        /// The command's.
        request_id: Uuid,
        /// Whether it was done.
        ok: bool,
        /// Why not.
        #[serde(default)]
        reason: Option<String>,
        /// The trip afterwards.
        #[serde(default)]
        trip: Option<Box<TripView>>,
    },
    /// Something was wrong with what was said.
    Error {
        /// What.
        #[serde(default)]
        reason: String,
    },
    /// A kind that this build does not know, or does not need.
    #[serde(other)]
    Other,
}

const fn yes() -> bool {
    true
}

/// What a driver's WebSocket is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Command {
    /// Takes the offered trip.
    Accept {
        /// Which.
        trip: Uuid,
        /// Of the offer.
        epoch: i32,
    },
    /// Refuses the offered trip.
    Decline {
        /// Which.
        trip: Uuid,
        /// Of the offer.
        epoch: i32,
    },
    /// Is at the pickup.
    Arrive {
        /// Which.
        trip: Uuid,
        /// Where the driver is.
        #[serde(flatten)]
        at: Place,
    },
    /// The rider is in the car.
    Start {
        /// Which.
        trip: Uuid,
        /// The rider's.
        code: String,
    },
    /// The rider is where he wanted to be.
    Complete {
        /// Which.
        trip: Uuid,
        /// Where the driver is.
        #[serde(flatten)]
        at: Place,
    },
    /// Gives the trip back before the start.
    Release {
        /// Which.
        trip: Uuid,
    },
    /// The rider did not come.
    NoShow {
        /// Which.
        trip: Uuid,
    },
}

impl Command {
    /// The trip it is about.
    pub const fn trip(&self) -> Uuid {
        match self {
            Self::Accept { trip, .. }
            | Self::Decline { trip, .. }
            | Self::Arrive { trip, .. }
            | Self::Start { trip, .. }
            | Self::Complete { trip, .. }
            | Self::Release { trip }
            | Self::NoShow { trip } => *trip,
        }
    }

    /// Its name, as on the wire.
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Accept { .. } => "accept",
            Self::Decline { .. } => "decline",
            Self::Arrive { .. } => "arrive",
            Self::Start { .. } => "start",
            Self::Complete { .. } => "complete",
            Self::Release { .. } => "release",
            Self::NoShow { .. } => "no_show",
        }
    }
}

/// A command with the key under which it is done at most once.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Keyed<'a> {
    /// The key.
    pub request_id: Uuid,
    /// The command.
    #[serde(flatten)]
    pub command: &'a Command,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_look_as_the_gateway_reads_them() {
        let trip = Uuid::from_u128(1);
        let command = Command::Arrive {
            trip,
            at: Place {
                lat: 37.5,
                lon: -122.5,
            },
        };
        let text = serde_json::to_value(Keyed {
            request_id: Uuid::from_u128(2),
            command: &command,
        });
        let expected = serde_json::json!({
            "request_id": Uuid::from_u128(2), "type": "arrive", "trip": trip, "lat": 37.5, "lon": -122.5
        });
        assert_eq!(text.unwrap(), expected);
    }

    #[test]
    fn messages_of_unknown_kinds_and_states_do_not_stop_anyone() {
        let down = |text: &str| serde_json::from_str::<Down>(text);
        assert_eq!(
            down(r#"{"type":"weather","sun":true}"#).unwrap(),
            Down::Other
        );
        assert_eq!(
            down(r#"{"type":"driver_position","trip":"x","lat":1,"lon":2}"#).unwrap(),
            Down::Other
        );
        assert_eq!(
            serde_json::from_str::<State>(r#""SCHEDULED""#).unwrap(),
            State::Unknown
        );
        assert_eq!(
            serde_json::from_str::<State>(r#""EN_ROUTE""#).unwrap(),
            State::EnRoute
        );
    }

    #[test]
    fn offers_and_results_are_read() {
        let id = Uuid::from_u128(1);
        let offer = format!(
            r#"{{"type":"offer","trip":"{id}","epoch":2,"expires_at":"2008-05-31T00:00:15Z","pickup":{{"lat":37.7,"lon":-122.4}},
            "dropoff":{{"lat":37.8,"lon":-122.4}},"pickup_eta_s":60,"duration_s":300,"distance_m":900,
            "driver_pay":{{"amount_minor":900,"currency":"USD"}},"traceparent":"00-a"}}"#
        );
        assert!(
            matches!(serde_json::from_str::<Down>(&offer).unwrap(), Down::Offer(offer) if offer.epoch == 2)
        );
        let result = format!(
            r#"{{"type":"result","request_id":"{id}","ok":false,"reason":"OFFER_EXPIRED"}}"#
        );
        assert!(matches!(
            serde_json::from_str::<Down>(&result).unwrap(),
            Down::Result { ok: false, .. }
        ));
    }
}
