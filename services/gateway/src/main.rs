//! The process `hexcab-gateway`: configuration, telemetry, the app.

use hexcab_gateway::{App, Config};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Some(config) =
        hexcab_chassis::config::from_args::<Config>("gateway", "the only door for apps")?
    else {
        return Ok(());
    };
    let telemetry = hexcab_telemetry::init("gateway", &config.telemetry)?;
    let clock = config.clock.clock();
    let app = App::build(config, clock).await?;
    let ended = app.run(hexcab_chassis::shutdown_signal()).await;
    telemetry.shutdown().await;
    ended
}
