//! The local stack's Cassandra, as a child of the launcher: where location keeps positions.
//!
//! Invariant: the same address and data over a restart, so that location's driver just connects again. Does not: make the
//! keyspace and its tables; location does. The embedded stack has none: positions are in memory only.

use std::{path::PathBuf, sync::Arc};

use hexcab_chassis::Tasks;
pub use hexcab_jars::cassandra::{Installed, NAME};
use hexcab_jars::cassandra::{Ports, Program};

use super::{
    child::{Child, Spec},
    folder::Folder,
    health::Probe,
    services::{Environment, PortPlan},
};

/// Cassandra, started and looked after.
#[derive(Debug)]
pub struct Cassandra {
    child: Arc<Child>,
    address: String,
    log: PathBuf,
}

/// A node on these ports, not started yet.
///
/// # Errors
/// When its folder cannot be made ready.
pub fn child(installed: &Installed, folder: &Folder, ports: &PortPlan) -> anyhow::Result<Child> {
    let own = Ports {
        clients: ports.cassandra,
        nodes: ports.cassandra_nodes,
    };
    let Program { program, arguments } = installed.program(&folder.path().join(NAME), own)?;
    Ok(Child::new(Spec {
        name: NAME.to_owned(),
        program,
        arguments,
        environment: Environment::inherited().into(),
        log: folder.log(NAME),
    }))
}

impl Cassandra {
    /// Starts it; returns at once.
    pub fn begin(child: Child, address: String, log: PathBuf, tasks: &Tasks) -> Self {
        let child = Arc::new(child);
        let running = child.clone();
        tasks.spawn(NAME, async move {
            running.run().await;
            Ok(())
        });
        Self {
            child,
            address,
            log,
        }
    }

    /// Its process.
    pub fn child(&self) -> Arc<Child> {
        self.child.clone()
    }

    /// Where clients find it, `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How it is asked for its health.
    pub fn probe(&self) -> Probe {
        Probe::Cassandra(self.address.clone())
    }

    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.log.clone()
    }
}
