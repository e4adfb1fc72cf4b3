//! When the books are compared: every so often, by one process of all.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Reconciler;

/// Of several processes the one that looks first compares; the others see that it was done.
const LOOKS_PER_INTERVAL: u32 = 4;

/// How often it is said what is open and how much money there is.
const MEASURE_EVERY: Duration = Duration::from_secs(10);

impl Reconciler {
    /// Compares until shutdown. Without an interval only when asked.
    ///
    /// # Errors
    /// Never: what goes wrong is logged and tried again. The type is that of a task.
    pub async fn job(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let work = Box::pin(async { tokio::join!(self.measure_often(), self.compare_often()) });
        let _ended = shutdown.run_until_cancelled(work).await;
        Ok(())
    }

    async fn measure_often(&self) {
        loop {
            self.measure().await;
            tokio::time::sleep(MEASURE_EVERY).await;
        }
    }

    async fn compare_often(&self) {
        let interval = Duration::from_secs(self.config.interval_s.into());
        if interval.is_zero() {
            return;
        }
        loop {
            let pause = (interval / LOOKS_PER_INTERVAL).mul_f64(0.5 + rand::random::<f64>());
            tokio::time::sleep(pause).await;
            self.if_due(interval).await;
        }
    }

    async fn if_due(&self, interval: Duration) {
        let compared = match self.runs.began_within(interval).await {
            Ok(true) => return,
            Ok(false) => self.run(Uuid::now_v7()).await,
            Err(error) => Err(error),
        };
        if let Err(error) = compared {
            tracing::warn!(%error, "the books could not be compared");
        }
    }
}
