//! The only wiring: database, processor, consumer, workers, relay, gRPC.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use hexcab_bus::{Consumer, Relay, topic};
use hexcab_chassis::{BoundServer, Clock, Component, GrpcServer, Readiness, Tasks};
use hexcab_pg::{Pg, PgConfig};
use hexcab_proto::{
    FILE_DESCRIPTOR_SET,
    payment::v1::{
        payment_service_server::PaymentServiceServer,
        reconciliation_service_server::ReconciliationServiceServer,
    },
};
use tokio::sync::Notify;

use crate::{
    config::Config,
    consumer::TripListener,
    grpc::Payments,
    processor::{Processor, http::HttpProcessor},
    reconciler::{Reconciler, grpc::Reconciliations},
    store::{CONSUMER, Store},
    webhook::{Follower, Hints, Ingress},
    worker::{self, Worker},
};

/// The service's tables.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Events of different trips that are noted at once: what they cost is the way to Postgres and back, eight times.
const EVENTS_AT_ONCE: usize = 4;
/// Connections of the owner of the tables: the relay's.
const OWNER_CONNECTIONS: u32 = 3;

/// Brings the database up to date, as the owner of its tables: the ledger, which makes the service's role; the service's
/// own, which say what it may do; outbox and inbox.
///
/// # Errors
/// Which of them failed.
pub async fn migrate(owner: &Pg) -> anyhow::Result<()> {
    hexcab_ledger::migrate(owner)
        .await
        .context("migrate the ledger")?;
    owner
        .migrate(&MIGRATOR)
        .await
        .context("migrate payment's database")?;
    hexcab_bus::migrate(owner)
        .await
        .context("migrate outbox and inbox")
}

/// What `hexcab-payment migrate` does.
///
/// # Errors
/// When the server does not come, or a schema cannot be applied.
pub async fn migrate_database(config: &Config) -> anyhow::Result<()> {
    let owner = Pg::connect_to_migrate(&config.postgres, "payment").await;
    migrate(&owner.context("connect to Postgres")?).await
}

/// The database as its owner sees it, up to date: brought so here, or by somebody else, who is waited for.
async fn database(owner: &PgConfig) -> anyhow::Result<Pg> {
    if !owner.migrate_at_start {
        let (ledger, bus) = (hexcab_ledger::migrator(), hexcab_bus::migrator());
        let pg = Pg::connect_migrated(owner, "payment", &[&ledger, &MIGRATOR, &bus]).await;
        return pg.context("connect to Postgres");
    }
    let pg = Pg::connect(owner, "payment")
        .await
        .context("connect to Postgres")?;
    migrate(&pg).await?;
    Ok(pg)
}

/// A service that has its port and its database, and serves nothing yet.
pub struct App {
    server: BoundServer,
    /// As the owner of the tables, and as the service's role.
    postgres: [(Pg, Component); 2],
    consumer: Consumer,
    relay: Relay,
    worker: Worker,
    workers: u32,
    wake: Arc<Notify>,
    poll: Duration,
    ingress: Option<Ingress>,
    follower: Follower,
    followers: u32,
    reconciler: Reconciler,
    tasks: Tasks,
}

impl App {
    /// Connects, migrates or waits until that was done, and binds.
    ///
    /// # Errors
    /// When something that is needed is not there: which.
    pub async fn build(config: Config, clock: Clock) -> anyhow::Result<Self> {
        let owner = PgConfig {
            max_connections: OWNER_CONNECTIONS,
            ..config.postgres.clone()
        };
        let owner = database(&owner).await?;
        // What moves money has no right to change what was entered.
        let pg = Pg::connect_as(&config.postgres, "payment", hexcab_ledger::ROLE)
            .await
            .context("connect to Postgres as the service's role")?;
        let processor: Arc<dyn Processor> = Arc::new(HttpProcessor::new(&config.processor)?);
        let store = Store::new(pg.clone(), clock.clone(), config.rules());
        let reconciler = Reconciler::new(
            pg.clone(),
            store.clone(),
            processor.clone(),
            &config.reconciler,
            clock,
        );
        let (readiness, wake) = (Readiness::new(), Arc::new(Notify::new()));
        let tasks = Tasks::new();
        let listener = Arc::new(TripListener::new(store.clone(), wake.clone()));
        let component = readiness.component("kafka");
        let consumer = Consumer::new(&config.kafka, CONSUMER, &[topic::TRIP], listener, component)
            .at_once(EVENTS_AT_ONCE);
        let server = GrpcServer::new(
            "payment",
            &config.server,
            readiness.clone(),
            FILE_DESCRIPTOR_SET,
        )
        .add(PaymentServiceServer::new(Payments::new(store.clone())))
        .add(ReconciliationServiceServer::new(Reconciliations::new(
            reconciler.clone(),
            tasks.clone(),
        )))
        .bind()
        .await?;
        let (hints, heard) = (Hints::new(pg.clone()), Arc::new(Notify::new()));
        // Signatures live in real time, whatever the city's clock says.
        let real = Clock::system();
        let ingress = Ingress::bind(&config.webhook, real, hints.clone(), heard.clone()).await?;
        let follower = Follower::new(
            hints,
            store.clone(),
            processor.clone(),
            reconciler.clone(),
            heard,
            wake.clone(),
        );
        Ok(Self {
            server,
            postgres: [
                (owner.clone(), readiness.component("postgres (owner)")),
                (pg, readiness.component("postgres")),
            ],
            relay: Relay::new(owner, &config.kafka),
            consumer,
            worker: Worker::new(
                store,
                processor,
                wake.clone(),
                Duration::from_millis(config.search_lag_ms),
            ),
            workers: config.workers,
            wake,
            poll: Duration::from_millis(config.poll_ms),
            ingress,
            follower,
            followers: config.webhook.followers,
            reconciler,
            tasks,
        })
    }

    /// The address of its gRPC API.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Where it takes webhooks, if it does.
    pub fn webhook_addr(&self) -> Option<SocketAddr> {
        self.ingress.as_ref().map(Ingress::addr)
    }

    /// Serves, consumes, works and relays until the signal; drains; returns.
    ///
    /// # Errors
    /// When a part of it failed.
    pub async fn run(self, signal: impl Future<Output = ()>) -> anyhow::Result<()> {
        let tasks = self.tasks;
        for (pg, component) in self.postgres {
            tasks.spawn("postgres", pg.watch(component, tasks.shutdown()));
        }
        tasks.spawn("consumer", self.consumer.run(tasks.shutdown()));
        tasks.spawn("relay", self.relay.run(tasks.shutdown()));
        tasks.spawn("poll", worker::poll(self.wake, self.poll, tasks.shutdown()));
        for _ in 0..self.workers {
            tasks.spawn("worker", self.worker.clone().run(tasks.shutdown()));
        }
        for _ in 0..self.followers {
            tasks.spawn("hints", self.follower.clone().run(tasks.shutdown()));
        }
        if let Some(ingress) = self.ingress {
            tasks.spawn("webhooks", ingress.run(tasks.shutdown()));
        }
        tasks.spawn("reconciler", self.reconciler.job(tasks.shutdown()));
        hexcab_chassis::serve(self.server, tasks, signal).await
    }
}
