//! Drivers' positions on their way to location: one lane per city, one long-lived stream for all sessions.
//!
//! Invariant: a ping never waits and never fails a session. While location is away or slow, the oldest pings make room
//! for the newest; a driver pings again soon.
//! Does not: judge a position; location does, and its refusals come back to the driver's sessions.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::bail;
use hexcab_proto::location::v1::{Ping, RejectedPing, StreamPingsRequest, StreamPingsResponse};
use hexcab_types::DriverId;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, Semaphore, mpsc},
    time::{Instant, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::{config::PingConfig, peers::Location};

/// Most that location takes at once.
const BATCH_LIMIT: usize = 1_000;
/// A batch that is not answered within this means a dead stream.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// First and longest wait before the stream is opened again.
const REOPEN_FIRST: Duration = Duration::from_millis(50);
const REOPEN_LONGEST: Duration = Duration::from_secs(2);

/// The lanes of all cities that are served.
#[derive(Debug)]
pub struct PingLanes(BTreeMap<String, Arc<PingLane>>);

impl PingLanes {
    /// An empty lane per city.
    pub fn new(cities: &[String], config: &PingConfig) -> Self {
        Self(
            cities
                .iter()
                .map(|city| (city.clone(), Arc::new(PingLane::new(city, config))))
                .collect(),
        )
    }

    /// The lane of a city, if it is served.
    pub fn of(&self, city: &str) -> Option<Arc<PingLane>> {
        self.0.get(city).cloned()
    }

    /// All lanes.
    pub fn all(&self) -> impl Iterator<Item = Arc<PingLane>> {
        self.0.values().cloned()
    }

    /// Pings that had to make room, in all lanes.
    pub fn dropped(&self) -> u64 {
        self.0
            .values()
            .map(|lane| lane.dropped.load(Ordering::Relaxed))
            .sum()
    }
}

/// The pings of one city that wait for location.
#[derive(Debug)]
pub struct PingLane {
    city: String,
    config: PingConfig,
    waiting: Mutex<VecDeque<(DriverId, Ping)>>,
    filled: Notify,
    taken: AtomicU64,
    dropped: AtomicU64,
}

impl PingLane {
    fn new(city: &str, config: &PingConfig) -> Self {
        Self {
            city: city.to_owned(),
            config: config.clone(),
            waiting: Mutex::default(),
            filled: Notify::new(),
            taken: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// Takes a ping; the oldest makes room when the lane is full. One in `span_one_in` leaves a span.
    pub fn put(&self, driver: DriverId, ping: Ping) {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let _sampled = (self.config.span_one_in > 0 && number.is_multiple_of(self.config.span_one_in))
            .then(|| tracing::info_span!(parent: None, "gateway.ping", hexcab.driver = %driver, hexcab.city = self.city).entered());
        let mut waiting = self.waiting.lock();
        if waiting.len() >= self.config.queue_max.max(1) {
            waiting.pop_front();
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        waiting.push_back((driver, ping));
        drop(waiting);
        self.filled.notify_one();
    }

    /// The next batch: what has come within the linger time of the first, oldest first.
    async fn next_batch(&self) -> (Vec<DriverId>, Vec<Ping>) {
        let batch_max = self.config.batch_max.clamp(1, BATCH_LIMIT);
        while self.waiting.lock().is_empty() {
            self.filled.notified().await;
        }
        if self.waiting.lock().len() < batch_max {
            tokio::time::sleep(Duration::from_millis(self.config.linger_ms)).await;
        }
        let mut waiting = self.waiting.lock();
        let size = waiting.len().min(batch_max);
        waiting.drain(..size).unzip()
    }

    /// Carries pings to location until shutdown; `refused` hears of every ping that location would not take.
    ///
    /// # Errors
    /// Never; the signature is a task's.
    pub async fn carry(
        self: Arc<Self>,
        location: Location,
        refused: impl Fn(DriverId, RejectedPing) + Send + Sync,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut wait = REOPEN_FIRST;
        loop {
            let opened = Instant::now();
            let stream = Stream {
                lane: &self,
                refused: &refused,
                asked: Mutex::default(),
            };
            let Some(broken) = shutdown
                .run_until_cancelled(stream.run(location.clone()))
                .await
            else {
                return Ok(());
            };
            tracing::warn!(
                city = self.city,
                error = format!("{broken:#}"),
                "the ping stream broke, opening it again"
            );
            if opened.elapsed() > REOPEN_LONGEST {
                wait = REOPEN_FIRST;
            }
            let jittered = wait.mul_f64(0.5 + rand::random::<f64>() / 2.0);
            if shutdown
                .run_until_cancelled(tokio::time::sleep(jittered))
                .await
                .is_none()
            {
                return Ok(());
            }
            wait = (wait * 2).min(REOPEN_LONGEST);
        }
    }
}

/// One stream, from opening to breaking.
struct Stream<'a, F> {
    lane: &'a PingLane,
    refused: &'a F,
    /// Whose pings the unanswered batches hold, and when they were sent.
    asked: Mutex<VecDeque<(Instant, Vec<DriverId>)>>,
}

impl<F: Fn(DriverId, RejectedPing)> Stream<'_, F> {
    /// Runs until it breaks, and says why.
    async fn run(&self, mut location: Location) -> anyhow::Error {
        let room = Semaphore::new(self.lane.config.in_flight_max.max(1));
        let (batches, outgoing) = mpsc::channel(1);
        let answered = async {
            let mut answers = location
                .stream_pings(ReceiverStream::new(outgoing))
                .await?
                .into_inner();
            loop {
                match timeout(ANSWER_PATIENCE, answers.message()).await {
                    Ok(Ok(Some(answer))) => {
                        self.settle(answer);
                        room.add_permits(1);
                    }
                    Ok(Ok(None)) => bail!("location ended it"),
                    Ok(Err(status)) => return Err(status.into()),
                    Err(_) if self.is_overdue() => {
                        bail!("a batch was not answered within {ANSWER_PATIENCE:?}")
                    }
                    Err(_) => {}
                }
            }
        };
        let sent = async {
            loop {
                room.acquire().await?.forget();
                let (drivers, pings) = self.lane.next_batch().await;
                self.asked.lock().push_back((Instant::now(), drivers));
                batches
                    .send(StreamPingsRequest {
                        city: self.lane.city.clone(),
                        pings,
                    })
                    .await?;
            }
        };
        let ended: anyhow::Result<()> = tokio::select! {
            ended = answered => ended,
            ended = sent => ended,
        };
        ended.err().unwrap_or_else(|| anyhow::anyhow!("it ended"))
    }

    /// The oldest unanswered batch is answered.
    fn settle(&self, answer: StreamPingsResponse) {
        let Some((_, drivers)) = self.asked.lock().pop_front() else {
            return;
        };
        for rejected in answer.rejected {
            let index = usize::try_from(rejected.index).unwrap_or(usize::MAX);
            if let Some(driver) = drivers.get(index) {
                (self.refused)(*driver, rejected);
            }
        }
    }

    fn is_overdue(&self) -> bool {
        self.asked
            .lock()
            .front()
            .is_some_and(|(sent, _)| sent.elapsed() >= ANSWER_PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn lane(queue_max: usize) -> PingLane {
        PingLane::new(
            "sf",
            &PingConfig {
                queue_max,
                batch_max: 3,
                ..PingConfig::default()
            },
        )
    }

    fn put(lane: &PingLane, times: std::ops::Range<i64>) {
        for record_time_ms in times {
            lane.put(
                DriverId::from(Uuid::from_u128(7)),
                Ping {
                    record_time_ms,
                    ..Ping::default()
                },
            );
        }
    }

    async fn next(lane: &PingLane) -> Vec<i64> {
        lane.next_batch()
            .await
            .1
            .iter()
            .map(|ping| ping.record_time_ms)
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_lane_drops_its_oldest_pings() {
        let lane = lane(4);
        put(&lane, 0..10);
        assert_eq!(next(&lane).await, [6, 7, 8]);
        assert_eq!(next(&lane).await, [9]);
        assert_eq!(lane.dropped.load(Ordering::Relaxed), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_for_company_but_not_long() {
        let lane = lane(100);
        put(&lane, 0..1);
        let (batch, ()) = tokio::join!(next(&lane), async { put(&lane, 1..3) });
        assert_eq!(batch, [0, 1, 2]);
    }
}
