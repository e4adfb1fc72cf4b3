//! The city's Postgres: one server, a database a service, started again should it die.
//!
//! Invariant: same port and data over a restart, so that services just reconnect. Does not: migrate; each service does.

use std::path::PathBuf;

use anyhow::Context as _;
use hexcab_chassis::Tasks;
use hexcab_pg::embedded::{Durability, EmbeddedError, Options, Postgres};

use super::{child::STOP_TIMEOUT, services::Service};
use crate::say;

/// The wait between two tries to start it again.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// A running server that is looked after.
#[derive(Debug)]
pub struct Database {
    url: String,
    tasks: Tasks,
}

impl Database {
    /// Starts it with a database for every service that has one.
    ///
    /// # Errors
    /// When Postgres is missing or does not come up.
    pub async fn start(dir: PathBuf, port: u16, durability: Durability) -> anyhow::Result<Self> {
        let options = Options {
            dir,
            port: Some(port),
            durability,
        };
        let postgres = Postgres::start(options.clone())
            .await
            .context("start Postgres")?;
        for name in Service::ALL.into_iter().filter_map(Service::database) {
            postgres.create_database(name).await?;
        }
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

async fn retry(options: &Options, error: &EmbeddedError) -> Result<Postgres, EmbeddedError> {
    say::warn(format_args!("postgres does not start: {error}"));
    tokio::time::sleep(RETRY).await;
    Postgres::start(options.clone()).await
}
