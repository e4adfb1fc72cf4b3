//! Takes trip events in: each becomes outstanding work (phase A) and the partition goes on at once. Workers do the rest.

use std::sync::Arc;

use async_trait::async_trait;
use hexcab_bus::{Failure, Handler, Incoming};
use hexcab_ledger::LedgerError;
use tokio::sync::Notify;

use crate::{
    events,
    store::{Store, StoreError},
};

/// The handler of topic TRIP.
#[derive(Debug)]
pub struct TripListener {
    store: Store,
    wake: Arc<Notify>,
}

impl TripListener {
    /// Notes events in this store and wakes workers by this.
    pub const fn new(store: Store, wake: Arc<Notify>) -> Self {
        Self { store, wake }
    }
}

#[async_trait]
impl Handler for TripListener {
    async fn handle(&self, event: &Incoming) -> Result<(), Failure> {
        let Some(notice) = events::read(event)? else {
            return Ok(());
        };
        self.store.note(event, &notice).await.map_err(failure)?;
        self.wake.notify_one();
        Ok(())
    }
}

/// Poison is what no retry can heal.
fn failure(error: StoreError) -> Failure {
    match error {
        StoreError::Settlement(_)
        | StoreError::Refused(_)
        | StoreError::Contradiction(_)
        | StoreError::Ledger(LedgerError::Refused(_))
        | StoreError::Amount(_) => Failure::Poison(format!("{:#}", anyhow::Error::from(error))),
        StoreError::Pg(_)
        | StoreError::LeaseLost
        | StoreError::Ledger(_)
        | StoreError::Unreadable(_) => Failure::Dependency(error.into()),
    }
}
