//! A keeper of trips as tests speak to it: an answer that was given before comes back as the trip it was about.

use std::{
    collections::HashMap,
    ops::Deref,
    sync::{Arc, Mutex},
};

use hexcab_proto::{convert, trip::v1 as proto};
use hexcab_trip::{
    domain::{Command, NewTrip, Trip},
    store::{Answer, ExecuteError, RequestKey, Trips},
    wire,
};
use hexcab_types::TripId;

/// Trips as they were answered, by name and version; of all keepers, since any may be asked again.
static ANSWERED: Mutex<Option<HashMap<(String, i64), Trip>>> = Mutex::new(None);

#[derive(Clone)]
pub struct Keeper(pub Trips);

impl Deref for Keeper {
    type Target = Trips;
    fn deref(&self) -> &Trips {
        &self.0
    }
}

impl Keeper {
    pub async fn create(&self, key: RequestKey, new: NewTrip) -> Result<Trip, ExecuteError> {
        self.trip(self.0.create(key, new).await?).await
    }

    pub async fn execute(
        &self,
        key: RequestKey,
        id: TripId,
        command: Command,
    ) -> Result<Trip, ExecuteError> {
        self.trip(self.0.execute(key, id, command).await?).await
    }

    /// The trip of an answer. One that was given before says exactly what it said then.
    async fn trip(&self, answer: Answer) -> Result<Trip, ExecuteError> {
        let event = match answer {
            Answer::Done(trip) => {
                let trip = Arc::unwrap_or_clone(trip);
                remember(&trip);
                return Ok(trip);
            }
            Answer::Before(event) => event,
        };
        let told = wire::after(&event).unwrap();
        let then = match remembered(&told) {
            Some(then) => then,
            // The first answer is still on its way to whoever asked first: the trip has not gone on.
            None => {
                self.0
                    .get(convert::name(&told.name, "name").unwrap())
                    .await?
            }
        };
        assert_eq!(proto::Trip::from(&then), told);
        Ok(then)
    }
}

fn remember(trip: &Trip) {
    let mut answered = ANSWERED.lock().unwrap();
    answered
        .get_or_insert_default()
        .insert((trip.id.name(), trip.version), trip.clone());
}

fn remembered(told: &proto::Trip) -> Option<Trip> {
    let answered = ANSWERED.lock().unwrap();
    answered
        .as_ref()?
        .get(&(told.name.clone(), told.version))
        .cloned()
}
