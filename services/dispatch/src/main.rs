//! The process `hexcab-dispatch`.

use hexcab_dispatch::{app::App, config::Config};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let read = hexcab_chassis::config::from_args::<Config>("dispatch", "who should pick up whom")?;
    let Some(config) = read else { return Ok(()) };
    let telemetry = hexcab_telemetry::init("dispatch", &config.telemetry)?;
    let clock = config.clock.clock();
    let app = App::build(config, clock).await?;
    let ended = app.run(hexcab_chassis::shutdown_signal()).await;
    telemetry.shutdown().await;
    ended
}
