//! What is said to an app over its session.

use hexcab_proto::trip::v1::{Offer, Trip};
use hexcab_types::Timestamp;
use serde::Serialize;

use super::{
    MoneyView, PointView, bare, instant,
    trip::{DriverPositionView, TripView},
};
use crate::status::Problem;

/// To a rider.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RiderMessage {
    /// How his trip stands now.
    Trip {
        /// The trip.
        trip: Box<TripView>,
    },
    /// Where his driver is.
    DriverPosition {
        /// Of this trip.
        trip: String,
        /// Where.
        #[serde(flatten)]
        at: DriverPositionView,
    },
    /// Something he said was not understood.
    Error(ErrorView),
}

/// To a driver.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DriverMessage {
    /// Will he take this?
    Offer(Box<OfferView>),
    /// How a trip of his stands now.
    Trip {
        /// The trip.
        trip: Box<TripView>,
        /// False when the trip or offer is no longer his.
        yours: bool,
    },
    /// The answer to a command.
    Result(ResultView),
    /// Something was not understood, or a ping was refused.
    Error(ErrorView),
}

/// An offer to a driver.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OfferView {
    /// The trip.
    pub trip: String,
    /// To be named in the answer.
    pub epoch: i32,
    /// By the city's clock.
    pub expires_at: Option<Timestamp>,
    /// From here.
    pub pickup: Option<PointView>,
    /// To here.
    pub dropoff: Option<PointView>,
    /// Road ETA to the pickup, seconds.
    pub pickup_eta_s: i32,
    /// Of the ride as quoted, seconds.
    pub duration_s: i32,
    /// Of the ride as quoted, metres.
    pub distance_m: i32,
    /// What he earns.
    pub driver_pay: Option<MoneyView>,
    /// W3C context of the ride's trace.
    pub traceparent: String,
}

impl OfferView {
    /// The open offer of a trip.
    pub fn new(trip: &Trip, offer: &Offer) -> Self {
        Self {
            trip: bare(&trip.name),
            epoch: offer.epoch,
            expires_at: instant(offer.expire_time),
            pickup: trip.pickup.map(Into::into),
            dropoff: trip.dropoff.map(Into::into),
            pickup_eta_s: offer.pickup_eta_s,
            duration_s: trip.trip_duration_s,
            distance_m: trip.trip_distance_m,
            driver_pay: trip.driver_pay.clone().map(Into::into),
            traceparent: trip.traceparent.clone(),
        }
    }
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResultView {
    /// Of the command.
    pub request_id: String,
    /// Whether it was done.
    pub ok: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why not, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The trip afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trip: Option<Box<TripView>>,
}

impl ResultView {
    /// The answer to this request.
    pub fn new(request_id: String, outcome: Result<&Trip, Problem>) -> Self {
        match outcome {
            Ok(trip) => Self {
                request_id,
                ok: true,
                reason: None,
                detail: None,
                trip: Some(Box::new(TripView::for_driver(trip))),
            },
            Err(problem) => Self {
                request_id,
                ok: false,
                reason: Some(problem.reason),
                detail: Some(problem.detail),
                trip: None,
            },
        }
    }
}

/// Something was not understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorView {
    /// Such as MESSAGE_INVALID.
    pub reason: String,
    /// For people.
    pub detail: String,
}

impl From<Problem> for ErrorView {
    fn from(problem: Problem) -> Self {
        Self {
            reason: problem.reason,
            detail: problem.detail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_look_as_promised() {
        let at = DriverPositionView {
            lat: 37.5,
            lon: -122.5,
            heading_deg: 90,
            age_ms: 1200,
        };
        let position = RiderMessage::DriverPosition {
            trip: "t".to_owned(),
            at,
        };
        assert_eq!(
            serde_json::to_string(&position).unwrap(),
            r#"{"type":"driver_position","trip":"t","lat":37.5,"lon":-122.5,"heading_deg":90,"age_ms":1200}"#
        );
        let refused = Problem::field("epoch", "is required");
        let result = DriverMessage::Result(ResultView::new("r".to_owned(), Err(refused)));
        assert_eq!(
            serde_json::to_string(&result).unwrap(),
            r#"{"type":"result","request_id":"r","ok":false,"reason":"FIELD_INVALID","detail":"epoch: is required"}"#
        );
        let trip = DriverMessage::Trip {
            trip: Box::new(TripView::for_driver(&Trip::default())),
            yours: false,
        };
        let json = serde_json::to_value(&trip).unwrap();
        assert_eq!(
            (json["type"].as_str(), json["yours"].as_bool()),
            (Some("trip"), Some(false))
        );
    }
}
