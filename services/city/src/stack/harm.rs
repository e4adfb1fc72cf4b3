//! What a chaos run may do to a city that was started for faults: strike its processes and connections, set its clocks,
//! arm its crash points, and see how they are.
//!
//! Does not: choose what to strike ([`crate::chaos`] does), put anything right by itself.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Member, READY_POLL, Stack, health, links::Links, node::Node, process::Process,
    services::Service,
};

impl Stack {
    /// Every process that can be struck, in the order they are started.
    pub fn nodes(&self) -> Vec<Node> {
        let members = self.running.members.iter();
        members
            .filter_map(|member| member.name.parse().ok())
            .collect()
    }

    /// A process.
    pub fn process(&self, node: Node) -> Option<Arc<dyn Process>> {
        self.member(node).map(|member| member.process.clone())
    }

    /// The connections that can be disturbed.
    pub fn links(&self) -> &Links {
        &self.running.links
    }

    /// What is wrong with it; none when it is serving, or there is none.
    pub async fn complaint(&self, node: Node) -> Option<String> {
        health::complaint(&self.member(node)?.probe).await
    }

    /// Waits until all of these are serving, this long at most; then says what is wrong with one that is not.
    pub async fn until_well(&self, nodes: &[Node], patience: Duration) -> Option<String> {
        let begun = Instant::now();
        for node in nodes {
            while let Some(complaint) = self.complaint(*node).await {
                if begun.elapsed() >= patience {
                    return Some(complaint);
                }
                tokio::time::sleep(READY_POLL).await;
            }
        }
        None
    }

    /// Which stack it is.
    pub fn kind(&self) -> &'static str {
        self.running.stores.name()
    }

    /// Where a service's output goes.
    pub fn log(&self, service: Service) -> PathBuf {
        self.running.folder.log(service.name())
    }

    /// What says how much a service's clocks are off.
    pub fn clock_file(&self, service: Service) -> PathBuf {
        self.running.folder.clock(service.name())
    }

    /// One process of this service dies at this crash point, `name:arrival`: the present one, or the next.
    ///
    /// # Errors
    /// When the order cannot be written.
    pub fn arm(&self, service: Service, point: &str) -> std::io::Result<()> {
        let file = self.running.folder.crash_point(service.name());
        let order = format!("{point}\n{}\n", uuid::Uuid::new_v4());
        // Whole or not at all: the process may be reading.
        let written = file.with_extension("new");
        std::fs::write(&written, order)?;
        std::fs::rename(written, file)
    }

    /// No process of this service dies at a crash point.
    pub fn disarm(&self, service: Service) {
        let file = self.running.folder.crash_point(service.name());
        let _was_not_armed = std::fs::remove_file(file);
    }

    fn member(&self, node: Node) -> Option<&Member> {
        self.running.member(node.name())
    }
}
