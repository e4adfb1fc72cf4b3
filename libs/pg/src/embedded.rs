//! A private Postgres from the system's own binaries, for the embedded city and for tests.
//!
//! Job: make a cluster in a folder of its own (or reuse the one that is there), serve it on loopback, stop it.
//! Invariants: it listens on 127.0.0.1 only and asks for a random password (SCRAM); it never runs as root; it ends
//! when its owner ends, also by `kill -9`, because a watcher holds a pipe from the owner; a folder has one server.
//! A server that was killed leaves processes behind that no new one starts beside: the next start ends them.
//! Does not: install Postgres, migrate schemas, restart a server that died.

mod account;
mod binaries;
mod cluster;
mod processes;
mod watched;

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};

pub use account::Account;
pub use binaries::Binaries;
use cluster::Cluster;
use watched::Watched;

/// The superuser of the private cluster, whom the services connect as.
pub const USER: &str = "hexcab";
/// How long a server may take to accept connections (crash recovery included).
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an immediate retry waits while the server comes up.
const START_POLL: Duration = Duration::from_millis(25);
/// How often another free port is tried when the one found was taken meanwhile.
const PORT_TRIES: u32 = 5;

/// What a commit promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A commit is on disk when it is answered.
    #[default]
    Durable,
    /// Commits survive the server's crash but not the machine's: for tests.
    Test,
}

/// Where and how to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder that holds everything of this server; made when missing, reused when there.
    pub dir: PathBuf,
    /// The TCP port on 127.0.0.1; a free one when `None`.
    pub port: Option<u16>,
    /// What a commit promises.
    pub durability: Durability,
    /// More settings (`name=value`), which win over those of a small server.
    pub settings: Vec<String>,
}

impl Options {
    /// A durable server in this folder, on a free port.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            port: None,
            durability: Durability::Durable,
            settings: Vec::new(),
        }
    }

    /// The same, without waiting for the disk.
    pub fn for_tests(dir: impl Into<PathBuf>) -> Self {
        Self {
            durability: Durability::Test,
            ..Self::new(dir)
        }
    }
}

/// Why there is no Postgres.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No server binaries on this machine.
    #[error(
        "no Postgres server found (looked in PATH, `pg_config --bindir` and /usr/lib/postgresql/*/bin); \
         install it with `apt-get install -y postgresql` (Debian, Ubuntu), `dnf install postgresql-server` or \
         `brew install postgresql@17`"
    )]
    NotInstalled,
    /// The folder was made by another major version.
    #[error(
        "{dir} holds data of Postgres {wanted}, but only {found} is installed; install postgresql-{wanted} or remove the folder"
    )]
    WrongVersion {
        /// The data folder.
        dir: PathBuf,
        /// Its major version.
        wanted: String,
        /// The versions on this machine.
        found: String,
    },
    /// Running as root and nobody else to be.
    #[error(
        "Postgres does not run as root, and this machine has neither a user `postgres` nor `nobody`; add one with `useradd --system postgres`"
    )]
    NoUnprivilegedUser,
    /// The unprivileged user cannot get to the folder.
    #[error(
        "user {user} cannot enter {blocked}, so Postgres cannot live in {dir}; choose a folder outside it, or run `chmod o+x {blocked}`"
    )]
    Unreachable {
        /// The folder asked for.
        dir: PathBuf,
        /// The ancestor that is closed.
        blocked: PathBuf,
        /// The user that Postgres would run as.
        user: String,
    },
    /// Another server lives in the folder.
    #[error("another Postgres (pid {pid}) is running in {dir}; stop it or choose another folder")]
    InUse {
        /// The data folder.
        dir: PathBuf,
        /// The other server's process.
        pid: u32,
    },
    /// The folder could not be prepared.
    #[error("could not {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// `initdb` failed.
    #[error("initdb failed: {0}")]
    Initdb(String),
    /// The server ended or did not answer in time; with the end of its log.
    #[error("Postgres did not start: {0}")]
    NotStarted(String),
    /// A name that would need quoting.
    #[error("{0:?} is not a database name (a-z, 0-9 and _, starting with a letter)")]
    BadName(String),
    /// A statement failed.
    #[error("could not {0}")]
    Sql(&'static str, #[source] sqlx::Error),
}

/// A running private server. Dropping it stops it in the background; [`Postgres::stop`] waits.
#[derive(Debug)]
pub struct Postgres {
    cluster: Cluster,
    port: u16,
    pid: u32,
    watched: Watched,
}

impl Postgres {
    /// Starts a server in the folder: makes the cluster when there is none, waits until it accepts connections.
    ///
    /// # Errors
    /// When Postgres is missing, the folder cannot be used, or the server does not come up.
    pub async fn start(options: Options) -> Result<Self, EmbeddedError> {
        let cluster = Cluster::prepare(&options.dir).await?;
        let mut tries = 0;
        loop {
            let port = options.port.map_or_else(free_port, Ok)?;
            tries += 1;
            match Self::serve(&cluster, port, &options).await {
                Err(EmbeddedError::NotStarted(log))
                    if log.contains("Address already in use")
                        && options.port.is_none()
                        && tries < PORT_TRIES => {}
                Err(error) => return Err(error),
                Ok((watched, pid)) => {
                    return Ok(Self {
                        cluster,
                        port,
                        pid,
                        watched,
                    });
                }
            }
        }
    }

    /// The connection URL of a database, password included.
    pub fn url(&self, database: &str) -> String {
        self.cluster.url(self.port, database)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The folder that holds everything of this server.
    pub fn dir(&self) -> &Path {
        &self.cluster.dir
    }

    /// Its processes, to send signals to from elsewhere.
    pub fn processes(&self) -> Processes {
        Processes {
            data: self.cluster.data(),
        }
    }

    /// Makes a database, if it is not there.
    ///
    /// # Errors
    /// When the name would need quoting, or the server refuses.
    pub async fn create_database(&self, name: &str) -> Result<(), EmbeddedError> {
        let plain = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !plain {
            return Err(EmbeddedError::BadName(name.to_owned()));
        }
        let failed = |source| EmbeddedError::Sql("make a database", source);
        let mut admin = self
            .cluster
            .options(self.port, "postgres")
            .connect()
            .await
            .map_err(failed)?;
        let there: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
                .bind(name)
                .fetch_one(&mut admin)
                .await
                .map_err(failed)?;
        if !there {
            // The name was checked above: it needs no quoting.
            sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
                .execute(&mut admin)
                .await
                .map_err(failed)?;
        }
        admin.close().await.map_err(failed)
    }

    /// Waits until the server has ended by itself; for whoever supervises it.
    pub async fn ended(&mut self) {
        self.watched.ended().await;
    }

    /// Stops the server (fast: open transactions are rolled back) and waits until it is gone.
    pub async fn stop(mut self) {
        // What is held up would have to be given up on.
        self.processes().signal(Signal::SIGCONT);
        self.watched.stop().await;
    }

    async fn serve(
        cluster: &Cluster,
        port: u16,
        options: &Options,
    ) -> Result<(Watched, u32), EmbeddedError> {
        cluster.truncate_log()?;
        let mut watched = cluster.spawn(port, options.durability, &options.settings)?;
        let deadline = tokio::time::Instant::now() + START_TIMEOUT;
        loop {
            let answer = PgConnection::connect_with(&cluster.options(port, "postgres")).await;
            if let Ok(connection) = answer {
                drop(connection);
                // Another server could sit on the port; ours has written its pid file before it accepts connections.
                if let Some(pid) = cluster.running_pid() {
                    return Ok((watched, pid));
                }
            }
            if watched.has_ended() || tokio::time::Instant::now() > deadline {
                watched.stop().await;
                return Err(EmbeddedError::NotStarted(cluster.log_tail()));
            }
            tokio::time::sleep(START_POLL).await;
        }
    }
}

/// The processes of the server in a folder, whichever they are at the moment.
#[derive(Debug, Clone)]
pub struct Processes {
    data: PathBuf,
}

impl Processes {
    /// Sends a signal to all of them, the one that began included. False when there are none.
    pub fn signal(&self, signal: Signal) -> bool {
        let all = processes::serving(&self.data);
        for pid in &all {
            processes::signal(*pid, signal);
        }
        !all.is_empty()
    }
}

impl Cluster {
    fn url(&self, port: u16, database: &str) -> String {
        format!(
            "postgres://{USER}:{}@127.0.0.1:{port}/{database}",
            self.password
        )
    }

    fn options(&self, port: u16, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(port)
            .username(USER)
            .password(&self.password)
            .database(database)
            .ssl_mode(sqlx::postgres::PgSslMode::Disable)
            .disable_statement_logging()
    }
}

/// A TCP port that was free on loopback a moment ago.
fn free_port() -> Result<u16, EmbeddedError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|source| EmbeddedError::Io {
            what: "find a free port on",
            path: "127.0.0.1".into(),
            source,
        })
}

#[cfg(test)]
mod tests;
