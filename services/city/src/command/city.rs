//! `hexcab city`: an evening in a city, from its start to the proof that it went right. `hexcab city build`: its profile.
//!
//! Reading order: [`evening`] what happens, [`settle`] what is waited for, [`tables`] what is printed, [`build`].

mod build;
pub mod evening;
mod settle;
mod tables;

use std::process::ExitCode;

use crate::{
    cli::{CityArguments, CityCommand},
    stop::Stop,
};

/// Runs the evening, or the other thing asked for.
///
/// # Errors
/// What went wrong.
pub async fn run(arguments: CityArguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        None => evening::run(arguments.evening, Stop::listen()?).await,
        // Nothing to clean up: Ctrl-C just ends it.
        Some(CityCommand::Build(arguments)) => build::run(&arguments),
    }
}
