//! What pricing keeps in Postgres. All changes are SERIALIZABLE transactions that may run several times.
//!
//! - [`quotes`] given prices; each also counts as demand
//! - [`fares`] the dated versions of a city's fare policies
//! - [`surge`] demand from trips, and the surge snapshots computed from all demand
//!
//! No port stands before it: pricing has no other store, and its tests run on real Postgres.

mod fares;
mod quotes;
mod surge;

use hexcab_pg::{Pg, PgConfig, PgError};
use hexcab_types::{Cell, RiderId, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

pub use surge::{Computed, Observed, Tick};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");
/// Its name to Postgres.
const NAME: &str = "pricing";

/// Pricing's database.
#[derive(Debug, Clone)]
pub struct Store {
    pg: Pg,
}

impl Store {
    /// Pricing's tables in this database, brought up to date.
    ///
    /// # Errors
    /// When a migration fails.
    pub async fn open(pg: Pg) -> Result<Self, PgError> {
        pg.migrate(&MIGRATIONS).await?;
        hexcab_bus::migrate(&pg).await?;
        Ok(Self { pg })
    }

    /// The same, with its connection: brought up to date here or, where the configuration says so, by somebody else, who is
    /// waited for.
    ///
    /// # Errors
    /// When nobody answers or a migration fails.
    pub async fn connect(config: &PgConfig) -> Result<(Self, Pg), PgError> {
        if config.migrate_at_start {
            let pg = Pg::connect(config, NAME).await?;
            return Ok((Self::open(pg.clone()).await?, pg));
        }
        let schema = [&MIGRATIONS, &hexcab_bus::migrator()];
        let pg = Pg::connect_migrated(config, NAME, &schema).await?;
        Ok((Self { pg: pg.clone() }, pg))
    }

    /// What `hexcab-pricing migrate` does.
    ///
    /// # Errors
    /// When the server does not come, or a migration fails.
    pub async fn migrate(config: &PgConfig) -> Result<(), PgError> {
        Self::open(Pg::connect_to_migrate(config, NAME).await?).await?;
        Ok(())
    }
}

/// One rider asking once.
struct Wish<'a> {
    kind: &'static str,
    subject: Uuid,
    city: &'a str,
    cell: Cell,
    rider: RiderId,
    at: Timestamp,
}

/// Adds demand to the open transaction. A wish that is there already changes nothing.
async fn add_demand(connection: &mut PgConnection, wish: &Wish<'_>) -> Result<(), PgError> {
    sqlx::query(
        "INSERT INTO demand (kind, subject_id, city, cell, rider_id, occur_time) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT ON CONSTRAINT demand_once DO NOTHING",
    )
    .bind(wish.kind)
    .bind(wish.subject)
    .bind(wish.city)
    .bind(column(wish.cell))
    .bind(wish.rider.uuid())
    .bind(wish.at)
    .execute(connection)
    .await?;
    Ok(())
}

/// A cell as a bigint: the top bit of an H3 index is always 0.
fn column(cell: Cell) -> i64 {
    cell.to_u64().cast_signed()
}

/// A row that this code would never have written.
fn corrupt(what: impl std::fmt::Display) -> PgError {
    PgError::Sql(sqlx::Error::Decode(what.to_string().into()))
}
