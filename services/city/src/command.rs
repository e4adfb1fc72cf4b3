//! The commands, a file each. A command prints its result to stdout, its progress to stderr, and says how it ended.

pub mod broker;
pub mod chaos;
pub mod city;
pub mod cluster;
pub mod doctor;
pub mod evaluate;
pub mod events;
pub mod ledger;
mod payment;
pub mod postgres;
pub mod reconcile;
pub mod ride;
pub mod status;
pub mod token;
pub mod up;
pub mod verify;

use std::process::ExitCode;

use hexcab_chassis::config::exit_with_parent;

use crate::{
    cli::{Cli, Command},
    stop::Stop,
};

/// Runs the command. Those that start something, and must stop it, listen to Ctrl-C and watch their parent; the others
/// just end.
///
/// # Errors
/// What went wrong, for a person to read.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Up(arguments) => up::run(arguments, Stop::listen()?).await,
        Command::City(arguments) => city::run(arguments).await,
        Command::Chaos(arguments) => chaos::run(*arguments).await,
        Command::Ride(arguments) => ride::run(arguments, Stop::listen()?).await,
        Command::Events(arguments) => events::run(arguments, Stop::listen()?).await,
        Command::Broker(arguments) => broker::run(arguments, Stop::listen()?).await,
        Command::Cluster(command) => cluster::run(command, Stop::listen()?).await,
        Command::Postgres(arguments) => postgres::run(arguments, Stop::listen()?).await,
        // Looks to its end, which is near: what it tries is then gone.
        Command::Doctor(arguments) => {
            let _to_the_end = Stop::listen()?;
            doctor::run(arguments).await
        }
        Command::Verify(arguments) => {
            exit_with_parent()?;
            verify::run(arguments).await
        }
        Command::Evaluate(arguments) => evaluate::run(&arguments),
        Command::Status(arguments) => status::run(arguments).await,
        Command::Token(arguments) => token::run(arguments).await,
        Command::Reconcile(arguments) => reconcile::run(arguments).await,
        Command::Ledger(arguments) => ledger::run(arguments).await,
    }
}
