//! Whether a consumer still does its work: its client tells statistics now and then, to whoever polls it, and a member of
//! a group is let into it soon.
//!
//! Invariant: a consumer that stands still while a broker is there ends with an error, and is begun again by whoever started
//! the process: without that a client that was lost in a rebalance, or a handler that never returns, is a service that
//! looks alive and does nothing. Does not: judge a broker that is away, or a handler that says that it waits.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use rdkafka::Statistics;
use tokio::time::{Instant, sleep, sleep_until};

/// How long a client may take for a sign once the process goes on.
const MOMENT: Duration = Duration::from_secs(1);

/// The last sign of life. Clones share it.
#[derive(Debug, Clone)]
pub struct Pulse(Arc<Mutex<Instant>>);

impl Pulse {
    /// Alive now.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// A sign of life.
    pub fn beat(&self) {
        *self.0.lock() = Instant::now();
    }

    /// The client told how it stands.
    pub fn heard(&self, statistics: &Statistics) {
        if !is_left_out(statistics) {
            self.beat();
        }
    }

    /// Waits until there was no sign for so long, nor in the moment after: a process that was stopped itself has one then.
    pub async fn stopped(&self, longest: Duration) {
        loop {
            let last = *self.0.lock();
            sleep_until(last + longest).await;
            sleep(MOMENT).await;
            if *self.0.lock() == last {
                return;
            }
        }
    }
}

/// Whether the client is on its way into its group, although a broker is there. A consumer without a subscription is on no
/// way: its client says "init" for ever.
fn is_left_out(statistics: &Statistics) -> bool {
    let is_there =
        |broker: &rdkafka::statistics::Broker| broker.nodeid >= 0 && broker.state == "UP";
    let Some(group) = &statistics.cgrp else {
        return false;
    };
    group.join_state != "steady" && statistics.brokers.values().any(is_there)
}
