//! Events between services: written with the change they report, published at least once, effective once.
//!
//! - [`outbox`] a row in the writer's transaction; [`Relay`] publishes the rows in commit order
//! - [`Consumer`] hands events to a [`Handler`], pauses a partition whose dependency is away, and puts poison aside in
//!   `<topic>.dlq`; [`inbox`] makes a repeated event harmless
//! - [`retention`] how long both are kept
//! - [`Producer`] publishes what is not durable state (supply, decisions)
//! - [`topic`] the names
//!
//! Values are protobuf; headers are CloudEvents 1.0 in binary mode plus `traceparent`. No Kafka transactions.

mod config;
mod consumer;
pub mod dlq;
mod event;
pub mod inbox;
mod measures;
pub mod outbox;
mod producer;
mod relay;
pub mod retention;
pub mod topic;

use hexcab_pg::{Pg, PgError};

pub use config::BusConfig;
pub use consumer::{Consumer, Failure, Handler};
pub use event::{Incoming, Outgoing};
pub use producer::{BusError, Producer};
pub use relay::{Relay, republish};

/// Creates the outbox and inbox tables in a service's database, and their partitions for the time at hand. Their migrations
/// are counted apart from the service's.
///
/// # Errors
/// When they cannot be applied.
pub async fn migrate(pg: &Pg) -> Result<(), PgError> {
    pg.migrate(&migrator()).await?;
    retention::prepare(pg, retention::clock(pg).await?).await?;
    Ok(())
}

/// The migrations behind [`migrate`].
pub fn migrator() -> sqlx::migrate::Migrator {
    let mut migrator = sqlx::migrate!("./migrations");
    migrator.dangerous_set_table_name("_hexcab_bus_migrations");
    migrator
}
