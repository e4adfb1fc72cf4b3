//! The city's Postgres: one server, a database a service, started again should it die.
//!
//! Invariant: same port and data over a restart, so that services just reconnect. Does not: migrate; each service does.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use async_trait::async_trait;
use hexcab_chassis::Tasks;
use hexcab_pg::embedded::{Durability, Options, Postgres, Processes};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    child::STOP_TIMEOUT,
    process::{Fault, Life, Process, signal},
    services::Service,
};
use crate::{say, stop::Stop};

/// The wait between two tries to start it again.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// How long it is waited for when all is to end at once.
const HURRY: std::time::Duration = std::time::Duration::from_secs(2);
/// How long a start that is not wanted any more is waited for.
const STARTED_SOON: std::time::Duration = std::time::Duration::from_secs(10);
/// How often it is looked whether a server is gone.
const GONE_POLL: std::time::Duration = std::time::Duration::from_millis(25);

/// Its name in the city.
pub const NAME: &str = "postgres";

/// A running server that is looked after.
#[derive(Debug)]
pub struct Database {
    url: String,
    log: PathBuf,
    processes: Processes,
    orders: mpsc::Sender<()>,
    life: watch::Receiver<Life>,
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
            port: Some(port),
            durability,
            ..Options::new(dir)
        };
        let postgres = match bring_up_unless(stop, &options).await {
            Ok(postgres) => postgres,
            Err(error) => {
                until_gone(&options.dir).await;
                return Err(error);
            }
        };
        let (url, processes, tasks) = (postgres.url(""), postgres.processes(), Tasks::new());
        let log = postgres.dir().join("postgres.log");
        let (orders, inbox) = mpsc::channel(8);
        let (told, life) = watch::channel(Life {
            pid: Some(postgres.pid()),
            ..Life::default()
        });
        let keeper = Keeper {
            options,
            orders: inbox,
            life: told,
            stop: tasks.shutdown(),
        };
        tasks.spawn(NAME, keeper.keep(postgres));
        Ok(Self {
            url,
            log,
            processes,
            orders,
            life,
            tasks,
        })
    }

    /// The server's URL with password, ending in `/`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its log, of the server that runs now.
    pub fn log(&self) -> PathBuf {
        self.log.clone()
    }
}

#[async_trait]
impl Process for Database {
    fn life(&self) -> Life {
        *self.life.borrow()
    }

    /// A kill is the server's own: what it started notices. Held up are all of them, for a server that only does not
    /// accept connections is no server that stands still.
    fn suffer(&self, fault: Fault) -> bool {
        match fault {
            Fault::Kill => self
                .life()
                .pid
                .is_some_and(|pid| signal(pid, fault.signal())),
            Fault::Stop | Fault::Continue => self.processes.signal(fault.signal()),
        }
    }

    async fn restart(&self) {
        let (mut life, before) = (self.life.clone(), self.life().pid);
        if self.orders.send(()).await.is_ok() {
            let renewed = |life: &Life| life.stopped || (life.pid.is_some() && life.pid != before);
            let _over = life.wait_for(renewed).await;
        }
    }

    async fn stop(&self) {
        self.tasks.stop(STOP_TIMEOUT * 2).await;
    }

    /// It is stopping, and goes with this process at the latest.
    async fn stop_at_once(&self) {
        let _stopping = tokio::time::timeout(HURRY, self.stop()).await;
    }
}

/// Keeps a server running.
struct Keeper {
    options: Options,
    orders: mpsc::Receiver<()>,
    life: watch::Sender<Life>,
    stop: CancellationToken,
}

impl Keeper {
    async fn keep(mut self, mut postgres: Postgres) -> anyhow::Result<()> {
        loop {
            let died = tokio::select! {
                () = self.stop.cancelled() => {
                    postgres.stop().await;
                    break;
                }
                Some(()) = self.orders.recv() => false,
                () = postgres.ended() => true,
            };
            self.life.send_modify(|life| {
                life.pid = None;
                life.restarts += u32::from(died);
            });
            if died {
                say::warn("postgres ended; starting it again");
            } else {
                postgres.stop().await;
            }
            let Some(fresh) = self.start_again().await else {
                break;
            };
            postgres = fresh;
            self.life
                .send_modify(|life| life.pid = Some(postgres.pid()));
        }
        self.life.send_modify(|life| {
            life.pid = None;
            life.stopped = true;
        });
        Ok(())
    }

    /// On the same folder and port, until it succeeds; none when it is to end.
    async fn start_again(&self) -> Option<Postgres> {
        loop {
            let started = tokio::select! {
                () = self.stop.cancelled() => None,
                started = Postgres::start(self.options.clone()) => Some(started),
            };
            match started {
                None => {
                    until_gone(&self.options.dir).await;
                    return None;
                }
                Some(Ok(postgres)) => return Some(postgres),
                Some(Err(error)) => say::warn(format_args!("postgres does not start: {error}")),
            }
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
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

#[cfg(test)]
mod tests {
    use sqlx::Connection as _;

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

    /// What it says to a new connection.
    async fn answers(url: &str) -> Option<i32> {
        let mut connection = sqlx::PgConnection::connect(&format!("{url}trip"))
            .await
            .ok()?;
        let asked = sqlx::query_scalar("SELECT n FROM t").fetch_one(&mut connection);
        asked.await.ok()
    }

    #[tokio::test]
    async fn a_killed_server_is_started_again_with_its_data_on_its_port() {
        let dir = tempfile::tempdir().unwrap();
        let port = Ports::default().take(None).unwrap();
        let (home, stop) = (dir.path().join("postgres"), Stop::default());
        let database = Database::start(home, port, Durability::Test, &stop)
            .await
            .unwrap();
        let url = format!("{}trip", database.url());
        let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
        sqlx::raw_sql("CREATE TABLE t (n int); INSERT INTO t VALUES (7)")
            .execute(&mut connection)
            .await
            .unwrap();
        let first = database.life().pid.unwrap();
        // Held up as a whole, so that its children notice nothing of its end.
        assert!(database.suffer(Fault::Stop) && database.suffer(Fault::Kill));
        let mut life = database.life.clone();
        let again = life.wait_for(|life| life.restarts == 1 && life.pid.is_some());
        let second = again.await.unwrap().pid.unwrap();
        assert_ne!(first, second);
        assert_eq!(answers(database.url()).await, Some(7));
        database.restart().await;
        assert!(database.life().pid.is_some_and(|pid| pid != second));
        assert_eq!(
            database.life().restarts,
            1,
            "an ordered restart is no failure"
        );
        assert_eq!(answers(database.url()).await, Some(7));
        database.stop().await;
        assert_eq!(answers(database.url()).await, None);
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
