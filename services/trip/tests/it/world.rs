//! A small city in memory: what the keeper promises, written a second time over the same `decide`, so that random
//! histories can be walked without a database, and Postgres can be compared with it answer by answer.

use std::collections::{BTreeMap, HashMap, HashSet};

use hexcab_trip::domain::{
    Command, Deadline, Event, NewTrip, Refusal, RefusalKind, State, Trip, deadline,
    deadline::rider_is_busy, decide, request,
};
use hexcab_types::{DriverId, QuoteId, Timestamp, TripId};

use crate::fixture::rules;

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    Create(Box<NewTrip>),
    Do(TripId, Command),
}

/// What happened to a trip, when, and what it was then.
pub type Happened = (TripId, Event, Trip);

/// Trips, their histories, and the answers that were given.
#[derive(Debug, Default)]
pub struct World {
    pub trips: BTreeMap<TripId, Trip>,
    pub history: Vec<Happened>,
    quotes: HashSet<QuoteId>,
    wrong_codes: HashMap<TripId, i32>,
    answers: HashMap<usize, Result<Trip, Refusal>>,
}

impl World {
    /// Asks under an id: what was answered before is answered again (I6).
    pub fn ask(&mut self, id: usize, ask: &Ask, now: Timestamp) -> Result<Trip, Refusal> {
        if let Some(answer) = self.answers.get(&id) {
            return answer.clone();
        }
        let answer = match ask {
            Ask::Create(new) => self.create(new, now),
            Ask::Do(trip, command) => self.execute(*trip, command, now),
        };
        let kept = match &answer {
            Ok(_) => true,
            Err(refusal) => refusal.kind() != RefusalKind::Stale,
        };
        if kept {
            self.answers.insert(id, answer.clone());
        }
        answer
    }

    /// Carries out what is due; how many deadlines that were.
    pub fn sweep(&mut self, now: Timestamp) -> usize {
        let mut due: Vec<(Timestamp, TripId, Command)> = self
            .trips
            .iter()
            .filter_map(|(id, trip)| {
                let Deadline { due_at, order } = deadline(trip)?;
                (due_at < now).then_some((due_at, *id, order))
            })
            .collect();
        due.sort_by_key(|(due_at, id, _)| (*due_at, *id));
        for (_, id, order) in &due {
            if self.execute(*id, order, now) == Err(Refusal::RiderBusy) {
                self.execute(*id, &rider_is_busy(), now).unwrap();
            }
        }
        due.len()
    }

    fn create(&mut self, new: &NewTrip, now: Timestamp) -> Result<Trip, Refusal> {
        let (trip, event) = request(new.clone(), &rules(), now)?;
        if self.quotes.contains(&trip.order.quote) {
            return Err(Refusal::QuoteUsed);
        }
        self.fits(&trip)?;
        self.quotes.insert(trip.order.quote);
        Ok(self.keep(trip, event))
    }

    fn execute(&mut self, id: TripId, command: &Command, now: Timestamp) -> Result<Trip, Refusal> {
        let mut trip = self.trips[&id].clone();
        let wrong = self.wrong_codes.entry(id).or_default();
        if let Command::Start { .. } = command {
            trip.wrong_codes = *wrong;
        }
        let decided = decide(&trip, command, &rules(), now);
        if decided == Err(Refusal::WrongStartCode) {
            *wrong += 1;
        }
        let event = decided?;
        let after = trip.apply(&event, now);
        self.fits(&after)?;
        Ok(self.keep(after, event))
    }

    /// I1, as the unique indexes have it.
    fn fits(&self, after: &Trip) -> Result<(), Refusal> {
        for other in self.trips.values().filter(|other| other.id != after.id) {
            if is_active(after) && is_active(other) && after.order.rider == other.order.rider {
                return Err(Refusal::RiderBusy);
            }
            if engaged(after).is_some() && engaged(after) == engaged(other) {
                return Err(Refusal::DriverBusy);
            }
        }
        Ok(())
    }

    fn keep(&mut self, trip: Trip, event: Event) -> Trip {
        self.history.push((trip.id, event, trip.clone()));
        self.trips.insert(trip.id, trip.clone());
        trip
    }
}

/// Whether the trip is its rider's one.
pub fn is_active(trip: &Trip) -> bool {
    trip.state != State::Scheduled && trip.state.ended_at().is_none()
}

/// Who is asked or drives.
pub fn engaged(trip: &Trip) -> Option<DriverId> {
    match &trip.state {
        State::Offered(offer) => Some(offer.driver),
        State::EnRoute(_) | State::Arrived(_) | State::InProgress(_) => trip.driver(),
        State::Scheduled
        | State::Requested
        | State::Completed { .. }
        | State::Cancelled { .. }
        | State::Expired { .. } => None,
    }
}
