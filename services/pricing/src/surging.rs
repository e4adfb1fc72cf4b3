//! Computes a city's surge once in each slot of `surge.interval_s` of the city's clock.
//!
//! Several replicas may run this: each slot is computed by whoever comes first, the others take its snapshot over. A
//! store that is away costs snapshots, never quotes: those fall back to 1 when the newest snapshot is stale.

use hexcab_chassis::Clock;
use hexcab_pg::PgError;
use hexcab_telemetry::metrics::{Gauge, KeyValue};
use hexcab_types::{BasisPoints, CityId, Timestamp};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    events,
    market::{Market, Markets},
    store::{Store, Tick},
};

static SURGE: Gauge = Gauge::new(
    "hexcab.surge.highest",
    "1",
    "the highest multiplier of a cell, by city",
);
static SURGED: Gauge = Gauge::new(
    "hexcab.surge.cells",
    "{cell}",
    "cells whose multiplier is not at rest at 1, by city",
);

/// The surge task of one city.
pub struct Surging {
    /// All cities.
    pub markets: Markets,
    /// The one that this task is for.
    pub city: CityId,
    /// Where demand and snapshots are kept.
    pub store: Store,
    /// The city's clock.
    pub clock: Clock,
}

impl Surging {
    /// Computes surge each interval until `shutdown`.
    ///
    /// # Errors
    /// Never; the signature is a task's.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Some(market) = self.markets.get(&self.city) else {
            return Ok(());
        };
        let interval_s = i64::from(market.city.surge.interval_s);
        let mut slot = self.clock.now().timestamp().div_euclid(interval_s);
        loop {
            // A tick that took longer than its slot is followed at once by that of the slot it ended in.
            let next = (slot + 1) * interval_s;
            let begins = Timestamp::from_timestamp(next, 0).unwrap_or(Timestamp::MAX_UTC);
            let tick = async {
                self.clock.sleep_until(begins).await;
                let now = self.clock.now();
                slot = now.timestamp().div_euclid(interval_s);
                self.tick(market, slot, now).await
            };
            match shutdown.run_until_cancelled(tick).await {
                None => return Ok(()),
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    tracing::warn!(city = %self.city, error = %error, "surge was not computed; the next slot tries again");
                }
            }
        }
    }

    async fn tick(&self, market: &Market, slot: i64, now: Timestamp) -> Result<(), PgError> {
        let supply = market.fresh_supply(now);
        let rules = &market.city.surge;
        let tick = Tick {
            city: &market.city.id,
            rules,
            slot,
            now,
            id: Uuid::now_v7().into(),
            supply: supply.as_ref().map(|supply| &supply.available),
        };
        let city = &market.city.id;
        let computed = self
            .store
            .tick(tick, |snapshot, observed| {
                [
                    events::surge_computed(city, snapshot),
                    events::demand_observed(city, snapshot.created_at, observed),
                ]
            })
            .await?;
        let highest_bp = computed
            .snapshot
            .cells
            .iter()
            .map(|surge| surge.shown.0)
            .max();
        let of_city = [KeyValue::new("hexcab.city", city.to_string())];
        SURGE.set(
            f64::from(highest_bp.unwrap_or(BasisPoints::ONE.0)) / f64::from(BasisPoints::ONE.0),
            &of_city,
        );
        SURGED.set(computed.snapshot.cells.len() as f64, &of_city);
        tracing::debug!(%city, snapshot = %computed.snapshot.id, computed.is_new, ?highest_bp, "surge");
        market.adopt(computed.snapshot);
        Ok(())
    }
}
