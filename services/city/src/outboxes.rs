//! The outboxes of a city's services: the events that a broker can lose and a service cannot.
//!
//! Does not: publish; the relay in each service does, from where its cursor stands.

use anyhow::Context as _;
use hexcab_chassis::Secret;
use hexcab_pg::{Pg, PgConfig};
use hexcab_types::Timestamp;

/// The databases that have an outbox.
const OUTBOXES: [&str; 3] = ["trip", "payment", "pricing"];

/// Moves every relay's cursor back to the first event written since (the machine's time); the relays do the rest.
/// `server` is Postgres' URL, ending in `/`. Returns how many events that is, by outbox.
///
/// # Errors
/// When a database does not answer.
pub async fn republish(server: &str, since: Timestamp) -> anyhow::Result<Vec<(&'static str, u64)>> {
    let mut counts = Vec::new();
    for name in OUTBOXES {
        let config = PgConfig {
            url: Secret::new(format!("{server}{name}")),
            max_connections: 1,
            ..PgConfig::default()
        };
        let pg = Pg::connect(&config, "hexcab")
            .await
            .with_context(|| format!("open database {name}"))?;
        let count = rewind(&pg, since)
            .await
            .with_context(|| format!("republish {name}"))?;
        counts.push((name, count));
    }
    Ok(counts)
}

/// A service that never ran has no outbox yet, and nothing to send.
async fn rewind(pg: &Pg, since: Timestamp) -> anyhow::Result<u64> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass('outbox_cursor') IS NOT NULL")
        .fetch_one(pg.pool())
        .await?;
    if there {
        Ok(hexcab_bus::republish(pg, since).await?)
    } else {
        Ok(0)
    }
}

/// The counts as a person reads them.
pub fn told(counts: &[(&'static str, u64)]) -> String {
    let parts: Vec<String> = counts
        .iter()
        .map(|(outbox, count)| format!("{count} of {outbox}"))
        .collect();
    parts.join(", ")
}
