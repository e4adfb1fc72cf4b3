//! A city at work: its rules, its book while this process owns it, and its decisions.
//!
//! Invariants: no lock is held across a wait; without a partition of the trip topic there is no book, and whatever comes
//! late for it (an answer, a listing) is dropped. Does not: call anybody.

use std::{sync::Arc, time::Duration};

use hexcab_cities::City;
use hexcab_matching::Policy;
use hexcab_road::RoadTimes;
use hexcab_types::{DecisionId, DriverId, Timestamp, TripId};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use crate::domain::{Book, Decision, Gathering, Kept, Mark, Request, Seen, Taken};

/// Silence on the bus after which a trip that turns out to have moved on means that events may be lost, real time.
const SILENCE: Duration = Duration::from_secs(1);

/// See the module.
pub struct CityDesk {
    /// The city's rules.
    pub city: City,
    /// Its roads.
    pub road: Arc<dyn RoadTimes>,
    /// How it chooses.
    pub policy: Box<dyn Policy>,
    inner: Mutex<Inner>,
    kept: Mutex<Kept>,
    changed: Notify,
    resync_wanted: Notify,
}

struct Inner {
    book: Option<Book>,
    figures: Figures,
    last_event: Option<Instant>,
}

/// How the city goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// Windows closed since this process took the city.
    pub windows: u64,
    /// How long the last one took to search, solve and offer, real time.
    pub last_window: Option<Duration>,
    /// When the book was last compared with trip's list, city clock.
    pub rebuilt_at: Option<Timestamp>,
}

/// A city as it is now.
pub struct Snapshot {
    /// Who waits, the longest waiting first.
    pub open: Vec<Arc<Request>>,
    /// How it goes.
    pub figures: Figures,
}

impl CityDesk {
    /// A city that this process does not own yet.
    pub fn new(city: City, road: Arc<dyn RoadTimes>, policy: Box<dyn Policy>, kept: Kept) -> Self {
        Self {
            city,
            road,
            policy,
            inner: Mutex::new(Inner {
                book: None,
                figures: Figures::default(),
                last_event: None,
            }),
            kept: Mutex::new(kept),
            changed: Notify::new(),
            resync_wanted: Notify::new(),
        }
    }

    /// Takes the city, with an empty book.
    pub fn take_over(&self) {
        *self.inner.lock() = Inner {
            book: Some(Book::default()),
            figures: Figures::default(),
            last_event: None,
        };
    }

    /// Gives the city up. Its decisions can still be explained.
    pub fn give_up(&self) {
        self.inner.lock().book = None;
    }

    /// Whether the city is this process's, and its book was read from trip.
    pub fn is_rebuilt(&self) -> bool {
        let inner = self.inner.lock();
        inner.book.is_some() && inner.figures.rebuilt_at.is_some()
    }

    /// Whether the city is this process's.
    pub fn is_owned(&self) -> bool {
        self.inner.lock().book.is_some()
    }

    /// Takes in an event, which came in this trace.
    pub fn on_event(&self, seen: Seen, context: Option<String>) {
        let (trip, version) = (seen.trip, seen.version);
        {
            let mut inner = self.inner.lock();
            inner.last_event = Some(Instant::now());
            let Some(book) = &mut inner.book else { return };
            book.fold(seen);
            // Even if the version was known: from an answer or a listing, which know no better than the trip's own trace.
            if let Some(context) = context {
                book.adopt_context(trip, version, context);
            }
        }
        self.changed.notify_one();
    }

    /// Takes in what trip answered.
    pub fn on_answer(&self, seen: Seen) {
        self.with(|book| book.fold(seen));
        self.changed.notify_one();
    }

    /// Takes in what trip said when it was asked about this trip. If it had moved on while the bus was silent, events
    /// may be lost: the whole book is compared soon.
    pub fn on_look_up(&self, trip: TripId, seen: Option<Seen>) {
        let surprised = {
            let mut inner = self.inner.lock();
            let silent = inner.last_event.is_none_or(|at| at.elapsed() > SILENCE);
            let Some(book) = &mut inner.book else { return };
            let moved = match seen {
                Some(seen) => book.fold(seen),
                None => {
                    book.forget(trip);
                    true
                }
            };
            book.settle(trip);
            moved && silent
        };
        if surprised {
            self.resync_wanted.notify_one();
        }
        self.changed.notify_one();
    }

    /// The moment at which a listing begins; none when the city is not this process's.
    pub fn mark(&self) -> Option<Mark> {
        self.with(|book| book.mark())
    }

    /// Takes in a listing that was begun at `begun`: all of it the first time, later what happened until `until`.
    /// Returns the trips that must be looked up.
    pub fn on_listing(
        &self,
        listed: Vec<Seen>,
        begun: Mark,
        until: Timestamp,
        now: Timestamp,
    ) -> Vec<TripId> {
        let until = if self.is_rebuilt() {
            until
        } else {
            Timestamp::MAX_UTC
        };
        let missed = self
            .with(|book| book.merge(listed, begun, until))
            .unwrap_or_default();
        self.inner.lock().figures.rebuilt_at = Some(now);
        self.changed.notify_one();
        missed
    }

    /// Does something to the book, if there is one.
    pub fn with<T>(&self, work: impl FnOnce(&mut Book) -> T) -> Option<T> {
        self.inner.lock().book.as_mut().map(work)
    }

    /// What the loop should do now.
    pub fn gathering(&self, now: Timestamp) -> Gathering {
        self.with(|book| book.gathering(now))
            .unwrap_or(Gathering::Nobody)
    }

    /// Closes a window: its number and what is in it. None when nobody is in it.
    pub fn take_window(&self, now: Timestamp) -> Option<(u64, Taken)> {
        let mut inner = self.inner.lock();
        let taken = inner.book.as_mut()?.take_window(now);
        if taken.requests.is_empty() {
            return None;
        }
        inner.figures.windows += 1;
        Some((inner.figures.windows, taken))
    }

    /// A window took so long.
    pub fn note_window(&self, took: Duration) {
        self.inner.lock().figures.last_window = Some(took);
    }

    /// The driver is busy, trip says.
    pub fn on_driver_busy(&self, driver: DriverId, now: Timestamp) {
        self.with(|book| book.cool(driver, now));
    }

    /// The city as it is now; none when it is not this process's.
    pub fn snapshot(&self) -> Option<Snapshot> {
        let inner = self.inner.lock();
        let open = inner.book.as_ref()?.open_requests();
        Some(Snapshot {
            open,
            figures: inner.figures,
        })
    }

    /// Keeps a decision.
    pub fn record(&self, decision: Arc<Decision>) {
        self.kept.lock().record(decision);
    }

    /// A decision that is still kept.
    pub fn decision(&self, id: DecisionId) -> Option<Arc<Decision>> {
        self.kept.lock().decision(id)
    }

    /// The last decision made for a trip, if it is still kept.
    pub fn last_decision(&self, trip: TripId) -> Option<Arc<Decision>> {
        self.kept.lock().last_of(trip)
    }

    /// Waits until the book may have changed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Waits until something did not fit.
    pub async fn resync_wanted(&self) {
        self.resync_wanted.notified().await;
    }
}
