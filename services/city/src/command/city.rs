//! `hexcab city`: an evening in a city, from its start to the proof that it went right. `hexcab city build`: its profile.
//!
//! Reading order: [`evening`] what happens, [`tables`] what is printed, [`build`].

mod build;
mod evening;
mod tables;

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::cli::{CityArguments, CityCommand};

/// Runs the evening, or the other thing asked for.
///
/// # Errors
/// What went wrong.
pub async fn run(arguments: CityArguments, stop: CancellationToken) -> anyhow::Result<ExitCode> {
    match arguments.command {
        None => evening::run(arguments.evening, stop).await,
        Some(CityCommand::Build(arguments)) => build::run(&arguments),
    }
}
