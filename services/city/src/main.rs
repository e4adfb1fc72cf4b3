//! `hexcab`, the command line: reads it, runs one command, says what went wrong.

use std::process::ExitCode;

use clap::Parser as _;
use hexcab_city::{cli::Cli, command, say};

#[tokio::main]
async fn main() -> ExitCode {
    match command::run(Cli::parse()).await {
        Ok(code) => code,
        Err(error) => {
            say::warn(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
