//! Whether the broker is there, told to the process's readiness.
//!
//! Ready from the first assignment; not while every broker is down; again with the next event, the next assignment, or
//! the first answer to a question asked meanwhile: a quiet topic would otherwise leave the process unready for good.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use hexcab_chassis::Component;
use rdkafka::consumer::Consumer as _;

use super::client::Shared;

/// How often a broker that is away is asked, and how long it may take to answer.
const ASK: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2));

/// Whether the broker is there.
pub struct Reach {
    component: Component,
    state: State,
}

enum State {
    /// Nothing assigned yet.
    Joining,
    There,
    /// Ends when the broker answers again.
    Away(BoxFuture<'static, ()>),
}

impl Reach {
    /// Not there before the first assignment.
    pub fn new(component: Component) -> Self {
        Self {
            component,
            state: State::Joining,
        }
    }

    /// An event, an assignment or an answer came.
    pub fn found(&mut self) {
        if !matches!(self.state, State::There) {
            self.state = State::There;
            self.component.set(true);
        }
    }

    /// The client says that every broker is down. False before the first assignment, when none was there yet.
    ///
    /// One that is lost again while it is away is asked again: its answer may have come before that.
    pub fn lost(&mut self, client: &Shared) -> bool {
        match self.state {
            State::Joining => return false,
            State::There => tracing::warn!("no broker can be reached"),
            State::Away(_) => {}
        }
        self.state = State::Away(Box::pin(answer(Arc::clone(client))));
        self.component.set(false);
        true
    }

    /// Waits until the broker answers again; for ever when it is not away.
    pub async fn answered(&mut self) {
        match &mut self.state {
            State::Away(answer) => answer.await,
            State::Joining | State::There => std::future::pending().await,
        }
    }
}

async fn answer(client: Shared) {
    loop {
        tokio::time::sleep(ASK.0).await;
        let asked = Arc::clone(&client);
        // Fetching metadata blocks its thread.
        let fetched =
            tokio::task::spawn_blocking(move || asked.fetch_metadata(None, ASK.1).is_ok());
        if matches!(fetched.await, Ok(true)) {
            return;
        }
    }
}
