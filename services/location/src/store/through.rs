//! What others heard: cells that are asked about are read from the store, and again and again as long as they are.
//!
//! A query marks the cells that its circle reaches, and is answered from memory. Only when one of them was never read does
//! it wait for that, and not long. A map marks the cells that it shows, a count those of the whole city, which are read less
//! often. One task reads all cells, so that no cell is read twice at once.
//!
//! Invariants: at most [`READS_AT_ONCE`] reads, at most [`CELLS_MAX`] cells; a cell that nobody asked about for [`HOT`] is
//! forgotten. Does not: say that the store is away by answering less; the index answers with what it has.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use hexcab_types::Cell;
use parking_lot::RwLock;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    Circle, Keeper, Kept, StoreError,
    cql::{Cql, Partition, minute_of, oldest_minute},
    places::Places,
};
use crate::domain::{CityNumber, FUTURE_MAX_MS};

/// How long a query waits for cells that were never read.
pub const COLD_WAIT: Duration = Duration::from_millis(75);
/// Cells being read.
const READS_AT_ONCE: usize = 16;
/// Cells that are read again and again.
const CELLS_MAX: usize = 10_000;
/// How long a cell is read after it was asked about.
const HOT: Duration = Duration::from_secs(30);
/// Every so many reads all minutes are read, otherwise only those with anything new.
const WHOLE_EVERY: u32 = 8;
/// How late the rows of a flush may be.
const LATE_MS: i64 = 10_000;
/// Between two looks at what is due.
const LOOK: Duration = Duration::from_millis(50);

type Key = (CityNumber, Cell);

/// How old what is known of a cell may become, real time.
#[derive(Debug, Clone, Copy)]
pub struct Refresh {
    /// While it is asked about, or shown.
    pub asked: Duration,
    /// While it is only counted.
    pub counted: Duration,
}

/// The cells that are asked about.
pub struct Through {
    keeper: Keeper,
    refresh: Refresh,
    begun: Instant,
    /// Where the drivers of a city are.
    cities: HashMap<CityNumber, Vec<Cell>>,
    cells: RwLock<HashMap<Key, Arc<Hot>>>,
    places: Places,
    wake: Notify,
}

/// What somebody wants of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    /// Who is there now.
    Asked,
    /// Who is in the whole city.
    Counted,
}

/// A cell that is asked about.
struct Hot {
    /// When it was last, milliseconds since `begun`.
    asked_ms: AtomicI64,
    /// When it was counted last, likewise.
    counted_ms: AtomicI64,
    /// How often it was read, or was to be.
    reads: watch::Sender<u32>,
}

/// A cell to be read.
struct Due {
    key: Key,
    hot: Arc<Hot>,
    /// How often it is.
    every: Duration,
    whole: bool,
}

/// Longer ago than anything is remembered.
const NEVER_MS: i64 = i64::MIN / 2;

impl Hot {
    fn new() -> Self {
        Self {
            asked_ms: AtomicI64::new(NEVER_MS),
            counted_ms: AtomicI64::new(NEVER_MS),
            reads: watch::Sender::new(0),
        }
    }

    fn mark(&self, want: Want, now_ms: i64) {
        let last = match want {
            Want::Asked => &self.asked_ms,
            Want::Counted => &self.counted_ms,
        };
        last.store(now_ms, Ordering::Relaxed);
    }

    fn was_read(&self) -> bool {
        *self.reads.borrow() > 0
    }

    /// How often it is to be read; none when nobody wants it any more.
    fn every(&self, refresh: Refresh, now_ms: i64) -> Option<Duration> {
        let hot_ms = HOT.as_millis() as i64;
        let hot = |last: &AtomicI64| now_ms - last.load(Ordering::Relaxed) <= hot_ms;
        if hot(&self.asked_ms) {
            Some(refresh.asked)
        } else {
            hot(&self.counted_ms).then_some(refresh.counted)
        }
    }
}

impl Through {
    /// Nothing is asked about yet.
    pub fn new(keeper: Keeper, refresh: Refresh, cities: HashMap<CityNumber, Vec<Cell>>) -> Self {
        Self {
            keeper,
            refresh,
            begun: Instant::now(),
            cities,
            cells: RwLock::default(),
            places: Places::default(),
            wake: Notify::new(),
        }
    }

    /// Marks the cells of these circles; waits for those that were never read, if the store answers.
    pub async fn look(&self, round: &[Circle]) {
        let mut cold = Vec::new();
        for circle in round {
            let disk = self.places.of_circle(circle);
            self.mark(Want::Asked, circle.city, &disk, &mut cold);
        }
        self.wait(cold).await;
    }

    /// The same for these cells, of the store's resolution.
    pub async fn look_in(&self, city: CityNumber, cells: &[Cell]) {
        let mut cold = Vec::new();
        self.mark(Want::Asked, city, cells, &mut cold);
        self.wait(cold).await;
    }

    /// The same for the whole city, which is to be counted.
    pub async fn look_everywhere(&self, city: CityNumber) {
        let mut cold = Vec::new();
        if let Some(cells) = self.cities.get(&city) {
            self.mark(Want::Counted, city, cells, &mut cold);
        }
        self.wait(cold).await;
    }

    async fn wait(&self, cold: Vec<Arc<Hot>>) {
        if cold.is_empty() {
            return;
        }
        self.wake.notify_one();
        if self.keeper.link.usable().is_none() {
            return;
        }
        let all = async {
            for hot in cold {
                let _ = hot.reads.subscribe().wait_for(|reads| *reads > 0).await;
            }
        };
        let _ = tokio::time::timeout(COLD_WAIT, all).await;
    }

    /// Adds those to `cold` that were never read.
    fn mark(&self, want: Want, city: CityNumber, cells: &[Cell], cold: &mut Vec<Arc<Hot>>) {
        let now_ms = self.now_ms();
        for cell in cells {
            let known = self.cells.read().get(&(city, *cell)).cloned();
            let Some(hot) = known.or_else(|| self.add((city, *cell))) else {
                return; // there is no room
            };
            hot.mark(want, now_ms);
            if !hot.was_read() {
                cold.push(hot);
            }
        }
    }

    fn add(&self, key: Key) -> Option<Arc<Hot>> {
        let mut cells = self.cells.write();
        if cells.len() >= CELLS_MAX {
            return None;
        }
        let hot = cells.entry(key).or_insert_with(|| Arc::new(Hot::new()));
        Some(hot.clone())
    }

    /// Reads what is asked about until `shutdown`.
    ///
    /// # Errors
    /// Never; the signature is a task's.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) -> anyhow::Result<()> {
        shutdown.run_until_cancelled(self.read_all()).await;
        Ok(())
    }

    async fn read_all(&self) {
        let cql = self.keeper.link.connected().await;
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut due, mut reading) = (Queue::default(), FuturesUnordered::new());
        loop {
            tokio::select! {
                _ = looks.tick() => due.look(self),
                () = self.wake.notified() => due.look(self),
                Some(done) = reading.next() => due.done(done),
            }
            while reading.len() < READS_AT_ONCE
                && let Some(next) = due.next()
            {
                reading.push(self.read(&cql, next));
            }
        }
    }

    async fn read(&self, cql: &Cql, due: Due) -> Key {
        let (city, cell) = due.key;
        let now_ms = self.keeper.clock.now().timestamp_millis();
        let last = minute_of(now_ms + FUTURE_MAX_MS);
        let first = if due.whole {
            oldest_minute(now_ms)
        } else {
            let since = self.keeper.clock.to_city(due.every * 2).as_millis();
            let since = i64::try_from(since).unwrap_or(i64::MAX / 2);
            minute_of(now_ms - LATE_MS - since).max(oldest_minute(now_ms))
        };
        let read = self.read_minutes(cql, city, cell, first..=last).await;
        self.keeper.link.said(&read);
        if let Ok(rows) = read {
            self.keeper.take(rows);
        }
        due.hot
            .reads
            .send_modify(|reads| *reads = reads.saturating_add(1));
        due.key
    }

    async fn read_minutes(
        &self,
        cql: &Cql,
        city: CityNumber,
        cell: Cell,
        minutes: std::ops::RangeInclusive<i64>,
    ) -> Result<Vec<Kept>, StoreError> {
        let city = self.keeper.index.city_id(city);
        let reads = minutes.map(|minute| cql.by_cell(Partition { city, cell, minute }));
        let rows = futures::future::try_join_all(reads).await?;
        Ok(rows.into_iter().flatten().collect())
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// What is to be read, and what was when.
#[derive(Default)]
struct Queue {
    waiting: std::collections::VecDeque<Due>,
    /// When a reading began, or that it waits; and how often.
    known: HashMap<Key, (Instant, u32, bool)>,
}

impl Queue {
    /// Queues the cells that are due, and forgets those that nobody asks about.
    fn look(&mut self, through: &Through) {
        let (now, now_ms) = (Instant::now(), through.now_ms());
        let known = &mut self.known;
        through.cells.write().retain(|key, hot| {
            let Some(every) = hot.every(through.refresh, now_ms) else {
                known.remove(key);
                return false;
            };
            let (began, times, under_way) = known.entry(*key).or_insert((now, 0, false));
            if !*under_way && (*times == 0 || now.duration_since(*began) >= every) {
                let due = Due {
                    key: *key,
                    hot: hot.clone(),
                    every,
                    whole: times.is_multiple_of(WHOLE_EVERY),
                };
                (*began, *under_way) = (now, true);
                *times = times.wrapping_add(1).max(1);
                // Somebody waits for one that was never read.
                if *times == 1 {
                    self.waiting.push_front(due);
                } else {
                    self.waiting.push_back(due);
                }
            }
            true
        });
    }

    fn next(&mut self) -> Option<Due> {
        self.waiting.pop_front()
    }

    fn done(&mut self, key: Key) {
        if let Some((_, _, under_way)) = self.known.get_mut(&key) {
            *under_way = false;
        }
    }
}
