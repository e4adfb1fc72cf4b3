//! The only wiring of location: the index, the server on it, and the two tasks beside it.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use hexcab_bus::Producer;
use hexcab_chassis::{BoundServer, Clock, GrpcServer, Readiness, Tasks};
use hexcab_cities::City;
use hexcab_proto::FILE_DESCRIPTOR_SET;
use hexcab_types::ProductId;
use tokio_util::sync::CancellationToken;

use crate::{
    Config,
    domain::{FleetIndex, index::SHARDS},
    events::SupplyReporter,
    grpc::{Locations, server::location_service_server::LocationServiceServer},
    store::{self, Store},
};

/// How often silent drivers are swept out, city time. Queries never see them, swept or not.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// Called all the time: these get no span of their own unless the caller brings a trace. Without their service, as
/// `GrpcServer::quiet` wants them.
const QUIET_METHODS: [&str; 4] = [
    "ReportPings",
    "StreamPings",
    "FindNearby",
    "FindNearbyBatch",
];

/// Location, bound and ready to run.
pub struct App {
    server: BoundServer,
    tasks: Tasks,
}

impl App {
    /// Reads the cities and binds the port; serves nothing yet. Readiness depends on nothing: location works without
    /// its store. Whether that is there the health service tells under [`store::HEALTH`].
    ///
    /// # Errors
    /// When a city cannot be read or the port is taken.
    pub async fn build(config: Config, clock: Clock) -> anyhow::Result<Self> {
        let cities = read_cities(&config.cities)?;
        let index = Arc::new(FleetIndex::new(cities.iter().map(products_of)));
        let tasks = Tasks::new();
        let shutdown = tasks.shutdown();
        let mut service = Locations::new(index.clone(), clock.clone(), shutdown.clone());
        let mut server = GrpcServer::new(
            "location",
            &config.server,
            Readiness::new(),
            FILE_DESCRIPTOR_SET,
        );
        let mut kept = None;
        if !config.store.nodes.is_empty() {
            let health = Readiness::new();
            let (index, clock) = (index.clone(), clock.clone());
            let store = Store::start(&config.store, index, clock, &cities, &tasks, &health);
            let store = kept.insert(Arc::new(store));
            service = service.with_store(store.clone());
            server = server.beside(store::HEALTH, health);
        }
        for method in QUIET_METHODS {
            server = server.quiet(method);
        }
        let server = server
            .add(LocationServiceServer::new(service))
            .bind()
            .await?;
        if config.supply_interval_ms > 0 {
            let reporter = SupplyReporter {
                index: index.clone(),
                store: kept,
                clock: clock.clone(),
                producer: Producer::connect(&config.kafka).context("kafka producer")?,
                interval: Duration::from_millis(config.supply_interval_ms),
                max_age_ms: config.supply_max_age_ms,
            };
            tasks.spawn("supply", reporter.run(shutdown.clone()));
        }
        tasks.spawn("sweep", sweep(index, clock, shutdown));
        Ok(Self { server, tasks })
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Serves until the signal, drains, and returns.
    ///
    /// # Errors
    /// When a task failed or the server could not go on.
    pub async fn run(self, signal: impl Future<Output = ()>) -> anyhow::Result<()> {
        hexcab_chassis::serve(self.server, self.tasks, signal).await
    }
}

fn read_cities(names: &[String]) -> anyhow::Result<Vec<City>> {
    let read = names
        .iter()
        .map(|name| City::load(name).with_context(|| format!("city {name}")));
    read.collect()
}

fn products_of(city: &City) -> (String, Vec<ProductId>) {
    let products = city.products.iter().map(|product| product.id.clone());
    (city.id.to_string(), products.collect())
}

async fn sweep(
    index: Arc<FleetIndex>,
    clock: Clock,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    while shutdown
        .run_until_cancelled(clock.sleep(SWEEP_INTERVAL))
        .await
        .is_some()
    {
        let mut gone = 0;
        for shard in 0..SHARDS {
            gone += index.evict_silent(shard, clock.now());
            tokio::task::yield_now().await;
        }
        index.tidy();
        if gone > 0 {
            tracing::debug!(gone, left = index.len(), "silent drivers forgotten");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn the_quiet_methods_are_methods_of_the_service() {
        let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap().file;
        let methods: Vec<&str> = files
            .iter()
            .filter(|file| file.package() == "hexcab.location.v1")
            .flat_map(|file| &file.service)
            .flat_map(|service| &service.method)
            .map(prost_types::MethodDescriptorProto::name)
            .collect();
        for quiet in QUIET_METHODS {
            assert!(methods.contains(&quiet), "{quiet} is not in {methods:?}");
        }
    }
}
