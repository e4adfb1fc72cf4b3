//! Who is connected, and a bounded queue to each.
//!
//! Invariants: a slow app never holds up another: when its queue is full it is disconnected. Of one trip a session is
//! told ever newer versions: what is as old as the last one told is dropped, whichever way it came. No session outlives
//! the token that opened it.
//! Does not: know how a message travels; see [`crate::ws`] and [`crate::grpc`].

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use hexcab_types::TripId;
use parking_lot::{Mutex, RwLock};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

use crate::config::SessionConfig;

/// Trips whose last told version a session remembers.
const TOLD_MAX: usize = 32;

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The app went.
    Left,
    /// It did not read what it was sent.
    SlowClient,
    /// It said nothing for too long.
    Idle,
    /// The same user connected once more.
    Replaced,
    /// Its token ended; connect again with another.
    TokenExpired,
    /// The gateway stops; connect again.
    ShuttingDown,
}

impl End {
    /// The catalogued reason.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Left => "LEFT",
            Self::SlowClient => "SLOW_CLIENT",
            Self::Idle => "IDLE",
            Self::Replaced => "REPLACED",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::ShuttingDown => "SHUTTING_DOWN",
        }
    }
}

/// The end of a session: said once, heard by everyone who has to do with it.
#[derive(Debug, Clone)]
pub struct Ending(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    over: CancellationToken,
    why: OnceLock<End>,
    /// When the token ends, and the session with it.
    until: Instant,
}

impl Ending {
    fn at(until: Instant) -> Self {
        Self(Arc::new(Inner {
            over: CancellationToken::new(),
            why: OnceLock::new(),
            until,
        }))
    }

    /// Ends the session; only the first reason counts.
    pub fn end(&self, why: End) {
        let _ = self.0.why.set(why);
        self.0.over.cancel();
    }

    /// Waits for the end.
    pub async fn ended(&self) -> End {
        tokio::select! {
            biased;
            () = self.0.over.cancelled() => {}
            () = sleep_until(self.0.until) => self.end(End::TokenExpired),
        }
        self.0.why.get().copied().unwrap_or(End::Left)
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.0.over.is_cancelled() || Instant::now() >= self.0.until
    }
}

/// One connected app of one user.
#[derive(Debug)]
pub struct Session<M> {
    id: u64,
    queue: mpsc::Sender<M>,
    told: Mutex<Told>,
    ending: Ending,
}

impl<M> Session<M> {
    /// Queues a message; a full queue ends the session.
    pub fn tell(&self, message: M) -> bool {
        let queued = !self.ending.is_over() && self.queue.try_send(message).is_ok();
        if !queued && !self.ending.is_over() {
            tracing::warn!(
                session = self.id,
                "a client is too slow and is disconnected"
            );
            self.ending.end(End::SlowClient);
        }
        queued
    }

    /// Queues a message about a version of a trip unless this or a newer one was told.
    pub fn tell_of(&self, trip: TripId, version: Version, message: impl FnOnce() -> M) -> bool {
        let mut told = self.told.lock();
        told.advance(trip, version) && self.tell(message())
    }

    /// Trips told of that are not known to be over.
    pub fn open_trips(&self) -> Vec<TripId> {
        self.told
            .lock()
            .0
            .iter()
            .filter(|told| told.1.open)
            .map(|told| told.0)
            .collect()
    }
}

/// A version of a trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Number of its last event.
    pub number: i64,
    /// Whether there is more to come for this user.
    pub open: bool,
}

/// The last version told of each trip, latest last.
#[derive(Debug, Default)]
struct Told(Vec<(TripId, Version)>);

impl Told {
    fn advance(&mut self, trip: TripId, version: Version) -> bool {
        match self.0.iter().position(|told| told.0 == trip) {
            Some(at) if self.0[at].1.number >= version.number => return false,
            Some(at) => {
                self.0.remove(at);
            }
            None if self.0.len() == TOLD_MAX => {
                self.0.remove(0);
            }
            None => {}
        }
        self.0.push((trip, version));
        true
    }
}

/// A user's sessions.
type UserSessions<M> = Vec<Arc<Session<M>>>;

/// The sessions of all users of one kind.
#[derive(Debug)]
pub struct Sessions<U, M> {
    by_user: RwLock<HashMap<U, UserSessions<M>>>,
    next_id: AtomicU64,
    queue_max: usize,
    per_user_max: usize,
    open: TaskTracker,
    closing: CancellationToken,
}

impl<U: Copy + Eq + Hash + fmt::Display, M> Sessions<U, M> {
    /// Nobody yet.
    pub fn new(config: &SessionConfig) -> Self {
        Self {
            by_user: RwLock::default(),
            next_id: AtomicU64::new(1),
            queue_max: config.queue_max.max(1),
            per_user_max: config.per_user_max.max(1),
            open: TaskTracker::new(),
            closing: CancellationToken::new(),
        }
    }

    /// Connects an app until its token ends; its oldest sibling makes room when there are too many.
    pub fn connect(self: &Arc<Self>, user: U, until: Instant) -> Connected<U, M> {
        let (queue, messages) = mpsc::channel(self.queue_max);
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let session = Arc::new(Session {
            id,
            queue,
            told: Mutex::default(),
            ending: Ending::at(until),
        });
        {
            let mut by_user = self.by_user.write();
            let siblings = by_user.entry(user).or_default();
            if siblings.len() >= self.per_user_max {
                siblings.remove(0).ending.end(End::Replaced);
            }
            siblings.push(session.clone());
        }
        if self.closing.is_cancelled() {
            session.ending.end(End::ShuttingDown);
        }
        let seat = Seat {
            sessions: self.clone(),
            user,
            session,
            _open: self.open.token(),
        };
        Connected { seat, messages }
    }

    /// The sessions of a user.
    pub fn of(&self, user: U) -> UserSessions<M> {
        self.by_user.read().get(&user).cloned().unwrap_or_default()
    }

    /// Whether a user is connected.
    pub fn has(&self, user: U) -> bool {
        self.by_user.read().contains_key(&user)
    }

    /// Everyone.
    pub fn all(&self) -> Vec<(U, Arc<Session<M>>)> {
        let by_user = self.by_user.read();
        by_user
            .iter()
            .flat_map(|(user, sessions)| sessions.iter().map(|session| (*user, session.clone())))
            .collect()
    }

    /// How many sessions there are.
    pub fn count(&self) -> usize {
        self.by_user.read().values().map(Vec::len).sum()
    }

    /// Ends all sessions, now and to come, and waits until they are gone.
    pub async fn close(&self) {
        self.closing.cancel();
        for (_, session) in self.all() {
            session.ending.end(End::ShuttingDown);
        }
        self.open.close();
        self.open.wait().await;
    }

    fn leave(&self, user: U, id: u64) {
        let mut by_user = self.by_user.write();
        if let Some(sessions) = by_user.get_mut(&user) {
            sessions.retain(|session| session.id != id);
            if sessions.is_empty() {
                by_user.remove(&user);
            }
        }
    }
}

/// A session and what is queued for it.
pub struct Connected<U: Copy + Eq + Hash + fmt::Display, M> {
    /// Holds its place.
    pub seat: Seat<U, M>,
    /// To be sent, in order.
    pub messages: mpsc::Receiver<M>,
}

/// A session's place among the others; it leaves when this is dropped.
pub struct Seat<U: Copy + Eq + Hash + fmt::Display, M> {
    sessions: Arc<Sessions<U, M>>,
    user: U,
    session: Arc<Session<M>>,
    _open: TaskTrackerToken,
}

impl<U: Copy + Eq + Hash + fmt::Display, M> Seat<U, M> {
    /// Whose it is.
    pub fn user(&self) -> U {
        self.user
    }

    /// The session.
    pub fn session(&self) -> &Arc<Session<M>> {
        &self.session
    }

    /// Its end.
    pub fn ending(&self) -> Ending {
        self.session.ending.clone()
    }
}

impl<U: Copy + Eq + Hash + fmt::Display, M> Drop for Seat<U, M> {
    fn drop(&mut self) {
        self.session.ending.end(End::Left);
        self.sessions.leave(self.user, self.session.id);
        tracing::debug!(session = self.session.id, user = %self.user, "a session ended");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hexcab_types::RiderId;
    use uuid::Uuid;

    use super::*;

    fn sessions(queue_max: usize) -> Arc<Sessions<RiderId, i64>> {
        Arc::new(Sessions::new(&SessionConfig {
            queue_max,
            per_user_max: 2,
            ..SessionConfig::default()
        }))
    }

    fn rider(n: u128) -> RiderId {
        RiderId::from(Uuid::from_u128(n))
    }

    fn tomorrow() -> Instant {
        Instant::now() + Duration::from_secs(86_400)
    }

    fn trip(n: u128) -> TripId {
        TripId::from(Uuid::from_u128(n))
    }

    fn version(number: i64) -> Version {
        Version { number, open: true }
    }

    #[tokio::test]
    async fn versions_are_told_once_and_only_forwards() {
        let mut app = sessions(100).connect(rider(1), tomorrow());
        for number in [1, 2, 2, 4, 3, 1, 5] {
            app.seat
                .session()
                .tell_of(trip(1), version(number), || number);
            app.seat
                .session()
                .tell_of(trip(2), version(number), || -number);
        }
        let mut told = Vec::new();
        while let Ok(message) = app.messages.try_recv() {
            told.push(message);
        }
        assert_eq!(told, [1, -1, 2, -2, 4, -4, 5, -5]);
    }

    #[tokio::test]
    async fn a_slow_client_is_cut_and_the_others_are_not() {
        let sessions = sessions(2);
        let slow = sessions.connect(rider(1), tomorrow());
        let mut quick = sessions.connect(rider(1), tomorrow());
        for number in 1..=3 {
            for session in sessions.of(rider(1)) {
                session.tell_of(trip(1), version(number), || number);
            }
            assert_eq!(quick.messages.recv().await, Some(number));
        }
        assert_eq!(slow.seat.ending().ended().await, End::SlowClient);
        assert!(!quick.seat.ending().is_over());
    }

    #[tokio::test]
    async fn one_session_too_many_ends_the_oldest() {
        let sessions = sessions(2);
        let (first, second, third) = (
            sessions.connect(rider(1), tomorrow()),
            sessions.connect(rider(1), tomorrow()),
            sessions.connect(rider(1), tomorrow()),
        );
        assert_eq!(first.seat.ending().ended().await, End::Replaced);
        assert!(!second.seat.ending().is_over() && !third.seat.ending().is_over());
        assert_eq!(sessions.count(), 2);
        drop((first, second, third));
        assert!(!sessions.has(rider(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_with_its_token() {
        let sessions = sessions(2);
        let until = Instant::now() + Duration::from_secs(600);
        let app = sessions.connect(rider(1), until);
        assert!(app.seat.session().tell(1));
        assert_eq!(app.seat.ending().ended().await, End::TokenExpired);
        assert_eq!(Instant::now(), until);
        assert!(!app.seat.session().tell(2), "whoever writes, or does not");
        let unheard = sessions.connect(rider(2), until);
        assert!(unheard.seat.ending().is_over());
    }

    #[tokio::test]
    async fn closing_ends_those_who_are_there_and_those_who_come() {
        let sessions = sessions(2);
        let there = sessions.connect(rider(1), tomorrow());
        let closing = sessions.clone();
        let closed = async move { closing.close().await };
        let leaves = async {
            assert_eq!(there.seat.ending().ended().await, End::ShuttingDown);
            let late = sessions.connect(rider(2), tomorrow());
            assert_eq!(late.seat.ending().ended().await, End::ShuttingDown);
            drop((there, late));
        };
        tokio::join!(closed, leaves);
    }

    #[test]
    fn the_memory_of_what_was_told_is_bounded() {
        let mut told = Told::default();
        for n in 0..2 * TOLD_MAX as u128 {
            assert!(told.advance(trip(n), version(1)));
        }
        assert_eq!(told.0.len(), TOLD_MAX);
        assert!(!told.advance(trip(2 * TOLD_MAX as u128 - 1), version(1)));
    }
}
