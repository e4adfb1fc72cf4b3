//! A quote and the surge of a city.

use hexcab_proto::pricing::v1::{GetSurgeResponse, Quote};
use hexcab_types::Timestamp;
use serde::Serialize;

use super::{MoneyView, PointView, bare, instant, optional_bare};

/// A signed price for one ride.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuoteView {
    /// UUID.
    pub id: String,
    /// City.
    pub city: String,
    /// Kind of ride.
    pub product: String,
    /// From here.
    pub pickup: Option<PointView>,
    /// To here.
    pub dropoff: Option<PointView>,
    /// What the rider pays.
    pub price: Option<MoneyView>,
    /// How the price comes about.
    pub lines: Vec<LineView>,
    /// 10000 is no surge.
    pub surge_bp: i32,
    /// Road estimate, seconds.
    pub duration_s: i32,
    /// Road estimate, metres.
    pub distance_m: i32,
    /// Last instant of use, city clock.
    pub expires_at: Option<Timestamp>,
    /// To be handed to `POST /v1/trips`.
    pub token: String,
}

/// A line of the fare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineView {
    /// base, distance, time, surge, booking, minimum, tax.
    pub label: String,
    /// Its amount.
    pub amount: Option<MoneyView>,
}

impl From<Quote> for QuoteView {
    fn from(quote: Quote) -> Self {
        let lines = quote.lines.into_iter();
        Self {
            id: bare(&quote.name),
            city: quote.city,
            product: quote.product,
            pickup: quote.pickup.map(Into::into),
            dropoff: quote.dropoff.map(Into::into),
            price: quote.price.map(Into::into),
            lines: lines
                .map(|line| LineView {
                    label: line.label,
                    amount: line.amount.map(Into::into),
                })
                .collect(),
            surge_bp: quote.surge_bp,
            duration_s: quote.trip_duration_s,
            distance_m: quote.trip_distance_m,
            expires_at: instant(quote.expire_time),
            token: quote.token,
        }
    }
}

/// The surge of a city.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SurgeView {
    /// Null before the first.
    pub snapshot: Option<String>,
    /// City clock.
    pub created_at: Option<Timestamp>,
    /// Cells at 1.0 are left out.
    pub cells: Vec<SurgeCellView>,
}

/// The multiplier of one cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SurgeCellView {
    /// H3 index, resolution 8, hexadecimal.
    pub cell: String,
    /// 10000 is no surge.
    pub surge_bp: i32,
    /// Quotes and requests, as weighed.
    pub demand: i32,
    /// Fresh available drivers.
    pub supply: i32,
}

impl From<GetSurgeResponse> for SurgeView {
    fn from(surge: GetSurgeResponse) -> Self {
        let cells = surge.cells.into_iter().map(|cell| SurgeCellView {
            cell: format!("{:x}", cell.cell),
            surge_bp: cell.surge_bp,
            demand: cell.demand,
            supply: cell.supply,
        });
        Self {
            snapshot: optional_bare(&surge.snapshot),
            created_at: instant(surge.create_time),
            cells: cells.collect(),
        }
    }
}
