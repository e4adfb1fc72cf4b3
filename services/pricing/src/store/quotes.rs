//! Quotes: written once, never changed, found by id or by the request that made them.

use hexcab_pg::{Pg, PgError};
use hexcab_types::{
    BasisPoints, CityId, Currency, Money, Point, ProductId, QuoteId, RequestId, Timestamp,
};
use sqlx::{FromRow, PgConnection, PgExecutor};
use uuid::Uuid;

use super::{Store, Wish, add_demand, corrupt};
use crate::domain::{
    fare::{Fare, Line},
    quote::{Asked, Quote},
    surge_cell,
};

#[derive(FromRow)]
struct Row {
    quote_id: Uuid,
    request_id: Uuid,
    rider_id: Uuid,
    city: String,
    product: String,
    pickup_lat_e7: i32,
    pickup_lon_e7: i32,
    dropoff_lat_e7: i32,
    dropoff_lon_e7: i32,
    duration_s: i32,
    distance_m: i32,
    currency: String,
    price_minor: i64,
    driver_pay_minor: i64,
    tax_minor: i64,
    cancellation_fee_minor: i64,
    line_labels: Vec<String>,
    line_amounts_minor: Vec<i64>,
    surge_bp: i32,
    surge_snapshot: Option<Uuid>,
    fare_version: i32,
    create_time: Timestamp,
    expire_time: Timestamp,
    traceparent: Option<String>,
}

impl Store {
    /// The quote of this id.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn quote(&self, id: QuoteId) -> Result<Option<Quote>, PgError> {
        fetch(self.pg.pool(), "quote_id", id.uuid()).await
    }

    /// The quote that this request made.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn quote_of_request(&self, request: RequestId) -> Result<Option<Quote>, PgError> {
        fetch(self.pg.pool(), "request_id", request.uuid()).await
    }

    /// Keeps a quote and the demand that it is, unless its request made one already: then that is the answer.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn keep_quote(&self, quote: &Quote) -> Result<Quote, PgError> {
        let kept = keep(&self.pg, quote).await;
        let lost_the_race = |error: &PgError| error.constraint() == Some("quotes_request_once");
        match kept {
            Err(error) if lost_the_race(&error) => self
                .quote_of_request(quote.asked.request)
                .await?
                .ok_or(error),
            Ok(_) | Err(_) => kept,
        }
    }
}

async fn keep(pg: &Pg, quote: &Quote) -> Result<Quote, PgError> {
    pg.idempotent("pricing.keep_quote", |mut tx| async move {
        if let Some(known) = fetch(&mut *tx, "request_id", quote.asked.request.uuid()).await? {
            return Ok(known);
        }
        insert(&mut tx, quote).await?;
        let wish = Wish {
            kind: "quote",
            subject: quote.id.uuid(),
            city: quote.asked.city.as_str(),
            cell: surge_cell(quote.asked.pickup),
            rider: quote.asked.rider,
            at: quote.created_at,
        };
        add_demand(&mut tx, &wish).await?;
        Ok(quote.clone())
    })
    .await
}

/// `key` is a column's name, never input.
async fn fetch(
    executor: impl PgExecutor<'_>,
    key: &'static str,
    id: Uuid,
) -> Result<Option<Quote>, PgError> {
    let select = match key {
        "request_id" => "SELECT * FROM quotes WHERE request_id = $1",
        _ => "SELECT * FROM quotes WHERE quote_id = $1",
    };
    let row: Option<Row> = sqlx::query_as(select)
        .bind(id)
        .fetch_optional(executor)
        .await?;
    row.map(Row::quote).transpose()
}

async fn insert(connection: &mut PgConnection, quote: &Quote) -> Result<(), PgError> {
    let Quote { asked, fare, .. } = quote;
    let labels: Vec<&str> = fare.lines.iter().map(|line| line.label.as_str()).collect();
    let amounts: Vec<i64> = fare.lines.iter().map(|line| line.amount.minor).collect();
    sqlx::query(
        "INSERT INTO quotes (quote_id, request_id, rider_id, city, product, pickup_lat_e7, pickup_lon_e7, \
         dropoff_lat_e7, dropoff_lon_e7, duration_s, distance_m, currency, price_minor, driver_pay_minor, tax_minor, \
         cancellation_fee_minor, line_labels, line_amounts_minor, surge_bp, surge_snapshot, fare_version, create_time, \
         expire_time, traceparent) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, \
         $18, $19, $20, $21, $22, $23, $24)",
    )
    .bind(quote.id.uuid())
    .bind(asked.request.uuid())
    .bind(asked.rider.uuid())
    .bind(asked.city.as_str())
    .bind(asked.product.as_str())
    .bind(asked.pickup.lat_e7())
    .bind(asked.pickup.lon_e7())
    .bind(asked.dropoff.lat_e7())
    .bind(asked.dropoff.lon_e7())
    .bind(quote.duration_s)
    .bind(quote.distance_m)
    .bind(fare.price.currency.code())
    .bind(fare.price.minor)
    .bind(fare.driver_pay.minor)
    .bind(fare.tax.minor)
    .bind(fare.cancellation_fee.minor)
    .bind(labels)
    .bind(amounts)
    .bind(quote.surge.0.cast_signed())
    .bind(quote.snapshot.map(|snapshot| snapshot.uuid()))
    .bind(quote.fare_version)
    .bind(quote.created_at)
    .bind(quote.expires_at)
    .bind(&quote.traceparent)
    .execute(connection)
    .await?;
    Ok(())
}

impl Row {
    fn quote(self) -> Result<Quote, PgError> {
        let currency: Currency = self.currency.parse().map_err(corrupt)?;
        let money = |minor| Money::new(minor, currency);
        let lines = self.line_labels.into_iter().zip(self.line_amounts_minor);
        Ok(Quote {
            id: self.quote_id.into(),
            asked: Asked {
                request: self.request_id.into(),
                rider: self.rider_id.into(),
                city: CityId::new(self.city).map_err(corrupt)?,
                product: ProductId::new(self.product).map_err(corrupt)?,
                pickup: Point::from_e7(self.pickup_lat_e7, self.pickup_lon_e7).map_err(corrupt)?,
                dropoff: Point::from_e7(self.dropoff_lat_e7, self.dropoff_lon_e7)
                    .map_err(corrupt)?,
            },
            duration_s: self.duration_s,
            distance_m: self.distance_m,
            fare: Fare {
                price: money(self.price_minor),
                driver_pay: money(self.driver_pay_minor),
                tax: money(self.tax_minor),
                cancellation_fee: money(self.cancellation_fee_minor),
                lines: lines
                    .map(|(label, minor)| Line {
                        label,
                        amount: money(minor),
                    })
                    .collect(),
            },
            surge: BasisPoints(self.surge_bp.cast_unsigned()),
            snapshot: self.surge_snapshot.map(Into::into),
            fare_version: self.fare_version,
            created_at: self.create_time,
            expires_at: self.expire_time,
            traceparent: self.traceparent,
        })
    }
}
