//! The sandbox's wiring: its database, its port, its senders, its end.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use hexcab_chassis::{Clock, Readiness, Tasks};
use hexcab_pg::{Pg, PgConfig};
use tokio::{net::TcpListener, sync::Notify};

use super::{
    Config,
    api::{Sandbox, router},
    book::Book,
    faults::Faults,
    webhooks::Sender,
};

/// Its name to Postgres.
const NAME: &str = "payment-sandbox";
static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("./sandbox-migrations");
/// How long requests in flight may take to end …
const DRAIN: Duration = Duration::from_secs(20);
/// … and what was begun for callers that have gone, and webhooks on their way.
const TASKS_STOP: Duration = Duration::from_secs(12);

/// A sandbox that has its port.
#[derive(Debug)]
pub struct App {
    listener: TcpListener,
    addr: SocketAddr,
    sandbox: Arc<Sandbox>,
    sender: Option<Sender>,
    senders: u32,
}

impl App {
    /// Connects, migrates or waits until that was done, and binds; serves nothing yet. The clock is the machine's, or a test's.
    ///
    /// # Errors
    /// When the database is away or the address is taken.
    pub async fn build(config: Config, clock: Clock) -> anyhow::Result<Self> {
        let pg = database(&config.postgres).await?;
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("listen {}", config.listen))?;
        let tasks = Tasks::new();
        let postgres = Readiness::new().component("postgres");
        tasks.spawn("postgres", pg.clone().watch(postgres, tasks.shutdown()));
        let book = Book::new(pg, config.webhooks.url.is_some());
        let (faults, wake) = (Arc::new(Faults::new(config.seed)), Arc::new(Notify::new()));
        let sender = Sender::new(
            &config.webhooks,
            book.clone(),
            faults.clone(),
            clock.clone(),
            wake.clone(),
        )?;
        let sandbox = Sandbox {
            book,
            faults,
            clock,
            api_key: config.api_key,
            latency_ms: config.latency_ms,
            in_flight: parking_lot::Mutex::default(),
            tasks,
            happened: wake,
        };
        Ok(Self {
            addr: listener.local_addr()?,
            listener,
            sandbox: Arc::new(sandbox),
            sender,
            senders: config.webhooks.senders,
        })
    }

    /// The address it listens on.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until the signal, then drains and returns.
    ///
    /// # Errors
    /// When serving fails.
    pub async fn run(self, signal: impl Future<Output = ()>) -> anyhow::Result<()> {
        tracing::info!(service = "payment-sandbox", addr = %self.addr, "serving");
        let tasks = self.sandbox.tasks.clone();
        if let Some(sender) = self.sender {
            for _ in 0..self.senders {
                tasks.spawn("webhooks", sender.clone().run(tasks.shutdown()));
            }
        }
        let stop = tokio_util::sync::CancellationToken::new();
        let serving = axum::serve(self.listener, router(self.sandbox))
            .with_graceful_shutdown(stop.clone().cancelled_owned())
            .into_future();
        tokio::pin!(serving);
        tokio::select! {
            () = signal => {}
            ended = &mut serving => return ended.context("serve HTTP"),
        }
        stop.cancel();
        let (drained, ()) =
            tokio::join!(tokio::time::timeout(DRAIN, serving), tasks.stop(TASKS_STOP));
        match drained {
            Ok(ended) => ended.context("serve HTTP"),
            Err(_) => {
                tracing::warn!("requests in flight were cut after {DRAIN:?}");
                Ok(())
            }
        }
    }
}

/// What `hexcab-payment-sandbox migrate` does.
///
/// # Errors
/// When the server does not come, or the schema cannot be applied.
pub async fn migrate_database(config: &Config) -> anyhow::Result<()> {
    let pg = Pg::connect_to_migrate(&config.postgres, NAME).await;
    migrate(&pg.context("connect to Postgres")?).await
}

async fn database(config: &PgConfig) -> anyhow::Result<Pg> {
    if !config.migrate_at_start {
        let pg = Pg::connect_migrated(config, NAME, &[&MIGRATOR]).await;
        return pg.context("connect to Postgres");
    }
    let pg = Pg::connect(config, NAME).await;
    let pg = pg.context("connect to Postgres")?;
    migrate(&pg).await?;
    Ok(pg)
}

async fn migrate(pg: &Pg) -> anyhow::Result<()> {
    let migrated = pg.migrate(&MIGRATOR).await;
    migrated.context("migrate the sandbox's database")
}
