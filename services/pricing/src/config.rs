//! What can be set. Only the key that signs quotes has no default.

use std::path::PathBuf;

use hexcab_bus::BusConfig;
use hexcab_chassis::{ClockConfig, Secret, ServerConfig};
use hexcab_pg::PgConfig;
use hexcab_telemetry::TelemetryConfig;
use serde::{Deserialize, Serialize};

/// The configuration of pricing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it listens.
    pub server: ServerConfig,
    /// Its database.
    pub postgres: PgConfig,
    /// The broker.
    pub kafka: BusConfig,
    /// Spans and logs.
    pub telemetry: TelemetryConfig,
    /// The city's clock.
    pub clock: ClockConfig,
    /// Cities that are priced: ids or folders.
    pub cities: Vec<String>,
    /// A data folder; its street graph, if it has one, gives better times than the city's profile.
    pub data: Option<PathBuf>,
    /// The Ed25519 private key that signs quotes, PEM (PKCS #8); better given as `quote_private_key_file`.
    pub quote_private_key: Secret,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server: ServerConfig::default(),
            postgres: PgConfig::default(),
            kafka: BusConfig::default(),
            telemetry: TelemetryConfig::default(),
            clock: ClockConfig::default(),
            cities: vec!["sf".to_owned()],
            data: None,
            quote_private_key: Secret::default(),
        }
    }
}
