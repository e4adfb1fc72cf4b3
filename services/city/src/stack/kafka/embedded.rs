//! The embedded stack's Kafka: `hexcab broker` as a child.
//!
//! Invariant: it is empty at each start, and before each start every service's relay is told to send its outbox again from
//! the beginning: what it told the one before, and nobody heard, is told once more. Consumers take in only what they have
//! not had. Does not: keep what was never in an outbox (surge, supply, demand, decisions): the next ones come soon.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use async_trait::async_trait;
use hexcab_types::Timestamp;

use super::NAME;
use crate::{
    outboxes, say,
    stack::{
        child::{Child, Prepare, Spec},
        services::{self, Environment},
    },
};

/// How long the databases may take to answer.
const REPUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

/// The broker on this port, not started yet. `postgres` is the server with the outboxes.
///
/// # Errors
/// When `hexcab` is not among our binaries.
pub fn child(binaries: &Path, port: u16, postgres: &str, log: &Path) -> anyhow::Result<Child> {
    let mut environment = Environment::inherited();
    environment.set("EXIT_WITH_PARENT", std::process::id());
    let spec = Spec {
        name: NAME.to_owned(),
        program: services::binary(binaries, services::LAUNCHER)?,
        arguments: vec!["broker".into(), "--port".into(), port.to_string()],
        environment: environment.into(),
        log: log.to_owned(),
    };
    let postgres = postgres.to_owned();
    Ok(Child::new(spec).prepared_by(SendAgain { postgres }))
}

#[derive(Debug)]
struct SendAgain {
    /// The server's URL with password, ending in `/`.
    postgres: String,
}

#[async_trait]
impl Prepare for SendAgain {
    async fn prepare(&self, before: u32) -> anyhow::Result<Vec<String>> {
        let sending = outboxes::republish(&self.postgres, Timestamp::UNIX_EPOCH);
        let sent = tokio::time::timeout(REPUBLISH_TIMEOUT, sending)
            .await
            .context("the outboxes do not answer")??;
        if sent.iter().any(|again| again.count > 0) {
            say::step(format_args!(
                "kafka begins empty; events are sent again: {}",
                outboxes::told(&sent)
            ));
        }
        Ok(vec!["--generation".into(), before.to_string()])
    }
}
