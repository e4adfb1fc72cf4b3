//! `hexcab-payment-sandbox`: configuration → telemetry → [`App::build`] → run; or `migrate`, which makes its tables and ends.

use hexcab_chassis::config::Job;
use hexcab_payment::sandbox::{App, Config, migrate_database};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let about = "a payment processor without real money";
    let Some((job, config)) =
        hexcab_chassis::config::from_args_or_migrate::<Config>("payment-sandbox", about)?
    else {
        return Ok(());
    };
    let telemetry = hexcab_telemetry::init("payment-sandbox", &config.telemetry)?;
    let ended = match job {
        Job::Migrate => migrate_database(&config).await,
        Job::Serve => serve(config).await,
    };
    telemetry.shutdown().await;
    ended
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let mut signal = std::pin::pin!(hexcab_chassis::shutdown_signal());
    let clock = hexcab_chassis::Clock::system();
    // Where it has to wait for its database, it can still be told to stop.
    match hexcab_chassis::start_unless(&mut signal, App::build(config, clock)).await? {
        Some(app) => app.run(signal).await,
        None => Ok(()),
    }
}
