//! `hexcab events`: what goes over the broker, and what could not be handled.
//!
//! - [`kafka`] reading and writing records; [`tail`] events as they come; [`letters`] dead letters
//! - [`decode`] what a payload says; [`view`] how an event looks
//!
//! Does not: join a consumer group: looking takes nothing from anybody.

mod decode;
mod kafka;
mod letters;
mod tail;
mod view;

use std::{fmt, process::ExitCode};

use anyhow::Context as _;
use hexcab_bus::retention::{self, Table};
use hexcab_chassis::Secret;
use hexcab_pg::{Pg, PgConfig, PgError};
use hexcab_types::Timestamp;

use crate::{
    cli::{EventsArguments, EventsCommand},
    stack::folder::CityFile,
    stop::Stop,
};
use view::Look;

/// The databases that have an outbox.
const OUTBOXES: [&str; 3] = ["trip", "payment", "pricing"];

/// Does what was asked for.
///
/// # Errors
/// When no city runs, or its broker or databases do not answer.
pub async fn run(arguments: EventsArguments, stop: Stop) -> anyhow::Result<ExitCode> {
    let (_, city) = CityFile::find(arguments.city.dir.as_deref())?;
    match arguments.command {
        EventsCommand::Tail {
            topics,
            all,
            brief,
            json,
        } => {
            let look = match (brief, json) {
                (_, true) => Look::Json,
                (true, false) => Look::Brief,
                (false, false) => Look::Lines,
            };
            tail::run(&city.brokers, &topics, all, look, &stop).await?;
        }
        EventsCommand::Dlq(command) => {
            let work = letters::run(&city.brokers, command);
            stop.or("it was done", work).await?;
        }
        EventsCommand::Republish { since } => {
            let work = republish(&city, since_when(since.as_deref())?);
            for sent in stop.or("it was done", work).await? {
                println!("{sent}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn since_when(since: Option<&str>) -> anyhow::Result<Timestamp> {
    match since {
        Some(text) => text
            .parse()
            .with_context(|| format!("--since {text}: want an RFC 3339 time")),
        None => Ok(Timestamp::UNIX_EPOCH),
    }
}

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
///
/// # Errors
/// When a database does not answer.
pub async fn republish(city: &CityFile, since: Timestamp) -> anyhow::Result<Vec<Again>> {
    let mut all = Vec::new();
    for outbox in OUTBOXES {
        let config = PgConfig {
            url: Secret::new(city.database(outbox)),
            max_connections: 1,
            // A week of events is counted.
            statement_timeout_ms: 60_000,
            ..PgConfig::default()
        };
        let pg = Pg::connect(&config, "hexcab")
            .await
            .with_context(|| format!("open database {outbox}"))?;
        let again = async {
            let count = hexcab_bus::republish(&pg, since).await?;
            let kept_from = retention::goes_back_to(&pg, Table::Outbox).await?;
            Ok::<_, PgError>(Again {
                outbox,
                count,
                goes_back_to: kept_from.filter(|at| *at > since),
            })
        };
        all.push(again.await.with_context(|| format!("republish {outbox}"))?);
    }
    Ok(all)
}
