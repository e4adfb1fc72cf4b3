//! `hexcab events`: what goes over the broker, and what could not be handled.
//!
//! - [`kafka`] reading and writing records; [`tail`] events as they come; [`letters`] dead letters
//! - [`decode`] what a payload says; [`view`] how an event looks
//!
//! Does not: join a consumer group: looking takes nothing from anybody.

mod decode;
pub mod kafka;
pub mod letters;
mod tail;
mod view;

use std::process::ExitCode;

use anyhow::Context as _;
use hexcab_types::Timestamp;

use crate::{
    cli::{EventsArguments, EventsCommand},
    outboxes::republish,
    stack::folder::CityFile,
    stop::Stop,
};
use view::Look;

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
            let work = republish(&city.postgres, since_when(since.as_deref())?);
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
