//! A trip and its events as protos. Used by answers and by events, so that both say the same.

use hexcab_proto::{convert::to_timestamp, trip::v1 as proto};
use hexcab_types::{DecisionId, DriverId, Money};

use crate::domain::{Cancellation, CancelledBy, Event, Offer, State, Trip};

impl From<&Trip> for proto::Trip {
    fn from(trip: &Trip) -> Self {
        let order = &trip.order;
        let progress = trip.state.progress();
        Self {
            name: trip.id.name(),
            city: order.city.to_string(),
            product: order.product.to_string(),
            rider: order.rider.name(),
            state: state(&trip.state).into(),
            version: trip.version,
            epoch: trip.epoch,
            driver: name_or_empty(trip.driver()),
            offer: offer(&trip.state),
            pickup: Some(order.pickup.into()),
            dropoff: Some(order.dropoff.into()),
            quote: order.quote.name(),
            fare: Some(order.fare.into()),
            charge: trip.charge().map(Money::into),
            start_code: order.start_code.as_str().to_owned(),
            cancellation: cancellation(&trip.state),
            excluded_drivers: trip
                .excluded
                .iter()
                .map(|exclusion| exclusion.driver.name())
                .collect(),
            request_expire_time: Some(to_timestamp(trip.request_expires_at)),
            create_time: Some(to_timestamp(trip.created_at)),
            update_time: Some(to_timestamp(trip.updated_at)),
            accept_time: progress
                .acceptance()
                .map(|acceptance| to_timestamp(acceptance.at)),
            arrive_time: progress.arrived_at().map(to_timestamp),
            start_time: progress.started_at().map(to_timestamp),
            end_time: trip.state.ended_at().map(to_timestamp),
            traceparent: order.traceparent.clone().unwrap_or_default(),
            trip_duration_s: order.duration_s,
            trip_distance_m: order.distance_m,
            driver_pay: Some(order.driver_pay.into()),
            tax: Some(order.tax.into()),
        }
    }
}

/// The event that led to this trip.
pub fn event(after: &Trip, event: &Event) -> proto::TripEvent {
    proto::TripEvent {
        trip: after.id.name(),
        version: after.version,
        occur_time: Some(to_timestamp(after.updated_at)),
        after: Some(after.into()),
        event: Some(happened(event)),
    }
}

fn happened(event: &Event) -> proto::trip_event::Event {
    use proto::trip_event::Event as Proto;
    match event {
        Event::Requested { .. } => Proto::Requested(proto::TripRequested {}),
        Event::OfferMade(offer) => Proto::OfferMade(proto::OfferMade {
            driver: offer.driver.name(),
            epoch: offer.epoch,
        }),
        Event::OfferAccepted { driver, epoch } => Proto::OfferAccepted(proto::OfferAccepted {
            driver: driver.name(),
            epoch: *epoch,
        }),
        Event::OfferDeclined { driver, epoch } => Proto::OfferDeclined(proto::OfferDeclined {
            driver: driver.name(),
            epoch: *epoch,
        }),
        Event::OfferExpired { driver, epoch } => Proto::OfferExpired(proto::OfferExpired {
            driver: driver.name(),
            epoch: *epoch,
        }),
        Event::Arrived { .. } => Proto::DriverArrived(proto::DriverArrived {}),
        Event::Started { .. } => Proto::Started(proto::TripStarted {}),
        Event::Completed { .. } => Proto::Completed(proto::TripCompleted {}),
        Event::Cancelled {
            progress, asked, ..
        } => {
            let driver = progress
                .acceptance()
                .map(|acceptance| acceptance.driver)
                .or(*asked);
            Proto::Cancelled(proto::TripCancelled {
                driver: name_or_empty(driver),
            })
        }
        Event::Released { driver, .. } => Proto::Released(proto::TripReleased {
            driver: driver.name(),
        }),
        Event::Expired => Proto::Expired(proto::TripExpired {}),
    }
}

fn state(state: &State) -> proto::State {
    match state {
        State::Requested => proto::State::Requested,
        State::Offered(_) => proto::State::Offered,
        State::EnRoute(_) => proto::State::EnRoute,
        State::Arrived(_) => proto::State::Arrived,
        State::InProgress(_) => proto::State::InProgress,
        State::Completed { .. } => proto::State::Completed,
        State::Cancelled { .. } => proto::State::Cancelled,
        State::Expired { .. } => proto::State::Expired,
    }
}

fn offer(state: &State) -> Option<proto::Offer> {
    let State::Offered(Offer {
        driver,
        epoch,
        expires_at,
        decision,
        pickup_eta_s,
        pickup_distance_m,
    }) = state
    else {
        return None;
    };
    Some(proto::Offer {
        driver: driver.name(),
        epoch: *epoch,
        expire_time: Some(to_timestamp(*expires_at)),
        decision: decision.map(DecisionId::name).unwrap_or_default(),
        pickup_eta_s: *pickup_eta_s,
        pickup_distance_m: *pickup_distance_m,
    })
}

fn cancellation(state: &State) -> Option<proto::Cancellation> {
    let State::Cancelled {
        cancellation: Cancellation { by, fee },
        ..
    } = state
    else {
        return None;
    };
    let (by, reason, note) = match by {
        CancelledBy::RiderChangedMind => (
            proto::CancelledBy::Rider,
            proto::CancelReason::ChangedMind,
            "",
        ),
        CancelledBy::RiderWaitedTooLong => (
            proto::CancelledBy::Rider,
            proto::CancelReason::WaitedTooLong,
            "",
        ),
        CancelledBy::PaymentDeclined => (
            proto::CancelledBy::System,
            proto::CancelReason::PaymentDeclined,
            "",
        ),
        CancelledBy::Operator { operator: _, note } => (
            proto::CancelledBy::Operator,
            proto::CancelReason::Operator,
            note.as_str(),
        ),
    };
    Some(proto::Cancellation {
        by: by.into(),
        reason: reason.into(),
        fee: Some((*fee).into()),
        note: note.to_owned(),
    })
}

fn name_or_empty(driver: Option<DriverId>) -> String {
    driver.map(DriverId::name).unwrap_or_default()
}
