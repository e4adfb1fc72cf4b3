//! `hexcab-location`: configuration → telemetry → [`App::build`] → run; or, with `store.migrate_only`, the store's tables.

use anyhow::Context as _;
use hexcab_location::{App, Config, store};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let about = "where every driver is now, and who is near a point";
    let Some(config) = hexcab_chassis::config::from_args::<Config>("location", about)? else {
        return Ok(());
    };
    let telemetry = hexcab_telemetry::init("location", &config.telemetry())?;
    if config.store.migrate_only {
        let migrated = store::migrate(&config.store).await;
        telemetry.shutdown().await;
        return migrated.context("make the tables of the store");
    }
    let clock = config.clock.clock();
    let app = App::build(config, clock).await?;
    let ended = app.run(hexcab_chassis::shutdown_signal()).await;
    telemetry.shutdown().await;
    ended
}
