//! A trip as columns, read. (`save` writes them.)
//!
//! Does not: repair. A row that is no trip is our bug and says which column.

use hexcab_types::{
    CityId, Currency, DriverId, Money, OperatorId, Point, ProductId, QuoteId, Timestamp, TripId,
};
use sqlx::FromRow;
use uuid::Uuid;

use super::ExecuteError;
use crate::domain::{
    Acceptance, Arrival, Cancellation, CancelledBy, Exclusion, ExclusionReason, Offer, Order,
    PaymentMethod, Progress, Ride, StartCode, State, Trip,
};

/// The columns of [`TripRow`].
macro_rules! columns {
    () => {
        "t.id, t.version, t.epoch, t.state, t.rider, t.city, t.product, t.pickup_lat_e7, t.pickup_lon_e7, \
         t.dropoff_lat_e7, t.dropoff_lon_e7, t.quote, t.currency, t.fare_minor, t.driver_pay_minor, t.tax_minor, \
         t.cancellation_minor, t.duration_s, t.distance_m, t.start_code, t.pickup_time, t.activates_at, \
         t.payment_method, t.traceparent, t.created_at, \
         t.request_expires_at, t.offer_driver, t.offer_expires_at, t.offer_decision, t.offer_eta_s, \
         t.offer_distance_m, t.excluded_drivers, t.excluded_epochs, t.excluded_reasons, t.driver, t.accepted_epoch, \
         t.accepted_at, t.stalls_at, t.arrived_at, t.no_show_from, t.started_at, t.waiting_fee_minor, t.ended_at, \
         t.charge_minor, t.driver_due_minor, t.cancelled_by, t.cancel_operator, t.cancel_note, t.updated_at"
    };
}
pub(super) use columns;

/// One row of `trips`.
#[derive(Debug, FromRow)]
pub struct TripRow {
    id: Uuid,
    version: i64,
    epoch: i32,
    state: String,
    rider: Uuid,
    city: String,
    product: String,
    pickup_lat_e7: i32,
    pickup_lon_e7: i32,
    dropoff_lat_e7: i32,
    dropoff_lon_e7: i32,
    quote: Uuid,
    currency: String,
    fare_minor: i64,
    driver_pay_minor: i64,
    tax_minor: i64,
    cancellation_minor: i64,
    duration_s: i32,
    distance_m: i32,
    start_code: String,
    pickup_time: Option<Timestamp>,
    activates_at: Option<Timestamp>,
    payment_method: String,
    traceparent: Option<String>,
    created_at: Timestamp,
    request_expires_at: Timestamp,
    offer_driver: Option<Uuid>,
    offer_expires_at: Option<Timestamp>,
    offer_decision: Option<Uuid>,
    offer_eta_s: Option<i32>,
    offer_distance_m: Option<i32>,
    excluded_drivers: Vec<Uuid>,
    excluded_epochs: Vec<i32>,
    excluded_reasons: Vec<String>,
    driver: Option<Uuid>,
    accepted_epoch: Option<i32>,
    accepted_at: Option<Timestamp>,
    stalls_at: Option<Timestamp>,
    arrived_at: Option<Timestamp>,
    no_show_from: Option<Timestamp>,
    started_at: Option<Timestamp>,
    waiting_fee_minor: Option<i64>,
    ended_at: Option<Timestamp>,
    charge_minor: Option<i64>,
    driver_due_minor: Option<i64>,
    cancelled_by: Option<String>,
    cancel_operator: Option<Uuid>,
    cancel_note: Option<String>,
    updated_at: Timestamp,
}

impl TripRow {
    /// The trip.
    pub fn trip(self) -> Result<Trip, ExecuteError> {
        let id = TripId::from(self.id);
        self.read()
            .ok_or_else(|| ExecuteError::Unreadable(format!("the row of {id}")))
    }

    fn read(self) -> Option<Trip> {
        Some(Trip {
            id: TripId::from(self.id),
            order: self.order()?,
            state: self.state()?,
            version: self.version,
            epoch: self.epoch,
            wrong_codes: 0,
            excluded: self.excluded()?,
            request_expires_at: self.request_expires_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }

    fn currency(&self) -> Option<Currency> {
        self.currency.parse().ok()
    }

    fn money(&self, minor: Option<i64>) -> Option<Money> {
        Some(Money::new(minor?, self.currency()?))
    }

    fn order(&self) -> Option<Order> {
        let currency = self.currency()?;
        Some(Order {
            rider: self.rider.into(),
            city: CityId::new(self.city.as_str()).ok()?,
            product: ProductId::new(self.product.as_str()).ok()?,
            pickup: Point::from_e7(self.pickup_lat_e7, self.pickup_lon_e7).ok()?,
            dropoff: Point::from_e7(self.dropoff_lat_e7, self.dropoff_lon_e7).ok()?,
            quote: QuoteId::from(self.quote),
            fare: Money::new(self.fare_minor, currency),
            driver_pay: Money::new(self.driver_pay_minor, currency),
            tax: Money::new(self.tax_minor, currency),
            cancellation_fee: Money::new(self.cancellation_minor, currency),
            duration_s: self.duration_s,
            distance_m: self.distance_m,
            start_code: StartCode::parse(&self.start_code)?,
            pickup_time: self.pickup_time,
            activates_at: self.activates_at,
            payment_method: match self.payment_method.as_str() {
                "CARD" => PaymentMethod::Card,
                "CASH" => PaymentMethod::Cash,
                _ => return None,
            },
            traceparent: self.traceparent.clone(),
        })
    }

    fn state(&self) -> Option<State> {
        Some(match self.state.as_str() {
            "SCHEDULED" => State::Scheduled,
            "REQUESTED" => State::Requested,
            "OFFERED" => State::Offered(self.offer()?),
            "EN_ROUTE" => State::EnRoute(self.acceptance()?),
            "ARRIVED" => State::Arrived(self.arrival()?),
            "IN_PROGRESS" => State::InProgress(self.ride()?),
            "COMPLETED" => State::Completed {
                ride: self.ride()?,
                charge: self.money(self.charge_minor)?,
                driver_due: self.money(self.driver_due_minor)?,
                at: self.ended_at?,
            },
            "CANCELLED" => State::Cancelled {
                cancellation: self.cancellation()?,
                progress: self.progress()?,
                at: self.ended_at?,
            },
            "EXPIRED" => State::Expired { at: self.ended_at? },
            _ => return None,
        })
    }

    fn offer(&self) -> Option<Offer> {
        Some(Offer {
            driver: self.offer_driver?.into(),
            epoch: self.epoch,
            expires_at: self.offer_expires_at?,
            decision: self.offer_decision.map(Into::into),
            pickup_eta_s: self.offer_eta_s?,
            pickup_distance_m: self.offer_distance_m?,
        })
    }

    fn acceptance(&self) -> Option<Acceptance> {
        Some(Acceptance {
            driver: self.driver?.into(),
            epoch: self.accepted_epoch?,
            at: self.accepted_at?,
            stalls_at: self.stalls_at?,
        })
    }

    fn arrival(&self) -> Option<Arrival> {
        Some(Arrival {
            acceptance: self.acceptance()?,
            at: self.arrived_at?,
            no_show_from: self.no_show_from?,
        })
    }

    fn ride(&self) -> Option<Ride> {
        Some(Ride {
            arrival: self.arrival()?,
            at: self.started_at?,
            waiting_fee: self.money(self.waiting_fee_minor)?,
        })
    }

    fn progress(&self) -> Option<Progress> {
        Some(match (self.driver, self.arrived_at, self.started_at) {
            (None, _, _) => Progress::Searching,
            (Some(_), None, _) => Progress::Accepted(self.acceptance()?),
            (Some(_), Some(_), None) => Progress::Arrived(self.arrival()?),
            (Some(_), Some(_), Some(_)) => Progress::Started(self.ride()?),
        })
    }

    fn cancellation(&self) -> Option<Cancellation> {
        let by = match self.cancelled_by.as_deref()? {
            "RIDER_CHANGED_MIND" => CancelledBy::RiderChangedMind,
            "RIDER_WAITED_TOO_LONG" => CancelledBy::RiderWaitedTooLong,
            "PAYMENT_DECLINED" => CancelledBy::PaymentDeclined,
            "RIDER_BUSY" => CancelledBy::RiderBusy,
            "NO_SHOW" => CancelledBy::NoShow,
            "OPERATOR" => CancelledBy::Operator {
                operator: OperatorId::from(self.cancel_operator?),
                note: self.cancel_note.clone()?,
            },
            _ => return None,
        };
        Some(Cancellation {
            by,
            fee: self.money(self.charge_minor)?,
            driver_due: self.money(self.driver_due_minor)?,
        })
    }

    fn excluded(&self) -> Option<Vec<Exclusion>> {
        let columns = self
            .excluded_drivers
            .iter()
            .zip(&self.excluded_epochs)
            .zip(&self.excluded_reasons);
        columns
            .map(|((driver, epoch), reason)| {
                let reason = match reason.as_str() {
                    "DECLINED" => ExclusionReason::Declined,
                    "TIMED_OUT" => ExclusionReason::TimedOut,
                    "RELEASED" => ExclusionReason::Released,
                    "STALLED" => ExclusionReason::Stalled,
                    "REASSIGNED" => ExclusionReason::Reassigned,
                    _ => return None,
                };
                Some(Exclusion {
                    driver: DriverId::from(*driver),
                    epoch: *epoch,
                    reason,
                })
            })
            .collect()
    }
}
