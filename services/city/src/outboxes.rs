//! The outboxes of a city's services: the events that a broker can lose and a service cannot.
//!
//! Does not: publish; the relay in each service does, from where its cursor stands.

use std::fmt;

use anyhow::Context as _;
use hexcab_bus::retention::{self, Table};
use hexcab_chassis::Secret;
use hexcab_pg::{Pg, PgConfig, PgError};
use hexcab_types::Timestamp;

/// The databases that have an outbox.
const OUTBOXES: [&str; 3] = ["trip", "payment", "pricing"];

/// What was sent again of an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    /// Whose.
    pub outbox: &'static str,
    /// How many events.
    pub count: u64,
    /// From when on the outbox has everything (the machine's time), if more than that was wanted.
    pub goes_back_to: Option<Timestamp>,
}

impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} events are sent again", self.outbox, self.count)?;
        match self.goes_back_to {
            Some(at) => write!(f, "; it goes back to {} only", at.to_rfc3339()),
            None => Ok(()),
        }
    }
}

/// Moves every relay's cursor back to the first event written since (the machine's time); the relays do the rest.
/// `server` is Postgres' URL, ending in `/`.
///
/// # Errors
/// When a database does not answer.
pub async fn republish(server: &str, since: Timestamp) -> anyhow::Result<Vec<Again>> {
    let mut all = Vec::new();
    for outbox in OUTBOXES {
        let config = PgConfig {
            url: Secret::new(format!("{server}{outbox}")),
            max_connections: 1,
            // A week of events is counted.
            statement_timeout_ms: 60_000,
            ..PgConfig::default()
        };
        let pg = Pg::connect(&config, "hexcab")
            .await
            .with_context(|| format!("open database {outbox}"))?;
        let (count, goes_back_to) = rewind(&pg, since)
            .await
            .with_context(|| format!("republish {outbox}"))?;
        all.push(Again {
            outbox,
            count,
            goes_back_to,
        });
    }
    Ok(all)
}

/// A service that never ran has no outbox yet, and nothing to send.
async fn rewind(pg: &Pg, since: Timestamp) -> Result<(u64, Option<Timestamp>), PgError> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass('outbox_cursor') IS NOT NULL")
        .fetch_one(pg.pool())
        .await?;
    if !there {
        return Ok((0, None));
    }
    let count = hexcab_bus::republish(pg, since).await?;
    let kept_from = retention::goes_back_to(pg, Table::Outbox).await?;
    Ok((count, kept_from.filter(|at| *at > since)))
}

/// The counts as a person reads them.
pub fn told(sent: &[Again]) -> String {
    let parts: Vec<String> = sent
        .iter()
        .map(|again| format!("{} of {}", again.count, again.outbox))
        .collect();
    parts.join(", ")
}
