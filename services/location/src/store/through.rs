//! What others heard: cells that are asked about are read from the store, and again and again as long as they are.
//!
//! A query marks the cells that its circle reaches, and is answered from memory. Only when one of them was never read does
//! it wait for that, and not long. One task reads all cells, so that no cell is read twice at once.
//!
//! Invariants: at most [`READS_AT_ONCE`] reads, at most [`CELLS_MAX`] cells; a cell that nobody asked about for [`HOT`] is
//! forgotten. Does not: say that the store is away by answering less; the index answers with what it has.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use hexcab_types::Cell;
use parking_lot::{Mutex, RwLock};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    Circle, Keeper, Kept, StoreError,
    cql::{Cql, Partition, READ_MINUTES, cell_of, minute_of},
};
use crate::domain::{CityNumber, FUTURE_MAX_MS};

/// How long a query waits for cells that were never read.
pub const COLD_WAIT: Duration = Duration::from_millis(75);
/// Cells being read.
const READS_AT_ONCE: usize = 16;
/// Cells that are read again and again.
const CELLS_MAX: usize = 10_000;
/// Cells beyond which a circle is read only in its middle.
const DISK_MAX: u32 = 8;
/// Disks that are remembered.
const DISKS_MAX: usize = 10_000;
/// How long a cell is read after it was asked about.
const HOT: Duration = Duration::from_secs(30);
/// The shortest edge of an r7 cell anywhere, metres; 1,406 on average.
const EDGE_MIN_M: f64 = 1_000.0;
/// Every so many reads all minutes are read, otherwise only those with anything new.
const WHOLE_EVERY: u32 = 8;
/// How late the rows of a flush may be.
const LATE_MS: i64 = 10_000;
/// Between two looks at what is due.
const LOOK: Duration = Duration::from_millis(50);

type Key = (CityNumber, Cell);
type Disks = HashMap<(Cell, u32), Arc<[Cell]>>;

/// The cells that are asked about.
pub struct Through {
    keeper: Keeper,
    refresh: Duration,
    begun: Instant,
    cells: RwLock<HashMap<Key, Arc<Hot>>>,
    /// Which cells a circle reaches, by the cell in its middle and how many rings.
    disks: Mutex<Disks>,
    wake: Notify,
}

/// A cell that is asked about.
struct Hot {
    /// When it was last, milliseconds since `begun`.
    asked_ms: AtomicU64,
    /// How often it was read, or was to be.
    reads: watch::Sender<u32>,
}

/// A cell to be read.
struct Due {
    key: Key,
    hot: Arc<Hot>,
    whole: bool,
}

impl Through {
    /// Nothing is asked about yet.
    pub fn new(keeper: Keeper, refresh: Duration) -> Self {
        Self {
            keeper,
            refresh,
            begun: Instant::now(),
            cells: RwLock::default(),
            disks: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Marks the cells of these circles; waits for those that were never read, if the store answers.
    pub async fn look(&self, round: &[Circle]) {
        let mut cold = Vec::new();
        for circle in round {
            for cell in self.disk(circle).iter() {
                self.mark((circle.city, *cell), &mut cold);
            }
        }
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

    /// Adds the cell to `cold` when it was never read.
    fn mark(&self, key: Key, cold: &mut Vec<Arc<Hot>>) {
        let now_ms = self.now_ms();
        if let Some(hot) = self.cells.read().get(&key) {
            hot.asked_ms.store(now_ms, Ordering::Relaxed);
            if *hot.reads.borrow() == 0 {
                cold.push(hot.clone());
            }
            return;
        }
        let mut cells = self.cells.write();
        if cells.len() >= CELLS_MAX {
            return;
        }
        let hot = cells.entry(key).or_insert_with(|| {
            Arc::new(Hot {
                asked_ms: AtomicU64::new(now_ms),
                reads: watch::Sender::new(0),
            })
        });
        cold.push(hot.clone());
    }

    /// The cells that a circle reaches. The middles of cells `n` rings apart are 1.5 `n` edges apart at least, and nobody
    /// in a cell is farther than an edge from its middle, but for distortion, which the shortest edge allows for.
    fn disk(&self, circle: &Circle) -> Arc<[Cell]> {
        let rings = ((circle.radius_m / EDGE_MIN_M + 2.0) / 1.5) as u32;
        let key = (cell_of(circle.point), rings.min(DISK_MAX));
        let mut disks = self.disks.lock();
        if disks.len() >= DISKS_MAX {
            disks.clear();
        }
        let disk = disks
            .entry(key)
            .or_insert_with(|| key.0.disk(key.1).collect());
        disk.clone()
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
            minute_of(now_ms) - (READ_MINUTES - 1)
        } else {
            let since = self.keeper.clock.to_city(self.refresh * 2).as_millis();
            let since = i64::try_from(since).unwrap_or(i64::MAX);
            minute_of(now_ms - LATE_MS - since).max(minute_of(now_ms) - (READ_MINUTES - 1))
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

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
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
        let hot_ms = HOT.as_millis() as u64;
        let known = &mut self.known;
        through.cells.write().retain(|key, hot| {
            if now_ms.saturating_sub(hot.asked_ms.load(Ordering::Relaxed)) > hot_ms {
                known.remove(key);
                return false;
            }
            let (began, times, under_way) = known.entry(*key).or_insert((now, 0, false));
            if !*under_way && (*times == 0 || now.duration_since(*began) >= through.refresh) {
                let due = Due {
                    key: *key,
                    hot: hot.clone(),
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

#[cfg(test)]
mod tests {
    use hexcab_types::Point;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    #[test]
    fn a_circle_reaches_no_cell_that_is_not_read() {
        let mut chance = rand_chacha::ChaCha8Rng::seed_from_u64(11);
        for _ in 0..20_000 {
            let lat: f64 = chance.random_range(-1.0..1.0_f64).asin().to_degrees();
            let middle =
                Point::from_degrees(lat.clamp(-85.0, 85.0), chance.random_range(-179.0..179.0))
                    .unwrap();
            let radius_m: f64 = chance.random_range(10.0..9_000.0);
            let rings = ((radius_m / EDGE_MIN_M + 2.0) / 1.5) as u32;
            let (sin, cos) = chance.random_range(0.0..std::f64::consts::TAU).sin_cos();
            let degree_m = 111_195.0;
            let lon_m = degree_m * middle.lat().to_radians().cos();
            let Ok(other) = Point::from_degrees(
                middle.lat() + radius_m * 0.999 * cos / degree_m,
                middle.lon() + radius_m * 0.999 * sin / lon_m,
            ) else {
                continue;
            };
            let disk: Vec<Cell> = cell_of(middle).disk(rings).collect();
            assert!(
                disk.contains(&cell_of(other)),
                "{middle:?} {other:?} {radius_m}"
            );
        }
    }
}
