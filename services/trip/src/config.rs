//! What the trip service can be told.

use std::path::PathBuf;

use hexcab_bus::BusConfig;
use hexcab_chassis::{ClockConfig, ServerConfig};
use hexcab_pg::PgConfig;
use hexcab_telemetry::TelemetryConfig;
use serde::{Deserialize, Serialize};

use crate::store::postgres::TRIPS_REMEMBERED;

/// The configuration of the trip service.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it listens.
    pub server: ServerConfig,
    /// Where trips are kept.
    pub postgres: PgConfig,
    /// Where events go and come from.
    pub kafka: BusConfig,
    /// What is seen of it.
    pub telemetry: TelemetryConfig,
    /// Trips that it remembers as it wrote them last, about 1 kB each: a command to one of them takes one round trip.
    pub trips_remembered: u64,
    /// The city's clock.
    pub clock: ClockConfig,
    /// Cities served: names of built-in ones or folders.
    pub cities: Vec<String>,
    /// A folder of third-party data; not used here, known so that all services can be told the same.
    pub data: Option<PathBuf>,
    /// The public key of pricing's quotes, PEM. Usually given as `quote_public_key_file`.
    pub quote_public_key: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server: ServerConfig::default(),
            postgres: PgConfig::default(),
            kafka: BusConfig::default(),
            telemetry: TelemetryConfig::default(),
            trips_remembered: TRIPS_REMEMBERED,
            clock: ClockConfig::default(),
            cities: vec!["sf".to_owned()],
            data: None,
            quote_public_key: String::new(),
        }
    }
}
