//! Checks over the life of each trip: its events are read in order, as they were told, and folded by hand.
//!
//! - I4 an acceptance is of the open offer, by its driver, within its deadline and the grace of a second
//! - I5 an offer has one outcome
//! - I8 nobody who declined, let run out or gave back a trip is offered it again
//!
//! Does not: trust the trip's row.

use std::collections::HashSet;

use anyhow::Context as _;
use chrono::TimeDelta;
use futures::TryStreamExt as _;
use hexcab_proto::{
    convert,
    trip::v1::{TripEvent, trip_event::Event},
};
use hexcab_types::Timestamp;
use prost::Message as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Finding, Outcome};

/// How long after its deadline an acceptance still counts (DESIGN section 4, I4).
const GRACE: TimeDelta = TimeDelta::seconds(1);

/// Folds all trips.
///
/// # Errors
/// When the database cannot be asked.
pub async fn run(trip: &mut PgConnection) -> anyhow::Result<Vec<Outcome>> {
    let mut lives = Lives::default();
    {
        let sql = "SELECT trip, payload FROM trip_events ORDER BY trip, version";
        let mut events = sqlx::query_as::<_, (Uuid, Vec<u8>)>(sql).fetch(trip);
        while let Some((trip, payload)) = events.try_next().await.context("read trip events")? {
            lives.see(trip, &payload);
        }
    }
    Ok(lives.outcomes())
}

/// The fold: one trip after the other.
#[derive(Debug, Default)]
struct Lives {
    trip: Uuid,
    open: Option<Offer>,
    accepted: Option<String>,
    refused: HashSet<String>,
    offers: usize,
    acceptances: usize,
    events: usize,
    unreadable: Vec<Finding>,
    acceptance: Vec<Finding>,
    outcome: Vec<Finding>,
    again: Vec<Finding>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Offer {
    driver: String,
    epoch: i32,
    until: Option<Timestamp>,
}

impl Lives {
    fn see(&mut self, trip: Uuid, payload: &[u8]) {
        if trip != self.trip {
            (self.trip, self.open, self.accepted) = (trip, None, None);
            self.refused.clear();
        }
        self.events += 1;
        let message = match TripEvent::decode(payload) {
            Ok(message) => message,
            Err(error) => {
                return self
                    .unreadable
                    .push(self.finding(format!("payload: {error}")));
            }
        };
        match &message.event {
            Some(event) => self.step(&message, event),
            None => self
                .unreadable
                .push(self.finding(format!("event {} says nothing", message.version))),
        }
    }

    fn step(&mut self, message: &TripEvent, event: &Event) {
        match event {
            Event::OfferMade(made) => self.offer(message, &made.driver, made.epoch),
            Event::OfferAccepted(by) => {
                self.accept(message, &by.driver, by.epoch);
                self.accepted = Some(by.driver.clone());
            }
            Event::OfferDeclined(by) => self.refuse(message, &by.driver, by.epoch),
            Event::OfferExpired(by) => self.refuse(message, &by.driver, by.epoch),
            Event::Released(by) => {
                if self.accepted.take().as_ref() != Some(&by.driver) {
                    let text = format!(
                        "event {}: {} gave back what he did not have",
                        message.version, by.driver
                    );
                    self.outcome.push(self.finding(text));
                }
                self.refused.insert(by.driver.clone());
            }
            Event::Cancelled(_) => self.open = None,
            Event::Requested(_)
            | Event::Scheduled(_)
            | Event::Activated(_)
            | Event::DriverArrived(_)
            | Event::Started(_)
            | Event::Completed(_)
            | Event::Expired(_) => {
                if let Some(open) = self.open.take() {
                    let text = format!(
                        "event {}: the offer of epoch {} had no outcome",
                        message.version, open.epoch
                    );
                    self.outcome.push(self.finding(text));
                }
            }
        }
    }

    fn offer(&mut self, message: &TripEvent, driver: &str, epoch: i32) {
        self.offers += 1;
        if self.refused.contains(driver) {
            self.again.push(self.finding(format!(
                "event {}: {driver} is offered it again",
                message.version
            )));
        }
        let until = message
            .after
            .as_ref()
            .and_then(|after| after.offer.as_ref())
            .and_then(|offer| offer.expire_time);
        let until =
            until.and_then(|until| convert::timestamp(Some(until), "offer.expire_time").ok());
        if let Some(open) = self.open.replace(Offer {
            driver: driver.to_owned(),
            epoch,
            until,
        }) {
            let text = format!(
                "event {}: epoch {epoch} while {} is open",
                message.version, open.epoch
            );
            self.outcome.push(self.finding(text));
        }
    }

    fn accept(&mut self, message: &TripEvent, driver: &str, epoch: i32) {
        self.acceptances += 1;
        let version = message.version;
        let Some(open) = self.open.take() else {
            return self
                .acceptance
                .push(self.finding(format!("event {version}: no offer was open")));
        };
        if (open.driver.as_str(), open.epoch) != (driver, epoch) {
            let text = format!(
                "event {version}: epoch {epoch} by {driver}, open was {} to {}",
                open.epoch, open.driver
            );
            return self.acceptance.push(self.finding(text));
        }
        let at = convert::timestamp(message.occur_time, "occur_time").ok();
        match (at, open.until) {
            (Some(at), Some(until)) if at <= until + GRACE => {}
            (Some(at), Some(until)) => {
                self.acceptance.push(self.finding(format!(
                    "event {version}: at {at}, the deadline was {until}"
                )));
            }
            (None, _) | (_, None) => {
                self.acceptance
                    .push(self.finding(format!("event {version}: has no time or no deadline")));
            }
        }
    }

    fn refuse(&mut self, message: &TripEvent, driver: &str, epoch: i32) {
        let was = self.open.take().map(|open| (open.driver, open.epoch));
        if was != Some((driver.to_owned(), epoch)) {
            let text = format!(
                "event {}: epoch {epoch} of {driver} was not open",
                message.version
            );
            self.outcome.push(self.finding(text));
        }
        self.refused.insert(driver.to_owned());
    }

    fn finding(&self, detail: String) -> Finding {
        Finding {
            id: self.trip.to_string(),
            detail,
        }
    }

    fn outcomes(self) -> Vec<Outcome> {
        let accepted = "an acceptance is of the open offer and within its deadline";
        let again = "nobody who declined, timed out or gave back is asked again";
        vec![
            Outcome::new(
                "I2 readable",
                "every event can be read",
                self.events,
                self.unreadable,
            ),
            Outcome::new(
                "I4 acceptances",
                accepted,
                self.acceptances,
                self.acceptance,
            ),
            Outcome::new(
                "I5 outcomes",
                "an offer has exactly one outcome",
                self.offers,
                self.outcome,
            ),
            Outcome::new("I8 exclusions", again, self.offers, self.again),
        ]
    }
}

#[cfg(test)]
mod tests;
