//! What the payment service is told.

use std::time::Duration;

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
