//! When a command is to end: gently when asked once, at once when asked again.
//!
//! Asked means Ctrl-C, SIGTERM, or that the process which started this one (`HEXCAB_EXIT_WITH_PARENT`) is gone.
//! Invariant: asked twice, this process is gone after [`AT_ONCE`], whatever hangs; what it started ends with it.
//! Does not: stop anything itself.

use std::{future::Future, time::Duration};

use anyhow::Context as _;
use hexcab_chassis::{Tasks, shutdown_signal};
use tokio_util::sync::CancellationToken;

use crate::say;

/// Set by whoever starts this process and wants it gone with himself: his process id.
const EXIT_WITH_PARENT: &str = "HEXCAB_EXIT_WITH_PARENT";
/// How often it is looked whether he is still there.
const PARENT_POLL: Duration = Duration::from_millis(250);
/// How long cleaning up may take once it was asked for again.
const AT_ONCE: Duration = Duration::from_secs(10);
/// What a shell sees of a process that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Clones are told together.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    gently: CancellationToken,
    at_once: CancellationToken,
}

impl Stop {
    /// Listens to signals, and watches the parent where that was asked for.
    ///
    /// # Errors
    /// When the variable that names the parent is no process id.
    pub fn listen() -> anyhow::Result<Self> {
        let (tasks, stop) = (Tasks::new(), Self::default());
        if let Some(parent) = parent()? {
            let stop = stop.clone();
            tasks.spawn("parent", async move {
                until_orphaned(parent).await;
                say::warn("the process that started this one is gone; stopping");
                stop.cancel();
                Ok(())
            });
        }
        let signalled = stop.clone();
        tasks.spawn("signals", async move {
            shutdown_signal().await;
            signalled.cancel();
            shutdown_signal().await;
            say::warn("stopping at once");
            signalled.hurry();
            tokio::time::sleep(AT_ONCE).await;
            std::process::exit(INTERRUPTED)
        });
        Ok(stop)
    }

    /// Asks for a gentle end.
    pub fn cancel(&self) {
        self.gently.cancel();
    }

    /// Asks for an end without patience.
    pub fn hurry(&self) {
        self.gently.cancel();
        self.at_once.cancel();
    }

    /// Whether an end was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.gently.is_cancelled()
    }

    /// Waits until an end is asked for.
    pub async fn cancelled(&self) {
        self.gently.cancelled().await;
    }

    /// Waits until an end without patience is asked for.
    pub async fn hurried(&self) {
        self.at_once.cancelled().await;
    }

    /// The work, unless an end is asked for first: then an error that says before what.
    ///
    /// # Errors
    /// The work's own, or that it was stopped.
    pub async fn or<T>(
        &self,
        before: &str,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        tokio::select! {
            biased;
            () = self.cancelled() => anyhow::bail!("stopped before {before}"),
            done = work => done,
        }
    }
}

fn parent() -> anyhow::Result<Option<i32>> {
    let Some(text) = std::env::var_os(EXIT_WITH_PARENT) else {
        return Ok(None);
    };
    let id = text.to_string_lossy();
    let id = id
        .parse()
        .with_context(|| format!("{EXIT_WITH_PARENT}={id}: want a process id"))?;
    Ok(Some(id))
}

/// Waits until this process is no longer this parent's child.
async fn until_orphaned(parent: i32) {
    while nix::unistd::getppid().as_raw() == parent {
        tokio::time::sleep(PARENT_POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_child_waits_for_its_own_parent_only() {
        let (own, other) = (nix::unistd::getppid().as_raw(), i32::MAX);
        let patience = Duration::from_secs(60);
        assert!(
            tokio::time::timeout(patience, until_orphaned(other))
                .await
                .is_ok()
        );
        assert!(
            tokio::time::timeout(patience, until_orphaned(own))
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn work_that_was_stopped_before_it_began_does_not_begin() {
        let stop = Stop::default();
        assert_eq!(stop.or("it", async { Ok(1) }).await.unwrap(), 1);
        stop.cancel();
        let never = stop.or("tea", async { panic!("begun") });
        let never: anyhow::Result<()> = never.await;
        assert_eq!(never.unwrap_err().to_string(), "stopped before tea");
    }

    #[tokio::test]
    async fn hurry_is_an_end_too() {
        let stop = Stop::default();
        stop.hurry();
        stop.hurried().await;
        assert!(stop.is_cancelled());
    }
}
