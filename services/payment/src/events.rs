//! Between events and the domain: a trip event → a [`Notice`]; what happened to an intent or a payout batch → the outbox.
//!
//! - [`outgoing`] the events of this service
//!
//! Does not: decide anything.

use hexcab_bus::{Failure, Incoming};
use hexcab_proto::{
    convert::{self, FieldError},
    trip::v1::{self as trip, trip_event},
};
use hexcab_types::{Money, Timestamp};

use crate::domain::{
    Charge, DriverPay, Ending, Method,
    settlement::{EndingKind, News, Notice},
};

pub mod outgoing;

/// Reads a trip event. None when it says nothing about money.
///
/// # Errors
/// Poison when it cannot be read.
pub fn read(incoming: &Incoming) -> Result<Option<Notice>, Failure> {
    let event: trip::TripEvent = incoming.decode()?;
    notice(event).map_err(|error| Failure::Poison(error.to_string()))
}

/// What of an event matters here.
enum About {
    Begun,
    Waited,
    Ended { is_completed: bool },
}

fn notice(event: trip::TripEvent) -> Result<Option<Notice>, FieldError> {
    let about = match about(convert::required(event.event, "event")?) {
        Some(about) => about,
        None => return Ok(None),
    };
    let after = convert::required(event.after, "after")?;
    let fare = convert::money(after.fare.clone(), "after.fare")?;
    let news = match about {
        About::Begun => News::Begun,
        About::Waited => {
            let fee = or_zero(after.waiting_fee.clone(), fare, "after.waiting_fee")?;
            if fee.minor == 0 {
                return Ok(None);
            }
            News::Waited { fee }
        }
        About::Ended { is_completed } => {
            let at = convert::timestamp(event.occur_time, "occur_time")?;
            News::Ended(ending(&after, fare, is_completed, at)?)
        }
    };
    Ok(Some(Notice {
        trip: convert::name(&after.name, "after.name")?,
        rider: convert::name(&after.rider, "after.rider")?,
        method: method(&after)?,
        fare,
        news,
    }))
}

fn about(event: trip_event::Event) -> Option<About> {
    use trip_event::Event as E;
    match event {
        E::Requested(_) | E::Activated(_) => Some(About::Begun),
        E::Started(_) => Some(About::Waited),
        E::Completed(_) => Some(About::Ended { is_completed: true }),
        E::Cancelled(_) | E::Expired(_) => Some(About::Ended {
            is_completed: false,
        }),
        // A booked ride is held for when a driver is looked for.
        E::Scheduled(_)
        | E::OfferMade(_)
        | E::OfferAccepted(_)
        | E::OfferDeclined(_)
        | E::OfferExpired(_)
        | E::DriverArrived(_)
        | E::Released(_) => None,
    }
}

fn method(after: &trip::Trip) -> Result<Method, FieldError> {
    match after.payment_method() {
        trip::PaymentMethod::Card => Ok(Method::Card),
        trip::PaymentMethod::Cash => Ok(Method::Cash),
        trip::PaymentMethod::Unspecified => {
            Err(FieldError::new("after.payment_method", "is required"))
        }
    }
}

fn ending(
    after: &trip::Trip,
    fare: Money,
    is_completed: bool,
    at: Timestamp,
) -> Result<Ending, FieldError> {
    let amount = or_zero(after.charge.clone(), fare, "after.charge")?;
    let due = or_zero(after.driver_due.clone(), fare, "after.driver_due")?;
    let (kind, tax) = if is_completed {
        let tax = or_zero(after.tax.clone(), fare, "after.tax")?;
        // The tax of a fare that was waived is not due.
        let minor = tax.minor.min(amount.minor);
        (EndingKind::Driven, Money { minor, ..tax })
    } else {
        (off(after), Money::zero(fare.currency))
    };
    // Who was owed something, or drove, is named; who was only on his way may be.
    let driver = if is_completed || due.minor > 0 {
        Some(convert::name(&after.driver, "after.driver")?)
    } else {
        convert::optional_name(&after.driver, "after.driver")?
    };
    Ok(Ending {
        charge: Charge {
            amount,
            driver: driver.map(|driver| DriverPay {
                driver,
                amount: due,
            }),
            tax,
        },
        kind,
        at,
    })
}

fn off(after: &trip::Trip) -> EndingKind {
    let reason = after.cancellation.as_ref().map(trip::Cancellation::reason);
    match reason {
        Some(trip::CancelReason::NoShow) => EndingKind::NoShow,
        Some(
            trip::CancelReason::Unspecified
            | trip::CancelReason::ChangedMind
            | trip::CancelReason::WaitedTooLong
            | trip::CancelReason::PaymentDeclined
            | trip::CancelReason::Operator
            | trip::CancelReason::RiderBusy,
        )
        | None => EndingKind::Cancelled,
    }
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
