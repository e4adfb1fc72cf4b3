//! What can be set. Unset, it serves San Francisco on a free port, by the machine's clock.

use hexcab_bus::BusConfig;
use hexcab_chassis::{ClockConfig, ServerConfig};
use hexcab_telemetry::TelemetryConfig;
use serde::{Deserialize, Serialize};

use crate::store::StoreConfig;

/// The configuration of location.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it listens.
    pub server: ServerConfig,
    /// ScyllaDB or Cassandra.
    pub store: StoreConfig,
    /// The broker that supply is published to.
    pub kafka: BusConfig,
    /// Spans and logs.
    pub telemetry: TelemetryConfig,
    /// The city's clock.
    pub clock: ClockConfig,
    /// Cities whose drivers are taken: ids or folders.
    pub cities: Vec<String>,
    /// How often supply is counted and published, milliseconds of the city's clock; 0 is never.
    pub supply_interval_ms: u64,
    /// A driver counts as supply when seen within this, milliseconds of the city's clock.
    pub supply_max_age_ms: i64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server: ServerConfig::default(),
            store: StoreConfig::default(),
            kafka: BusConfig::default(),
            telemetry: TelemetryConfig {
                // The store's driver says every second that the store is away; [`crate::store`] says it once.
                log: "info,scylla=off".to_owned(),
                ..TelemetryConfig::default()
            },
            clock: ClockConfig::default(),
            cities: vec!["sf".to_owned()],
            supply_interval_ms: 5_000,
            supply_max_age_ms: 15_000,
        }
    }
}
