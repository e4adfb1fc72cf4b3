//! A whole city on this machine: Postgres, Kafka, a receiver of spans, sign-in, and every service as its own process.
//!
//! Reading order: [`services`] what there is, [`process`] what each is to us, [`child`] one that we start, the stores
//! [`database`], [`kafka`] (our own [`broker`], or the real one) and [`cassandra`], [`receiver`], [`sign_in`], [`control`] the
//! launcher's own endpoint, [`folder`] and [`keys`] what is on disk, [`ports`] and [`open_files`] what the machine gives.
//! Invariants: stores are up before the services that stand on them, and go after them; a city is up when every one is
//! healthy; nothing is left when it has stopped, also when the launcher is killed. Does not: link any service, touch
//! their data.

pub mod broker;
pub mod cassandra;
pub mod child;
pub mod control;
pub mod database;
pub mod folder;
mod harm;
pub mod health;
pub mod kafka;
pub mod keys;
pub mod links;
pub mod meters;
pub mod node;
pub mod open_files;
pub mod ports;
pub mod process;
pub mod receiver;
pub mod services;
pub mod sign_in;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::bail;
use futures::future::join_all;
use hexcab_chassis::{ClockConfig, Tasks};
use hexcab_pg::embedded::Durability;
use parking_lot::Mutex;

use crate::{say, stop::Stop, tally::Tally};
use cassandra::Cassandra;
use child::Child;
use database::Database;
use folder::{CityFile, Folder, ServiceEntry, StoreEntry};
use health::Probe;
use kafka::{Kafka, Topics};
use links::Links;
use node::Node;
use ports::Ports;
use process::Process;
use receiver::Receiver;
use services::{PortPlan, Service, WantedPorts, Wiring, listen, url};
use sign_in::Issuer;

/// How long a store or a service may take to become healthy. Cassandra takes 10 s, and minutes on a machine with much else to do.
const READY_TIMEOUT: Duration = Duration::from_secs(180);
/// How often they are asked.
const READY_POLL: Duration = Duration::from_millis(50);
/// A service that died this often before it was healthy is not waited for any longer.
const DEATHS_MAX: u32 = 4;
/// How long our own endpoints may take to finish what they are answering.
const ENDPOINTS_STOP: Duration = Duration::from_secs(2);
/// Lines of a log that an error shows.
const LOG_TAIL_LINES: usize = 15;

/// What the services stand on. Postgres is the same in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Stores {
    /// Nothing to install: a broker of our own with Kafka's protocol, empty at each start
    #[default]
    Embedded,
    /// As in production, on this machine: Apache Kafka and Apache Cassandra (`./dev setup local`)
    Local,
}

impl Stores {
    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Local => "local",
        }
    }
}

/// What the local stack runs on beside Postgres, as found on this machine.
#[derive(Debug, Clone)]
pub struct Programs {
    kafka: kafka::local::Installed,
    cassandra: cassandra::Installed,
}

impl Programs {
    /// Looks for them.
    ///
    /// # Errors
    /// When something is missing: what, and what to do.
    pub fn find() -> anyhow::Result<Self> {
        Ok(Self {
            kafka: kafka::local::Installed::find()?,
            cassandra: cassandra::Installed::find()?,
        })
    }

    /// Reads every jar and compares it; says where they are. Blocks.
    ///
    /// # Errors
    /// When one is another than it should be: which.
    pub fn check(&self) -> anyhow::Result<String> {
        let each = [self.kafka.jars(), self.cassandra.jars()].map(|jars| {
            jars.check()?;
            anyhow::Ok(format!(
                "{} whole in {}",
                jars.name(),
                jars.folder().display()
            ))
        });
        let said: anyhow::Result<Vec<String>> = each.into_iter().collect();
        Ok(said?.join(", "))
    }
}

/// What city, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// What it stands on.
    pub stores: Stores,
    /// Its folder; a temporary one when `None`.
    pub dir: Option<PathBuf>,
    /// Ports that somebody asked for.
    pub ports: WantedPorts,
    /// A collector that gets all spans too.
    pub otlp: Option<String>,
    /// The clock of all.
    pub clock: ClockConfig,
    /// The city's id, or its folder.
    pub city: String,
    /// Its data folder.
    pub data: Option<PathBuf>,
    /// What a commit promises.
    pub durability: Durability,
    /// Whether connections can be disturbed and clocks stepped: for chaos runs.
    pub faults: bool,
}

/// A city that is up.
pub struct Stack {
    running: Arc<Running>,
    stop: Stop,
}

/// What is shared with the control endpoint.
pub struct Running {
    folder: Folder,
    file: Mutex<CityFile>,
    /// Held for as long as it lives.
    _ports: Ports,
    stores: Stores,
    clock: ClockConfig,
    started: Instant,
    links: Links,
    receiver: Receiver,
    backing: Backing,
    /// The stores and the services, in the order they are started.
    members: Vec<Member>,
    /// The services' processes, to be started.
    services: Vec<Arc<Child>>,
    /// Sign-in, control, receiver.
    endpoints: Tasks,
    /// The loops of the children.
    supervisors: Tasks,
}

/// A store or a service of the city.
struct Member {
    name: &'static str,
    process: Arc<dyn Process>,
    probe: Probe,
    log: PathBuf,
}

impl Stack {
    /// Starts a city and waits until all of it is healthy. When that fails, or `stop` comes first, nothing is left.
    ///
    /// # Errors
    /// What is missing, or which service does not come up, with the end of its log.
    pub async fn start(options: Options, stop: &Stop) -> anyhow::Result<Self> {
        let begun = Instant::now();
        open_files::allow_many();
        say::title(format_args!("hexcab: starting the city {}", options.city));
        let programs = match options.stores {
            Stores::Embedded => None,
            Stores::Local => Some(Programs::find()?),
        };
        let folder = Folder::open(options.dir.as_deref())?;
        let binaries = services::binaries()?;
        for service in Service::ALL {
            services::binary(&binaries, service.binary())?;
        }
        let mut ports = Ports::default();
        let plan = PortPlan::find(options.ports, &mut ports)?;
        say::step("postgres: making it ready");
        let home = folder.path().join("postgres");
        let started = Database::start(home, plan.postgres, options.durability, stop).await;
        let database = match started {
            Ok(database) => Arc::new(database),
            Err(error) => {
                folder.withdraw().await;
                return Err(error);
            }
        };
        say::step(format_args!("postgres on 127.0.0.1:{}", plan.postgres));
        let stack = Self {
            running: assemble(
                &options,
                folder,
                &binaries,
                (ports, plan),
                (database, programs),
            )
            .await?,
            stop: stop.clone(),
        };
        match stop.or("it was up", stack.running.launch(begun)).await {
            Ok(()) => Ok(stack),
            Err(error) => {
                stack.stop().await;
                Err(error)
            }
        }
    }

    /// Where everything is.
    pub fn file(&self) -> CityFile {
        self.running.file.lock().clone()
    }

    /// Its folder stays when it has stopped.
    pub fn keep_folder(&self) {
        self.running.folder.keep();
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.running.folder.path()
    }

    /// The traces seen so far.
    pub fn tally(&self) -> Arc<Mutex<Tally>> {
        self.running.receiver.tally()
    }

    /// How often each store and service was started again.
    pub fn restarts(&self) -> BTreeMap<String, u32> {
        let members = self.running.members.iter();
        members
            .map(|member| (member.name.to_owned(), member.process.life().restarts))
            .collect()
    }

    /// Stops everything, the door first and Postgres last; without patience when that is asked for.
    pub async fn stop(self) {
        say::title("hexcab: stopping the city");
        let members = || self.running.members.iter().rev();
        let gently = async {
            for member in members() {
                member.process.stop().await;
            }
        };
        tokio::select! {
            () = gently => {}
            () = self.stop.hurried() => {
                join_all(members().map(|member| member.process.stop_at_once())).await;
            }
        }
        self.running.supervisors.stop(child::STOP_TIMEOUT).await;
        self.running.endpoints.stop(ENDPOINTS_STOP).await;
        self.running.folder.withdraw().await;
        if !self.running.folder.is_temporary() {
            say::step(format_args!(
                "its data and logs are in {}",
                self.dir().display()
            ));
        }
    }
}

/// Everything but the services' processes. When something is missing, nothing is left.
async fn assemble(
    options: &Options,
    folder: Folder,
    binaries: &Path,
    (ports, plan): (Ports, PortPlan),
    (database, programs): (Arc<Database>, Option<Programs>),
) -> anyhow::Result<Arc<Running>> {
    let (endpoints, supervisors) = (Tasks::new(), Tasks::new());
    let made = children(programs.as_ref(), &folder, binaries, &plan, &database);
    let backing = match made {
        Ok(children) => Backing::begin(database, children, &folder, &plan, &supervisors),
        Err(error) => {
            database.stop().await;
            folder.withdraw().await;
            return Err(error);
        }
    };
    match prepare(options, &folder, binaries, plan, &backing, &endpoints).await {
        Err(error) => {
            endpoints.stop(ENDPOINTS_STOP).await;
            backing.stop().await;
            folder.withdraw().await;
            Err(error)
        }
        Ok(Prepared {
            links,
            receiver,
            members,
            services,
            file,
        }) => Ok(Arc::new(Running {
            folder,
            file: Mutex::new(file),
            _ports: ports,
            stores: options.stores,
            clock: options.clock,
            started: Instant::now(),
            links,
            receiver,
            backing,
            members,
            services,
            endpoints,
            supervisors,
        })),
    }
}

/// What services stand on beside Postgres, not started yet.
struct Children {
    kafka: (Child, Topics),
    cassandra: Option<Child>,
}

fn children(
    programs: Option<&Programs>,
    folder: &Folder,
    binaries: &Path,
    ports: &PortPlan,
    database: &Database,
) -> anyhow::Result<Children> {
    let log = folder.log(kafka::NAME);
    let Some(Programs { kafka, cassandra }) = programs else {
        let child = kafka::embedded::child(binaries, ports.kafka, database.url(), &log)?;
        return Ok(Children {
            kafka: (child, Topics::Own),
            cassandra: None,
        });
    };
    say::step(format_args!(
        "{}, {}: starting them",
        kafka.name(),
        cassandra.name()
    ));
    let kafka_ports = kafka::local::Ports {
        clients: ports.kafka,
        controller: ports.kafka_controller,
    };
    let home = folder.path().join(kafka::NAME);
    Ok(Children {
        kafka: (kafka.child(&home, kafka_ports, &log)?, Topics::Made),
        cassandra: Some(cassandra::child(cassandra, folder, ports)?),
    })
}

/// What the services stand on, running.
struct Backing {
    database: Arc<Database>,
    kafka: Kafka,
    /// In the local stack.
    cassandra: Option<Cassandra>,
}

impl Backing {
    fn begin(
        database: Arc<Database>,
        Children { kafka, cassandra }: Children,
        folder: &Folder,
        ports: &PortPlan,
        tasks: &Tasks,
    ) -> Self {
        let log = folder.log(kafka::NAME);
        Self {
            database,
            kafka: Kafka::begin(kafka, listen(ports.kafka), log, tasks),
            cassandra: cassandra.map(|child| {
                let log = folder.log(cassandra::NAME);
                Cassandra::begin(child, listen(ports.cassandra), log, tasks)
            }),
        }
    }

    fn members(&self) -> Vec<Member> {
        let mut members = vec![
            Member {
                name: database::NAME,
                process: self.database.clone(),
                probe: Probe::Postgres(format!("{}postgres", self.database.url())),
                log: self.database.log(),
            },
            Member {
                name: kafka::NAME,
                process: self.kafka.child(),
                probe: self.kafka.probe(),
                log: self.kafka.log(),
            },
        ];
        members.extend(self.cassandra.as_ref().map(|cassandra| Member {
            name: cassandra::NAME,
            process: cassandra.child(),
            probe: cassandra.probe(),
            log: cassandra.log(),
        }));
        members
    }

    async fn stop(&self) {
        for member in self.members().iter().rev() {
            member.process.stop().await;
        }
    }
}

struct Prepared {
    links: Links,
    receiver: Receiver,
    members: Vec<Member>,
    services: Vec<Arc<Child>>,
    file: CityFile,
}

async fn prepare(
    options: &Options,
    folder: &Folder,
    binaries: &Path,
    ports: PortPlan,
    backing: &Backing,
    endpoints: &Tasks,
) -> anyhow::Result<Prepared> {
    let receiver = Receiver::start(ports.otlp, options.otlp.as_deref(), endpoints).await?;
    let keys = folder.keys()?;
    let issuer = Issuer::new(&std::fs::read_to_string(&keys.user.private)?)?;
    sign_in::serve(loopback(ports.sign_in), issuer, endpoints).await?;
    let links = if options.faults {
        Links::start(options.stores, &ports).await?
    } else {
        Links::default()
    };
    let wiring = Wiring {
        binaries,
        folder,
        ports,
        links: &links,
        postgres: backing.database.url().to_owned(),
        brokers: backing.kafka.bootstrap().to_owned(),
        stores: options.stores,
        otlp: url(ports.otlp),
        lines: options.otlp.is_some(),
        clock: options.clock.to_string(),
        faults: options.faults,
        city: options.city.clone(),
        data: options.data.clone(),
        keys,
    };
    let mut members = backing.members();
    let stores = members.iter();
    let stores = stores.map(|store| (store.name.to_owned(), StoreEntry { pid: None }));
    let file = city_file(&wiring, stores.collect());
    let mut services = Vec::new();
    for service in Service::ALL {
        let child = Arc::new(Child::new(wiring.spec(service)?));
        services.push(child.clone());
        members.push(Member {
            name: service.name(),
            process: child,
            probe: wiring.probe(service),
            log: folder.log(service.name()),
        });
    }
    Ok(Prepared {
        file,
        links,
        receiver,
        members,
        services,
    })
}

fn city_file(wiring: &Wiring<'_>, stores: BTreeMap<String, StoreEntry>) -> CityFile {
    let ports = &wiring.ports;
    let entry = |service| ServiceEntry {
        grpc: ports.url(service),
        pid: None,
    };
    CityFile {
        gateway: url(wiring
            .links
            .port(Node::Clients, Node::Service(Service::Gateway), ports.http)),
        gateway_grpc: ports.url(Service::Gateway),
        sign_in: url(ports.sign_in),
        control: url(ports.control),
        postgres: wiring.postgres.clone(),
        brokers: wiring.brokers.clone(),
        otlp: wiring.otlp.clone(),
        clock: wiring.clock.clone(),
        city: wiring.city.clone(),
        pid: std::process::id(),
        stack: wiring.stores.name().to_owned(),
        stores,
        services: Service::ALL
            .map(|service| (service.name().to_owned(), entry(service)))
            .into(),
        service_token_file: wiring.keys.service_token.clone(),
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

impl Running {
    /// Waits for the stores, starts the services and waits until they are healthy.
    async fn launch(self: &Arc<Self>, begun: Instant) -> anyhow::Result<()> {
        let (stores, services) = self
            .members
            .split_at(self.members.len() - Service::ALL.len());
        self.until_healthy(stores).await?;
        let Backing {
            kafka, cassandra, ..
        } = &self.backing;
        kafka.make_topics().await?;
        say::step(format_args!("kafka on {}", kafka.bootstrap()));
        if let Some(cassandra) = cassandra {
            say::step(format_args!("cassandra on {}", cassandra.address()));
        }
        for child in &self.services {
            let child = child.clone();
            self.supervisors.spawn("child", async move {
                child.run().await;
                Ok(())
            });
        }
        say::step(format_args!(
            "{} services: waiting until they are healthy",
            services.len()
        ));
        self.until_healthy(services).await?;
        let file = self.note_processes();
        control::serve(&file.control, self.clone(), &self.endpoints).await?;
        self.folder.publish(&file)?;
        say::step(format_args!(
            "{} services are healthy ({:.1} s)",
            services.len(),
            begun.elapsed().as_secs_f64()
        ));
        say::step(format_args!(
            "gateway {}   gRPC {}   sign-in {}",
            file.gateway, file.gateway_grpc, file.sign_in
        ));
        say::step(format_args!(
            "folder {}   logs in logs/",
            self.folder.path().display()
        ));
        Ok(())
    }

    fn note_processes(&self) -> CityFile {
        let mut file = self.file.lock();
        for member in &self.members {
            let pid = member.process.life().pid;
            if let Some(entry) = file.services.get_mut(member.name) {
                entry.pid = pid;
            }
            if let Some(entry) = file.stores.get_mut(member.name) {
                entry.pid = pid;
            }
        }
        file.clone()
    }

    async fn until_healthy(&self, which: &[Member]) -> anyhow::Result<()> {
        let waits = which.iter().map(until_one_healthy);
        join_all(waits).await.into_iter().collect()
    }

    fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }
}

async fn until_one_healthy(member: &Member) -> anyhow::Result<()> {
    let (begun, name) = (Instant::now(), member.name);
    let deaths_before = member.process.life().restarts;
    loop {
        let Some(complaint) = health::complaint(&member.probe).await else {
            return Ok(());
        };
        let deaths = member.process.life().restarts - deaths_before;
        if deaths >= DEATHS_MAX || begun.elapsed() > READY_TIMEOUT {
            let what = if deaths >= DEATHS_MAX {
                format!("died {deaths} times")
            } else {
                complaint
            };
            bail!(
                "{name} is not healthy: {what}; the end of {}:\n{}",
                member.log.display(),
                tail(&member.log)
            );
        }
        tokio::time::sleep(READY_POLL).await;
    }
}

/// The end of a log.
pub fn tail(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return "(empty)".to_owned();
    }
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}
