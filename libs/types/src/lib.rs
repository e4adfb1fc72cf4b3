//! Words that two services share: ids, places, cells, money, time. No I/O, no clock, no chance.
//!
//! - [`id`] one type per kind of id, printed as its resource name's last part
//! - [`place`] a point on earth in 1e-7 degrees, great-circle distance, the H3 [`Cell`]
//! - [`money`] integer minor units with a currency, one rounding (half to even)
//! - [`quote`] the claims of a signed quote, which pricing writes and trip reads
//! - [`time`] the [`Timestamp`] of everything: UTC, microseconds

pub mod id;
pub mod money;
pub mod place;
pub mod quote;
pub mod time;

pub use id::{
    ChargeId, CityId, DecisionId, DriverId, EventId, IdError, IntentId, Named, OperatorId,
    PayoutId, ProductId, QuoteId, RefundId, RequestId, RiderId, SnapshotId, TripId,
};
pub use money::{BasisPoints, Currency, Money, MoneyError};
pub use place::{Cell, EARTH_RADIUS_M, PlaceError, Point};
pub use quote::{QUOTE_TOKEN_TYPE, QuoteClaims};
pub use time::Timestamp;
