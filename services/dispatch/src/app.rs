//! The only wiring: a desk per city, and the parts that work at it.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use hexcab_bus::{Consumer, Outgoing, Producer, topic};
use hexcab_chassis::{BoundServer, Clock, Component, GrpcServer, Readiness, Tasks};
use hexcab_cities::{City, Profile};
use hexcab_matching::Options;
use hexcab_proto::{
    FILE_DESCRIPTOR_SET, dispatch::v1::dispatch_service_server::DispatchServiceServer,
};
use tokio::sync::mpsc;

use crate::{
    config::Config,
    desk::CityDesk,
    dispatcher::Dispatcher,
    domain::Kept,
    events::{self, TripEvents},
    grpc::Dispatch,
    peers::{Location, Trips},
    resync,
    window::WindowRun,
};

/// The consumer group: with one partition, one member has all cities at a time; see [`events`] for more.
pub const GROUP: &str = "dispatch";
/// Decisions that wait to be told; more are not told.
const DECISIONS_WAITING: usize = 4_096;

/// A dispatcher that has its port and serves nothing yet.
pub struct App {
    server: BoundServer,
    desks: Vec<Arc<CityDesk>>,
    consumer: Consumer,
    producer: Producer,
    decisions: mpsc::Receiver<Outgoing>,
    windows: WindowRun,
    trips: Trips,
    clock: Clock,
    books: Component,
    resync: Duration,
}

impl App {
    /// Reads the cities and binds the port. Connects to nobody yet: every peer may come later, and go.
    ///
    /// # Errors
    /// When a city, its roads or an endpoint cannot be read, or the port is taken.
    pub async fn build(config: Config, clock: Clock) -> anyhow::Result<Self> {
        let desks = desks(&config)?;
        let (trips, location) = (Trips::new(&config)?, Location::new(&config)?);
        let readiness = Readiness::new();
        let (kafka, books) = (readiness.component("kafka"), readiness.component("books"));
        let listener = TripEvents::new(desks.clone(), trips.clone(), clock.clone(), books.clone());
        let (publish, decisions) = mpsc::channel(DECISIONS_WAITING);
        let server = GrpcServer::new("dispatch", &config.server, readiness, FILE_DESCRIPTOR_SET)
            .add(DispatchServiceServer::new(Dispatch::new(desks.clone())))
            .bind()
            .await?;
        Ok(Self {
            server,
            consumer: Consumer::new(
                &config.kafka,
                GROUP,
                &[topic::TRIP],
                Arc::new(listener),
                kafka,
            ),
            producer: Producer::connect(&config.kafka).context("kafka producer")?,
            decisions,
            windows: WindowRun::new(clock.clone(), trips.clone(), location, publish),
            desks,
            trips,
            clock,
            books,
            resync: Duration::from_secs(config.resync_s.into()),
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Serves, consumes and dispatches until the signal; drains and returns.
    ///
    /// # Errors
    /// When a part failed for good.
    pub async fn run(self, signal: impl Future<Output = ()>) -> anyhow::Result<()> {
        let tasks = Tasks::new();
        tasks.spawn("consumer", self.consumer.run(tasks.shutdown()));
        tasks.spawn(
            "decisions",
            events::publish_decisions(self.producer, self.decisions, tasks.shutdown()),
        );
        let resync = resync::Resync {
            trips: self.trips,
            clock: self.clock.clone(),
            longest: self.resync,
            books: self.books,
            desks: self.desks.clone(),
        };
        for desk in self.desks {
            let dispatcher =
                Dispatcher::new(desk.clone(), self.clock.clone(), self.windows.clone());
            tasks.spawn("dispatcher", dispatcher.run(tasks.shutdown()));
            tasks.spawn("resync", resync.clone().run(desk, tasks.shutdown()));
        }
        hexcab_chassis::serve(self.server, tasks, signal).await
    }
}

fn desks(config: &Config) -> anyhow::Result<Vec<Arc<CityDesk>>> {
    let desk = |name: &String| -> anyhow::Result<Arc<CityDesk>> {
        let city = City::load(name).with_context(|| format!("cities: {name}"))?;
        let profile =
            Profile::load(name).with_context(|| format!("cities: the profile of {name}"))?;
        let road = hexcab_cities::road_times(&profile, config.data.as_deref())
            .context("data: the street graph")?;
        let policy = hexcab_matching::policy(city.dispatch.policy.as_str(), Options::default())
            .with_context(|| format!("cities: dispatch.policy of {name}"))?;
        let kept = Kept::new(config.decisions_kept, config.decisions_kept_bytes);
        Ok(Arc::new(CityDesk::new(city, road, policy, kept)))
    };
    config.cities.iter().map(desk).collect()
}
