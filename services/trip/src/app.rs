//! The only wiring: binds, connects and migrates, and hands out the parts.

use std::{future::Future, net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use chrono::TimeDelta;
use hexcab_bus::{Consumer, Relay, topic};
use hexcab_chassis::{BoundServer, Clock, GrpcServer, Readiness, Tasks, token::Verifier};
use hexcab_cities::City;
use hexcab_pg::{Pg, PgConfig};
use hexcab_proto::trip::v1::trip_service_server::TripServiceServer;

use crate::{
    config::Config,
    domain::{RuleBook, Rules},
    events::{self, PaymentEvents},
    grpc::TripApi,
    store::Trips,
    sweeper,
};

/// The schema of this service (0001_trips, 0002_start_codes).
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// A trip service that is ready to serve.
pub struct App {
    server: BoundServer,
    tasks: Tasks,
}

impl App {
    /// Connects, migrates or waits until that was done, and binds. Serves nothing yet.
    ///
    /// # Errors
    /// When something it stands on is missing or wrong: which.
    pub async fn build(config: Config, clock: Clock) -> anyhow::Result<Self> {
        let quotes = Verifier::from_pem(&config.quote_public_key).context(
            "quote_public_key: want pricing's Ed25519 public key in PEM (or quote_public_key_file)",
        )?;
        let rules = rules(&config.cities)?;
        let pg = database(&config.postgres).await?;

        let trips = Trips::new(pg.clone(), clock, rules, events::encode)
            .remembering(config.trips_remembered);
        let readiness = Readiness::new();
        let server = GrpcServer::new(
            "trip",
            &config.server,
            readiness.clone(),
            hexcab_proto::FILE_DESCRIPTOR_SET,
        )
        .add(TripServiceServer::new(TripApi::new(trips.clone(), quotes)))
        .bind()
        .await?;

        let tasks = Tasks::new();
        let payment = Consumer::new(
            &config.kafka,
            "trip",
            &[topic::PAYMENT],
            Arc::new(PaymentEvents::new(trips.clone())),
            readiness.component("kafka"),
        );
        tasks.spawn(
            "postgres",
            pg.clone()
                .watch(readiness.component("postgres"), tasks.shutdown()),
        );
        tasks.spawn("relay", Relay::new(pg, &config.kafka).run(tasks.shutdown()));
        tasks.spawn("payment events", payment.run(tasks.shutdown()));
        tasks.spawn("deadlines", sweeper::run(trips, tasks.shutdown()));
        Ok(Self { server, tasks })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Serves, relays, consumes and sweeps until the signal; drains and returns.
    ///
    /// # Errors
    /// When a part failed for good.
    pub async fn run(self, signal: impl Future<Output = ()>) -> anyhow::Result<()> {
        hexcab_chassis::serve(self.server, self.tasks, signal).await
    }
}

/// The database, up to date: brought so here, or by somebody else, who is waited for.
async fn database(config: &PgConfig) -> anyhow::Result<Pg> {
    if !config.migrate_at_start {
        let schema = [&hexcab_bus::migrator(), &MIGRATIONS];
        let pg = Pg::connect_migrated(config, "trip", &schema).await;
        return pg.context("postgres");
    }
    let pg = Pg::connect(config, "trip").await.context("postgres.url")?;
    migrate(&pg).await?;
    Ok(pg)
}

/// What `hexcab-trip migrate` does.
///
/// # Errors
/// When the server does not come, or a schema cannot be applied.
pub async fn migrate_database(config: &Config) -> anyhow::Result<()> {
    let pg = Pg::connect_to_migrate(&config.postgres, "trip").await;
    migrate(&pg.context("postgres.url")?).await
}

/// Applies the schemas of the bus and of this service.
///
/// # Errors
/// When one cannot be applied.
pub async fn migrate(pg: &Pg) -> anyhow::Result<()> {
    hexcab_bus::migrate(pg)
        .await
        .context("migrate outbox and inbox")?;
    pg.migrate(&MIGRATIONS).await.context("migrate trips")
}

/// The rules of these cities: names of built-in ones or folders.
///
/// # Errors
/// When one cannot be read.
pub fn rules(cities: &[String]) -> anyhow::Result<RuleBook> {
    let mut all = Vec::new();
    for name in cities {
        let city = City::load(name).with_context(|| format!("cities: {name}"))?;
        for product in &city.products {
            let rules = Rules {
                offer_ttl: TimeDelta::seconds(city.dispatch.offer_ttl_s.into()),
                request_ttl: TimeDelta::seconds(city.dispatch.request_ttl_s.into()),
                pickup_geofence_m: city.trip.pickup_geofence_m.into(),
                free_cancellation: TimeDelta::seconds(product.fare.free_cancellation_s.into()),
                schedule_lead: TimeDelta::seconds(city.trip.schedule_lead_s.into()),
                schedule_ahead: TimeDelta::seconds(city.trip.schedule_ahead_s.into()),
                stall_min: TimeDelta::seconds(city.trip.stall_min_s.into()),
                no_show_after: TimeDelta::seconds(city.trip.no_show_after_s.into()),
                waiting_free: TimeDelta::seconds(product.fare.waiting_free_s.into()),
                waiting_per_minute_minor: product.fare.waiting_per_minute_minor,
                driver_share: product.fare.driver_share,
                cash: city.trip.cash,
            };
            all.push((city.id.clone(), product.id.clone(), rules));
        }
    }
    Ok(all.into_iter().collect())
}
