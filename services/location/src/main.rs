//! `hexcab-location`: configuration → telemetry → [`App::build`] → run; or `migrate`, which makes its tables and ends.

use anyhow::Context as _;
use hexcab_chassis::config::Job;
use hexcab_location::{App, Config, store};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let about = "where every driver is now, and who is near a point";
    let Some((job, config)) =
        hexcab_chassis::config::from_args_or_migrate::<Config>("location", about)?
    else {
        return Ok(());
    };
    let telemetry = hexcab_telemetry::init("location", &config.telemetry())?;
    let ended = match job {
        Job::Migrate => store::migrate(&config.store)
            .await
            .context("make the tables of the store"),
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
