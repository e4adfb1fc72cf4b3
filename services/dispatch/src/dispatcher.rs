//! The loop of a city: gather requests for a window, close it, go on; rest when a peer is away.
//!
//! - A window closes `window_ms` of city time after the loop finds somebody waiting, who came just now or was left over
//!   by the window before; it closes at once for a rider who waits alone while no other trip is being offered.
//! - Windows do not overlap: while one is searched, solved and offered, the next requests gather.
//! - When location or trip answers none of a window's calls, the loop rests, 100 ms to 3 s of real time; the book keeps
//!   everyone. A single answer ends that: a call that fails beside others is made again in the next window.

use std::{sync::Arc, time::Duration};

use hexcab_chassis::Clock;
use tokio_util::sync::CancellationToken;

use crate::{
    desk::CityDesk,
    domain::Gathering,
    window::{Outcome, WindowRun},
};

/// Windows of requests left over are at least this long, city time, whatever the city's rules say.
const SHORTEST_WINDOW: Duration = Duration::from_millis(500);
/// The rest after the first failure, and the longest, real time.
const REST: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));

/// Dispatches a city.
pub struct Dispatcher {
    desk: Arc<CityDesk>,
    clock: Clock,
    windows: WindowRun,
}

impl Dispatcher {
    /// Gathers the requests of this desk for these windows.
    pub fn new(desk: Arc<CityDesk>, clock: Clock, windows: WindowRun) -> Self {
        Self {
            desk,
            clock,
            windows,
        }
    }

    /// Dispatches until shutdown. An offer in flight is not waited for: trip knows what became of it.
    ///
    /// # Errors
    /// When a plan cannot be made for a reason that is our bug.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut rest = REST.0;
        while let Some(outcome) = shutdown.run_until_cancelled(self.next_window()).await {
            match outcome? {
                Outcome::Done => rest = REST.0,
                Outcome::PeerAway => {
                    tracing::debug!(city = %self.desk.city.id, ?rest, "a peer is away, resting");
                    if shutdown
                        .run_until_cancelled(tokio::time::sleep(rest))
                        .await
                        .is_none()
                    {
                        break;
                    }
                    rest = (rest * 2).min(REST.1);
                }
            }
        }
        Ok(())
    }

    async fn next_window(&self) -> anyhow::Result<Outcome> {
        self.gathered().await;
        self.windows.close(&self.desk).await
    }

    /// Waits until a window is to be closed.
    async fn gathered(&self) {
        let window = Duration::from_millis(self.desk.city.dispatch.window_ms.into());
        loop {
            match self.desk.gathering(self.clock.now()) {
                Gathering::Nobody => self.desk.changed().await,
                Gathering::OneAlone => return,
                Gathering::Some => return self.clock.sleep(window.max(SHORTEST_WINDOW)).await,
            }
        }
    }
}
