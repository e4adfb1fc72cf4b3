//! `hexcab-location`: configuration → telemetry → [`App::build`] → run.

use hexcab_location::{App, Config};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let about = "where every driver is now, and who is near a point";
    let Some(config) = hexcab_chassis::config::from_args::<Config>("location", about)? else {
        return Ok(());
    };
    let telemetry = hexcab_telemetry::init("location", &config.telemetry)?;
    let clock = config.clock.clock();
    let app = App::build(config, clock).await?;
    let ended = app.run(hexcab_chassis::shutdown_signal()).await;
    telemetry.shutdown().await;
    ended
}
