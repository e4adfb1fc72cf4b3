//! How a process serves and ends: SIGTERM or Ctrl-C → NOT_SERVING, drain, stop the tasks, return.

use std::{future::Future, time::Duration};

use crate::{BoundServer, Tasks};

/// How long calls in flight may take to end.
const DRAIN: Duration = Duration::from_secs(20);
/// How long tasks may take to end.
const TASKS_STOP: Duration = Duration::from_secs(10);

/// Ends on SIGTERM or Ctrl-C.
pub async fn shutdown_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = match signal(SignalKind::terminate()) {
        Ok(term) => term,
        Err(error) => {
            tracing::error!(%error, "cannot listen for SIGTERM");
            return;
        }
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// What becomes of `start`, which may have to wait for others, or None when the signal comes first.
///
/// # Errors
/// Those of `start`.
pub async fn start_unless<T>(
    signal: impl Future<Output = ()>,
    start: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<Option<T>> {
    tokio::select! {
        started = start => started.map(Some),
        () = signal => Ok(None),
    }
}

/// Serves until the signal or the first failed task; then drains, stops the tasks and returns.
///
/// # Errors
/// When a task failed or the server could not go on.
pub async fn serve(
    server: BoundServer,
    tasks: Tasks,
    signal: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let name = server.service();
    tracing::info!(service = name, addr = %server.addr(), "serving");
    let stop = tokio_util::sync::CancellationToken::new();
    let serving = server.serve(stop.clone());
    tokio::pin!(serving);
    let ended = tokio::select! {
        () = signal => Ok(()),
        error = tasks.failed() => Err(error),
        ended = &mut serving => return finish(&tasks, ended).await,
    };
    tracing::info!(service = name, "shutting down");
    stop.cancel();
    let (drained, ()) = tokio::join!(
        tokio::time::timeout(DRAIN, &mut serving),
        tasks.stop(TASKS_STOP)
    );
    match drained {
        Ok(served) => ended.and(served),
        Err(_) => {
            tracing::warn!(service = name, "calls in flight were cut after {DRAIN:?}");
            ended
        }
    }
}

async fn finish(tasks: &Tasks, ended: anyhow::Result<()>) -> anyhow::Result<()> {
    tasks.stop(TASKS_STOP).await;
    ended
}
