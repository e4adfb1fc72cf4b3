//! The trips of one city that are not over, folded from events, answers and listings in whatever order they come.
//!
//! Invariants: a trip stands in the book as the newest version seen of it says; an older or repeated version changes
//! nothing, not even after the trip has ended (as long as it is among the last [`ENDED_KEPT`] that did). What a listing
//! lacks is named for a look-up, never removed: an event may have overtaken the listing.
//!
//! Does not: decide who gets whom, or when requests expire.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use chrono::TimeDelta;
use hexcab_types::{DriverId, Timestamp, TripId};

use super::seen::{Request, Seen, Standing};

/// Ended trips whose versions are remembered, so that late events do not open them again.
pub const ENDED_KEPT: usize = 20_000;
/// How long a driver whom trip called busy is left alone, city time: until his other trip's event is here.
pub const COOLING: TimeDelta = TimeDelta::seconds(5);
/// How long a request is left out whose offer was refused for a reason that the trip itself does not show, city time.
pub const HOLD: TimeDelta = TimeDelta::seconds(5);
/// A driver's app says that he is busy only with one of its next pings; until then the search must leave him out.
const APP_LAG: TimeDelta = TimeDelta::seconds(20);

/// See the module.
#[derive(Debug, Default)]
pub struct Book {
    trips: HashMap<TripId, Entry>,
    ended: Ended,
    cooling: HashMap<DriverId, Timestamp>,
    changes: u64,
}

/// A moment in the life of a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

#[derive(Debug)]
struct Entry {
    version: i64,
    changed: Mark,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Open(Open),
    Offered(DriverId),
    Driven { driver: DriverId, since: Timestamp },
}

#[derive(Debug)]
struct Open {
    request: Arc<Request>,
    /// Was in a window already.
    tried: bool,
    /// Drivers were searched for it already, with an answer.
    searched: bool,
    /// An offer was sent and nobody knows what became of it: to be looked up before anything else.
    in_doubt: bool,
    hold_until: Option<Timestamp>,
}

/// What the loop should do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gathering {
    /// Nobody waits.
    Nobody,
    /// One rider waits, nobody before him, no other trip is being offered: gathering would only cost him time.
    OneAlone,
    /// Riders wait who may do each other good or harm.
    Some,
}

/// A request in a window.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The request.
    pub request: Arc<Request>,
    /// Whether drivers were searched for it before.
    pub searched: bool,
}

/// What a window is made of.
#[derive(Debug, Default)]
pub struct Taken {
    /// The requests, those who wait longest first.
    pub requests: Vec<Waiting>,
    /// Drivers who must not be offered anything.
    pub busy: HashSet<DriverId>,
    /// Those of them whose apps may still say that they are free.
    pub lately_busy: Vec<DriverId>,
}

impl Book {
    /// Takes in a version of a trip. False when it tells nothing new.
    pub fn fold(&mut self, seen: Seen) -> bool {
        if self
            .version(seen.trip)
            .is_some_and(|known| known >= seen.version)
        {
            return false;
        }
        self.changes += 1;
        let stage = match seen.standing {
            Standing::Open(request) => Stage::Open(Open::new(request)),
            Standing::Offered(driver) => Stage::Offered(driver),
            Standing::Driven(driver) => Stage::Driven {
                driver,
                since: seen.changed_at,
            },
            Standing::Ended => {
                self.trips.remove(&seen.trip);
                self.ended.note(seen.trip, seen.version);
                return true;
            }
        };
        let entry = Entry {
            version: seen.version,
            changed: Mark(self.changes),
            stage,
        };
        self.trips.insert(seen.trip, entry);
        true
    }

    /// The newest version seen of a trip.
    pub fn version(&self, trip: TripId) -> Option<i64> {
        let open = self.trips.get(&trip).map(|entry| entry.version);
        open.or_else(|| self.ended.versions.get(&trip).copied())
    }

    /// The trace in which the event of exactly this version came, when the version itself was known from elsewhere.
    pub fn adopt_context(&mut self, trip: TripId, version: i64, context: String) {
        if let Some(open) = self.open_at(trip, version) {
            Arc::make_mut(&mut open.request).context = Some(context);
        }
    }

    /// Now, as far as changes go.
    pub fn mark(&self) -> Mark {
        Mark(self.changes)
    }

    /// Takes in a listing of all trips that are not over, begun at `begun`, as far as it is about what happened until
    /// `until`: what is younger comes by its event, which knows the ride's trace better. Returns the trips of the book
    /// that the listing lacks although nothing was heard of them since: their end was missed.
    pub fn merge(&mut self, listed: Vec<Seen>, begun: Mark, until: Timestamp) -> Vec<TripId> {
        let names: HashSet<TripId> = listed.iter().map(|seen| seen.trip).collect();
        let missed = |(trip, entry): (&TripId, &Entry)| {
            (entry.changed <= begun && !names.contains(trip)).then_some(*trip)
        };
        let missed = self.trips.iter().filter_map(missed).collect();
        for seen in listed.into_iter().filter(|seen| seen.changed_at <= until) {
            self.fold(seen);
        }
        missed
    }

    /// Trip does not know this trip.
    pub fn forget(&mut self, trip: TripId) {
        self.trips.remove(&trip);
    }

    /// Whether there is anything to gather.
    pub fn gathering(&self, now: Timestamp) -> Gathering {
        let mut waiting = self.waiting(now);
        match (waiting.next(), waiting.next()) {
            (None, _) => Gathering::Nobody,
            (Some(only), None) if !only.tried && !self.has_offers() => Gathering::OneAlone,
            (Some(_), _) => Gathering::Some,
        }
    }

    /// The requests of a window that closes now; from here on they count as tried.
    pub fn take_window(&mut self, now: Timestamp) -> Taken {
        self.cooling.retain(|_, until| *until > now);
        let mut taken = Taken {
            busy: self.cooling.keys().copied().collect(),
            ..Taken::default()
        };
        taken.lately_busy.extend(self.cooling.keys());
        for entry in self.trips.values_mut() {
            match &mut entry.stage {
                Stage::Open(open) => {
                    if open.is_ready(now) {
                        open.tried = true;
                        let (request, searched) = (open.request.clone(), open.searched);
                        taken.requests.push(Waiting { request, searched });
                    }
                }
                Stage::Offered(driver) => {
                    taken.busy.insert(*driver);
                    taken.lately_busy.push(*driver);
                }
                Stage::Driven { driver, since } => {
                    taken.busy.insert(*driver);
                    if now - *since < APP_LAG {
                        taken.lately_busy.push(*driver);
                    }
                }
            }
        }
        taken
            .requests
            .sort_by_key(|waiting| (waiting.request.created_at, waiting.request.trip));
        taken.lately_busy.sort_unstable();
        taken.lately_busy.dedup();
        taken
    }

    /// Drivers were searched for this version of a trip.
    pub fn note_searched(&mut self, trip: TripId, version: i64) {
        if let Some(open) = self.open_at(trip, version) {
            open.searched = true;
        }
    }

    /// Trip says that the driver is busy.
    pub fn cool(&mut self, driver: DriverId, now: Timestamp) {
        self.cooling.insert(driver, now + COOLING);
    }

    /// Leaves a request out for a while.
    pub fn hold(&mut self, trip: TripId, version: i64, now: Timestamp) {
        if let Some(open) = self.open_at(trip, version) {
            open.hold_until = Some(now + HOLD);
        }
    }

    /// Nobody knows what became of an offer made at this version.
    pub fn doubt(&mut self, trip: TripId, version: i64) {
        if let Some(open) = self.open_at(trip, version) {
            open.in_doubt = true;
        }
    }

    /// The trip was looked up and folded: if it still stands as it did, there is no doubt any more.
    pub fn settle(&mut self, trip: TripId) {
        if let Some(Entry {
            stage: Stage::Open(open),
            ..
        }) = self.trips.get_mut(&trip)
        {
            open.in_doubt = false;
        }
    }

    /// Trips that must be looked up before they can be in a window.
    pub fn in_doubt(&self) -> Vec<TripId> {
        self.opens()
            .filter(|open| open.in_doubt)
            .map(|open| open.request.trip)
            .collect()
    }

    /// All open requests, the longest waiting first.
    pub fn open_requests(&self) -> Vec<Arc<Request>> {
        let mut requests: Vec<_> = self.opens().map(|open| open.request.clone()).collect();
        requests.sort_by_key(|request| (request.created_at, request.trip));
        requests
    }

    fn opens(&self) -> impl Iterator<Item = &Open> {
        self.trips.values().filter_map(|entry| match &entry.stage {
            Stage::Open(open) => Some(open),
            Stage::Offered(_) | Stage::Driven { .. } => None,
        })
    }

    fn waiting(&self, now: Timestamp) -> impl Iterator<Item = &Open> {
        self.opens()
            .filter(move |open| open.request.expires_at > now)
    }

    fn has_offers(&self) -> bool {
        self.trips
            .values()
            .any(|entry| matches!(entry.stage, Stage::Offered(_)))
    }

    fn open_at(&mut self, trip: TripId, version: i64) -> Option<&mut Open> {
        match self.trips.get_mut(&trip) {
            Some(Entry {
                version: known,
                stage: Stage::Open(open),
                ..
            }) if *known == version => Some(open),
            Some(_) | None => None,
        }
    }
}

impl Open {
    fn new(request: Request) -> Self {
        Self {
            request: Arc::new(request),
            tried: false,
            searched: false,
            in_doubt: false,
            hold_until: None,
        }
    }

    /// One whose time is over is trip's to expire; an offer would be refused.
    fn is_ready(&self, now: Timestamp) -> bool {
        !self.in_doubt
            && self.request.expires_at > now
            && self.hold_until.is_none_or(|until| until <= now)
    }
}

/// The last trips that ended.
#[derive(Debug, Default)]
struct Ended {
    versions: HashMap<TripId, i64>,
    order: VecDeque<TripId>,
}

impl Ended {
    fn note(&mut self, trip: TripId, version: i64) {
        if self.versions.insert(trip, version).is_none() {
            self.order.push_back(trip);
        }
        if self.order.len() > ENDED_KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.versions.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
