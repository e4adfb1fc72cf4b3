//! The services of a city: which binary, which port, which configuration. The only place that knows.
//!
//! Invariants: started in the order written here, stopped in reverse; configuration goes by environment, secrets by file;
//! nothing of the launcher's own environment is passed on. Does not: start anything.

use std::path::{Path, PathBuf};

use anyhow::bail;
use serde::{Deserialize, Serialize};

use super::{
    Stores, child::Spec, folder::Folder, health::Probe, keys::Keys, links::Links, node::Node,
    ports::Ports,
};

/// A service of the city. As text it is its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// The payment processor's stand-in.
    Sandbox,
    /// Where drivers are.
    Location,
    /// The life of a trip.
    Trip,
    /// Fares and surge.
    Pricing,
    /// Money.
    Payment,
    /// Who picks up whom.
    Dispatch,
    /// The door.
    Gateway,
}

impl Service {
    /// All, in the order they are started.
    pub const ALL: [Self; 7] = [
        Self::Sandbox,
        Self::Location,
        Self::Trip,
        Self::Pricing,
        Self::Payment,
        Self::Dispatch,
        Self::Gateway,
    ];

    /// Its name: of its log, its health, its place in `city.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Location => "location",
            Self::Trip => "trip",
            Self::Pricing => "pricing",
            Self::Payment => "payment",
            Self::Dispatch => "dispatch",
            Self::Gateway => "gateway",
        }
    }

    /// Its binary.
    pub const fn binary(self) -> &'static str {
        match self {
            Self::Sandbox => "hexcab-payment-sandbox",
            Self::Location => "hexcab-location",
            Self::Trip => "hexcab-trip",
            Self::Pricing => "hexcab-pricing",
            Self::Payment => "hexcab-payment",
            Self::Dispatch => "hexcab-dispatch",
            Self::Gateway => "hexcab-gateway",
        }
    }

    /// The services that it calls.
    pub const fn peers(self) -> &'static [Self] {
        match self {
            Self::Sandbox | Self::Location | Self::Trip | Self::Pricing => &[],
            Self::Payment => &[Self::Sandbox],
            Self::Dispatch => &[Self::Trip, Self::Location],
            Self::Gateway => &[
                Self::Trip,
                Self::Pricing,
                Self::Location,
                Self::Dispatch,
                Self::Payment,
            ],
        }
    }

    /// Its database, if it has one.
    pub const fn database(self) -> Option<&'static str> {
        match self {
            Self::Sandbox | Self::Trip | Self::Pricing | Self::Payment => Some(self.name()),
            Self::Location | Self::Dispatch | Self::Gateway => None,
        }
    }
}

/// Every port of a city.
#[derive(Debug, Clone, Copy)]
pub struct PortPlan {
    services: [u16; Service::ALL.len()],
    /// REST and WebSocket.
    pub http: u16,
    /// `POST /v1/tokens`.
    pub sign_in: u16,
    /// The launcher's control endpoint.
    pub control: u16,
    /// Spans.
    pub otlp: u16,
    /// Postgres.
    pub postgres: u16,
    /// Where payment takes the processor's webhooks.
    pub webhook: u16,
    /// Kafka.
    pub kafka: u16,
    /// Kafka's own quorum, in the local stack.
    pub kafka_controller: u16,
    /// Cassandra, in the local stack.
    pub cassandra: u16,
    /// Where it would be found by other nodes.
    pub cassandra_nodes: u16,
}

/// Ports that somebody asked for.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct WantedPorts {
    /// Port of the gateway's REST API and WebSockets [default: a free one]
    #[arg(long, value_name = "PORT")]
    pub gateway_port: Option<u16>,
    /// Port of the gateway's gRPC API [default: a free one]
    #[arg(long, value_name = "PORT")]
    pub gateway_grpc_port: Option<u16>,
    /// Port of the sign-in endpoint [default: a free one]
    #[arg(long, value_name = "PORT")]
    pub sign_in_port: Option<u16>,
    /// Port of the launcher's control endpoint [default: a free one]
    #[arg(long, value_name = "PORT")]
    pub control_port: Option<u16>,
    /// Port of Postgres [default: a free one]
    #[arg(long, value_name = "PORT")]
    pub postgres_port: Option<u16>,
    /// Port of Kafka [default: a free one]
    #[arg(long, value_name = "PORT")]
    pub kafka_port: Option<u16>,
    /// Port of Cassandra, with --stack local [default: a free one]
    #[arg(long, value_name = "PORT")]
    pub cassandra_port: Option<u16>,
}

impl PortPlan {
    /// Finds a port for everything; `ports` keeps them from other cities.
    ///
    /// # Errors
    /// When a wanted one is taken.
    pub fn find(wanted: WantedPorts, ports: &mut Ports) -> anyhow::Result<Self> {
        // Those asked for first, so that none of them is handed out as a free one.
        let mut asked = |port: Option<u16>| port.map(|port| ports.take(Some(port))).transpose();
        let http = asked(wanted.gateway_port)?;
        let grpc = asked(wanted.gateway_grpc_port)?;
        let sign_in = asked(wanted.sign_in_port)?;
        let control = asked(wanted.control_port)?;
        let postgres = asked(wanted.postgres_port)?;
        let kafka = asked(wanted.kafka_port)?;
        let cassandra = asked(wanted.cassandra_port)?;
        let mut or_free = |port: Option<u16>| port.map_or_else(|| ports.take(None), Ok);
        let mut services = [0; Service::ALL.len()];
        for (service, port) in Service::ALL.into_iter().zip(&mut services) {
            *port = or_free(grpc.filter(|_| service == Service::Gateway))?;
        }
        Ok(Self {
            services,
            http: or_free(http)?,
            sign_in: or_free(sign_in)?,
            control: or_free(control)?,
            otlp: or_free(None)?,
            postgres: or_free(postgres)?,
            webhook: or_free(None)?,
            kafka: or_free(kafka)?,
            kafka_controller: or_free(None)?,
            cassandra: or_free(cassandra)?,
            cassandra_nodes: or_free(None)?,
        })
    }

    /// Where a service is called: gRPC, for the sandbox plain HTTP.
    pub fn url(&self, service: Service) -> String {
        url(self.port(service))
    }

    /// Where a service listens for its peers.
    pub const fn port(&self, service: Service) -> u16 {
        self.services[service as usize]
    }

    fn listen(&self, service: Service) -> String {
        listen(self.port(service))
    }
}

/// `http://127.0.0.1:port`.
pub fn url(port: u16) -> String {
    format!("http://{}", listen(port))
}

/// `127.0.0.1:port`.
pub fn listen(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Everything that services are told.
pub struct Wiring<'a> {
    /// Where their binaries are.
    pub binaries: &'a Path,
    /// The city's folder.
    pub folder: &'a Folder,
    /// Who listens where.
    pub ports: PortPlan,
    /// What stands between them.
    pub links: &'a Links,
    /// Postgres' URL without a database.
    pub postgres: String,
    /// Kafka.
    pub brokers: String,
    /// What all that is.
    pub stores: Stores,
    /// Spans, metrics and log lines.
    pub otlp: String,
    /// Whether anybody wants the lines, which stand in files, too.
    pub lines: bool,
    /// The clock.
    pub clock: String,
    /// Whether it can be stepped, a process at a time.
    pub faults: bool,
    /// The city's id.
    pub city: String,
    /// A data folder, if there is one.
    pub data: Option<PathBuf>,
    /// Keys and secrets.
    pub keys: Keys,
}

/// The binary of the simulator, which is no part of a city.
pub const SIMULATOR: &str = "hexcab-simulator";
/// A step of payment waits for the processor for 2 s and for Postgres for less: a worker that is silent for this long is
/// dead. Shorter than the default, so that a city gets over a killed worker within a minute, with all that follows.
const PAYMENT_LEASE_S: u32 = 20;
/// The sandbox finds at once what it made; the default is for Stripe, which may take a minute.
const SANDBOX_SEARCH_LAG_MS: u32 = 2_000;
/// Our own, which is the embedded stack's broker too.
pub const LAUNCHER: &str = "hexcab";

impl Wiring<'_> {
    /// How a service is asked for its health.
    pub fn probe(&self, service: Service) -> Probe {
        match service {
            Service::Sandbox => Probe::Http(format!("{}/healthz", self.ports.url(service))),
            Service::Location
            | Service::Trip
            | Service::Pricing
            | Service::Payment
            | Service::Dispatch
            | Service::Gateway => Probe::Grpc(self.ports.url(service)),
        }
    }

    /// How a service is run.
    ///
    /// # Errors
    /// When its binary is not there.
    pub fn spec(&self, service: Service) -> anyhow::Result<Spec> {
        let program = binary(self.binaries, service.binary())?;
        let mut environment = Environment::inherited();
        self.common(service, &mut environment);
        self.own(service, &mut environment);
        let (name, log) = (service.name().to_owned(), self.folder.log(service.name()));
        Ok(Spec {
            name,
            program,
            arguments: Vec::new(),
            environment: environment.0,
            log,
        })
    }

    fn common(&self, service: Service, environment: &mut Environment) {
        environment.set("EXIT_WITH_PARENT", std::process::id());
        let listen = if service == Service::Sandbox {
            "LISTEN"
        } else {
            "SERVER__LISTEN"
        };
        environment.set(listen, self.ports.listen(service));
        environment.set("TELEMETRY__OTLP_ENDPOINT", &self.otlp);
        environment.set("TELEMETRY__OTLP_LOGS", self.lines.to_string());
        environment.set("TELEMETRY__LOG_FORMAT", "json");
        // The processor is somebody else, who lives in real time.
        if service != Service::Sandbox {
            environment.set("CLOCK", &self.clock);
        }
        if self.faults {
            environment.set("CLOCK_SKEW", self.folder.clock(service.name()).display());
            let crash_point = self.folder.crash_point(service.name());
            environment.set("CRASH_POINT", crash_point.display());
        }
        if let Some(database) = service.database() {
            environment.set("POSTGRES__URL", self.postgres_of(service, database));
        }
        if service != Service::Sandbox {
            environment.set("KAFKA__BROKERS", &self.brokers);
            environment.set("KAFKA__FETCH_WAIT_MS", fetch_wait_ms(self.stores));
        }
        if !matches!(service, Service::Sandbox | Service::Payment) {
            environment.set("CITIES", format!("[\"{}\"]", self.city));
        }
        let closed = !matches!(service, Service::Sandbox | Service::Gateway);
        if closed {
            environment.set(
                "SERVER__SERVICE_TOKEN_FILE",
                self.keys.service_token.display(),
            );
        }
    }

    fn own(&self, service: Service, environment: &mut Environment) {
        match service {
            Service::Location => match self.stores {
                Stores::Embedded => {}
                Stores::Local => {
                    let own = Node::Service(service);
                    let port = self.links.port(own, Node::Cassandra, self.ports.cassandra);
                    environment.set("STORE__NODES", listen(port));
                }
            },
            Service::Sandbox => {
                environment.set("API_KEY_FILE", self.keys.processor_key.display());
                let (own, payment) = (Node::Service(service), Node::Service(Service::Payment));
                let webhooks = self.links.port(own, payment, self.ports.webhook);
                environment.set("WEBHOOKS__URL", format!("{}/webhooks", url(webhooks)));
                environment.set("WEBHOOKS__SECRET_FILE", self.keys.webhook_secret.display());
            }
            Service::Trip => {
                environment.set("QUOTE_PUBLIC_KEY_FILE", self.keys.quote.public.display())
            }
            Service::Pricing => {
                environment.set("QUOTE_PRIVATE_KEY_FILE", self.keys.quote.private.display());
                self.data(environment);
            }
            Service::Payment => {
                environment.set("PROCESSOR__URL", self.peer(service, Service::Sandbox));
                environment.set("PROCESSOR__API_KEY_FILE", self.keys.processor_key.display());
                environment.set("WEBHOOK__LISTEN", listen(self.ports.webhook));
                environment.set("WEBHOOK__SECRETS_FILE", self.keys.webhook_secret.display());
                environment.set("LEASE_S", PAYMENT_LEASE_S);
                environment.set("SEARCH_LAG_MS", SANDBOX_SEARCH_LAG_MS);
            }
            Service::Dispatch => {
                self.peers(service, environment);
                self.data(environment);
            }
            Service::Gateway => {
                environment.set("HTTP__LISTEN", listen(self.ports.http));
                environment.set("AUTH__PUBLIC_KEY_FILE", self.keys.user.public.display());
                self.peers(service, environment);
            }
        }
    }

    fn peers(&self, service: Service, environment: &mut Environment) {
        environment.set("PEERS_TOKEN_FILE", self.keys.service_token.display());
        for peer in service.peers() {
            environment.set(
                &format!("PEERS__{}", peer.name().to_uppercase()),
                self.peer(service, *peer),
            );
        }
    }

    /// Where a service finds another.
    fn peer(&self, from: Service, to: Service) -> String {
        let (own, direct) = (Node::Service(from), self.ports.port(to));
        url(self.links.port(own, Node::Service(to), direct))
    }

    /// Where a service finds its database.
    fn postgres_of(&self, service: Service, database: &str) -> String {
        let direct = self.ports.postgres;
        let port = self
            .links
            .port(Node::Service(service), Node::Postgres, direct);
        let server = self.postgres.replace(&listen(direct), &listen(port));
        format!("{server}{database}")
    }

    fn data(&self, environment: &mut Environment) {
        if let Some(data) = &self.data {
            environment.set("DATA", data.display());
        }
    }
}

/// How long Kafka may wait for events before it answers that there are none. The embedded one always waits in full, the
/// real one no longer than until the first event.
const fn fetch_wait_ms(stores: Stores) -> u32 {
    match stores {
        Stores::Embedded => 10,
        Stores::Local => 500,
    }
}

/// A clean environment: what programs need, and `HEXCAB_*`.
pub struct Environment(Vec<(String, String)>);

impl From<Environment> for Vec<(String, String)> {
    fn from(environment: Environment) -> Self {
        environment.0
    }
}

impl Environment {
    /// Only what programs need, of what this process has.
    pub fn inherited() -> Self {
        let kept = [
            "PATH",
            "HOME",
            "LANG",
            "TMPDIR",
            "TZ",
            "RUST_BACKTRACE",
            "RUST_LIB_BACKTRACE",
        ];
        let kept = kept.iter().filter_map(|name| {
            let value = std::env::var_os(name)?.into_string().ok()?;
            Some(((*name).to_owned(), value))
        });
        Self(kept.collect())
    }

    /// Sets `HEXCAB_<key>`.
    pub fn set(&mut self, key: &str, value: impl std::fmt::Display) {
        self.0.push((format!("HEXCAB_{key}"), value.to_string()));
    }
}

/// The path of a binary of ours.
///
/// # Errors
/// When it is not there: where it was looked for, and how to build it.
pub fn binary(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    if !path.is_file() {
        let package = if name == Service::Sandbox.binary() {
            "hexcab-payment"
        } else {
            name
        };
        bail!(
            "{name} is not in {}; build it with `cargo build -p {package}`",
            folder.display()
        );
    }
    Ok(path)
}

/// Where the binaries of this build are: next to this one.
///
/// # Errors
/// When the system does not say where this one is.
pub fn binaries() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?.canonicalize()?;
    let folder = own.parent().unwrap_or(Path::new("/"));
    // Tests run in target/debug/deps, one below.
    let folder = if folder.ends_with("deps") {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    Ok(folder.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_port_of_a_city_is_another() {
        let plan = PortPlan::find(WantedPorts::default(), &mut Ports::default()).unwrap();
        let rest = [
            plan.http,
            plan.sign_in,
            plan.control,
            plan.otlp,
            plan.postgres,
            plan.webhook,
            plan.kafka,
            plan.kafka_controller,
            plan.cassandra,
            plan.cassandra_nodes,
        ];
        let all: BTreeSet<u16> = plan.services.into_iter().chain(rest).collect();
        assert_eq!(all.len(), Service::ALL.len() + rest.len());
    }

    #[test]
    fn a_wanted_port_is_the_one_that_is_used() {
        let free = Ports::default().take(None).unwrap();
        let wanted = WantedPorts {
            gateway_grpc_port: Some(free),
            ..WantedPorts::default()
        };
        assert_eq!(
            PortPlan::find(wanted, &mut Ports::default())
                .unwrap()
                .url(Service::Gateway),
            url(free)
        );
    }

    #[test]
    fn a_missing_binary_says_how_to_build_it() {
        let error = binary(Path::new("/nowhere"), Service::Sandbox.binary())
            .unwrap_err()
            .to_string();
        assert!(error.contains("cargo build -p hexcab-payment`"), "{error}");
    }
}
