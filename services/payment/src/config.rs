//! What the payment service is told.

use std::{net::SocketAddr, time::Duration};

use hexcab_bus::BusConfig;
use hexcab_chassis::{ClockConfig, Secret, ServerConfig};
use hexcab_pg::PgConfig;
use hexcab_telemetry::TelemetryConfig;
use hexcab_types::BasisPoints;
use serde::{Deserialize, Serialize};

use crate::{domain::tip::TipRules, store::Rules};

/// The configuration of `hexcab-payment`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The gRPC server.
    pub server: ServerConfig,
    /// Its own database.
    pub postgres: PgConfig,
    /// Trip events in, payment events out.
    pub kafka: BusConfig,
    /// Where spans and logs go.
    pub telemetry: TelemetryConfig,
    /// City clock.
    pub clock: ClockConfig,
    /// Who moves the money.
    pub processor: ProcessorConfig,
    /// Where he tells what happened.
    pub webhook: WebhookConfig,
    /// Whether his books and ours fit.
    pub reconciler: ReconcilerConfig,
    /// Steps worked on at once.
    pub workers: u32,
    /// A worker that has not finished its step within this is taken for dead, seconds of real time.
    pub lease_s: u32,
    /// What was made at the processor is found by its key there after this long at the latest, milliseconds of real time.
    pub search_lag_ms: u64,
    /// How late after the end of its trip a tip may be, days of the city's time.
    pub tip_within_days: u32,
    /// How high a tip may be, in hundredths of a percent of what the trip cost.
    pub tip_max_bp: BasisPoints,
    /// How often is looked for work that nobody announced (retries, dead workers), milliseconds of real time.
    pub poll_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server: ServerConfig::default(),
            postgres: PgConfig::default(),
            kafka: BusConfig::default(),
            telemetry: TelemetryConfig::default(),
            clock: ClockConfig::default(),
            processor: ProcessorConfig::default(),
            webhook: WebhookConfig::default(),
            reconciler: ReconcilerConfig::default(),
            workers: 8,
            lease_s: 60,
            search_lag_ms: 60_000,
            tip_within_days: 30,
            tip_max_bp: BasisPoints(20_000),
            poll_ms: 250,
        }
    }
}

impl Config {
    /// What the store goes by.
    pub fn rules(&self) -> Rules {
        Rules {
            lease: Duration::from_secs(self.lease_s.into()),
            tip: TipRules {
                within: Duration::from_secs(u64::from(self.tip_within_days) * 86_400),
                at_most: self.tip_max_bp,
            },
        }
    }
}

/// The processor: the sandbox or Stripe.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessorConfig {
    /// Base URL; everything is asked for under its `/v1`.
    pub url: String,
    /// Shown as `Authorization: Bearer`; usually given as `api_key_file`.
    pub api_key: Secret,
    /// The version of Stripe's API that our requests are written for.
    pub api_version: String,
    /// What riders pay with until they can choose.
    pub payment_method: String,
    /// Without an answer after this long the outcome is unknown, milliseconds of real time.
    pub timeout_ms: u64,
}

impl Default for ProcessorConfig {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:12111".to_owned(),
            api_key: Secret::default(),
            api_version: "2026-08-26.dahlia".to_owned(),
            payment_method: "pm_card_visa".to_owned(),
            timeout_ms: 2_000,
        }
    }
}

/// Webhooks of the processor. They are hints: without them things are found out later, not wrongly.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// Address and port of `POST /webhooks`; port 0 is any free one.
    pub listen: SocketAddr,
    /// What they are signed with, usually given as `secrets_file`: one, or several on lines of their own while they are
    /// rotated. Without any, none is taken and the port is not opened.
    pub secrets: Secret,
    /// Longest body, bytes.
    pub max_body_bytes: usize,
    /// Taken in at once; more are shed with 503 and told again.
    pub max_concurrent: usize,
    /// Followed up at once.
    pub followers: u32,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            secrets: Secret::default(),
            max_body_bytes: 256 * 1024,
            max_concurrent: 64,
            followers: 2,
        }
    }
}

/// The comparison of the processor's books with ours. All times are real.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReconcilerConfig {
    /// How often, seconds; 0 is only when asked.
    pub interval_s: u32,
    /// How far back the processor's lists are read, hours. What has not ended is looked at however old it is.
    pub window_h: u32,
    /// What only the processor knows is no mismatch before it is this old, seconds.
    pub grace_s: u32,
    /// A step that is begun for longer is a mismatch, seconds.
    pub stuck_unknown_s: u32,
    /// A hold that is older and that nobody settles is a mismatch, seconds. Longer than any ride, shorter than processors
    /// keep holds (7 days mostly).
    pub stuck_hold_s: u32,
}

impl Default for ReconcilerConfig {
    fn default() -> Self {
        Self {
            interval_s: 300,
            window_h: 8 * 24,
            grace_s: 60,
            stuck_unknown_s: 900,
            stuck_hold_s: 12 * 3_600,
        }
    }
}
