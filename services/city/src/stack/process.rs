//! What every process of a city is to the launcher, be it a service, Postgres or Kafka: it lives, it can be harmed, it is
//! started again, it is stopped.
//!
//! Does not: say how; [`super::child`] does for what the launcher starts itself, [`super::database`] for Postgres.

use async_trait::async_trait;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

/// What is known of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Life {
    /// Its id while it runs.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u32,
    /// Whether it was told to stop for good.
    pub stopped: bool,
}

/// What a process can be made to suffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// It ends as in a crash (SIGKILL), and is started again.
    Kill,
    /// It stands still (SIGSTOP) until it is told to go on: alive, silent, holding its connections.
    Stop,
    /// It goes on (SIGCONT).
    Continue,
}

impl Fault {
    /// The signal that does it.
    pub const fn signal(self) -> Signal {
        match self {
            Self::Kill => Signal::SIGKILL,
            Self::Stop => Signal::SIGSTOP,
            Self::Continue => Signal::SIGCONT,
        }
    }
}

/// A process that is watched and started again.
#[async_trait]
pub trait Process: Send + Sync {
    /// What is known of it now.
    fn life(&self) -> Life;

    /// Does this to it. False when there is no process to do it to.
    fn suffer(&self, fault: Fault) -> bool;

    /// Stops it gently, starts it again at once and returns when it is another process.
    async fn restart(&self);

    /// Stops it for good and waits until it is gone.
    async fn stop(&self);

    /// Stops it for good without patience, also when it is stopping already.
    async fn stop_at_once(&self);
}

/// Sends a signal. False when there is no such process of ours.
pub fn signal(pid: u32, signal: Signal) -> bool {
    i32::try_from(pid).is_ok_and(|pid| kill(Pid::from_raw(pid), signal).is_ok())
}

/// Resident memory of a process, bytes; 0 where `/proc` does not say.
pub fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = status.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?
            .trim()
            .strip_suffix("kB")?
            .trim()
            .parse()
            .ok()
    });
    kib.map_or(0, |kib: u64| kib * 1024)
}
