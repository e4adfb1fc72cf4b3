//! The only wiring: connects, binds, hands out parts, serves, ends.
//!
//! Order at the end: sessions are told (close 1001, UNAVAILABLE), both servers drain, tasks stop.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::serve::ListenerExt as _;
use hexcab_bus::{Consumer, topic};
use hexcab_chassis::{BoundServer, Clock, GrpcServer, Readiness, Tasks, token::Verifier};
use hexcab_proto::{
    gateway::v1::driver_app_service_server::DriverAppServiceServer, location::v1::RejectedPing,
};
use hexcab_telemetry::metrics::{Gauge, KeyValue};
use hexcab_types::DriverId;
use tokio::{net::TcpListener, sync::Notify};
use tokio_util::sync::CancellationToken;

use crate::{
    Config,
    events::TripEvents,
    gateway::Gateway,
    grpc::DriverApp,
    http,
    limits::RateLimits,
    peers::Peers,
    pings::PingLanes,
    positions::Positions,
    rides::Rides,
    session::Sessions,
    views::message::{DriverMessage, ErrorView},
};

static SESSIONS: Gauge = Gauge::new(
    "hexcab.gateway.sessions",
    "{session}",
    "open sessions of apps (WebSocket or gRPC), by role",
);

/// How often they are counted.
const COUNT_EVERY: Duration = Duration::from_secs(2);

/// The gateway, bound and connected, serving nothing yet.
pub struct App {
    gateway: Arc<Gateway>,
    server: BoundServer,
    listener: TcpListener,
    http_addr: SocketAddr,
    consumer: Consumer,
    missed: Arc<Notify>,
    tasks: Tasks,
}

impl App {
    /// Binds both ports.
    ///
    /// # Errors
    /// When the key or an endpoint cannot be read, or an address is taken.
    pub async fn build(config: Config, clock: Clock) -> anyhow::Result<Self> {
        let verifier = Verifier::from_pem(config.auth.public_key.expose()).context(
            "auth.public_key (or auth.public_key_file) must be an Ed25519 public key in PEM",
        )?;
        let (readiness, tasks) = (Readiness::new(), Tasks::new());
        let kafka = readiness.component("kafka");
        let gateway = Arc::new(Gateway {
            peers: Peers::new(&config)?,
            limits: RateLimits::new(&config.rate),
            riders: Arc::new(Sessions::new(&config.session)),
            drivers: Arc::new(Sessions::new(&config.session)),
            rides: Rides::new(config.rides_remembered),
            positions: Positions::default(),
            pings: PingLanes::new(&config.cities, &config.pings),
            readiness: readiness.clone(),
            tasks: tasks.clone(),
            verifier,
            clock,
            config,
        });
        let config = &gateway.config;
        let missed = Arc::new(Notify::new());
        let events = Arc::new(TripEvents::new(gateway.clone(), missed.clone()));
        let consumer = Consumer::tail(&config.kafka, "gateway", &[topic::TRIP], events, kafka);
        let listener = TcpListener::bind(config.http.listen)
            .await
            .with_context(|| format!("http.listen {}", config.http.listen))?;
        let http_addr = listener.local_addr()?;
        let server = GrpcServer::new(
            "gateway",
            &config.server,
            readiness,
            hexcab_proto::FILE_DESCRIPTOR_SET,
        )
        .add(DriverAppServiceServer::new(DriverApp(gateway.clone())))
        .bind()
        .await?;
        Ok(Self {
            gateway,
            server,
            listener,
            http_addr,
            consumer,
            missed,
            tasks,
        })
    }

    /// Where driver apps call by gRPC.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// REST and WebSocket.
    pub fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// Serves until the signal, then tells everyone, drains and returns.
    ///
    /// # Errors
    /// When a part failed for good.
    pub async fn run(self, signal: impl Future<Output = ()>) -> anyhow::Result<()> {
        let (gateway, tasks) = (self.gateway, self.tasks);
        let shutdown = tasks.shutdown();
        tracing::info!(addr = %self.http_addr, "serving HTTP");
        tasks.spawn(
            "http",
            serve_http(self.listener, gateway.clone(), shutdown.clone()),
        );
        tasks.spawn(
            "sessions",
            close_sessions(gateway.clone(), shutdown.clone()),
        );
        tasks.spawn("trip-events", self.consumer.run(shutdown.clone()));
        tasks.spawn(
            "snapshots",
            gateway.clone().show_again(self.missed, shutdown.clone()),
        );
        tasks.spawn(
            "positions",
            gateway.clone().tell_positions(shutdown.clone()),
        );
        tasks.spawn(
            "rate-limits",
            keep_limits_small(gateway.clone(), shutdown.clone()),
        );
        for lane in gateway.pings.all() {
            let location = gateway.peers.ping_streams();
            tasks.spawn(
                "pings",
                lane.carry(location, refused_pings(gateway.clone()), shutdown.clone()),
            );
        }
        hexcab_chassis::serve(self.server, tasks, signal).await
    }
}

async fn serve_http(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let drained = shutdown.cancelled_owned();
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
    });
    axum::serve(listener, http::router(gateway))
        .with_graceful_shutdown(drained)
        .await
        .context("serve HTTP")
}

/// Counts the sessions until the end, and closes them.
async fn close_sessions(gateway: Arc<Gateway>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let count = || {
        for (role, many) in [
            ("rider", gateway.riders.count()),
            ("driver", gateway.drivers.count()),
        ] {
            SESSIONS.set(many as f64, &[KeyValue::new("hexcab.role", role)]);
        }
    };
    while shutdown
        .run_until_cancelled(tokio::time::sleep(COUNT_EVERY))
        .await
        .is_some()
    {
        count();
    }
    tokio::join!(gateway.riders.close(), gateway.drivers.close());
    Ok(())
}

async fn keep_limits_small(
    gateway: Arc<Gateway>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    gateway.limits.keep_small(shutdown).await
}

/// A ping that location refused is said to all sessions of its driver.
fn refused_pings(gateway: Arc<Gateway>) -> impl Fn(DriverId, RejectedPing) + Send + Sync {
    move |driver, refused| {
        let error = ErrorView {
            reason: refused.reason,
            detail: refused.detail,
        };
        for session in gateway.drivers.of(driver) {
            session.tell(DriverMessage::Error(error.clone()));
        }
    }
}
