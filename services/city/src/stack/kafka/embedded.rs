//! The embedded stack's Kafka: `hexcab broker` as a child.
//!
//! Invariant: it is empty at each start, and before each start every service's relay is told to send its outbox again from
//! the oldest event that somebody has not taken in (from the beginning, when that cannot be said): what it told the one
//! before, and nobody heard, is told once more. Consumers take in only what they have not had. Does not: keep what was never in an outbox (surge, supply, demand, decisions): the next ones come soon.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use async_trait::async_trait;
use hexcab_chassis::Clock;
use hexcab_types::Timestamp;

use super::NAME;
use crate::{
    outboxes, say,
    stack::{
        child::{Child, Prepare, Spec},
        services::{self, Environment},
    },
    verify::{Databases, across},
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

impl SendAgain {
    /// From when on events must be told again. An error when services have not made their tables yet, or have others.
    async fn unheard_since(&self) -> anyhow::Result<Timestamp> {
        let asked = Clock::system().now();
        let mut databases = Databases::open(&self.postgres).await?;
        let oldest = across::oldest_undelivered(&mut databases).await?;
        Ok(oldest.unwrap_or(asked))
    }
}

#[async_trait]
impl Prepare for SendAgain {
    async fn prepare(&self, before: u32) -> anyhow::Result<Vec<String>> {
        let sending = async {
            let since = self.unheard_since().await;
            outboxes::republish(&self.postgres, since.unwrap_or(Timestamp::UNIX_EPOCH)).await
        };
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
