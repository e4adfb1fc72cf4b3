//! A trip and its events as protos. Used by answers and by events, so that both say the same.

use hexcab_proto::{convert::to_timestamp, trip::v1 as proto};
use hexcab_types::{DecisionId, DriverId, Money};
use prost::Message as _;

use crate::domain::{
    Cancellation, CancelledBy, Event, Offer, PaymentMethod, ReleasedBy, State, Trip,
};

impl From<&Trip> for proto::Trip {
    fn from(trip: &Trip) -> Self {
        let order = &trip.order;
        let progress = trip.state.progress();
        let (acceptance, arrival) = (progress.acceptance(), progress.arrival());
        let ride = progress.ride();
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
            accept_time: acceptance.map(|acceptance| to_timestamp(acceptance.at)),
            arrive_time: arrival.map(|arrival| to_timestamp(arrival.at)),
            start_time: ride.map(|ride| to_timestamp(ride.at)),
            end_time: trip.state.ended_at().map(to_timestamp),
            traceparent: order.traceparent.clone().unwrap_or_default(),
            trip_duration_s: order.duration_s,
            trip_distance_m: order.distance_m,
            driver_pay: Some(order.driver_pay.into()),
            tax: Some(order.tax.into()),
            pickup_time: order.pickup_time.map(to_timestamp),
            payment_method: payment_method(order.payment_method).into(),
            waiting_fee: ride.map(|ride| ride.waiting_fee.into()),
            driver_due: trip.driver_due().map(Money::into),
            activate_time: order.activates_at.map(to_timestamp),
            stall_time: acceptance.map(|acceptance| to_timestamp(acceptance.stalls_at)),
            no_show_time: arrival.map(|arrival| to_timestamp(arrival.no_show_from)),
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

/// The trip as the event left it, given the event as it is kept.
pub fn after(event: &[u8]) -> Option<proto::Trip> {
    proto::TripEvent::decode(event).ok()?.after
}

fn happened(event: &Event) -> proto::trip_event::Event {
    use proto::trip_event::Event as Proto;
    match event {
        Event::Requested { .. } => Proto::Requested(proto::TripRequested {}),
        Event::Scheduled { .. } => Proto::Scheduled(proto::TripScheduled {}),
        Event::Activated { .. } => Proto::Activated(proto::TripActivated {}),
        Event::OfferMade(offer) => Proto::OfferMade(proto::OfferMade {
            driver: offer.driver.name(),
            epoch: offer.epoch,
        }),
        Event::OfferAccepted { driver, epoch, .. } => Proto::OfferAccepted(proto::OfferAccepted {
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
        Event::Released { driver, by, .. } => Proto::Released(released(*driver, by)),
        Event::Expired => Proto::Expired(proto::TripExpired {}),
    }
}

fn released(driver: DriverId, by: &ReleasedBy) -> proto::TripReleased {
    let (reason, operator, note) = match by {
        ReleasedBy::Driver => (proto::ReleaseReason::Driver, String::new(), ""),
        ReleasedBy::Stall => (proto::ReleaseReason::Stalled, String::new(), ""),
        ReleasedBy::Operator { operator, note } => (
            proto::ReleaseReason::Reassigned,
            operator.name(),
            note.as_str(),
        ),
    };
    proto::TripReleased {
        driver: driver.name(),
        reason: reason.into(),
        operator,
        note: note.to_owned(),
    }
}

const fn payment_method(method: PaymentMethod) -> proto::PaymentMethod {
    match method {
        PaymentMethod::Card => proto::PaymentMethod::Card,
        PaymentMethod::Cash => proto::PaymentMethod::Cash,
    }
}

fn state(state: &State) -> proto::State {
    match state {
        State::Scheduled => proto::State::Scheduled,
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
        cancellation: Cancellation { by, fee, .. },
        ..
    } = state
    else {
        return None;
    };
    use proto::{CancelReason as Reason, CancelledBy as By};
    let (operator, note) = match by {
        CancelledBy::Operator { operator, note } => (operator.name(), note.clone()),
        CancelledBy::RiderChangedMind
        | CancelledBy::RiderWaitedTooLong
        | CancelledBy::PaymentDeclined
        | CancelledBy::RiderBusy
        | CancelledBy::NoShow => Default::default(),
    };
    let (by, reason) = match by {
        CancelledBy::RiderChangedMind => (By::Rider, Reason::ChangedMind),
        CancelledBy::RiderWaitedTooLong => (By::Rider, Reason::WaitedTooLong),
        CancelledBy::PaymentDeclined => (By::System, Reason::PaymentDeclined),
        CancelledBy::RiderBusy => (By::System, Reason::RiderBusy),
        CancelledBy::NoShow => (By::Driver, Reason::NoShow),
        CancelledBy::Operator { .. } => (By::Operator, Reason::Operator),
    };
    Some(proto::Cancellation {
        by: by.into(),
        reason: reason.into(),
        fee: Some((*fee).into()),
        note,
        operator,
    })
}

fn name_or_empty(driver: Option<DriverId>) -> String {
    driver.map(DriverId::name).unwrap_or_default()
}
