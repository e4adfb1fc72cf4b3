//! What the sandbox processor is told.

use std::net::SocketAddr;

use hexcab_chassis::{ClockConfig, Secret};
use hexcab_pg::PgConfig;
use hexcab_telemetry::TelemetryConfig;
use serde::{Deserialize, Serialize};

/// The configuration of `hexcab-payment-sandbox`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port of the HTTP API; port 0 is any free one.
    pub listen: SocketAddr,
    /// Its own database.
    pub postgres: PgConfig,
    /// Where its spans and logs go.
    pub telemetry: TelemetryConfig,
    /// City clock, for the times on payments.
    pub clock: ClockConfig,
    /// What callers must show as `Authorization: Bearer`; any caller is served when empty.
    pub api_key: Secret,
    /// Every answer takes up to this long, milliseconds.
    pub latency_ms: u64,
    /// Of the chance in latencies and faults.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            postgres: PgConfig::default(),
            telemetry: TelemetryConfig::default(),
            clock: ClockConfig::default(),
            api_key: Secret::default(),
            latency_ms: 5,
            seed: 0,
        }
    }
}
