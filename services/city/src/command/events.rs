//! `hexcab events`: what goes over the broker, and what could not be handled.
//!
//! - [`kafka`] reading and writing records; [`letters`] dead letters; [`tail`] events as they come
//!
//! Does not: join a consumer group: looking takes nothing from anybody.

mod kafka;
mod letters;
mod tail;

use std::process::ExitCode;

use anyhow::Context as _;
use hexcab_chassis::Secret;
use hexcab_pg::{Pg, PgConfig};
use hexcab_types::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{EventsArguments, EventsCommand},
    stack::folder::CityFile,
};

/// The databases that have an outbox.
const OUTBOXES: [&str; 3] = ["trip", "payment", "pricing"];

/// Does what was asked for.
///
/// # Errors
/// When no city runs, or its broker or databases do not answer.
pub async fn run(arguments: EventsArguments, stop: CancellationToken) -> anyhow::Result<ExitCode> {
    let (_, city) = CityFile::find(arguments.city.dir.as_deref())?;
    match arguments.command {
        EventsCommand::Tail { topics, all } => tail::run(&city.brokers, &topics, all, stop).await?,
        EventsCommand::Dlq(command) => letters::run(&city.brokers, command).await?,
        EventsCommand::Republish { since } => republish(&city, since.as_deref()).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Moves every relay's cursor back; the relays do the rest.
async fn republish(city: &CityFile, since: Option<&str>) -> anyhow::Result<()> {
    let since = match since {
        Some(text) => text
            .parse()
            .with_context(|| format!("--since {text}: want an RFC 3339 time"))?,
        None => Timestamp::UNIX_EPOCH,
    };
    for name in OUTBOXES {
        let config = PgConfig {
            url: Secret::new(city.database(name)),
            max_connections: 1,
            ..PgConfig::default()
        };
        let pg = Pg::connect(&config, "hexcab")
            .await
            .with_context(|| format!("open database {name}"))?;
        let count = hexcab_bus::republish(&pg, since)
            .await
            .with_context(|| format!("republish {name}"))?;
        println!("{name}: {count} events are sent again");
    }
    Ok(())
}
