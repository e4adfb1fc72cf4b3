//! Kafka as a child of the launcher.
//!
//! - [`topics`] what is made in it; [`embedded`] the process `hexcab broker`, empty at each start
//!
//! Invariant: the same address over a restart, so that clients just connect again. Does not: speak to it otherwise.

pub mod embedded;
pub mod topics;

use std::{path::PathBuf, sync::Arc};

use hexcab_chassis::Tasks;

use super::{child::Child, health::Probe};

/// Its name in the city.
pub const NAME: &str = "kafka";

/// Kafka, started and looked after.
#[derive(Debug)]
pub struct Kafka {
    child: Arc<Child>,
    bootstrap: String,
    log: PathBuf,
}

impl Kafka {
    /// Starts it; returns at once.
    pub fn begin(child: Child, bootstrap: String, log: PathBuf, tasks: &Tasks) -> Self {
        let child = Arc::new(child);
        let running = child.clone();
        tasks.spawn(NAME, async move {
            running.run().await;
            Ok(())
        });
        Self {
            child,
            bootstrap,
            log,
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
