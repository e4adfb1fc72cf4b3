//! The session with the store, once there is one, and whether the store answers.
//!
//! The driver connects again by itself to nodes that it knows; what it cannot do is begin while the store is away. So this
//! goes on trying, and everybody else does without meanwhile.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hexcab_chassis::Component;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{StoreConfig, StoreError, cql::Cql};

/// Between two tries to connect.
const RETRY: Duration = Duration::from_secs(1);

/// The session, if any.
pub struct Link {
    cql: OnceLock<Arc<Cql>>,
    connected: watch::Sender<bool>,
    answers: AtomicBool,
    health: Component,
}

impl Link {
    /// None yet.
    pub fn new(health: Component) -> Self {
        Self {
            cql: OnceLock::new(),
            connected: watch::Sender::new(false),
            answers: AtomicBool::new(false),
            health,
        }
    }

    /// The session, whether or not the store answers now.
    pub fn session(&self) -> Result<Arc<Cql>, StoreError> {
        self.cql.get().cloned().ok_or(StoreError::Away)
    }

    /// The session, if the store answered last time: for what somebody waits for.
    pub fn usable(&self) -> Option<Arc<Cql>> {
        let answers = self.answers.load(Ordering::Relaxed);
        self.cql.get().filter(|_| answers).cloned()
    }

    /// Waits until there is a session.
    pub async fn connected(&self) -> Arc<Cql> {
        let mut connected = self.connected.subscribe();
        loop {
            if let Some(cql) = self.cql.get() {
                return cql.clone();
            }
            if connected.changed().await.is_err() {
                std::future::pending().await
            }
        }
    }

    /// What came of asking it. A change is logged once, and the health service told.
    pub fn said<T>(&self, answer: &Result<T, StoreError>) {
        let answers = answer.is_ok();
        if self.answers.swap(answers, Ordering::Relaxed) == answers {
            return;
        }
        self.health.set(answers);
        match answer {
            Ok(_) => tracing::info!("the store answers; what it missed is kept now"),
            Err(error) => tracing::warn!(
                error = chain(error),
                "the store does not answer; pings and queries are served from memory"
            ),
        }
    }
}

/// Connects, however long it takes.
pub async fn keep_connected(
    link: Arc<Link>,
    config: StoreConfig,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let connecting = async {
        let mut said = false;
        loop {
            match Cql::connect(&config, config.make_tables).await {
                Ok(cql) => {
                    link.said(&Ok(()));
                    let _ = link.cql.set(Arc::new(cql));
                    link.connected.send_replace(true);
                    return;
                }
                Err(error) if !said => {
                    tracing::warn!(
                        error = chain(&error),
                        nodes = config.nodes,
                        "the store cannot be had yet; pings and queries are served from memory"
                    );
                    said = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    shutdown.run_until_cancelled(connecting).await;
    Ok(())
}

fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
