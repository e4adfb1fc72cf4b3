//! `hexcab cluster`: what a cluster of containers needs that no service makes. Each may be run again at any time.

use std::{net::SocketAddr, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, ensure};
use hexcab_chassis::Tasks;

use crate::{
    cli::ClusterCommand,
    say,
    stack::{
        kafka::topics,
        keys::Keys,
        sign_in::{self, Issuer},
    },
    stop::Stop,
};

/// How long open requests may take to end.
const DRAIN: Duration = Duration::from_secs(5);
/// How long a health check waits.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// Does it.
///
/// # Errors
/// When it cannot be done: a folder that cannot be written, a Kafka that does not answer, a port that is taken.
pub async fn run(command: ClusterCommand, stop: Stop) -> anyhow::Result<ExitCode> {
    match command {
        ClusterCommand::Keys { dir } => {
            std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
            Keys::make(&dir)?;
            say::step(format_args!(
                "{}: keys and secrets are there",
                dir.display()
            ));
        }
        ClusterCommand::Topics { brokers, replicas } => {
            topics::make(&brokers, replicas).await?;
            say::step(format_args!("{brokers}: topics are there"));
        }
        ClusterCommand::SignIn {
            listen,
            healthcheck: true,
            ..
        } => is_serving(listen).await?,
        ClusterCommand::SignIn { listen, key, .. } => sign_in(listen, &key, &stop).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn sign_in(listen: SocketAddr, key: &Path, stop: &Stop) -> anyhow::Result<()> {
    let pem = std::fs::read_to_string(key).with_context(|| format!("read {}", key.display()))?;
    let tasks = Tasks::new();
    sign_in::serve(listen, Issuer::new(&pem)?, &tasks).await?;
    say::warn(format_args!(
        "whoever reaches {listen} may be any rider, driver or operator"
    ));
    stop.cancelled().await;
    tasks.stop(DRAIN).await;
    Ok(())
}

async fn is_serving(listen: SocketAddr) -> anyhow::Result<()> {
    let url = format!("http://127.0.0.1:{}/healthz", listen.port());
    let asked = reqwest::Client::new().get(&url).timeout(HEALTH_TIMEOUT);
    let status = asked.send().await.with_context(|| url.clone())?.status();
    ensure!(status.is_success(), "{url}: {status}");
    Ok(())
}
