//! The session with the store, once there is one, and whether the store answers.
//!
//! The driver connects again by itself to nodes that it knows; what it cannot do is begin while the store is away. So this
//! goes on trying, and everybody else does without meanwhile.
//!
//! Invariant: a store that is away is said once, and once that it is back, however often it is asked meanwhile. Away is one
//! that answered nothing for a while, not one that was late once: on a busy machine one is, and each failure is counted in a
//! metric. What the driver itself logs is off by default ([`crate::Config::telemetry`]): it says the same every second.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hexcab_chassis::Component;
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{StoreConfig, StoreError, cql::Cql};
use crate::metrics::{STORE_AWAY, STORE_FAILURES};

/// Between two tries to connect.
const RETRY: Duration = Duration::from_secs(1);

/// Away is a store that has answered nothing for so long …
const AWAY_AFTER: Duration = Duration::from_secs(1);
/// … and back one that has not failed for so long.
const BACK_AFTER: Duration = Duration::from_secs(2);

/// The session, if any.
pub struct Link {
    cql: OnceLock<Arc<Cql>>,
    connected: watch::Sender<bool>,
    /// Whether it answered last time.
    answers: AtomicBool,
    state: Mutex<State>,
    health: Component,
}

/// How the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It was never there.
    Unknown,
    Well,
    /// It has not answered since, which may be chance.
    Late {
        since: Instant,
        failures: u64,
    },
    Away {
        since: Instant,
        failed: Instant,
        failures: u64,
    },
}

/// What has changed, to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Came,
    Went,
    Back { away: Duration, failures: u64 },
}

impl State {
    fn answered(&mut self, now: Instant) -> Option<Change> {
        let change = match *self {
            Self::Well => return None,
            Self::Late { .. } => None,
            Self::Unknown => Some(Change::Came),
            Self::Away { failed, .. } if now - failed < BACK_AFTER => return None,
            Self::Away {
                since, failures, ..
            } => Some(Change::Back {
                away: now - since,
                failures,
            }),
        };
        *self = Self::Well;
        change
    }

    fn failed(&mut self, now: Instant) -> Option<Change> {
        match *self {
            Self::Unknown | Self::Well => {
                *self = Self::Late {
                    since: now,
                    failures: 1,
                };
                None
            }
            Self::Late { since, failures } if now - since < AWAY_AFTER => {
                let failures = failures + 1;
                *self = Self::Late { since, failures };
                None
            }
            Self::Late { since, failures } => {
                let (failed, failures) = (now, failures + 1);
                *self = Self::Away {
                    since,
                    failed,
                    failures,
                };
                Some(Change::Went)
            }
            Self::Away {
                since, failures, ..
            } => {
                let (failed, failures) = (now, failures + 1);
                *self = Self::Away {
                    since,
                    failed,
                    failures,
                };
                None
            }
        }
    }
}

impl Link {
    /// None yet.
    pub fn new(health: Component) -> Self {
        Self {
            cql: OnceLock::new(),
            connected: watch::Sender::new(false),
            answers: AtomicBool::new(false),
            state: Mutex::new(State::Unknown),
            health,
        }
    }

    /// The session, whether or not the store answers now.
    pub fn session(&self) -> Result<Arc<Cql>, StoreError> {
        self.cql.get().cloned().ok_or(StoreError::Away)
    }

    /// The session, if the store answered last time: for what somebody waits for.
    pub fn usable(&self) -> Option<Arc<Cql>> {
        let answers = self.answers.load(Ordering::Relaxed);
        self.cql.get().filter(|_| answers).cloned()
    }

    /// Waits until there is a session.
    pub async fn connected(&self) -> Arc<Cql> {
        let mut connected = self.connected.subscribe();
        loop {
            if let Some(cql) = self.cql.get() {
                return cql.clone();
            }
            if connected.changed().await.is_err() {
                std::future::pending().await
            }
        }
    }

    /// Whether nothing is wrong with the store, so that it needs not be asked how it is.
    pub fn is_well(&self) -> bool {
        *self.state.lock() == State::Well
    }

    /// Says in a metric how long the store is away.
    pub fn measure(&self) {
        let away = match *self.state.lock() {
            State::Unknown | State::Well | State::Late { .. } => Duration::ZERO,
            State::Away { since, .. } => since.elapsed(),
        };
        STORE_AWAY.set(away.as_secs_f64(), &[]);
    }

    /// What came of asking it. A change is logged once, and the health service told.
    pub fn said<T>(&self, answer: &Result<T, StoreError>) {
        self.answers.store(answer.is_ok(), Ordering::Relaxed);
        let now = Instant::now();
        match answer {
            Ok(_) => {
                let change = self.state.lock().answered(now);
                self.tell(change, None);
            }
            Err(error) => {
                STORE_FAILURES.add(1, &[]);
                let change = self.state.lock().failed(now);
                self.tell(change, Some(error));
            }
        }
    }

    fn tell(&self, change: Option<Change>, error: Option<&StoreError>) {
        match change {
            None => {}
            Some(Change::Came) => {
                self.health.set(true);
                tracing::info!("the store answers; positions are kept");
            }
            Some(Change::Back { away, failures }) => {
                self.health.set(true);
                let away_ms = u64::try_from(away.as_millis()).unwrap_or(u64::MAX);
                tracing::info!(
                    away_ms,
                    failures,
                    "the store answers again; what it missed is kept now"
                );
            }
            Some(Change::Went) => {
                self.health.set(false);
                tracing::warn!(
                    error = error.map(chain),
                    "the store does not answer; pings and queries are served from memory"
                );
            }
        }
    }
}

/// Connects, however long it takes.
pub async fn keep_connected(
    link: Arc<Link>,
    config: StoreConfig,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let connecting = async {
        let mut said = false;
        loop {
            match Cql::connect(&config, config.make_tables).await {
                Ok(cql) => {
                    link.said(&Ok(()));
                    let _ = link.cql.set(Arc::new(cql));
                    link.connected.send_replace(true);
                    return;
                }
                Err(error) if !said => {
                    tracing::warn!(
                        error = chain(&error),
                        nodes = config.nodes,
                        "the store cannot be had yet; pings and queries are served from memory"
                    );
                    said = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    shutdown.run_until_cancelled(connecting).await;
    Ok(())
}

fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_said_to_be_away_once_and_back_once_however_often_it_is_asked() {
        let begun = Instant::now();
        let at = |ms: u64| begun + Duration::from_millis(ms);
        let mut state = State::Unknown;
        assert_eq!(state.answered(at(0)), Some(Change::Came));
        assert_eq!(state.answered(at(1)), None);
        assert_eq!(state.failed(at(1_000)), None);
        assert_eq!(state.failed(at(1_500)), None);
        assert_eq!(state.failed(at(2_000)), Some(Change::Went));
        // Now and then an answer: it is away all the same.
        for ms in (2_100..9_000).step_by(700) {
            assert_eq!(state.answered(at(ms)), None);
            assert_eq!(state.failed(at(ms + 1)), None);
        }
        let last = 2_100 + 700 * 9 + 1;
        assert_eq!(state.answered(at(last + 1_999)), None);
        let back = Change::Back {
            away: Duration::from_millis(last + 1_000),
            failures: 13,
        };
        assert_eq!(state.answered(at(last + 2_000)), Some(back));
        assert_eq!(state.answered(at(last + 2_001)), None);
    }

    #[test]
    fn a_store_that_is_late_now_and_then_is_not_away() {
        let begun = Instant::now();
        let at = |ms: u64| begun + Duration::from_millis(ms);
        let mut state = State::Well;
        for second in 0..100 {
            assert_eq!(state.failed(at(second * 1_000)), None);
            assert_eq!(state.failed(at(second * 1_000 + 900)), None);
            assert_eq!(state.answered(at(second * 1_000 + 950)), None);
        }
        assert_eq!(state, State::Well);
    }
}
