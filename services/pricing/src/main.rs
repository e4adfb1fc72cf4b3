//! `hexcab-pricing`: configuration → telemetry → [`App::build`] → run; or `migrate`, which makes its tables and ends.

use anyhow::Context as _;
use hexcab_chassis::config::Job;
use hexcab_pricing::{App, Config, store::Store};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let about = "fares, upfront quotes, surge per cell";
    let Some((job, config)) =
        hexcab_chassis::config::from_args_or_migrate::<Config>("pricing", about)?
    else {
        return Ok(());
    };
    let telemetry = hexcab_telemetry::init("pricing", &config.telemetry)?;
    let ended = match job {
        Job::Migrate => Store::migrate(&config.postgres).await.context("migrate"),
        Job::Serve => serve(config).await,
    };
    telemetry.shutdown().await;
    ended
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let mut signal = std::pin::pin!(hexcab_chassis::shutdown_signal());
    let clock = config.clock.clock();
    // Where it has to wait for its database, it can still be told to stop.
    match hexcab_chassis::start_unless(&mut signal, App::build(config, clock)).await? {
        Some(app) => app.run(signal).await,
        None => Ok(()),
    }
}
