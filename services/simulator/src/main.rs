//! `hexcab-simulator`: see `--help`.

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser as _, error::ErrorKind};
use hexcab_simulator::{app::App, config::Flags};
use hexcab_telemetry::TelemetryConfig;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let flags = Flags::parse().checked().unwrap_or_else(|problem| {
        Flags::command()
            .error(ErrorKind::ValueValidation, problem)
            .exit()
    });
    // No OTLP: the simulator is outside, a ride's trace begins at the gateway.
    let config = TelemetryConfig {
        log: flags.log.clone(),
        ..TelemetryConfig::default()
    };
    hexcab_chassis::config::exit_with_parent()?;
    let telemetry = hexcab_telemetry::init("simulator", &config)?;
    let clock = flags.clock.clock();
    let app = tokio::task::block_in_place(|| App::build(&flags, clock))?;
    println!(
        "{} requests, {} drivers",
        app.requests().len(),
        app.drivers().len()
    );
    let report = app.run(hexcab_chassis::shutdown_signal()).await;
    println!("{}", serde_json::to_string(&report).context("report")?);
    if let Some(file) = &flags.report {
        report.write(file)?;
    }
    telemetry.shutdown().await;
    Ok(())
}
