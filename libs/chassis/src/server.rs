//! A gRPC server with what every service of ours has: health (whole and per service), reflection (v1 and v1alpha),
//! and the [`gate`] that every call passes.

mod gate;

pub(crate) use gate::code_name;

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{
    body::Body,
    server::NamedService,
    service::{Routes, RoutesBuilder},
    transport::server::TcpIncoming,
};
use tonic_health::ServingStatus;
use tower::Service;

use crate::{Readiness, Secret};

/// HTTP/2 keepalive: a ping each so often …
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// … answered within this, or the connection is closed.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a server listens and how much it takes on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Address and port; port 0 is any free one.
    pub listen: SocketAddr,
    /// Calls in work at once; more are shed with RESOURCE_EXHAUSTED.
    pub max_concurrent_calls: usize,
    /// What callers must show as `authorization: Bearer …`; none is asked for when unset.
    pub service_token: Option<Secret>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            max_concurrent_calls: 1024,
            service_token: None,
        }
    }
}

/// A server that is being put together.
pub struct GrpcServer {
    service: &'static str,
    config: ServerConfig,
    readiness: Readiness,
    routes: RoutesBuilder,
    names: Vec<&'static str>,
    quiet: Vec<&'static str>,
    beside: Vec<(&'static str, Readiness)>,
    descriptors: &'static [u8],
}

impl GrpcServer {
    /// A server of the service `service` with no services on it yet. `descriptors` is `hexcab_proto::FILE_DESCRIPTOR_SET`.
    pub fn new(
        service: &'static str,
        config: &ServerConfig,
        readiness: Readiness,
        descriptors: &'static [u8],
    ) -> Self {
        Self {
            service,
            config: config.clone(),
            readiness,
            routes: RoutesBuilder::default(),
            names: Vec::new(),
            quiet: Vec::new(),
            beside: Vec::new(),
            descriptors,
        }
    }

    /// Adds a gRPC service, with its own health status.
    #[expect(
        clippy::should_implement_trait,
        reason = "adds a service, as tonic's builder does; nobody sums servers"
    )]
    pub fn add<S>(mut self, service: S) -> Self
    where
        S: Service<
                http::Request<Body>,
                Response = http::Response<Body>,
                Error = std::convert::Infallible,
            >,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.routes.add_service(service);
        self
    }

    /// Calls of this method get a span only when the caller brought a trace: for what is called all the time.
    pub fn quiet(mut self, method: &'static str) -> Self {
        self.quiet.push(method);
        self
    }

    /// One more name that the health service knows, with a readiness of its own: for what the server can do without, so
    /// that it is seen to be degraded while it serves.
    pub fn beside(mut self, name: &'static str, readiness: Readiness) -> Self {
        self.beside.push((name, readiness));
        self
    }

    /// Binds the port; nothing is served yet.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn bind(mut self) -> anyhow::Result<BoundServer> {
        let listener = TcpListener::bind(self.config.listen)
            .await
            .with_context(|| format!("server.listen {}", self.config.listen))?;
        let (reporter, health) = tonic_health::server::health_reporter();
        let mut names: Vec<&'static str> = vec![""];
        names.append(&mut self.names);
        set_health(&reporter, &names, ServingStatus::NotServing).await;
        let reflect = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(self.descriptors)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                // So that grpcurl can print ErrorInfo.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };
        self.routes.add_service(health);
        self.routes
            .add_service(reflect().build_v1().context("reflection v1")?);
        self.routes
            .add_service(reflect().build_v1alpha().context("reflection v1alpha")?);
        let gate = gate::GateLayer::new(self.service, &self.config, self.quiet);
        Ok(BoundServer {
            service: self.service,
            addr: listener.local_addr()?,
            listener,
            routes: self.routes.routes(),
            gate,
            reporter,
            names,
            readiness: self.readiness,
            beside: self.beside,
        })
    }
}

/// A server that has its port.
pub struct BoundServer {
    service: &'static str,
    addr: SocketAddr,
    listener: TcpListener,
    routes: Routes,
    gate: gate::GateLayer,
    reporter: tonic_health::server::HealthReporter,
    names: Vec<&'static str>,
    readiness: Readiness,
    beside: Vec<(&'static str, Readiness)>,
}

impl BoundServer {
    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn service(&self) -> &'static str {
        self.service
    }

    /// Serves until `stop`, then NOT_SERVING and drain.
    pub(crate) async fn serve(self, stop: CancellationToken) -> anyhow::Result<()> {
        let incoming = incoming(self.listener);
        let own = std::iter::once((self.names, self.readiness));
        let beside = self.beside.into_iter().map(|(name, of)| (vec![name], of));
        let reporting = own
            .chain(beside)
            .map(|(names, of)| report(self.reporter.clone(), names, of, stop.clone()));
        let reporting = futures::future::join_all(reporting);
        let serving = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .layer(self.gate)
            .add_routes(self.routes)
            .serve_with_incoming_shutdown(incoming, stop.cancelled_owned());
        let (_, served) = tokio::join!(reporting, serving);
        served.context("serve gRPC")
    }
}

/// The connections. Without TCP_NODELAY every answer waits 40 ms for an ACK; the builder's own `tcp_nodelay` is for sockets
/// that it binds itself.
fn incoming(listener: TcpListener) -> TcpIncoming {
    TcpIncoming::from(listener).with_nodelay(Some(true))
}

/// Keeps the health service saying what readiness says, until `stop`.
async fn report(
    reporter: tonic_health::server::HealthReporter,
    names: Vec<&'static str>,
    readiness: Readiness,
    stop: CancellationToken,
) {
    let mut changes = readiness.changes();
    loop {
        changes.mark_unchanged();
        let status = if readiness.is_ready() {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        set_health(&reporter, &names, status).await;
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { break },
            () = stop.cancelled() => break,
        }
    }
    set_health(&reporter, &names, ServingStatus::NotServing).await;
}

async fn set_health(
    reporter: &tonic_health::server::HealthReporter,
    names: &[&'static str],
    status: ServingStatus,
) {
    for name in names {
        reporter.set_service_status(*name, status).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn an_answer_does_not_wait_for_an_acknowledgement() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (_client, accepted) = tokio::join!(TcpStream::connect(addr), async {
            incoming(listener).next().await.unwrap().unwrap()
        });
        assert!(accepted.nodelay().unwrap());
    }
}
