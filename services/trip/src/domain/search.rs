//! The beginning of a trip, and its end when no driver is found.

use hexcab_types::{QuoteClaims, RiderId, Timestamp, TripId};

use super::{Event, Order, PaymentMethod, Refusal, Rules, StartCode, Trip, schedule};

/// A request for a ride: a quote whose signature was checked, who brings it, and what chance chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTrip {
    /// The trip's id.
    pub id: TripId,
    /// Who asks.
    pub rider: RiderId,
    /// The quote he brings.
    pub quote: QuoteClaims,
    /// When he wants to be picked up, if not at once.
    pub pickup_time: Option<Timestamp>,
    /// How he pays.
    pub payment_method: PaymentMethod,
    /// The code he will tell the driver.
    pub start_code: StartCode,
    /// W3C context of the request.
    pub traceparent: Option<String>,
}

/// The trip that a request makes, and its first event. That a quote is used once, and that the rider has no other
/// trip, is the database's to say (I1).
///
/// # Errors
/// `NOT_YOUR_QUOTE`, `QUOTE_EXPIRED`, `CASH_NOT_TAKEN`, and of a booking `PICKUP_TIME_PASSED`, `SCHEDULE_TOO_FAR`.
pub fn request(new: NewTrip, rules: &Rules, now: Timestamp) -> Result<(Trip, Event), Refusal> {
    let NewTrip {
        id,
        rider,
        quote,
        pickup_time,
        payment_method,
        start_code,
        traceparent,
    } = new;
    if quote.rider != rider {
        return Err(Refusal::NotYourQuote);
    }
    if now > quote.expires_at {
        return Err(Refusal::QuoteExpired);
    }
    if payment_method == PaymentMethod::Cash && !rules.cash {
        return Err(Refusal::CashNotTaken);
    }
    let order = Order {
        rider,
        city: quote.city,
        product: quote.product,
        pickup: quote.pickup,
        dropoff: quote.dropoff,
        quote: quote.quote,
        fare: quote.price,
        driver_pay: quote.driver_pay,
        tax: quote.tax,
        cancellation_fee: quote.cancellation_fee,
        duration_s: quote.duration_s,
        distance_m: quote.distance_m,
        start_code,
        pickup_time,
        activates_at: schedule::activates_at(pickup_time, rules, now)?,
        payment_method,
        traceparent: traceparent.or(quote.traceparent),
    };
    let event = schedule::begin(&order, rules, now);
    Ok((Trip::new(id, order, now).apply(&event, now), event))
}

/// Gives the search up once its time is over.
pub fn expire(trip: &Trip, now: Timestamp) -> Result<Event, Refusal> {
    if now > trip.request_expires_at {
        Ok(Event::Expired)
    } else {
        Err(Refusal::SearchNotOver)
    }
}
