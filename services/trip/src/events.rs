//! Events out and in: every change of a trip is told on topic `hexcab.trip.v1`, keyed by city; of payment's events a
//! declined hold calls its trip off.
//!
//! Invariants: a consumed event and its effect are one transaction; a second delivery has no effect; an event that
//! cannot mean anything here is poison, one that only Postgres stands in the way of is tried again.
//! Does not: publish (the outbox relay does).

use async_trait::async_trait;
use hexcab_bus::{Failure, Handler, Incoming};
use hexcab_proto::{
    convert::name,
    payment::v1::{PaymentEvent, payment_event::Event as Happened},
};
use hexcab_types::TripId;
use prost::Message as _;

use crate::{
    domain::{Canceller, Command, Event, Trip},
    store::{Consumed, Encoded, ExecuteError, Trips},
    wire,
};

/// Writes an event, given the trip after it.
pub fn encode(after: &Trip, event: &Event) -> Encoded {
    Encoded {
        kind: format!("hexcab.trip.v1.{}", event.kind()),
        payload: wire::event(after, event).encode_to_vec(),
    }
}

/// Reads payment's events.
pub struct PaymentEvents {
    trips: Trips,
}

impl PaymentEvents {
    /// Has its effects on these trips.
    pub fn new(trips: Trips) -> Self {
        Self { trips }
    }
}

#[async_trait]
impl Handler for PaymentEvents {
    async fn handle(&self, event: &Incoming) -> Result<(), Failure> {
        let payment: PaymentEvent = event.decode()?;
        let consumed = self
            .trips
            .consume(event, ordered(&payment)?)
            .await
            .map_err(failure)?;
        match consumed {
            Consumed::Done(trip) => {
                tracing::info!(trip.id = %trip.id, "the hold was declined, the trip is called off")
            }
            Consumed::Refused(refusal) => {
                tracing::info!(
                    trip = payment.trip,
                    refusal = refusal.reason(),
                    "a declined hold came too late"
                );
            }
            Consumed::Before | Consumed::Noted => {}
        }
        Ok(())
    }
}

/// What an event of payment orders here.
fn ordered(payment: &PaymentEvent) -> Result<Option<(TripId, Command)>, Failure> {
    match &payment.event {
        Some(Happened::HoldDeclined(_)) => {
            let trip =
                name(&payment.trip, "trip").map_err(|error| Failure::Poison(error.to_string()))?;
            Ok(Some((trip, Command::Cancel(Canceller::PaymentDeclined))))
        }
        Some(
            Happened::HoldPlaced(_)
            | Happened::HoldRaised(_)
            | Happened::RaiseDeclined(_)
            | Happened::Captured(_)
            | Happened::CaptureFailed(_)
            | Happened::Voided(_)
            | Happened::CashCollected(_)
            | Happened::DebtIncurred(_)
            | Happened::RestCharged(_)
            | Happened::RestDeclined(_)
            | Happened::Refunded(_)
            | Happened::RefundFailed(_)
            | Happened::TipCharged(_)
            | Happened::TipDeclined(_)
            | Happened::ChargebackOpened(_)
            | Happened::ChargebackClosed(_)
            | Happened::PayoutBatchCreated(_)
            | Happened::PayoutBatchConfirmed(_)
            | Happened::MismatchFound(_)
            | Happened::MismatchResolved(_),
        )
        | None => Ok(None),
    }
}

fn failure(error: ExecuteError) -> Failure {
    match error {
        ExecuteError::Pg(_) | ExecuteError::VersionConflict | ExecuteError::RequestInFlight => {
            Failure::Dependency(error.into())
        }
        ExecuteError::NoSuchTrip
        | ExecuteError::Refused(_)
        | ExecuteError::RequestIdReused
        | ExecuteError::Unreadable(_) => Failure::Poison(error.to_string()),
    }
}
