//! Publishes the outbox in commit order, at least once.
//!
//! Invariants: one relay per database (advisory lock); a row is read only when every transaction that could commit
//! before it has ended (`tx_id < pg_snapshot_xmin`), so that none is skipped; the cursor moves after all
//! acknowledgements, and only from where the batch began: a [`republish`] meanwhile stands. Killed in between, it
//! publishes some events twice: the inbox absorbs that. The one that leads also tends the partitions ([`retention`]).

mod cursor;
mod watch;

use std::{collections::BTreeMap, time::Duration};

use futures::future::try_join_all;
use hexcab_chassis::crash;
use hexcab_pg::{Pg, PgError};
use hexcab_types::Timestamp;
use sqlx::{Connection as _, FromRow, PgConnection};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    BusConfig, BusError, Producer,
    event::Record,
    measures::{self, OUTBOX_HELD, RELAY_PUBLISHED},
    retention::{self, Keep},
};

pub use cursor::republish;

/// The advisory lock of the relay, the same in every database: "hexrelay" in ASCII.
const RELAY_LOCK: i64 = 0x6865_7872_656c_6179;
/// How often a second relay asks whether the first has gone.
const STANDBY: Duration = Duration::from_millis(500);
/// How long to wait after a failure, at least and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often partitions are made and dropped.
const TEND_EVERY: Duration = Duration::from_secs(60);

/// The next rows behind the cursor. The cursor is an outer row to the subquery, so that each partition is entered at it: as
/// a join it would be compared with every row there is.
const NEXT: &str = "
    SELECT c.tx_id::text AS from_tx_id, c.seq AS from_seq, o.*
    FROM outbox_cursor c CROSS JOIN LATERAL (
        SELECT tx_id::text AS tx_id, seq, event_id, topic, key, kind, source, subject, occur_time, traceparent, payload
        FROM outbox
        WHERE (outbox.tx_id, outbox.seq) > (c.tx_id, c.seq)
          AND outbox.tx_id < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY outbox.tx_id, outbox.seq LIMIT $1) o
    WHERE c.one
    ORDER BY o.tx_id::xid8, o.seq";

/// The relay of one database.
pub struct Relay {
    pg: Pg,
    config: BusConfig,
}

#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error(transparent)]
    Pg(#[from] PgError),
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl From<sqlx::Error> for RelayError {
    fn from(error: sqlx::Error) -> Self {
        Self::Pg(error.into())
    }
}

#[derive(FromRow)]
struct Waiting {
    /// Where the cursor stood when this was read.
    from_tx_id: String,
    from_seq: i64,
    tx_id: String,
    seq: i64,
    event_id: Uuid,
    topic: String,
    key: String,
    kind: String,
    source: String,
    subject: String,
    occur_time: Timestamp,
    traceparent: Option<String>,
    payload: Vec<u8>,
}

impl Waiting {
    fn record(&self) -> Record<'_> {
        Record {
            topic: &self.topic,
            key: &self.key,
            kind: &self.kind,
            source: &self.source,
            subject: &self.subject,
            time: self.occur_time,
            payload: &self.payload,
            traceparent: self.traceparent.as_deref(),
        }
    }
}

impl Relay {
    /// A relay of this database.
    pub fn new(pg: Pg, config: &BusConfig) -> Self {
        Self {
            pg,
            config: config.clone(),
        }
    }

    /// Publishes until shutdown; waits out failures of Postgres and Kafka.
    ///
    /// # Errors
    /// When the configuration is at odds with itself, or the Kafka client cannot be made.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        self.config.check()?;
        let every = Duration::from_millis(self.config.measure_ms.into());
        tokio::select! {
            ended = self.relay(&shutdown) => ended,
            never = watch::outbox(&self.pg, every) => match never {},
        }
    }

    async fn relay(&self, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let mut pause = BACKOFF.0;
        while !shutdown.is_cancelled() {
            let producer = Producer::connect(&self.config)?;
            match self.lead(&producer, shutdown, &mut pause).await {
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(error = error_chain(&error), wait = ?pause, "relay stopped for now");
                    rest(pause, shutdown).await;
                    pause = (pause * 2).min(BACKOFF.1);
                }
            }
            producer.flush(Duration::from_secs(2)).await;
        }
        Ok(())
    }

    /// Holds the lock on a connection of its own and publishes; returns at shutdown.
    async fn lead(
        &self,
        producer: &Producer,
        shutdown: &CancellationToken,
        pause: &mut Duration,
    ) -> Result<(), RelayError> {
        // Detached from the pool: the lock lives and dies with this connection.
        let mut connection = self.pg.pool().acquire().await?.detach();
        while !try_lock(&mut connection).await? {
            if rest(STANDBY, shutdown).await {
                return Ok(());
            }
        }
        tracing::info!(database = self.pg.database(), "relay leads");
        by_index_only(&mut connection).await?;
        if cursor::rebase(&mut connection).await? {
            tracing::warn!(
                database = self.pg.database(),
                "the outbox is of another server (restored from a dump): its events are numbered anew"
            );
        }
        let mut tend_at = Instant::now();
        loop {
            if Instant::now() >= tend_at {
                self.tend().await;
                tend_at = Instant::now() + TEND_EVERY;
            }
            let published = self.publish_batch(&mut connection, producer).await?;
            *pause = BACKOFF.0;
            if shutdown.is_cancelled() {
                let _ = connection.close().await;
                return Ok(());
            }
            if published == 0 {
                rest(Duration::from_millis(self.config.relay_idle_ms), shutdown).await;
            }
        }
    }

    /// Publishes the next rows and moves the cursor. Returns how many there were.
    async fn publish_batch(
        &self,
        connection: &mut PgConnection,
        producer: &Producer,
    ) -> Result<usize, RelayError> {
        let waiting: Vec<Waiting> = sqlx::query_as(NEXT)
            .bind(i64::from(self.config.relay_batch_max))
            .fetch_all(&mut *connection)
            .await?;
        let Some(last) = waiting.last() else {
            return Ok(0);
        };
        crash::point("relay.read");
        let queued = waiting
            .iter()
            .map(|row| producer.enqueue(row.event_id.into(), row.record()))
            .collect::<Result<Vec<_>, _>>()?;
        try_join_all(queued).await?;
        self.count(&waiting);
        crash::point("relay.sent");
        let moved = sqlx::query(
            "UPDATE outbox_cursor SET tx_id = $1::text::xid8, seq = $2 WHERE tx_id = $3::text::xid8 AND seq = $4",
        )
        .bind(&last.tx_id)
        .bind(last.seq)
        .bind(&last.from_tx_id)
        .bind(last.from_seq)
        .execute(&mut *connection)
        .await?;
        crash::point("relay.moved");
        if moved.rows_affected() == 0 {
            tracing::info!("the cursor was set meanwhile: going on from there");
        }
        Ok(waiting.len())
    }

    fn count(&self, published: &[Waiting]) {
        let mut by_kind: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for row in published {
            *by_kind.entry((&row.topic, &row.kind)).or_default() += 1;
        }
        for ((topic, kind), count) in by_kind {
            let database = measures::of_database(self.pg.database());
            let of = [database, measures::of_topic(topic), measures::of_kind(kind)];
            RELAY_PUBLISHED.add(count, &of);
        }
    }

    /// Makes and drops partitions; a failure is tried again with the next time.
    async fn tend(&self) {
        let tended = async {
            let now = retention::clock(&self.pg).await?;
            retention::tend(&self.pg, Keep::of(&self.config), now).await
        };
        match tended.await {
            Ok(tended) => {
                let held = if tended.held.is_some() { 1.0 } else { 0.0 };
                OUTBOX_HELD.set(held, &[measures::of_database(self.pg.database())]);
                if let Some(partition) = &tended.held {
                    tracing::warn!(
                        partition,
                        "kept beyond its time: it holds events that are not published"
                    );
                }
                if !tended.dropped.is_empty() {
                    tracing::info!(dropped = ?tended.dropped, swept = tended.swept, "old events dropped");
                }
            }
            Err(error) => {
                tracing::warn!(error = error_chain(&error), "partitions not tended for now");
            }
        }
    }
}

async fn try_lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
        .bind(RELAY_LOCK)
        .fetch_one(connection)
        .await
}

/// A plan made while partitions were empty reads them whole, and is kept when they are full: this session reads nothing
/// that has no index. Nor is compiling a plan ever worth its while here.
async fn by_index_only(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off")
        .execute(connection)
        .await?;
    Ok(())
}

/// Waits; true when it is time to end.
async fn rest(pause: Duration, shutdown: &CancellationToken) -> bool {
    tokio::select! {
        () = tokio::time::sleep(pause) => false,
        () = shutdown.cancelled() => true,
    }
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
