//! What became of the requests: counted from the rows of the city's databases, not from what anybody remembers.
//!
//! Invariant: `requests` = `completed` + `cancelled` + `expired` + `in_progress`. Seconds are the city's; money is in minor
//! units of the city's currency. Does not: judge (`verify` does).

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection};

use crate::verify::Databases;

/// Median and 95th percentile, city seconds; null when there was nothing to measure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, FromRow)]
pub struct Quantiles {
    /// Half took at most this.
    pub p50: Option<f64>,
    /// Nineteen in twenty took at most this.
    pub p95: Option<f64>,
}

/// What became of offers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, FromRow)]
pub struct Offers {
    /// Made.
    pub made: i64,
    /// Accepted.
    pub accepted: i64,
    /// Declined.
    pub declined: i64,
    /// Their deadline passed.
    pub expired: i64,
    /// Given back after they were accepted.
    pub released: i64,
}

/// Multipliers of the quotes that became trips, basis points (10 000 is 1.0).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surge {
    /// The lowest.
    pub min_bp: Option<i32>,
    /// The highest.
    pub max_bp: Option<i32>,
}

/// Money, minor units.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// ISO 4217; empty when no money moved.
    pub currency: String,
    /// Held at the processor, in all.
    pub held_minor: i64,
    /// Captured of that.
    pub captured_minor: i64,
    /// Still on hold.
    pub on_hold_minor: i64,
    /// Owed to drivers.
    pub drivers_owed_minor: i64,
    /// Kept by the platform.
    pub revenue_minor: i64,
    /// Set aside for tax.
    pub tax_minor: i64,
    /// All entries of the ledger; zero.
    pub ledger_sum_minor: i64,
}

/// The funnel.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Funnel {
    /// Trips that were requested.
    pub requests: i64,
    /// Trips offered to at least one driver before their search ended.
    pub offered: i64,
    /// Trips accepted at least once.
    pub accepted: i64,
    /// Trips that started.
    pub picked_up: i64,
    /// Trips that were completed.
    pub completed: i64,
    /// Trips that were cancelled.
    pub cancelled: i64,
    /// The same, by whom and why.
    pub cancelled_by: BTreeMap<String, i64>,
    /// Trips for which no driver was found in time.
    pub expired: i64,
    /// Trips that are open.
    pub in_progress: i64,
    /// From the request to the first acceptance.
    pub match_seconds: Quantiles,
    /// From the acceptance to the arrival at the pickup.
    pub pickup_seconds: Quantiles,
    /// Offers.
    pub offers: Offers,
    /// Offers made per requested trip.
    pub offers_per_trip: f64,
    /// Surge.
    pub surge: Surge,
    /// Money.
    pub money: Money,
}

#[derive(FromRow)]
struct Counts {
    requests: i64,
    completed: i64,
    cancelled: i64,
    expired: i64,
    in_progress: i64,
    offered: i64,
    accepted: i64,
    picked_up: i64,
}

/// Counts, over everything that is in the databases.
///
/// # Errors
/// When a database cannot be asked.
pub async fn count(databases: &mut Databases) -> anyhow::Result<Funnel> {
    let trip = &mut databases.trip;
    let counts = counts(trip).await.context("count trips")?;
    let offers = offers(trip).await.context("count offers")?;
    Ok(Funnel {
        requests: counts.requests,
        offered: counts.offered,
        accepted: counts.accepted,
        picked_up: counts.picked_up,
        completed: counts.completed,
        cancelled: counts.cancelled,
        cancelled_by: cancelled_by(trip).await.context("count cancellations")?,
        expired: counts.expired,
        in_progress: counts.in_progress,
        match_seconds: match_seconds(trip).await.context("measure matching")?,
        pickup_seconds: pickup_seconds(trip).await.context("measure pickups")?,
        offers,
        offers_per_trip: if counts.requests == 0 {
            0.0
        } else {
            offers.made as f64 / counts.requests as f64
        },
        surge: surge(trip, &mut databases.pricing)
            .await
            .context("read surge")?,
        money: money(&mut databases.payment)
            .await
            .context("read the ledger")?,
    })
}

async fn counts(trip: &mut PgConnection) -> Result<Counts, sqlx::Error> {
    sqlx::query_as(
        "SELECT count(*) AS requests,
                count(*) FILTER (WHERE state = 'COMPLETED') AS completed,
                count(*) FILTER (WHERE state = 'CANCELLED') AS cancelled,
                count(*) FILTER (WHERE state = 'EXPIRED') AS expired,
                count(*) FILTER (WHERE state NOT IN ('COMPLETED', 'CANCELLED', 'EXPIRED')) AS in_progress,
                count(*) FILTER (WHERE first_offer <= request_expires_at) AS offered,
                count(*) FILTER (WHERE accepts > 0) AS accepted,
                count(*) FILTER (WHERE starts > 0) AS picked_up
         FROM trips t LEFT JOIN (
             SELECT trip, min(occurred_at) FILTER (WHERE kind = 'OfferMade') AS first_offer,
                    count(*) FILTER (WHERE kind = 'OfferAccepted') AS accepts,
                    count(*) FILTER (WHERE kind = 'TripStarted') AS starts
             FROM trip_events GROUP BY trip) e ON e.trip = t.id",
    )
    .fetch_one(trip)
    .await
}

async fn offers(trip: &mut PgConnection) -> Result<Offers, sqlx::Error> {
    sqlx::query_as(
        "SELECT count(*) FILTER (WHERE kind = 'OfferMade') AS made, count(*) FILTER (WHERE kind = 'OfferAccepted') AS accepted,
                count(*) FILTER (WHERE kind = 'OfferDeclined') AS declined, count(*) FILTER (WHERE kind = 'OfferExpired') AS expired,
                count(*) FILTER (WHERE kind = 'TripReleased') AS released
         FROM trip_events",
    )
    .fetch_one(trip)
    .await
}

async fn cancelled_by(trip: &mut PgConnection) -> Result<BTreeMap<String, i64>, sqlx::Error> {
    let sql =
        "SELECT lower(cancelled_by), count(*) FROM trips WHERE state = 'CANCELLED' GROUP BY 1";
    let rows: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(trip).await?;
    Ok(rows.into_iter().collect())
}

async fn match_seconds(trip: &mut PgConnection) -> Result<Quantiles, sqlx::Error> {
    sqlx::query_as(
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY s) AS p50, percentile_cont(0.95) WITHIN GROUP (ORDER BY s) AS p95
         FROM (SELECT extract(epoch FROM min(e.occurred_at) - t.created_at)::float8 AS s
               FROM trips t JOIN trip_events e ON e.trip = t.id AND e.kind = 'OfferAccepted' GROUP BY t.id, t.created_at) matched",
    )
    .fetch_one(trip)
    .await
}

async fn pickup_seconds(trip: &mut PgConnection) -> Result<Quantiles, sqlx::Error> {
    sqlx::query_as(
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY s) AS p50, percentile_cont(0.95) WITHIN GROUP (ORDER BY s) AS p95
         FROM (SELECT extract(epoch FROM arrived_at - accepted_at)::float8 AS s FROM trips
               WHERE arrived_at IS NOT NULL AND accepted_at IS NOT NULL) picked_up",
    )
    .fetch_one(trip)
    .await
}

async fn surge(trip: &mut PgConnection, pricing: &mut PgConnection) -> Result<Surge, sqlx::Error> {
    let quotes: Vec<uuid::Uuid> = sqlx::query_scalar("SELECT quote FROM trips")
        .fetch_all(trip)
        .await?;
    let sql = "SELECT min(surge_bp), max(surge_bp) FROM quotes WHERE quote_id = ANY ($1)";
    let (min_bp, max_bp) = sqlx::query_as(sql).bind(&quotes).fetch_one(pricing).await?;
    Ok(Surge { min_bp, max_bp })
}

async fn money(payment: &mut PgConnection) -> Result<Money, sqlx::Error> {
    let intents: Option<(String, i64, i64, i64)> = sqlx::query_as(
        "SELECT currency, coalesce(sum(held_minor) FILTER (WHERE processor_id IS NOT NULL AND state <> 'DECLINED'), 0)::bigint,
                sum(captured_minor)::bigint, coalesce(sum(held_minor) FILTER (WHERE state = 'HELD'), 0)::bigint
         FROM intents GROUP BY currency ORDER BY count(*) DESC LIMIT 1",
    )
    .fetch_optional(&mut *payment)
    .await?;
    let Some((currency, held_minor, captured_minor, on_hold_minor)) = intents else {
        return Ok(Money::default());
    };
    let (drivers_owed_minor, revenue_minor, tax_minor, ledger_sum_minor) = sqlx::query_as(
        "SELECT coalesce(sum(minor) FILTER (WHERE account LIKE 'drivers/%'), 0)::bigint,
                coalesce(sum(minor) FILTER (WHERE account = 'platform:revenue'), 0)::bigint,
                coalesce(sum(minor) FILTER (WHERE account = 'platform:tax'), 0)::bigint,
                coalesce(sum(minor), 0)::bigint
         FROM (SELECT account, CASE side WHEN 'credit' THEN posted_minor ELSE -posted_minor END AS minor
               FROM ledger.entries WHERE currency = $1) entry",
    )
    .bind(&currency)
    .fetch_one(&mut *payment)
    .await?;
    Ok(Money {
        currency,
        held_minor,
        captured_minor,
        on_hold_minor,
        drivers_owed_minor,
        revenue_minor,
        tax_minor,
        ledger_sum_minor,
    })
}
