//! Postgres as every service of ours uses it: one pool, migrations, and the one SERIALIZABLE transaction.
//!
//! - [`Pg`] a pool with time limits; [`Pg::serializable`] and [`Pg::idempotent`] are the only ways to change anything,
//!   beside [`Pg::one_trip`] for a change that is one statement
//! - [`Pg::migrate`] a service's tables; [`Pg::connect_migrated`] waits until somebody else has made them
//! - [`PgError`] told apart by what the caller will do
//! - [`embedded`] a private Postgres from the system's own binaries, for the embedded city and for tests
//!
//! Does not: know any table.

mod breaker;
pub mod embedded;
mod error;
mod one_trip;
mod schema;
mod tries;
mod tx;

use std::{str::FromStr as _, sync::Arc, time::Duration};

use hexcab_chassis::Secret;
use hexcab_telemetry::metrics::{Gauge, KeyValue};
use serde::{Deserialize, Serialize};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use tracing::{Span, field::Empty};

use breaker::Breaker;
use one_trip::Lines;

pub use error::{PgError, PgFailure};
pub use tx::Tx;

static CONNECTIONS: Gauge = Gauge::new(
    "db.client.connection.count",
    "{connection}",
    "connections to Postgres, by database and whether they are in use",
);

/// How often it is looked whether Postgres answers.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Which database, and how much of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PgConfig {
    /// `postgres://user:password@host:port/database`.
    pub url: Secret,
    /// Connections at most, for transactions and plain reads.
    pub max_connections: u32,
    /// More connections at most, for changes that are one statement; opened when first needed. A few for each processor of
    /// the server: callers who wait here are served in turn, those who wait there are not.
    pub one_trip_connections: u32,
    /// How long a caller waits for a connection, milliseconds.
    pub acquire_timeout_ms: u64,
    /// `statement_timeout`, milliseconds.
    pub statement_timeout_ms: u64,
    /// `lock_timeout`, milliseconds.
    pub lock_timeout_ms: u64,
    /// Whether a service that starts brings its database up to date. Off where `hexcab-… migrate` does, once for all
    /// replicas: then a service waits until it was done.
    pub migrate_at_start: bool,
}

impl Default for PgConfig {
    fn default() -> Self {
        Self {
            url: Secret::new("postgres://127.0.0.1:5432/hexcab"),
            max_connections: 8,
            one_trip_connections: 8,
            acquire_timeout_ms: 1_000,
            statement_timeout_ms: 2_000,
            lock_timeout_ms: 500,
            migrate_at_start: true,
        }
    }
}

/// A database.
#[derive(Debug, Clone)]
pub struct Pg {
    pool: PgPool,
    lines: Arc<Lines>,
    breaker: Arc<Breaker>,
    database: String,
    name: String,
}

impl Pg {
    /// Connects once, to fail early, and keeps a pool.
    ///
    /// # Errors
    /// When the URL cannot be read or nobody answers.
    pub async fn connect(config: &PgConfig, application: &str) -> Result<Self, PgError> {
        Self::open(config, application, &[]).await
    }

    /// The same, with no more rights than this role has: for a service that must not be able to do what its owner may,
    /// such as changing a ledger. The role exists (a migration made it), and the URL's user is a member of it.
    ///
    /// # Errors
    /// When the URL cannot be read, nobody answers, or the role is not to be had.
    pub async fn connect_as(
        config: &PgConfig,
        application: &str,
        role: &str,
    ) -> Result<Self, PgError> {
        Self::open(config, application, &[("role", role)]).await
    }

    async fn open(
        config: &PgConfig,
        application: &str,
        more: &[(&str, &str)],
    ) -> Result<Self, PgError> {
        let options = PgConnectOptions::from_str(config.url.expose())?
            .application_name(application)
            .options([
                (
                    "statement_timeout",
                    format!("{}ms", config.statement_timeout_ms),
                ),
                ("lock_timeout", format!("{}ms", config.lock_timeout_ms)),
                ("idle_in_transaction_session_timeout", "5s".to_owned()),
            ])
            .options(more.iter().copied());
        // Of one database there may be several, each with the rights of another role.
        let role = more.iter().find(|(key, _)| *key == "role");
        let name = role.map_or(application, |(_, role)| role).to_owned();
        let database = options.get_database().unwrap_or_default().to_owned();
        let breaker = Breaker::new(options.clone()).map_err(sqlx::Error::Io)?;
        let breaker = Arc::new(breaker);
        let lines = Arc::new(Lines::new(options.clone(), breaker.clone(), config));
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            .acquire_timeout(Duration::from_millis(config.acquire_timeout_ms))
            .idle_timeout(Duration::from_secs(60))
            .test_before_acquire(false)
            .connect_with(options)
            .await?;
        Ok(Self {
            pool,
            lines,
            breaker,
            database,
            name,
        })
    }

    /// The pool, for reads that need no transaction.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) fn lines(&self) -> &Lines {
        &self.lines
    }

    /// The span of a transaction, when it is a part of something traced.
    pub(crate) fn span(&self, name: &'static str) -> Span {
        if Span::current().is_none() {
            return Span::none();
        }
        tracing::info_span!(
            "db.transaction",
            otel.name = name,
            otel.kind = "client",
            db.system.name = "postgresql",
            db.namespace = self.database(),
            db.operation.name = name,
            hexcab.db.tries = Empty,
        )
    }

    /// The database's name.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Whether Postgres answers.
    pub async fn is_there(&self) -> bool {
        sqlx::query("SELECT 1").execute(&self.pool).await.is_ok()
    }

    /// Keeps a readiness component saying whether Postgres answers, until shutdown. While it does not, nobody else of this
    /// pool tries to connect (see `breaker`).
    ///
    /// # Errors
    /// Never; the type is that of a task.
    pub async fn watch(
        self,
        component: hexcab_chassis::Component,
        shutdown: tokio_util::sync::CancellationToken,
    ) -> anyhow::Result<()> {
        loop {
            let is_there = self.is_there().await;
            component.set(is_there);
            self.measure();
            let next = async {
                if is_there {
                    return tokio::time::sleep(WATCH_EVERY).await;
                }
                self.breaker.open(&self.pool);
                self.breaker.knock().await;
                self.breaker.close(&self.pool);
            };
            tokio::select! {
                () = next => {}
                () = shutdown.cancelled() => return Ok(()),
            }
        }
    }

    fn measure(&self) {
        let (open, idle) = (self.pool.size(), self.pool.num_idle());
        let used = (open as usize).saturating_sub(idle);
        for (state, many) in [("used", used), ("idle", idle)] {
            let state = KeyValue::new("db.client.connection.state", state);
            let name = KeyValue::new("db.client.connection.pool.name", self.name.clone());
            CONNECTIONS.set(many as f64, &[name, state]);
        }
    }
}
