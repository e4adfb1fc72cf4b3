//! `hexcab postgres`: a private Postgres and nothing else, for tests and for looking at a kept folder.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context as _;
use hexcab_pg::embedded::{Options, Postgres};

use crate::{cli::PostgresArguments, stop::Stop};

/// Starts it, prints its URL to stdout, and keeps it until told to stop.
///
/// # Errors
/// When it cannot be started, or ends by itself.
pub async fn run(arguments: PostgresArguments, stop: Stop) -> anyhow::Result<ExitCode> {
    let options = if arguments.fast {
        Options::for_tests(arguments.dir)
    } else {
        Options::new(arguments.dir)
    };
    let mut postgres = Postgres::start(options).await?;
    if stop.is_cancelled() {
        postgres.stop().await;
        anyhow::bail!("stopped while starting");
    }
    writeln!(std::io::stdout(), "{}", postgres.url("")).context("print the URL")?;
    let ended = tokio::select! {
        () = stop.cancelled() => false,
        () = postgres.ended() => true,
    };
    postgres.stop().await;
    if ended {
        anyhow::bail!("Postgres ended by itself");
    }
    Ok(ExitCode::SUCCESS)
}
