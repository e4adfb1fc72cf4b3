//! A command in one round trip: decided on the trip as this process wrote it last, written by one statement that is a
//! SERIALIZABLE transaction of its own (ADR 0008).
//!
//! Invariants: the statement compares the version, so that a decision on an old trip changes nothing; it claims the
//! request, so that one that was answered before changes nothing either. Only a change is ever answered from here:
//! whatever else it comes to (a refusal, an old trip, a guard of the database, an outcome that is not known) is answered
//! in a transaction, which looks for the answer under the request's id first and then reads afresh.

use std::sync::Arc;

use hexcab_pg::PgError;
use hexcab_types::TripId;

use super::{ExecuteError, RequestKey, near::Known, postgres::Trips, save};
use crate::domain::{self, Command, NewTrip, Trip};

impl Trips {
    /// The new trip, or none when it takes a transaction to answer.
    pub(super) async fn create_at_once(
        &self,
        key: &RequestKey,
        new: &NewTrip,
    ) -> Result<Option<Arc<Trip>>, ExecuteError> {
        let now = self.clock.now();
        let requested = self
            .rules(&new.quote.city, &new.quote.product)
            .and_then(|rules| domain::request(new.clone(), rules, now));
        let Ok((trip, event)) = requested else {
            return Ok(None);
        };
        let change = self.change(&trip, &event, Some(key));
        let row = self
            .pg
            .one_trip("trip.create", || save::insert_at_once(&change, key))
            .await;
        match row {
            Ok(Some(row)) => {
                let place = save::place(&row)?;
                let trip = Arc::new(trip);
                self.remember(&trip, Some(place));
                Ok(Some(trip))
            }
            Ok(None) => Ok(None),
            Err(error) => in_a_transaction(error),
        }
    }

    /// The trip after the command, or none when it takes a transaction to answer.
    pub(super) async fn execute_at_once(
        &self,
        key: &RequestKey,
        id: TripId,
        command: &Command,
    ) -> Result<Option<Arc<Trip>>, ExecuteError> {
        let Some(Known { trip, place }) = self.near.get(id) else {
            return Ok(None);
        };
        let now = self.clock.now();
        let Ok(event) = self.decide(&trip, command, now) else {
            return Ok(None);
        };
        let after = Trip::clone(&trip).apply(&event, now);
        let change = self.change(&after, &event, Some(key));
        let row = self
            .pg
            .one_trip("trip.execute", || {
                save::update_at_once(&change, key, &place)
            })
            .await;
        match row {
            Ok(Some(row)) => {
                let place = save::place(&row)?;
                let after = Arc::new(after);
                self.remember(&after, Some(place));
                Ok(Some(after))
            }
            // It went on elsewhere.
            Ok(None) => {
                self.near.forget(id);
                Ok(None)
            }
            Err(error) => {
                self.near.forget(id);
                in_a_transaction(error)
            }
        }
    }
}

/// Whether the transaction that follows can make more of it: a guard of the database said no, somebody is at the same
/// request or trip, or it may have happened. What is left is told.
fn in_a_transaction<T>(error: PgError) -> Result<Option<T>, ExecuteError> {
    let answerable = matches!(error, PgError::OutcomeUnknown(_))
        || error.constraint().is_some()
        || error.is_lock_timeout();
    if answerable {
        tracing::debug!(%error, "not in one trip");
        Ok(None)
    } else {
        Err(error.into())
    }
}
