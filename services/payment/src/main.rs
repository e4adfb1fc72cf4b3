//! The process `hexcab-payment`.

use hexcab_payment::{app::App, config::Config};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let read =
        hexcab_chassis::config::from_args::<Config>("payment", "holds, captures and the ledger")?;
    let Some(config) = read else { return Ok(()) };
    let telemetry = hexcab_telemetry::init("payment", &config.telemetry)?;
    let clock = config.clock.clock();
    let app = App::build(config, clock).await?;
    let ended = app.run(hexcab_chassis::shutdown_signal()).await;
    telemetry.shutdown().await;
    ended
}
