//! `hexcab-trip`: the life of a trip.

use hexcab_trip::{app::App, config::Config};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Some(config) = hexcab_chassis::config::from_args::<Config>("trip", "the life of a trip")?
    else {
        return Ok(());
    };
    let telemetry = hexcab_telemetry::init("trip", &config.telemetry)?;
    let clock = config.clock.clock();
    let app = App::build(config, clock).await?;
    let ended = app.run(hexcab_chassis::shutdown_signal()).await;
    telemetry.shutdown().await;
    ended
}
