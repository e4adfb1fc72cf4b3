//! The only wiring of pricing: cities, store, server, and the tasks beside it.

use std::{collections::HashMap, future::Future, net::SocketAddr, sync::Arc};

use anyhow::{Context as _, ensure};
use hexcab_bus::{Consumer, Relay, topic};
use hexcab_chassis::{BoundServer, Clock, GrpcServer, Readiness, Tasks, token::Signer};
use hexcab_cities::{City, Profile, road_times};
use hexcab_proto::{
    FILE_DESCRIPTOR_SET, pricing::v1::pricing_service_server::PricingServiceServer,
};

use crate::{
    Config, events,
    grpc::Prices,
    market::{Market, Markets},
    quoting::Quoting,
    store::Store,
    surging::Surging,
};

/// Pricing, bound and ready to run.
pub struct App {
    server: BoundServer,
    tasks: Tasks,
}

impl App {
    /// Reads key and cities, connects, migrates or waits until that was done, and binds; serves nothing yet.
    ///
    /// # Errors
    /// When the key, a city, the database or the port is not there.
    pub async fn build(config: Config, clock: Clock) -> anyhow::Result<Self> {
        ensure!(
            !config.quote_private_key.is_empty(),
            "quote_private_key_file must name the key that signs quotes"
        );
        let signer =
            Signer::from_pem(config.quote_private_key.expose()).context("quote_private_key")?;
        let (store, pg) = Store::connect(&config.postgres).await.context("postgres")?;
        let markets = markets(&config, &store, &clock).await?;

        let readiness = Readiness::new();
        let quoting = Quoting {
            markets: markets.clone(),
            store: store.clone(),
            clock: clock.clone(),
            signer,
        };
        let server = GrpcServer::new(
            "pricing",
            &config.server,
            readiness.clone(),
            FILE_DESCRIPTOR_SET,
        )
        .add(PricingServiceServer::new(Prices::new(quoting)))
        .bind()
        .await?;

        let tasks = Tasks::new();
        let (kafka, shutdown) = (&config.kafka, tasks.shutdown());
        let (trips, supply) = events::handlers(&markets, &store);
        let trips = Consumer::new(
            kafka,
            events::TRIP_CONSUMER,
            &[topic::TRIP],
            trips,
            readiness.component("trips"),
        );
        // Every replica needs all supply, and only from now on: it has no offsets to keep.
        let heard = readiness.component("supply");
        let supply = Consumer::tail(
            kafka,
            events::SUPPLY_CONSUMER,
            &[topic::SUPPLY],
            supply,
            heard,
        );
        tasks.spawn("trips", trips.run(shutdown.clone()));
        tasks.spawn("supply", supply.run(shutdown.clone()));
        tasks.spawn("relay", Relay::new(pg.clone(), kafka).run(shutdown.clone()));
        tasks.spawn(
            "postgres",
            pg.watch(readiness.component("postgres"), shutdown.clone()),
        );
        for city in markets.keys().cloned() {
            let surging = Surging {
                markets: markets.clone(),
                city,
                store: store.clone(),
                clock: clock.clone(),
            };
            tasks.spawn("surge", surging.run(shutdown.clone()));
        }
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

/// The cities with their roads, fare versions, and the surge that the last process left.
async fn markets(config: &Config, store: &Store, clock: &Clock) -> anyhow::Result<Markets> {
    let mut markets = HashMap::new();
    for name in &config.cities {
        let city = City::load(name).with_context(|| format!("city {name}"))?;
        let profile = Profile::load(name).with_context(|| format!("profile of city {name}"))?;
        let roads = road_times(&profile, config.data.as_deref()).context("data")?;
        let fare_version = store
            .fare_version(&city, clock.now())
            .await
            .context("fare policies")?;
        let market = Market::new(city, roads, fare_version);
        if let Some(snapshot) = store
            .newest_snapshot(&market.city.id)
            .await
            .context("surge")?
        {
            market.adopt(snapshot);
        }
        markets.insert(market.city.id.clone(), market);
    }
    Ok(Arc::new(markets))
}
