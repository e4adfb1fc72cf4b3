//! What the dispatch service can be told.

use std::path::PathBuf;

use hexcab_bus::BusConfig;
use hexcab_chassis::{ClockConfig, Secret, ServerConfig};
use hexcab_telemetry::TelemetryConfig;
use serde::{Deserialize, Serialize};

/// The configuration of `hexcab-dispatch`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it listens.
    pub server: ServerConfig,
    /// Trip events in, decisions out.
    pub kafka: BusConfig,
    /// Where spans and logs go.
    pub telemetry: TelemetryConfig,
    /// The city's clock.
    pub clock: ClockConfig,
    /// Cities dispatched: names of built-in ones or folders.
    pub cities: Vec<String>,
    /// A folder of third-party data: with a street graph in it, ETAs are by real streets.
    pub data: Option<PathBuf>,
    /// The services it calls.
    pub peers: Peers,
    /// Shown to the peers as `authorization: Bearer …`.
    pub peers_token: Option<Secret>,
    /// The longest a call of trip may take, milliseconds of real time.
    pub trip_timeout_ms: u64,
    /// The longest a search for drivers may take, milliseconds of real time.
    pub location_timeout_ms: u64,
    /// The book is compared with trip's list at least this often, seconds of real time. More often where an eighth of
    /// the city's request TTL is over earlier, so that a lost event never costs a rider his whole search.
    pub resync_s: u32,
    /// Decisions that can be explained, per city.
    pub decisions_kept: usize,
    /// Memory that they may take, per city, bytes.
    pub decisions_kept_bytes: usize,
}

/// Where the peers are.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Peers {
    /// trip
    pub trip: String,
    /// location
    pub location: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server: ServerConfig::default(),
            kafka: BusConfig::default(),
            telemetry: TelemetryConfig::default(),
            clock: ClockConfig::default(),
            cities: vec!["sf".to_owned()],
            data: None,
            peers: Peers::default(),
            peers_token: None,
            trip_timeout_ms: 1_000,
            location_timeout_ms: 150,
            resync_s: 30,
            decisions_kept: 50_000,
            decisions_kept_bytes: 4 << 20,
        }
    }
}

impl Default for Peers {
    fn default() -> Self {
        Self {
            trip: "http://127.0.0.1:7001".to_owned(),
            location: "http://127.0.0.1:7003".to_owned(),
        }
    }
}
