//! What pricing signs and trip reads: the claims of a quote token.
//!
//! Invariant: the token alone says everything that trip needs, so that a request costs no call to pricing.

use serde::{Deserialize, Serialize};

use crate::{CityId, Money, Point, ProductId, QuoteId, RiderId, Timestamp};

/// The `typ` of a quote token's header (RFC 8725: tokens of one kind are never taken for another).
pub const QUOTE_TOKEN_TYPE: &str = "quote+jwt";

/// A price for one ride, as signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuoteClaims {
    /// Used once, by the trip that it becomes.
    pub quote: QuoteId,
    /// Who asked, and alone may use it.
    pub rider: RiderId,
    /// Where.
    pub city: CityId,
    /// Which kind of ride.
    pub product: ProductId,
    /// From here.
    pub pickup: Point,
    /// To here.
    pub dropoff: Point,
    /// What the rider pays, tax included.
    pub price: Money,
    /// The driver's share of it.
    pub driver_pay: Money,
    /// The tax inside it.
    pub tax: Money,
    /// What a cancellation after the free time costs.
    pub cancellation_fee: Money,
    /// Road estimate of the ride, seconds.
    pub duration_s: i32,
    /// Road estimate of the ride, metres.
    pub distance_m: i32,
    /// Last instant of use, city clock.
    pub expires_at: Timestamp,
    /// W3C context in which the quote was made: the ride's trace goes on from it.
    pub traceparent: Option<String>,
}
