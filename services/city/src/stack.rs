//! A whole city on this machine: Postgres, a broker, a receiver of spans, sign-in, and every service as its own process.
//!
//! Reading order: [`services`] what there is, [`child`] one process, [`database`], [`broker`], [`receiver`], [`sign_in`],
//! [`control`] the launcher's own endpoint, [`folder`] what is on disk, [`ports`] and [`open_files`] what the machine gives.
//! Invariants: a city is up when every service is healthy; nothing is left when it has stopped, also when the launcher is
//! killed (children watch their parent). Does not: link any service, touch their data.

pub mod broker;
pub mod child;
pub mod control;
pub mod database;
pub mod folder;
pub mod health;
pub mod meters;
pub mod open_files;
pub mod ports;
pub mod receiver;
pub mod services;
pub mod sign_in;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use futures::future::join_all;
use hexcab_chassis::{ClockConfig, Tasks};
use hexcab_pg::embedded::Durability;
use parking_lot::Mutex;

use crate::{say, stop::Stop, tally::Tally};
use broker::Broker;
use child::Child;
use database::Database;
use folder::{CityFile, Folder, ServiceEntry};
use health::Probe;
use ports::Ports;
use receiver::Receiver;
use services::{BROKERS_VARIABLE, PortPlan, Service, WantedPorts, Wiring, url};
use sign_in::Issuer;

/// How long services may take to become healthy.
const READY_TIMEOUT: Duration = Duration::from_secs(90);
/// How often they are asked.
const READY_POLL: Duration = Duration::from_millis(50);
/// A service that died this often before it was healthy is not waited for any longer.
const DEATHS_MAX: u32 = 4;
/// How long our own endpoints may take to finish what they are answering.
const ENDPOINTS_STOP: Duration = Duration::from_secs(2);
/// How long Postgres is waited for when all is to end at once.
const DATABASE_HURRY: Duration = Duration::from_secs(2);
/// Lines of a log that an error shows.
const LOG_TAIL_LINES: usize = 15;

/// What city, and how.
#[derive(Debug, Clone)]
pub struct Options {
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
    clock: ClockConfig,
    started: Instant,
    database: Database,
    broker: Mutex<Option<Broker>>,
    receiver: Receiver,
    children: BTreeMap<Service, (Arc<Child>, Probe)>,
    /// Sign-in, control, receiver.
    endpoints: Tasks,
    /// The loops of the children.
    supervisors: Tasks,
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
            Ok(database) => database,
            Err(error) => {
                folder.withdraw().await;
                return Err(error);
            }
        };
        say::step(format_args!("postgres on 127.0.0.1:{}", plan.postgres));
        let stack = Self {
            running: assemble(&options, folder, &binaries, (ports, plan), database).await?,
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

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.running.folder.path()
    }

    /// The traces seen so far.
    pub fn tally(&self) -> Arc<Mutex<Tally>> {
        self.running.receiver.tally()
    }

    /// How often each service was started again.
    pub fn restarts(&self) -> BTreeMap<String, u32> {
        self.running
            .children
            .iter()
            .map(|(service, (child, _))| (service.name().to_owned(), child.life().restarts))
            .collect()
    }

    /// Stops everything, the door first and Postgres last; the services without patience when that is asked for.
    pub async fn stop(self) {
        say::title("hexcab: stopping the city");
        let children = || self.running.children.values().rev();
        let gently = async {
            for (child, _) in children() {
                child.stop().await;
            }
        };
        tokio::select! {
            () = gently => {}
            () = self.stop.hurried() => {
                join_all(children().map(|(child, _)| child.stop_at_once())).await;
            }
        }
        self.running.supervisors.stop(child::STOP_TIMEOUT).await;
        self.running.endpoints.stop(ENDPOINTS_STOP).await;
        let broker = self.running.broker.lock().take();
        drop(broker);
        let hurried = async {
            self.stop.hurried().await;
            tokio::time::sleep(DATABASE_HURRY).await;
        };
        tokio::select! {
            () = self.running.database.stop() => {}
            // It is stopping, and goes with this process at the latest.
            () = hurried => {}
        }
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
    database: Database,
) -> anyhow::Result<Arc<Running>> {
    let endpoints = Tasks::new();
    match prepare(options, &folder, binaries, plan, &database, &endpoints).await {
        Err(error) => {
            endpoints.stop(ENDPOINTS_STOP).await;
            database.stop().await;
            folder.withdraw().await;
            Err(error)
        }
        Ok(Prepared {
            broker,
            receiver,
            children,
            file,
        }) => Ok(Arc::new(Running {
            folder,
            file: Mutex::new(file),
            _ports: ports,
            clock: options.clock,
            started: Instant::now(),
            database,
            broker: Mutex::new(Some(broker)),
            receiver,
            children,
            endpoints,
            supervisors: Tasks::new(),
        })),
    }
}

struct Prepared {
    broker: Broker,
    receiver: Receiver,
    children: BTreeMap<Service, (Arc<Child>, Probe)>,
    file: CityFile,
}

async fn prepare(
    options: &Options,
    folder: &Folder,
    binaries: &Path,
    ports: PortPlan,
    database: &Database,
    endpoints: &Tasks,
) -> anyhow::Result<Prepared> {
    let broker = Broker::start()?;
    say::step(format_args!(
        "kafka (embedded, not durable) on {}",
        broker.bootstrap()
    ));
    let receiver = Receiver::start(ports.otlp, options.otlp.as_deref(), endpoints).await?;
    let user_keys = folder.keys("user")?;
    let issuer = Issuer::new(&std::fs::read_to_string(&user_keys.private)?)?;
    sign_in::serve(ports.sign_in, issuer, endpoints).await?;
    let wiring = Wiring {
        binaries,
        folder,
        ports,
        postgres: database.url().to_owned(),
        brokers: broker.bootstrap().to_owned(),
        otlp: url(ports.otlp),
        clock: options.clock.to_string(),
        city: options.city.clone(),
        data: options.data.clone(),
        user_keys,
        quote_keys: folder.keys("quote")?,
        service_token: folder.secret("service-token", &random_text())?,
        processor_key: folder.secret("processor-key", &format!("sk_test_{}", random_text()))?,
        webhook_secret: folder.secret("webhook-secret", &format!("whsec_{}", random_text()))?,
    };
    let mut children = BTreeMap::new();
    for service in Service::ALL {
        children.insert(
            service,
            (
                Arc::new(Child::new(wiring.spec(service)?)),
                wiring.probe(service),
            ),
        );
    }
    Ok(Prepared {
        file: city_file(&wiring),
        broker,
        receiver,
        children,
    })
}

fn city_file(wiring: &Wiring<'_>) -> CityFile {
    let ports = &wiring.ports;
    let entry = |service| ServiceEntry {
        grpc: ports.url(service),
        pid: None,
    };
    CityFile {
        gateway: url(ports.http),
        gateway_grpc: ports.url(Service::Gateway),
        sign_in: url(ports.sign_in),
        control: url(ports.control),
        postgres: wiring.postgres.clone(),
        brokers: wiring.brokers.clone(),
        otlp: wiring.otlp.clone(),
        clock: wiring.clock.clone(),
        city: wiring.city.clone(),
        pid: std::process::id(),
        services: Service::ALL
            .map(|service| (service.name().to_owned(), entry(service)))
            .into(),
        service_token_file: wiring.service_token.clone(),
    }
}

fn random_text() -> String {
    hex::encode(rand::random::<[u8; 24]>())
}

impl Running {
    /// Starts the services and waits until they are healthy.
    async fn launch(self: &Arc<Self>, begun: Instant) -> anyhow::Result<()> {
        for (child, _) in self.children.values() {
            let child = child.clone();
            self.supervisors.spawn("child", async move {
                child.run().await;
                Ok(())
            });
        }
        say::step(format_args!(
            "{} services: waiting until they are healthy",
            Service::ALL.len()
        ));
        self.until_healthy(&Service::ALL).await?;
        {
            let mut file = self.file.lock();
            for (service, (child, _)) in &self.children {
                if let Some(entry) = file.services.get_mut(service.name()) {
                    entry.pid = child.life().pid;
                }
            }
        }
        let file = self.file.lock().clone();
        control::serve(&file.control, self.clone(), &self.endpoints).await?;
        self.folder.publish(&file)?;
        say::step(format_args!(
            "{} services are healthy ({:.1} s)",
            Service::ALL.len(),
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

    async fn until_healthy(&self, which: &[Service]) -> anyhow::Result<()> {
        let waits = which.iter().filter_map(|service| {
            let (child, probe) = self.children.get(service)?;
            Some(self.until_one_healthy(*service, child, probe))
        });
        join_all(waits).await.into_iter().collect()
    }

    async fn until_one_healthy(
        &self,
        service: Service,
        child: &Child,
        probe: &Probe,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        let deaths_before = child.life().restarts;
        loop {
            let Some(complaint) = health::complaint(probe).await else {
                return Ok(());
            };
            let deaths = child.life().restarts - deaths_before;
            if deaths >= DEATHS_MAX || begun.elapsed() > READY_TIMEOUT {
                let log = self.folder.log(service.name());
                let what = if deaths >= DEATHS_MAX {
                    format!("died {deaths} times")
                } else {
                    complaint
                };
                bail!(
                    "{} is not healthy: {what}; the end of {}:\n{}",
                    service.name(),
                    log.display(),
                    tail(&log)
                );
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// An empty broker in place of the one there is, and the services pointed to it.
    async fn renew_broker(&self) -> anyhow::Result<String> {
        let broker = Broker::start().context("start another broker")?;
        let address = broker.bootstrap().to_owned();
        let before = self.broker.lock().replace(broker);
        drop(before);
        let moved: Vec<Service> = Service::ALL
            .into_iter()
            .filter(|service| *service != Service::Sandbox)
            .collect();
        let restarts = moved
            .iter()
            .filter_map(|service| self.children.get(service))
            .map(|(child, _)| {
                child.set(BROKERS_VARIABLE, &address);
                child.restart()
            });
        join_all(restarts).await;
        let file = {
            let mut file = self.file.lock();
            file.brokers.clone_from(&address);
            file.clone()
        };
        self.folder.publish(&file)?;
        self.until_healthy(&moved).await?;
        Ok(address)
    }

    fn child(&self, name: &str) -> Option<(Service, &Arc<Child>)> {
        self.children
            .iter()
            .find(|(service, _)| service.name() == name)
            .map(|(service, (child, _))| (*service, child))
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
