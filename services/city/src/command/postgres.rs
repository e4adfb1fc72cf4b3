//! `hexcab postgres`: a private Postgres and nothing else, for tests and for looking at a kept folder.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context as _;
use hexcab_pg::embedded::{Options, Postgres};
use tokio_util::sync::CancellationToken;

use crate::cli::PostgresArguments;

/// Starts it, prints its URL to stdout, and keeps it until told to stop.
///
/// # Errors
/// When it cannot be started, or ends by itself.
pub async fn run(
    arguments: PostgresArguments,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let options = if arguments.fast {
        Options::for_tests(arguments.dir)
    } else {
        Options::new(arguments.dir)
    };
    let mut postgres = Postgres::start(options).await?;
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
