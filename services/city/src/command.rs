//! The commands, a file each. A command prints its result to stdout, its progress to stderr, and says how it ended.

pub mod city;
pub mod doctor;
pub mod events;
pub mod postgres;
pub mod ride;
pub mod status;
pub mod token;
pub mod up;
pub mod verify;

use std::process::ExitCode;

use hexcab_chassis::{Tasks, shutdown_signal};
use tokio_util::sync::CancellationToken;

use crate::cli::{Cli, Command};

/// What a shell sees of a process that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Runs the command.
///
/// # Errors
/// What went wrong, for a person to read.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let stop = stop_signal();
    match cli.command {
        Command::Up(arguments) => up::run(arguments, stop).await,
        Command::City(arguments) => city::run(arguments, stop).await,
        Command::Ride(arguments) => ride::run(arguments, stop).await,
        Command::Verify(arguments) => verify::run(arguments).await,
        Command::Status(arguments) => status::run(arguments).await,
        Command::Token(arguments) => token::run(arguments).await,
        Command::Events(arguments) => events::run(arguments, stop).await,
        Command::Postgres(arguments) => postgres::run(arguments, stop).await,
        Command::Doctor(arguments) => doctor::run(arguments).await,
    }
}

/// Cancelled by Ctrl-C or SIGTERM. A second one ends this process at once; what it started ends with it.
fn stop_signal() -> CancellationToken {
    let (tasks, stop) = (Tasks::new(), CancellationToken::new());
    let token = stop.clone();
    tasks.spawn("signals", async move {
        shutdown_signal().await;
        token.cancel();
        shutdown_signal().await;
        std::process::exit(INTERRUPTED)
    });
    stop
}
