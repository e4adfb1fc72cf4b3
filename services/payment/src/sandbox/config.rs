//! What the sandbox processor is told.

use std::net::SocketAddr;

use hexcab_chassis::Secret;
use hexcab_pg::PgConfig;
use hexcab_telemetry::TelemetryConfig;
use serde::{Deserialize, Serialize};

/// The configuration of `hexcab-payment-sandbox`. It has no city's clock: a processor lives in real time.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port of the HTTP API; port 0 is any free one.
    pub listen: SocketAddr,
    /// Its own database.
    pub postgres: PgConfig,
    /// Where its spans and logs go.
    pub telemetry: TelemetryConfig,
    /// What callers must show as `Authorization: Bearer`; any caller is served when empty.
    pub api_key: Secret,
    /// Every answer takes up to this long, milliseconds.
    pub latency_ms: u64,
    /// Of the chance in latencies and faults.
    pub seed: u64,
    /// Who is told what happened.
    pub webhooks: WebhookConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            postgres: PgConfig::default(),
            telemetry: TelemetryConfig::default(),
            api_key: Secret::default(),
            latency_ms: 5,
            seed: 0,
            webhooks: WebhookConfig::default(),
        }
    }
}

/// The one endpoint that is told everything.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where events are posted to; nobody is told without it.
    pub url: Option<String>,
    /// Signs them; usually given as `secret_file`.
    pub secret: Secret,
    /// Without an answer after this long it is told again, milliseconds.
    pub timeout_ms: u64,
    /// The longest pause between two tries, milliseconds.
    pub pause_max_ms: u64,
    /// Sent at once.
    pub senders: u32,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            url: None,
            secret: Secret::default(),
            timeout_ms: 10_000,
            pause_max_ms: 30_000,
            senders: 4,
        }
    }
}
