//! What can go wrong on demand, as data: it is planned, printed, written to a file, read again and done.
//!
//! Does not: do it ([`super::strike`] does), choose when ([`super::schedule`] does).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::stack::{
    node::{Link, Node},
    services::Service,
};

/// A fault. What lasts, lasts as long as its [`super::schedule::Planned`] says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// `kill -9`; it is started again by whoever watches it.
    Kill {
        /// Of this process; of Postgres every process.
        node: Node,
    },
    /// SIGSTOP, and SIGCONT at the end.
    Pause {
        /// Of this process; of Postgres every process.
        node: Node,
    },
    /// Open connections are cut and new ones closed at once.
    Cut {
        /// Between these.
        link: Link,
    },
    /// Every piece of bytes takes this much longer, one after the other, which throttles too.
    Slow {
        /// Between these.
        link: Link,
        /// Milliseconds a piece.
        latency_ms: u64,
    },
    /// Connections stay open and nothing comes through.
    HalfOpen {
        /// Between these.
        link: Link,
        /// Whether what was held up is lost with its connection at the end, or comes through after all.
        forgotten: bool,
    },
    /// One transaction's reply to its COMMIT is thrown away with its connection: done, and nobody told.
    LostCommit {
        /// From a service to Postgres.
        link: Link,
    },
    /// Every clock of one process steps, and steps back at the end.
    ClockStep {
        /// This process's.
        service: Service,
        /// By so many seconds.
        seconds: i64,
    },
    /// The processor misbehaves, by this rule of its sandbox.
    Processor {
        /// As `POST /sandbox/faults` calls it.
        kind: String,
        /// Share of the requests, 0 to 1.
        rate: f64,
    },
    /// The newest events are delivered once more, in another order.
    Echo {
        /// How many of each topic that has inboxes behind it.
        newest: usize,
    },
    /// The outboxes of the last seconds are sent again, in order.
    Republish {
        /// How far back, seconds of the machine.
        since_s: u64,
    },
    /// A record that no consumer can read comes on each topic that has inboxes behind it.
    Poison,
    /// One process ends itself between two effects.
    CrashPoint {
        /// Whose code it is in.
        service: Service,
        /// Its name in the code.
        point: String,
        /// At which arrival.
        nth: u32,
    },
}

impl Fault {
    /// Its kind in a word, for tables and counts.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Kill { .. } => "kill",
            Self::Pause { .. } => "pause",
            Self::Cut { .. } => "cut",
            Self::Slow { .. } => "slow",
            Self::HalfOpen { .. } => "half-open",
            Self::LostCommit { .. } => "lost commit",
            Self::ClockStep { .. } => "clock step",
            Self::Processor { .. } => "processor",
            Self::Echo { .. } => "echo",
            Self::Republish { .. } => "republish",
            Self::Poison => "poison",
            Self::CrashPoint { .. } => "crash point",
        }
    }

    /// The crash point that it is about.
    pub fn point(&self) -> Option<&str> {
        match self {
            Self::CrashPoint { point, .. } => Some(point),
            Self::Kill { .. }
            | Self::Pause { .. }
            | Self::Cut { .. }
            | Self::Slow { .. }
            | Self::HalfOpen { .. }
            | Self::LostCommit { .. }
            | Self::ClockStep { .. }
            | Self::Processor { .. }
            | Self::Echo { .. }
            | Self::Republish { .. }
            | Self::Poison => None,
        }
    }

    /// What it strikes, and how hard.
    pub fn target(&self) -> String {
        match self {
            Self::Kill { node } | Self::Pause { node } => node.to_string(),
            Self::Cut { link } | Self::LostCommit { link } => link.to_string(),
            Self::Slow { link, latency_ms } => format!("{link} by {latency_ms} ms"),
            Self::HalfOpen { link, forgotten } => {
                let then = if *forgotten { ", then reset" } else { "" };
                format!("{link}{then}")
            }
            Self::ClockStep { service, seconds } => format!("{} by {seconds:+} s", service.name()),
            Self::Processor { kind, rate } => format!("{kind}, {:.0} %", rate * 100.0),
            Self::Echo { newest } => format!("the newest {newest} events a topic, shuffled"),
            Self::Republish { since_s } => format!("every event of the last {since_s} s"),
            Self::Poison => "a record that nobody can read on each topic".to_owned(),
            Self::CrashPoint {
                service,
                point,
                nth,
            } => format!("{} at {point}, arrival {nth}", service.name()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<11} {}", self.kind(), self.target())
    }
}
