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
            telemetry: TelemetryConfig::default(),
            clock: ClockConfig::default(),
            cities: vec!["sf".to_owned()],
            supply_interval_ms: 5_000,
            supply_max_age_ms: 15_000,
        }
    }
}

impl Config {
    /// As configured, without what the store's driver logs unless it is asked for by name (`info,scylla=warn`): it says every
    /// second that the store is away, and [`crate::store`] says it once.
    pub fn telemetry(&self) -> TelemetryConfig {
        let mut telemetry = self.telemetry.clone();
        if !telemetry.log.contains("scylla") {
            telemetry.log.push_str(",scylla=off");
        }
        telemetry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stores_driver_logs_only_when_asked_by_name() {
        let mut config = Config::default();
        assert_eq!(config.telemetry().log, "info,scylla=off");
        config.telemetry.log = "debug,scylla=warn".to_owned();
        assert_eq!(config.telemetry().log, "debug,scylla=warn");
    }
}
