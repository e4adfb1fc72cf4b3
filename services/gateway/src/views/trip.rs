//! A trip as its rider, its driver and the operators see it.

use hexcab_proto::{
    location::v1::GetDriverPositionResponse,
    trip::v1::{CancelReason, Cancellation, CancelledBy, Offer, State, Trip},
};
use hexcab_types::Timestamp;
use serde::Serialize;

use super::{MoneyView, PointView, bare, bare_enum, instant, optional_bare};

/// A trip.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TripView {
    /// UUID.
    pub id: String,
    /// City.
    pub city: String,
    /// Kind of ride.
    pub product: String,
    /// SCHEDULED, REQUESTED, OFFERED, EN_ROUTE, ARRIVED, IN_PROGRESS, COMPLETED, CANCELLED or EXPIRED.
    pub state: &'static str,
    /// Number of the last event.
    pub version: i64,
    /// Number of the last offer.
    pub epoch: i32,
    /// From here.
    pub pickup: Option<PointView>,
    /// To here.
    pub dropoff: Option<PointView>,
    /// When the rider wants to be picked up; null: at once.
    pub pickup_at: Option<Timestamp>,
    /// CARD or CASH.
    pub payment_method: &'static str,
    /// The upfront price.
    pub fare: Option<MoneyView>,
    /// For waiting at the pickup beyond the free time, once the ride started.
    pub waiting_fee: Option<MoneyView>,
    /// What the rider owes in the end.
    pub charge: Option<MoneyView>,
    /// Who accepted.
    pub driver: Option<String>,
    /// Where he is, when the rider asks for one trip.
    pub driver_position: Option<DriverPositionView>,
    /// Four digits for the driver's ears; only the rider sees them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_code: Option<String>,
    /// How it was cancelled.
    pub cancellation: Option<CancellationView>,
    /// Requested at.
    pub created_at: Option<Timestamp>,
    /// Last changed at.
    pub updated_at: Option<Timestamp>,
    /// A driver accepted at.
    pub accepted_at: Option<Timestamp>,
    /// The driver was at the pickup at.
    pub arrived_at: Option<Timestamp>,
    /// The rider was in the car at.
    pub started_at: Option<Timestamp>,
    /// Completed, cancelled or expired at.
    pub ended_at: Option<Timestamp>,
    /// When the search for a driver ends.
    pub request_expires_at: Option<Timestamp>,
    /// From when the driver may report that nobody came, once he is at the pickup.
    pub no_show_at: Option<Timestamp>,
    /// The ride's trace.
    pub trace_id: Option<String>,
}

/// How a trip was cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CancellationView {
    /// RIDER, DRIVER, SYSTEM or OPERATOR.
    pub by: &'static str,
    /// CHANGED_MIND, WAITED_TOO_LONG, NO_SHOW, RIDER_BUSY, PAYMENT_DECLINED or OPERATOR.
    pub reason: &'static str,
    /// What the rider owes for it.
    pub fee: Option<MoneyView>,
}

/// Where a driver is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DriverPositionView {
    /// Degrees.
    pub lat: f64,
    /// Degrees.
    pub lon: f64,
    /// 0 is north, clockwise.
    pub heading_deg: u32,
    /// Since it was recorded, milliseconds of the city's clock.
    pub age_ms: i32,
}

/// A trip as operators see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperatorTripView {
    /// What everyone sees.
    #[serde(flatten)]
    pub trip: TripView,
    /// Who rides.
    pub rider: String,
    /// The open offer.
    pub offer: Option<OpenOfferView>,
    /// Who declined, timed out or gave it back.
    pub excluded_drivers: Vec<String>,
    /// The quote that was used up.
    pub quote: Option<String>,
    /// What the driver is owed.
    pub driver_pay: Option<MoneyView>,
    /// What the driver is owed of the charge in the end.
    pub driver_due: Option<MoneyView>,
    /// The tax inside the fare.
    pub tax: Option<MoneyView>,
    /// An operator's note on the cancellation.
    pub note: Option<String>,
    /// W3C context of the ride's trace.
    pub traceparent: Option<String>,
}

/// The open offer of a trip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenOfferView {
    /// Who is asked.
    pub driver: String,
    /// Number of the offer on its trip.
    pub epoch: i32,
    /// By the city's clock.
    pub expires_at: Option<Timestamp>,
    /// The decision that made it.
    pub decision: Option<String>,
    /// Road ETA to the pickup, seconds.
    pub pickup_eta_s: i32,
    /// Great circle to the pickup, metres.
    pub pickup_distance_m: i32,
}

/// The state's name as apps see it.
pub fn state_name(state: State) -> &'static str {
    bare_enum(state.as_str_name(), "STATE_")
}

impl TripView {
    /// As its rider sees it.
    pub fn for_rider(trip: &Trip) -> Self {
        Self {
            start_code: Some(trip.start_code.clone()).filter(|code| !code.is_empty()),
            ..Self::for_driver(trip)
        }
    }

    /// As its driver sees it.
    pub fn for_driver(trip: &Trip) -> Self {
        Self {
            id: bare(&trip.name),
            city: trip.city.clone(),
            product: trip.product.clone(),
            state: state_name(trip.state()),
            version: trip.version,
            epoch: trip.epoch,
            pickup: trip.pickup.map(Into::into),
            dropoff: trip.dropoff.map(Into::into),
            pickup_at: instant(trip.pickup_time),
            payment_method: bare_enum(trip.payment_method().as_str_name(), "PAYMENT_METHOD_"),
            fare: trip.fare.clone().map(Into::into),
            waiting_fee: trip.waiting_fee.clone().map(Into::into),
            charge: trip.charge.clone().map(Into::into),
            driver: optional_bare(&trip.driver),
            driver_position: None,
            start_code: None,
            cancellation: trip.cancellation.as_ref().map(Into::into),
            created_at: instant(trip.create_time),
            updated_at: instant(trip.update_time),
            accepted_at: instant(trip.accept_time),
            arrived_at: instant(trip.arrive_time),
            started_at: instant(trip.start_time),
            ended_at: instant(trip.end_time),
            request_expires_at: instant(trip.request_expire_time),
            no_show_at: instant(trip.no_show_time),
            trace_id: hexcab_telemetry::trace_id(&trip.traceparent).map(str::to_owned),
        }
    }
}

impl From<&Cancellation> for CancellationView {
    fn from(cancellation: &Cancellation) -> Self {
        let by: CancelledBy = cancellation.by();
        let reason: CancelReason = cancellation.reason();
        Self {
            by: bare_enum(by.as_str_name(), "CANCELLED_BY_"),
            reason: bare_enum(reason.as_str_name(), "CANCEL_REASON_"),
            fee: cancellation.fee.clone().map(Into::into),
        }
    }
}

impl DriverPositionView {
    /// The answer of location, if it has a position.
    pub fn from_answer(answer: &GetDriverPositionResponse) -> Option<Self> {
        let at = PointView::from(answer.position?);
        Some(Self {
            lat: at.lat,
            lon: at.lon,
            heading_deg: answer.heading_deg,
            age_ms: answer.age_ms,
        })
    }
}

impl From<&Trip> for OperatorTripView {
    fn from(trip: &Trip) -> Self {
        Self {
            trip: TripView::for_driver(trip),
            rider: bare(&trip.rider),
            offer: trip.offer.as_ref().map(Into::into),
            excluded_drivers: trip
                .excluded_drivers
                .iter()
                .map(|driver| bare(driver))
                .collect(),
            quote: optional_bare(&trip.quote),
            driver_pay: trip.driver_pay.clone().map(Into::into),
            driver_due: trip.driver_due.clone().map(Into::into),
            tax: trip.tax.clone().map(Into::into),
            note: trip
                .cancellation
                .as_ref()
                .map(|cancellation| cancellation.note.clone())
                .filter(|note| !note.is_empty()),
            traceparent: Some(trip.traceparent.clone()).filter(|text| !text.is_empty()),
        }
    }
}

impl From<&Offer> for OpenOfferView {
    fn from(offer: &Offer) -> Self {
        Self {
            driver: bare(&offer.driver),
            epoch: offer.epoch,
            expires_at: instant(offer.expire_time),
            decision: optional_bare(&offer.decision),
            pickup_eta_s: offer.pickup_eta_s,
            pickup_distance_m: offer.pickup_distance_m,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trip() -> Trip {
        Trip {
            name: "trips/7f1f3a52-6f3e-4f43-8e3a-1a2b3c4d5e6f".to_owned(),
            state: State::EnRoute.into(),
            start_code: "1234".to_owned(),
            excluded_drivers: vec!["drivers/a".to_owned()],
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
            ..Trip::default()
        }
    }

    #[test]
    fn only_the_rider_sees_the_start_code() {
        let json = |view: TripView| serde_json::to_value(view).unwrap();
        assert_eq!(json(TripView::for_rider(&trip()))["start_code"], "1234");
        assert!(
            json(TripView::for_driver(&trip()))
                .get("start_code")
                .is_none()
        );
        let operator = serde_json::to_value(OperatorTripView::from(&trip())).unwrap();
        assert!(operator.get("start_code").is_none());
        assert_eq!(operator["excluded_drivers"][0], "a");
    }

    #[test]
    fn absent_values_are_null_and_names_are_bare() {
        let json = serde_json::to_value(TripView::for_rider(&trip())).unwrap();
        assert_eq!(json["id"], "7f1f3a52-6f3e-4f43-8e3a-1a2b3c4d5e6f");
        assert_eq!(json["state"], "EN_ROUTE");
        assert_eq!(json["trace_id"], "0af7651916cd43dd8448eb211c80319c");
        for absent in [
            "driver",
            "charge",
            "cancellation",
            "driver_position",
            "ended_at",
        ] {
            assert!(
                json[absent].is_null() && json.get(absent).is_some(),
                "{absent}"
            );
        }
    }
}
