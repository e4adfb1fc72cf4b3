//! Kafka as a child of the launcher.
//!
//! - [`topics`] what is made in it
//! - [`embedded`] the process `hexcab broker`, empty at each start; [`local`] Apache Kafka, which keeps what it has
//!
//! Invariant: the same address over a restart, so that clients just connect again. Does not: speak to it otherwise than to
//! make its topics.

pub mod embedded;
pub mod local;
pub mod topics;

use std::{path::PathBuf, sync::Arc};

use hexcab_chassis::Tasks;

use super::{child::Child, health::Probe};

/// Its name in the city.
pub const NAME: &str = "kafka";

/// How its topics come to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topics {
    /// It makes them itself, each time.
    Own,
    /// They are made in it, once.
    Made,
}

/// Kafka, started and looked after.
#[derive(Debug)]
pub struct Kafka {
    child: Arc<Child>,
    topics: Topics,
    bootstrap: String,
    log: PathBuf,
}

impl Kafka {
    /// Starts it; returns at once.
    pub fn begin(
        (child, topics): (Child, Topics),
        bootstrap: String,
        log: PathBuf,
        tasks: &Tasks,
    ) -> Self {
        let child = Arc::new(child);
        let running = child.clone();
        tasks.spawn(NAME, async move {
            running.run().await;
            Ok(())
        });
        Self {
            child,
            topics,
            bootstrap,
            log,
        }
    }

    /// Sees to it that every topic is there, once it is healthy.
    ///
    /// # Errors
    /// When it does not make them.
    pub async fn make_topics(&self) -> anyhow::Result<()> {
        match self.topics {
            Topics::Own => Ok(()),
            Topics::Made => topics::make(&self.bootstrap, 1).await,
        }
    }

    /// Its process.
    pub fn child(&self) -> Arc<Child> {
        self.child.clone()
    }

    /// Where clients find it, `host:port`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// How it is asked for its health.
    pub fn probe(&self) -> Probe {
        Probe::Kafka(self.bootstrap.clone())
    }

    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.log.clone()
    }
}
