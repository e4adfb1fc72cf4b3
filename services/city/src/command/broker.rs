//! `hexcab broker`: the embedded stack's Kafka and nothing else, as the launcher starts it.

use std::process::ExitCode;

use crate::{cli::BrokerArguments, say, stack::broker::Broker, stop::Stop};

/// Serves until told to stop.
///
/// # Errors
/// When it cannot be started.
pub async fn run(arguments: BrokerArguments, stop: Stop) -> anyhow::Result<ExitCode> {
    let broker = Broker::start(arguments.port, arguments.generation).await?;
    say::step(format_args!(
        "broker on {}, generation {}",
        broker.address(),
        arguments.generation
    ));
    stop.cancelled().await;
    Ok(ExitCode::SUCCESS)
}
