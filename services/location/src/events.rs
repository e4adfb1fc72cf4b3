//! What location tells the city: how many drivers are free where, counted every few seconds of the city's clock.
//!
//! A count is not durable state: it goes straight to the broker, and one that cannot be sent is dropped, as the next is
//! better. Each replica counts the whole city, what others heard included as far as the store knows it: whichever count is
//! the newest is the count. Invariant: nothing here is waited for by a ping.

use std::{sync::Arc, time::Duration};

use hexcab_bus::{Outgoing, Producer, topic};
use hexcab_chassis::Clock;
use hexcab_proto::{
    convert::to_timestamp,
    location::v1::{SupplyCell, SupplyCounted},
};
use hexcab_telemetry::metrics::{Gauge, KeyValue};
use hexcab_types::{Cell, Timestamp};
use prost::Message as _;
use tokio_util::sync::CancellationToken;

use crate::{domain::FleetIndex, store::Store};

static AVAILABLE: Gauge = Gauge::new(
    "hexcab.location.available",
    "{driver}",
    "drivers who are free and were seen lately, by city",
);

/// Counts and publishes supply.
pub struct SupplyReporter {
    /// Who is where.
    pub index: Arc<FleetIndex>,
    /// What other replicas heard, if it is kept.
    pub store: Option<Arc<Store>>,
    /// The city's clock.
    pub clock: Clock,
    /// To the broker.
    pub producer: Producer,
    /// Between two counts, city time.
    pub interval: Duration,
    /// A driver counts when seen within this, milliseconds.
    pub max_age_ms: i64,
}

impl SupplyReporter {
    /// Reports every interval until `shutdown`. A broker that is away is said once, and once when it is back.
    ///
    /// # Errors
    /// Never; the signature is a task's.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut away = false;
        while shutdown
            .run_until_cancelled(self.clock.sleep(self.interval))
            .await
            .is_some()
        {
            let Some(sent) = shutdown.run_until_cancelled(self.report()).await else {
                break;
            };
            match (sent, away) {
                (Err(error), false) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "supply cannot be published; pings are taken all the same"
                    );
                    away = true;
                }
                (Ok(()), true) => {
                    tracing::info!("supply is published again");
                    away = false;
                }
                (Ok(()), false) | (Err(_), true) => {}
            }
        }
        Ok(())
    }

    async fn report(&self) -> anyhow::Result<()> {
        for (city, id) in self.index.cities() {
            if let Some(store) = &self.store {
                store.look_everywhere(city).await;
            }
            let now = self.clock.now();
            let mut census = self.index.census(city, self.max_age_ms, now);
            while census.step() {
                tokio::task::yield_now().await;
            }
            let counts = census.counts();
            let available: u32 = counts.iter().map(|(_, available)| available).sum();
            AVAILABLE.set(
                available.into(),
                &[KeyValue::new("hexcab.city", id.to_owned())],
            );
            self.producer
                .publish(supply_counted(id, counts, now))
                .await?;
        }
        Ok(())
    }
}

fn supply_counted(city: &str, counts: Vec<(Cell, u32)>, now: Timestamp) -> Outgoing {
    let cells = counts.into_iter().map(|(cell, available)| SupplyCell {
        cell: cell.to_u64(),
        available: i32::try_from(available).unwrap_or(i32::MAX),
    });
    let event = SupplyCounted {
        city: city.to_owned(),
        occur_time: Some(to_timestamp(now)),
        cells: cells.collect(),
    };
    Outgoing {
        topic: topic::SUPPLY,
        key: city.to_owned(),
        kind: "hexcab.location.v1.SupplyCounted".into(),
        source: "location",
        subject: format!("cities/{city}"),
        time: now,
        payload: event.encode_to_vec(),
        traceparent: None,
    }
}
