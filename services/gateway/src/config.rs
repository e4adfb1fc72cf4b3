//! What can be set. Every bound of this service has its name and unit here.

use std::{net::SocketAddr, time::Duration};

use hexcab_bus::BusConfig;
use hexcab_chassis::{ClockConfig, Secret, ServerConfig, client::ClientConfig};
use hexcab_telemetry::TelemetryConfig;
use serde::{Deserialize, Serialize};

/// The gateway's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where driver apps call by gRPC. Leave `server.service_token` unset: callers are users and show a user token.
    pub server: ServerConfig,
    /// REST and WebSocket.
    pub http: HttpConfig,
    /// Who may call.
    pub auth: AuthConfig,
    /// How fast a user may call.
    pub rate: RateConfig,
    /// Connected apps.
    pub session: SessionConfig,
    /// Drivers' positions on their way to location.
    pub pings: PingConfig,
    /// The services behind the door.
    pub peers: PeersConfig,
    /// Shown to the peers as `authorization: Bearer …`.
    pub peers_token: Option<Secret>,
    /// The longest a call to a peer may take, milliseconds.
    pub peers_timeout_ms: u64,
    /// Where trip events come from.
    pub kafka: BusConfig,
    /// Spans and logs.
    pub telemetry: TelemetryConfig,
    /// The city's clock.
    pub clock: ClockConfig,
    /// The cities that are served.
    pub cities: Vec<String>,
    /// Trips whose trace and parties are remembered; others are asked for.
    pub rides_remembered: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server: ServerConfig::default(),
            http: HttpConfig::default(),
            auth: AuthConfig::default(),
            rate: RateConfig::default(),
            session: SessionConfig::default(),
            pings: PingConfig::default(),
            peers: PeersConfig::default(),
            peers_token: None,
            peers_timeout_ms: 2_000,
            kafka: BusConfig::default(),
            telemetry: TelemetryConfig::default(),
            clock: ClockConfig::default(),
            cities: vec!["sf".to_owned()],
            rides_remembered: 20_000,
        }
    }
}

impl Config {
    /// How the peers are called.
    pub fn client(&self) -> ClientConfig {
        ClientConfig {
            timeout_ms: self.peers_timeout_ms,
            service_token: self.peers_token.clone(),
        }
    }
}

/// The HTTP server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Address and port; port 0 is any free one.
    pub listen: SocketAddr,
    /// Longest body, bytes.
    pub max_body_bytes: usize,
    /// Requests in work at once; more are shed with 503 OVERLOADED.
    pub max_concurrent: usize,
    /// How long a request may take in all, milliseconds.
    pub deadline_ms: u64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            max_body_bytes: 256 * 1024,
            max_concurrent: 1024,
            deadline_ms: 10_000,
        }
    }
}

/// The key that user tokens are checked with.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Ed25519 public key in PEM; usually given as `public_key_file`.
    pub public_key: Secret,
}

/// Requests per user. WebSocket and stream messages do not count.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateConfig {
    /// Requests a second in the long run.
    pub per_second: u32,
    /// Requests at once after a pause.
    pub burst: u32,
}

impl Default for RateConfig {
    fn default() -> Self {
        Self {
            per_second: 50,
            burst: 100,
        }
    }
}

/// A connected app.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionConfig {
    /// Messages that wait for a slow app; one more and it is disconnected.
    pub queue_max: usize,
    /// Sessions of one user; one more ends the oldest.
    pub per_user_max: usize,
    /// Commands of one session in work at once.
    pub commands_max: usize,
    /// Longest message from an app, bytes.
    pub message_max_bytes: usize,
    /// A WebSocket ping each so often, milliseconds.
    pub keepalive_ms: u64,
    /// A session that says nothing (not even pong) this long is closed, milliseconds.
    pub idle_ms: u64,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            queue_max: 256,
            per_user_max: 4,
            commands_max: 8,
            message_max_bytes: 16 * 1024,
            keepalive_ms: 20_000,
            idle_ms: 60_000,
        }
    }
}

impl SessionConfig {
    /// How often a WebSocket is pinged.
    pub fn keepalive(&self) -> Duration {
        Duration::from_millis(self.keepalive_ms)
    }

    /// How long a session may be silent.
    pub fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms)
    }
}

/// Pings to location.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PingConfig {
    /// Pings of a city that wait for location; the oldest make room.
    pub queue_max: usize,
    /// Pings in one batch; location takes at most 1000.
    pub batch_max: usize,
    /// How long a batch is gathered, milliseconds.
    pub linger_ms: u64,
    /// Batches that location has not answered; no more are sent.
    pub in_flight_max: usize,
    /// One in so many pings has a span of its own; 0 for none.
    pub span_one_in: u64,
}

impl Default for PingConfig {
    fn default() -> Self {
        Self {
            queue_max: 20_000,
            batch_max: 1_000,
            linger_ms: 20,
            in_flight_max: 8,
            span_one_in: 100,
        }
    }
}

/// Endpoints of the services behind the door.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeersConfig {
    /// trip
    pub trip: String,
    /// pricing
    pub pricing: String,
    /// location
    pub location: String,
    /// dispatch
    pub dispatch: String,
    /// payment
    pub payment: String,
}

impl Default for PeersConfig {
    fn default() -> Self {
        Self {
            trip: "http://127.0.0.1:7001".to_owned(),
            pricing: "http://127.0.0.1:7002".to_owned(),
            location: "http://127.0.0.1:7003".to_owned(),
            dispatch: "http://127.0.0.1:7004".to_owned(),
            payment: "http://127.0.0.1:7005".to_owned(),
        }
    }
}
