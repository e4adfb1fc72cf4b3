//! A price for one ride: what was asked, what was answered, and why there may be no answer.
//!
//! Invariants: a quote holds exactly what was asked; its expiry follows its making; the same request asked again with
//! the same body is the same quote for ever, with another body it is refused.

use hexcab_cities::{City, Product};
use hexcab_road::Leg;
use hexcab_types::{
    BasisPoints, CityId, MoneyError, Point, ProductId, QuoteClaims, QuoteId, RequestId, RiderId,
    SnapshotId, Timestamp,
};

use super::fare::{Fare, Ride, fare};

/// What a rider asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The same id and body get the same quote.
    pub request: RequestId,
    /// Who.
    pub rider: RiderId,
    /// Where.
    pub city: CityId,
    /// Which kind of ride.
    pub product: ProductId,
    /// From here.
    pub pickup: Point,
    /// To here.
    pub dropoff: Point,
}

/// A price for one ride.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// Its id.
    pub id: QuoteId,
    /// What was asked.
    pub asked: Asked,
    /// Road estimate, boarding included, seconds.
    pub duration_s: i32,
    /// Road estimate, metres.
    pub distance_m: i32,
    /// What it costs.
    pub fare: Fare,
    /// The multiplier in it.
    pub surge: BasisPoints,
    /// Where the multiplier is from; none when there was no fresh snapshot.
    pub snapshot: Option<SnapshotId>,
    /// The version of the city's fare policies.
    pub fare_version: i32,
    /// City clock.
    pub created_at: Timestamp,
    /// Last instant of use, city clock.
    pub expires_at: Timestamp,
    /// The trace in which it was made.
    pub traceparent: Option<String>,
}

/// Which end of a ride.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Where it begins.
    Pickup,
    /// Where it ends.
    Dropoff,
}

impl End {
    /// The field that says it.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Pickup => "pickup",
            Self::Dropoff => "dropoff",
        }
    }
}

/// Why there is no quote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not one of this process's cities.
    #[error("city {0} is not served here")]
    CityUnknown(CityId),
    /// The city does not sell it.
    #[error("city {0} has no product {1}")]
    ProductUnknown(CityId, ProductId),
    /// An end outside of where the city serves.
    #[error("{end} is outside of the service area of {1}", end = .0.field())]
    OutOfServiceArea(End, CityId),
    /// No road leads from one end to the other.
    #[error("there is no way by road from pickup to dropoff")]
    NoRoute,
    /// The same `request_id` came with another body before.
    #[error("request_id {0} was used for another request")]
    RequestIdReused(RequestId),
    /// No quote has this id.
    #[error("there is no {}", .0.name())]
    QuoteUnknown(QuoteId),
}

impl Asked {
    /// The product, if a quote can be given at all.
    ///
    /// # Errors
    /// When the city does not sell the product or does not serve one of the ends.
    pub fn check<'a>(&self, city: &'a City) -> Result<&'a Product, Refusal> {
        let unknown = || Refusal::ProductUnknown(self.city.clone(), self.product.clone());
        let product = city.product(&self.product).ok_or_else(unknown)?;
        for (end, point) in [(End::Pickup, self.pickup), (End::Dropoff, self.dropoff)] {
            if !city.area.contains(point) {
                return Err(Refusal::OutOfServiceArea(end, self.city.clone()));
            }
        }
        Ok(product)
    }
}

/// What a quote is made of beside what was asked.
#[derive(Debug, Clone)]
pub struct Circumstances {
    /// A new id.
    pub id: QuoteId,
    /// The drive, without boarding.
    pub leg: Leg,
    /// The multiplier of the pickup's cell, and where it is from.
    pub surge: (BasisPoints, Option<SnapshotId>),
    /// The version of the city's fare policies.
    pub fare_version: i32,
    /// City clock.
    pub now: Timestamp,
    /// The trace in which it is made.
    pub traceparent: Option<String>,
}

impl Quote {
    /// The quote for what was asked, by the city's fares.
    ///
    /// # Errors
    /// When an amount does not fit.
    pub fn new(
        city: &City,
        product: &Product,
        asked: Asked,
        at: Circumstances,
    ) -> Result<Self, MoneyError> {
        let (surge, snapshot) = at.surge;
        // Whole seconds and metres; `as` saturates, and a road that long costs more than fits anyway.
        let duration_s =
            (at.leg.seconds.round() as i32).saturating_add_unsigned(city.trip.boarding_s);
        let distance_m = at.leg.metres.round() as i32;
        Ok(Self {
            id: at.id,
            asked,
            duration_s,
            distance_m,
            fare: fare(
                &product.fare,
                city.currency,
                &Ride {
                    distance_m,
                    duration_s,
                    surge,
                },
            )?,
            surge,
            snapshot,
            fare_version: at.fare_version,
            created_at: at.now,
            expires_at: at.now + chrono::TimeDelta::seconds(city.quote_ttl_s.into()),
            traceparent: at.traceparent,
        })
    }

    /// What is signed. The same quote has the same claims whenever it is asked for.
    pub fn claims(&self) -> QuoteClaims {
        QuoteClaims {
            quote: self.id,
            rider: self.asked.rider,
            city: self.asked.city.clone(),
            product: self.asked.product.clone(),
            pickup: self.asked.pickup,
            dropoff: self.asked.dropoff,
            price: self.fare.price,
            driver_pay: self.fare.driver_pay,
            tax: self.fare.tax,
            cancellation_fee: self.fare.cancellation_fee,
            duration_s: self.duration_s,
            distance_m: self.distance_m,
            expires_at: self.expires_at,
            traceparent: self.traceparent.clone(),
        }
    }

    /// This quote as the answer to a request that bears its `request_id`.
    ///
    /// # Errors
    /// When the request's body is another one.
    pub fn answer(self, asked: &Asked) -> Result<Self, Refusal> {
        if self.asked == *asked {
            Ok(self)
        } else {
            Err(Refusal::RequestIdReused(asked.request))
        }
    }
}
