//! `hexcab-pricing`: configuration → telemetry → [`App::build`] → run.

use hexcab_pricing::{App, Config};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let about = "fares, upfront quotes, surge per cell";
    let Some(config) = hexcab_chassis::config::from_args::<Config>("pricing", about)? else {
        return Ok(());
    };
    let telemetry = hexcab_telemetry::init("pricing", &config.telemetry)?;
    let clock = config.clock.clock();
    let app = App::build(config, clock).await?;
    let ended = app.run(hexcab_chassis::shutdown_signal()).await;
    telemetry.shutdown().await;
    ended
}
