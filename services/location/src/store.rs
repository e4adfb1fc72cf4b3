//! Positions kept in ScyllaDB, or Apache Cassandra: so that replicas know each other's drivers, and one that is started anew
//! knows its own.
//!
//! - [`cql`] the statements, and their tables; [`link`] a session, once there is one
//! - [`flush`] what was heard goes there, a second later; [`through`] what others heard comes from there, where it is asked
//!   for ([`places`] which cells that is); [`warm`] everything comes from there, once
//!
//! Invariants: nothing here is waited for by a ping; a query waits only for cells that nobody asked about before, at most
//! [`through::COLD_WAIT`], and not while the store is away. What is not kept yet is in the index, one row a driver: there
//! is no queue. Newest `recorded_ms` wins, here, there (it is the write's timestamp) and between replicas.
//!
//! Does not: decide anything. Whether a driver is free is the trip service's affair.

mod cql;
mod flush;
mod link;
mod places;
mod through;
mod warm;

use std::{collections::HashMap, sync::Arc, time::Duration};

use hexcab_chassis::{Clock, Readiness, Secret, Tasks};
use hexcab_cities::City;
use hexcab_types::{Cell, DriverId, Point};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub use self::cql::StoreError;
use self::{
    cql::Cql,
    flush::Flusher,
    link::Link,
    through::{Refresh, Through},
    warm::Warmer,
};
use crate::domain::{
    Batch, CityNumber, FleetIndex, ProductNumber, Sighting, index::intake::Source,
};

/// The name by which the health service tells whether the store is there. The service itself is healthy without it.
pub const HEALTH: &str = "hexcab.location.store";

/// How far the clock of another replica may be ahead, milliseconds: what it heard is not known here if it is more.
const AHEAD_MAX_MS: i64 = 15_000;
/// Cells of a city that are followed to be counted: 25,000 km².
const AREA_MAX: usize = 5_000;

/// Where positions are kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// Nodes of ScyllaDB or Cassandra, `host:port`, several separated by commas. None: positions are in memory only.
    pub nodes: String,
    /// The keyspace.
    pub keyspace: String,
    /// How the keyspace is replicated, when it is made here: a map of CQL.
    pub replication: String,
    /// Who this service is to the store; nobody in particular when empty.
    pub user: String,
    /// His password.
    pub password: Option<Secret>,
    /// Whether missing tables are made at the start. Off where several replicas start at once on several nodes: there
    /// `hexcab-location migrate` comes first.
    pub make_tables: bool,
    /// Between two flushes, milliseconds of real time: what a replica that is killed may lose.
    pub flush_ms: u64,
    /// How old what is known of a cell may become while it is asked about, milliseconds of real time.
    pub refresh_ms: u64,
    /// The same for cells that are only counted: those of a whole city.
    pub count_refresh_ms: u64,
    /// Whether cells are read at all: a replica that is alone knows everything.
    pub read_through: bool,
    /// Whether connections are made to ScyllaDB's port for shards. Cassandra knows none.
    pub shard_aware_port: bool,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            nodes: String::new(),
            keyspace: "hexcab_location".to_owned(),
            replication: "{'class': 'SimpleStrategy', 'replication_factor': 1}".to_owned(),
            user: String::new(),
            password: None,
            make_tables: true,
            flush_ms: 1_000,
            refresh_ms: 600,
            count_refresh_ms: 2_000,
            read_through: true,
            shard_aware_port: false,
        }
    }
}

/// Makes what is missing of the keyspace and its tables; for up to a minute where the store is not there yet.
///
/// # Errors
/// When there is no store, it is away, or refuses.
pub async fn migrate(config: &StoreConfig) -> Result<(), StoreError> {
    const PATIENCE: Duration = Duration::from_secs(60);
    const LOOK_EVERY: Duration = Duration::from_secs(1);
    if config.nodes.is_empty() {
        return Err(StoreError::None);
    }
    let begun = Instant::now();
    loop {
        match Cql::connect(config, true).await {
            Err(StoreError::Connect(error)) if begun.elapsed() < PATIENCE => {
                tracing::warn!(%error, "waiting for the store");
                tokio::time::sleep(LOOK_EVERY).await;
            }
            made => return made.map(drop),
        }
    }
}

/// The store, as the service knows it.
pub struct Store {
    keeper: Keeper,
    through: Option<Arc<Through>>,
}

/// What every part of it works with.
#[derive(Clone)]
struct Keeper {
    index: Arc<FleetIndex>,
    clock: Clock,
    link: Arc<Link>,
}

impl Store {
    /// Starts keeping; returns at once, whether or not the store is there. `health` says whether it is.
    pub fn start(
        config: &StoreConfig,
        index: Arc<FleetIndex>,
        clock: Clock,
        cities: &[City],
        tasks: &Tasks,
        health: &Readiness,
    ) -> Self {
        let link = Arc::new(Link::new(health.component("store")));
        let keeper = Keeper { index, clock, link };
        let shutdown = tasks.shutdown();
        tasks.spawn(
            "store link",
            link::keep_connected(keeper.link.clone(), config.clone(), shutdown.clone()),
        );
        let flusher = Flusher::new(
            keeper.clone(),
            Duration::from_millis(config.flush_ms.max(1)),
        );
        tasks.spawn("store flush", flusher.run(shutdown.clone()));
        tasks.spawn(
            "store warm",
            Warmer::new(keeper.clone()).run(shutdown.clone()),
        );
        let through = config.read_through.then(|| {
            let refresh = Refresh {
                asked: Duration::from_millis(config.refresh_ms.max(1)),
                counted: Duration::from_millis(config.count_refresh_ms.max(1)),
            };
            let through = Through::new(keeper.clone(), refresh, cells_of(&keeper.index, cities));
            let through = Arc::new(through);
            tasks.spawn("store read", through.clone().run(shutdown));
            through
        });
        Self { keeper, through }
    }

    /// Has the index know what others heard round these points, as far as the store knows and is there.
    pub async fn look(&self, round: &[Circle]) {
        if let Some(through) = &self.through {
            through.look(round).await;
        }
    }

    /// The same in these cells of a map, as [`Self::kept_in`] says.
    pub async fn look_in(&self, city: CityNumber, kept_in: &[Cell]) {
        if let Some(through) = &self.through {
            through.look_in(city, kept_in).await;
        }
    }

    /// In which cells drivers are kept who are in these.
    pub fn kept_in(cells: &[Cell]) -> Vec<Cell> {
        places::of_cells(cells)
    }

    /// The same in the whole city: its service area and 2 km round it, a little later than where somebody asks.
    pub async fn look_everywhere(&self, city: CityNumber) {
        if let Some(through) = &self.through {
            through.look_everywhere(city).await;
        }
    }

    /// Has the index know the newest position of a driver. One who was heard here this moment is not asked for.
    pub async fn look_for(&self, driver: DriverId) {
        const KNOWN_MS: i64 = 2_000;
        let now = self.keeper.clock.now();
        let seen = self.keeper.index.last_seen(driver, now);
        if seen.is_some_and(|(_, seen)| seen.age_ms(now) < KNOWN_MS) {
            return;
        }
        let Some(cql) = self.keeper.link.usable() else {
            return;
        };
        let found = cql.last(driver).await;
        self.keeper.link.said(&found);
        if let Ok(Some(kept)) = found {
            self.keeper.take([kept]);
        }
    }
}

/// Round this point, so far.
#[derive(Debug, Clone, Copy)]
pub struct Circle {
    /// In this city.
    pub city: CityNumber,
    /// Its middle.
    pub point: Point,
    /// Metres.
    pub radius_m: f64,
}

/// A row, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    city: String,
    product: String,
    /// Its product is of no city yet.
    seen: Sighting,
}

/// Where the drivers of each city are.
fn cells_of(index: &FleetIndex, cities: &[City]) -> HashMap<CityNumber, Vec<Cell>> {
    let mut all = HashMap::new();
    for city in cities {
        let cells = places::of_area(&city.area);
        if cells.len() > AREA_MAX {
            tracing::warn!(
                city = %city.id,
                cells = cells.len(),
                "too large to be counted over replicas: counts hold what this one knows"
            );
        } else if let Some(number) = index.city(city.id.as_str()) {
            all.insert(number, cells);
        }
    }
    all
}

impl Keeper {
    /// Puts rows into the index; those of cities and products that are not served here are left out, and those of a clock
    /// that is far ahead: of a city that begins again earlier, whose drivers' pings would all be too old.
    fn take(&self, rows: impl IntoIterator<Item = Kept>) {
        let latest_ms = self.clock.now().timestamp_millis() + AHEAD_MAX_MS;
        let mut batches: Vec<(CityNumber, Batch)> = Vec::new();
        for Kept {
            city,
            product,
            seen,
        } in rows
        {
            if seen.recorded_ms > latest_ms {
                continue;
            }
            let Some(city) = self.index.city(&city) else {
                continue;
            };
            let products = self.index.products(city);
            let Some(at) = products.iter().position(|known| known.as_str() == product) else {
                continue;
            };
            let product = ProductNumber(u8::try_from(at).unwrap_or(u8::MAX));
            let batch = match batches.iter_mut().find(|(known, _)| *known == city) {
                Some((_, batch)) => batch,
                None => &mut batches.push_mut((city, Batch::default())).1,
            };
            batch.push(0, Sighting { product, ..seen });
        }
        for (city, mut batch) in batches {
            let now = self.clock.now();
            self.index.take_from(Source::Kept, city, &mut batch, now);
        }
    }
}
