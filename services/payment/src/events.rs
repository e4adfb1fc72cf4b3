//! Between events and the domain: a trip event → a [`Notice`], an intent's event → the outbox.
//!
//! Does not: decide anything.

use hexcab_bus::{Failure, Incoming, Outgoing, topic};
use hexcab_proto::{
    convert::{self, FieldError},
    payment::v1::{self as payment, payment_event},
    trip::v1::{self as trip, trip_event},
};
use hexcab_types::{Money, RiderId, Timestamp, TripId};
use prost::Message as _;

use crate::domain::{Charge, Intent, decide::Event, settlement::Ending};

/// What a trip event tells about money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// Which trip.
    pub trip: TripId,
    /// Who pays.
    pub rider: RiderId,
    /// What is to be held, more than zero.
    pub fare: Money,
    /// How it ended; none for a request.
    pub ending: Option<Ending>,
}

/// Reads a trip event. None when it says nothing about money.
///
/// # Errors
/// Poison when it cannot be read.
pub fn read(incoming: &Incoming) -> Result<Option<Notice>, Failure> {
    let event: trip::TripEvent = incoming.decode()?;
    notice(event).map_err(|error| Failure::Poison(error.to_string()))
}

fn notice(event: trip::TripEvent) -> Result<Option<Notice>, FieldError> {
    use trip_event::Event as E;
    let kind = convert::required(event.event, "event")?;
    let (driven, ended) = match kind {
        E::Requested(_) | E::Activated(_) => (false, false),
        E::Completed(_) => (true, true),
        E::Cancelled(_) | E::Expired(_) => (false, true),
        // A booked ride is held for when a driver is looked for.
        E::Scheduled(_)
        | E::OfferMade(_)
        | E::OfferAccepted(_)
        | E::OfferDeclined(_)
        | E::OfferExpired(_)
        | E::DriverArrived(_)
        | E::Started(_)
        | E::Released(_) => return Ok(None),
    };
    let after = convert::required(event.after, "after")?;
    let fare = convert::money(after.fare.clone(), "after.fare")?;
    if fare.minor < 0 {
        return Err(FieldError::new("after.fare", "is below zero"));
    }
    if fare.minor == 0 {
        return Ok(None); // A free ride: nothing to hold, nothing to take.
    }
    Ok(Some(Notice {
        trip: convert::name(&after.name, "after.name")?,
        rider: convert::name(&after.rider, "after.rider")?,
        fare,
        ending: ended.then(|| ending(&after, fare, driven)).transpose()?,
    }))
}

fn ending(after: &trip::Trip, fare: Money, driven: bool) -> Result<Ending, FieldError> {
    let charge = or_zero(after.charge.clone(), fare, "after.charge")?;
    if !driven {
        return Ok(Ending::NotDriven { fee: charge });
    }
    Ok(Ending::Driven {
        driver: convert::name(&after.driver, "after.driver")?,
        charge,
        driver_pay: or_zero(after.driver_pay.clone(), fare, "after.driver_pay")?,
        tax: or_zero(after.tax.clone(), fare, "after.tax")?,
    })
}

fn or_zero(
    money: Option<hexcab_proto::common::v1::Money>,
    like: Money,
    field: &str,
) -> Result<Money, FieldError> {
    if money.is_none() {
        Ok(Money::zero(like.currency))
    } else {
        convert::money(money, field)
    }
}

/// An intent's event for the outbox, keyed by trip. None for what is not published. `charge` is that of a capture.
pub fn outgoing(
    intent: &Intent,
    event: &Event,
    charge: Option<&Charge>,
    now: Timestamp,
) -> Option<Outgoing> {
    let (name, body) = match event {
        Event::HoldPlaced { .. } => {
            let amount = Some(intent.amount.into());
            (
                "HoldPlaced",
                payment_event::Event::HoldPlaced(payment::HoldPlaced { amount }),
            )
        }
        Event::HoldDeclined { code } => (
            "HoldDeclined",
            payment_event::Event::HoldDeclined(payment::HoldDeclined { code: code.clone() }),
        ),
        Event::Captured { amount } => (
            "Captured",
            payment_event::Event::Captured(captured(*amount, charge)),
        ),
        Event::Voided => ("Voided", payment_event::Event::Voided(payment::Voided {})),
        Event::AnswerLost(_) => return None,
    };
    let message = payment::PaymentEvent {
        intent: intent.id.name(),
        trip: intent.trip.name(),
        rider: intent.rider.name(),
        version: intent.version,
        occur_time: Some(convert::to_timestamp(now)),
        event: Some(body),
    };
    Some(Outgoing {
        topic: topic::PAYMENT,
        key: intent.trip.to_string(),
        kind: format!("hexcab.payment.v1.{name}"),
        source: "payment",
        subject: intent.id.name(),
        time: now,
        payload: message.encode_to_vec(),
        traceparent: hexcab_telemetry::current_traceparent(),
    })
}

fn captured(amount: Money, charge: Option<&Charge>) -> payment::Captured {
    let pay = charge.and_then(|charge| charge.driver);
    payment::Captured {
        amount: Some(amount.into()),
        driver_pay: Some(
            pay.map_or_else(|| Money::zero(amount.currency), |pay| pay.amount)
                .into(),
        ),
        driver: pay.map(|pay| pay.driver.name()).unwrap_or_default(),
    }
}
