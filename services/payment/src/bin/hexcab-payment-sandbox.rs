//! The process `hexcab-payment-sandbox`: a payment processor for cities without real money.

use hexcab_payment::sandbox::{App, Config};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let read = hexcab_chassis::config::from_args::<Config>(
        "payment-sandbox",
        "a payment processor without real money",
    )?;
    let Some(config) = read else { return Ok(()) };
    let telemetry = hexcab_telemetry::init("payment-sandbox", &config.telemetry)?;
    let clock = hexcab_chassis::Clock::system();
    let app = App::build(config, clock).await?;
    let ended = app.run(hexcab_chassis::shutdown_signal()).await;
    telemetry.shutdown().await;
    ended
}
