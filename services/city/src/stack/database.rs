//! The city's Postgres: one server, a database a service, started again should it die.
//!
//! Invariant: same port and data over a restart, so that services just reconnect. Does not: migrate; each service does.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hexcab_chassis::Tasks;
use hexcab_pg::embedded::{Durability, EmbeddedError, Options, Postgres};

use super::{child::STOP_TIMEOUT, services::Service};
use crate::{say, stop::Stop};

/// The wait between two tries to start it again.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// How long a start that is not wanted any more is waited for.
const STARTED_SOON: std::time::Duration = std::time::Duration::from_secs(10);
/// How often it is looked whether a server is gone.
const GONE_POLL: std::time::Duration = std::time::Duration::from_millis(25);

/// A running server that is looked after.
#[derive(Debug)]
pub struct Database {
    url: String,
    tasks: Tasks,
}

impl Database {
    /// Starts it with a database for every service that has one. When that fails, or `stop` comes first, nothing runs.
    ///
    /// # Errors
    /// When Postgres is missing or does not come up, or it was stopped.
    pub async fn start(
        dir: PathBuf,
        port: u16,
        durability: Durability,
        stop: &Stop,
    ) -> anyhow::Result<Self> {
        let options = Options {
            dir,
            port: Some(port),
            durability,
        };
        let postgres = match bring_up_unless(stop, &options).await {
            Ok(postgres) => postgres,
            Err(error) => {
                until_gone(&options.dir).await;
                return Err(error);
            }
        };
        let (url, tasks) = (postgres.url(""), Tasks::new());
        let stop = tasks.shutdown();
        tasks.spawn("postgres", async move {
            let mut server = Ok(postgres);
            loop {
                server = match server {
                    Ok(mut postgres) => {
                        tokio::select! {
                            () = stop.cancelled() => {
                                postgres.stop().await;
                                return Ok(());
                            }
                            () = postgres.ended() => say::warn("postgres ended; starting it again"),
                        }
                        Postgres::start(options.clone()).await
                    }
                    Err(error) => {
                        tokio::select! {
                            () = stop.cancelled() => return Ok(()),
                            retried = retry(&options, &error) => retried,
                        }
                    }
                };
            }
        });
        Ok(Self { url, tasks })
    }

    /// The server's URL with password, ending in `/`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops it and waits until it is gone.
    pub async fn stop(&self) {
        self.tasks.stop(STOP_TIMEOUT * 2).await;
    }
}

/// Making the cluster is given up at once, for what it leaves is made again; a server that is starting can be stopped
/// only once it has started, which is soon.
async fn bring_up_unless(stop: &Stop, options: &Options) -> anyhow::Result<Postgres> {
    let mut bring_up = std::pin::pin!(bring_up(options.clone()));
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        brought = &mut bring_up => return brought,
    }
    if options.dir.join("made").exists() {
        tokio::select! {
            brought = bring_up => if let Ok(postgres) = brought { postgres.stop().await },
            () = tokio::time::sleep(STARTED_SOON) => {}
            () = stop.hurried() => {}
        }
    }
    anyhow::bail!("stopped while starting")
}

async fn bring_up(options: Options) -> anyhow::Result<Postgres> {
    let postgres = Postgres::start(options).await.context("start Postgres")?;
    for name in Service::ALL.into_iter().filter_map(Service::database) {
        postgres.create_database(name).await?;
    }
    Ok(postgres)
}

/// A server whose start was given up is stopped by its watcher: waits until its pid file is gone.
async fn until_gone(dir: &Path) {
    let file = dir.join("data").join("postmaster.pid");
    let gone = async {
        while file.exists() {
            tokio::time::sleep(GONE_POLL).await;
        }
    };
    if tokio::time::timeout(STOP_TIMEOUT, gone).await.is_err() {
        say::warn(format_args!("postgres in {} still runs", dir.display()));
    }
}

async fn retry(options: &Options, error: &EmbeddedError) -> Result<Postgres, EmbeddedError> {
    say::warn(format_args!("postgres does not start: {error}"));
    tokio::time::sleep(RETRY).await;
    Postgres::start(options.clone()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::ports::Ports;

    async fn start_until(appears: &str) -> (tempfile::TempDir, anyhow::Result<Database>) {
        let dir = tempfile::tempdir().unwrap();
        let (stop, mut ports) = (Stop::default(), Ports::default());
        let (home, port) = (dir.path().join("postgres"), ports.take(None).unwrap());
        let sign = home.join(appears);
        let asked = async {
            hexcab_testkit::eventually(|| async { sign.exists().then_some(()) }).await;
            stop.cancel();
        };
        let start = Database::start(home.clone(), port, Durability::Test, &stop);
        let (started, ()) = tokio::join!(start, asked);
        (dir, started)
    }

    #[tokio::test]
    async fn a_start_that_is_stopped_leaves_no_server() {
        for appears in ["data/PG_VERSION", "data/postmaster.pid"] {
            let (dir, started) = start_until(appears).await;
            let error = started.unwrap_err().to_string();
            assert!(
                error.contains("stopped while starting"),
                "{appears}: {error}"
            );
            assert!(!dir.path().join("postgres/data/postmaster.pid").exists());
        }
    }
}
