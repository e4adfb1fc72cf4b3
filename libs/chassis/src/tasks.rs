//! The background work of a process. The one place that spawns: every task is known by name, told to stop, waited for,
//! and its failure ends the process, which the launcher or orchestrator then starts anew.

use std::{future::Future, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

/// Tasks of a process; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Tasks(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    tracker: TaskTracker,
    shutdown: CancellationToken,
    failure: Mutex<Option<anyhow::Error>>,
    failed: Notify,
}

impl Tasks {
    /// No tasks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when the process is to end: every task watches it.
    pub fn shutdown(&self) -> CancellationToken {
        self.0.shutdown.clone()
    }

    /// Runs work in the background. An error or a panic ends the process.
    pub fn spawn(
        &self,
        name: &'static str,
        work: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let inner = self.0.clone();
        #[expect(clippy::disallowed_methods, reason = "the blessed place")]
        let task = tokio::spawn(work.in_current_span());
        self.0.tracker.spawn(async move {
            let ended = match task.await {
                Ok(ended) => ended,
                Err(join) => Err(anyhow!("panicked: {join}")),
            };
            if let Err(error) = ended.with_context(|| format!("task {name}")) {
                tracing::error!(task = name, error = format!("{error:#}"), "a task failed");
                inner.failure.lock().get_or_insert(error);
                inner.failed.notify_one();
            }
        });
    }

    /// Waits for the first failure of a task.
    pub(crate) async fn failed(&self) -> anyhow::Error {
        loop {
            if let Some(error) = self.0.failure.lock().take() {
                return error;
            }
            self.0.failed.notified().await;
        }
    }

    /// Tells every task to stop and waits for them, at most this long.
    pub async fn stop(&self, patience: Duration) {
        self.0.shutdown.cancel();
        self.0.tracker.close();
        if tokio::time::timeout(patience, self.0.tracker.wait())
            .await
            .is_err()
        {
            tracing::warn!(left = self.0.tracker.len(), "tasks did not stop in time");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panicking_task_is_a_failure() {
        let tasks = Tasks::new();
        tasks.spawn("bad", async { panic!("on purpose") });
        let error = tasks.failed().await;
        assert!(format!("{error:#}").contains("bad"), "{error:#}");
    }

    #[tokio::test]
    async fn stopping_waits_for_the_tasks() {
        let tasks = Tasks::new();
        let (shutdown, done) = (tasks.shutdown(), Arc::new(Mutex::new(false)));
        let flag = done.clone();
        tasks.spawn("good", async move {
            shutdown.cancelled().await;
            *flag.lock() = true;
            Ok(())
        });
        tasks.stop(Duration::from_secs(5)).await;
        assert!(*done.lock());
    }
}
