//! The only wiring: database, processor, consumer, workers, relay, gRPC.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use hexcab_bus::{Consumer, Relay, topic};
use hexcab_chassis::{BoundServer, Clock, Component, GrpcServer, Readiness, Tasks};
use hexcab_pg::Pg;
use hexcab_proto::{
    FILE_DESCRIPTOR_SET, payment::v1::payment_service_server::PaymentServiceServer,
};
use tokio::sync::Notify;

use crate::{
    config::Config,
    consumer::TripListener,
    grpc::Payments,
    processor::{Processor, http::HttpProcessor},
    store::{Store, postgres::CONSUMER},
    webhook::{Follower, Hints, Ingress},
    worker::{self, Worker},
};

/// The service's tables.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// A service that has its port and its database, and serves nothing yet.
pub struct App {
    server: BoundServer,
    pg: Pg,
    postgres: Component,
    consumer: Consumer,
    relay: Relay,
    worker: Worker,
    workers: u32,
    wake: Arc<Notify>,
    poll: Duration,
    ingress: Option<Ingress>,
    follower: Follower,
    followers: u32,
}

impl App {
    /// Connects, migrates and binds.
    ///
    /// # Errors
    /// When something that is needed is not there: which.
    pub async fn build(config: Config, clock: Clock) -> anyhow::Result<Self> {
        let pg = Pg::connect(&config.postgres, "payment")
            .await
            .context("connect to Postgres")?;
        pg.migrate(&MIGRATOR)
            .await
            .context("migrate payment's database")?;
        hexcab_bus::migrate(&pg)
            .await
            .context("migrate outbox and inbox")?;
        let processor: Arc<dyn Processor> = Arc::new(HttpProcessor::new(&config.processor)?);
        let store = Store::new(
            pg.clone(),
            clock,
            Duration::from_secs(config.lease_s.into()),
        );
        let (readiness, wake) = (Readiness::new(), Arc::new(Notify::new()));
        let listener = Arc::new(TripListener::new(store.clone(), wake.clone()));
        let component = readiness.component("kafka");
        let consumer = Consumer::new(&config.kafka, CONSUMER, &[topic::TRIP], listener, component);
        let postgres = readiness.component("postgres");
        let server = GrpcServer::new("payment", &config.server, readiness, FILE_DESCRIPTOR_SET)
            .add(PaymentServiceServer::new(Payments::new(store.clone())))
            .bind()
            .await?;
        let (hints, heard) = (Hints::new(pg.clone()), Arc::new(Notify::new()));
        // Signatures and leases live in real time, whatever the city's clock says.
        let real = Clock::system();
        let ingress = Ingress::bind(&config.webhook, real, hints.clone(), heard.clone()).await?;
        let follower = Follower::new(hints, store.clone(), processor.clone(), heard, wake.clone());
        Ok(Self {
            server,
            relay: Relay::new(pg.clone(), &config.kafka),
            pg,
            postgres,
            consumer,
            worker: Worker::new(store, processor, wake.clone()),
            workers: config.workers,
            wake,
            poll: Duration::from_millis(config.poll_ms),
            ingress,
            follower,
            followers: config.webhook.followers,
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
        let tasks = Tasks::new();
        tasks.spawn("postgres", self.pg.watch(self.postgres, tasks.shutdown()));
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
        hexcab_chassis::serve(self.server, tasks, signal).await
    }
}
