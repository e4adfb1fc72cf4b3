//! The tables, and everything that is said to them.
//!
//! `driver_by_cell` has a partition for each minute of each r7 cell of a city, `driver_last` one for each driver. Rows are
//! only ever inserted, whole, with one time to live: no DELETE, no NULL, no condition, so that there is nothing that a read
//! has to skip. Minutes before [`oldest_minute`] are not read: their rows begin to expire. A write's timestamp is
//! the time of the sighting: one that comes late loses.

use std::{sync::Arc, time::Duration};

use hexcab_types::{Cell, DriverId, Point};
use scylla::{
    client::{
        execution_profile::ExecutionProfile, session::Session, session_builder::SessionBuilder,
    },
    errors::{ExecutionError, NewSessionError, PrepareError},
    policies::{
        retry::FallthroughRetryPolicy, speculative_execution::SimpleSpeculativeExecutionPolicy,
    },
    statement::{
        Consistency,
        batch::{Batch, BatchType},
        prepared::PreparedStatement,
        unprepared::Statement,
    },
};
use uuid::Uuid;

use super::{Kept, StoreConfig};
use crate::domain::{ProductNumber, Sighting, Status};

/// The resolution of the cells that rows are kept by: 5 km².
pub const RESOLUTION: u8 = 7;
/// Minutes that are read, the present one among them.
const READ_MINUTES: i64 = 3;
/// How much sooner than its rows begin to expire a minute is not read any more: a sighting may be recorded a second ahead.
const READ_MARGIN_MS: i64 = 2_000;
/// Rows of one partition in one message: 3 kB.
pub const BATCH_MAX: usize = 32;

/// Longest waits for an answer.
const READ_TIMEOUT: Duration = Duration::from_millis(300);
const WRITE_TIMEOUT: Duration = Duration::from_millis(500);
const SCAN_TIMEOUT: Duration = Duration::from_secs(5);
const TABLES_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Another node is asked as well when one has not answered by then.
const SPECULATE_AFTER: Duration = Duration::from_millis(100);
/// Rows of a page of a scan.
const SCAN_PAGE: i32 = 5_000;

const MINUTE_MS: i64 = 60_000;

/// Seconds, real time. Longer than what is known of a driver is worth, and than a tombstone lives.
const KEEP: &str = "default_time_to_live = 180 AND gc_grace_seconds = 120 \
     AND compaction = {'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'MINUTES', 'compaction_window_size': 5}";
/// The rest of a row.
const COLUMNS: &str = "lat_e7 int, lon_e7 int, recorded_ms bigint, status tinyint, product text, heading_deg smallint, \
     inaccurate boolean";
const NAMES: &str = "lat_e7, lon_e7, recorded_ms, status, product, heading_deg, inaccurate";

/// Why something could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is none.
    #[error("store.nodes is empty: positions are in memory only")]
    None,
    /// There is no session yet.
    #[error("the store is not connected")]
    Away,
    /// No session could be had.
    #[error("connect to the store")]
    Connect(#[source] Box<NewSessionError>),
    /// A statement was not understood: tables are missing, or others.
    #[error("prepare a statement")]
    Prepare(#[source] Box<PrepareError>),
    /// It did not answer in time, or with an error.
    #[error("ask the store")]
    Execute(#[source] Box<ExecutionError>),
    /// It answered with something else.
    #[error("read the store's answer: {0}")]
    Answer(String),
}

impl From<NewSessionError> for StoreError {
    fn from(error: NewSessionError) -> Self {
        Self::Connect(Box::new(error))
    }
}

impl From<PrepareError> for StoreError {
    fn from(error: PrepareError) -> Self {
        Self::Prepare(Box::new(error))
    }
}

impl From<ExecutionError> for StoreError {
    fn from(error: ExecutionError) -> Self {
        Self::Execute(Box::new(error))
    }
}

/// A partition of `driver_by_cell`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partition<'a> {
    /// The city.
    pub city: &'a str,
    /// An r7 cell.
    pub cell: Cell,
    /// Minutes since 1970, of the city's clock.
    pub minute: i64,
}

impl<'a> Partition<'a> {
    /// Where a sighting is kept.
    pub fn of(city: &'a str, seen: &Sighting) -> Self {
        Self {
            city,
            cell: cell_of(seen.point),
            minute: minute_of(seen.recorded_ms),
        }
    }
}

/// The cell that a position is kept by.
pub fn cell_of(point: Point) -> Cell {
    point
        .cell(RESOLUTION)
        .expect("every point on earth has a cell of every resolution")
}

/// The minute of a time in milliseconds.
pub const fn minute_of(ms: i64) -> i64 {
    ms.div_euclid(MINUTE_MS)
}

/// The oldest minute that is read at this time: its rows have not begun to expire.
pub const fn oldest_minute(now_ms: i64) -> i64 {
    minute_of(now_ms + READ_MARGIN_MS) - (READ_MINUTES - 1)
}

/// A session with everything prepared.
pub struct Cql {
    session: Session,
    keep_by_cell: PreparedStatement,
    keep_last: PreparedStatement,
    by_cell: PreparedStatement,
    last: PreparedStatement,
    scan: PreparedStatement,
}

impl Cql {
    /// Connects, makes tables if it is to, and prepares.
    pub async fn connect(config: &StoreConfig, make_tables: bool) -> Result<Self, StoreError> {
        let profile = ExecutionProfile::builder()
            .consistency(Consistency::One)
            .request_timeout(Some(TABLES_TIMEOUT))
            // What failed is read or written again soon enough; a retry would only come at a bad time.
            .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
            .speculative_execution_policy(Some(Arc::new(SimpleSpeculativeExecutionPolicy {
                max_retry_count: 1,
                retry_interval: SPECULATE_AFTER,
            })))
            .build();
        let nodes = config.nodes.split(',').map(str::trim);
        let mut builder = SessionBuilder::new()
            .known_nodes(nodes.filter(|node| !node.is_empty()))
            .connection_timeout(CONNECT_TIMEOUT)
            // Where rows are, so that each is asked for where it is.
            .keyspaces_to_fetch([&config.keyspace])
            .disallow_shard_aware_port(!config.shard_aware_port)
            .default_execution_profile_handle(profile.into_handle());
        if !config.user.is_empty() {
            let password = config
                .password
                .as_ref()
                .map_or("", |secret| secret.expose());
            builder = builder.user(&config.user, password);
        }
        let session = builder.build().await?;
        if make_tables {
            for statement in tables(config) {
                session.query_unpaged(statement, ()).await?;
            }
        }
        Self::prepare(session, &config.keyspace).await
    }

    async fn prepare(session: Session, keyspace: &str) -> Result<Self, StoreError> {
        let keep = |table: &str, key: &str, marks: &str| {
            format!(
                "INSERT INTO {keyspace}.{table} ({key}, {NAMES}) VALUES ({marks}, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
            )
        };
        let prepare = async |cql: String, timeout: Duration| -> Result<_, StoreError> {
            let mut statement = Statement::new(cql);
            statement.set_is_idempotent(true);
            statement.set_request_timeout(Some(timeout));
            Ok(session.prepare(statement).await?)
        };
        let keep_by_cell = keep(
            "driver_by_cell",
            "city, cell_r7, minute, driver",
            "?, ?, ?, ?",
        );
        let keep_last = keep("driver_last", "driver, city", "?, ?");
        let by_cell = format!(
            "SELECT driver, city, {NAMES} FROM {keyspace}.driver_by_cell WHERE city = ? AND cell_r7 = ? AND minute = ?"
        );
        let last =
            format!("SELECT driver, city, {NAMES} FROM {keyspace}.driver_last WHERE driver = ?");
        let scan = format!(
            "SELECT driver, city, {NAMES} FROM {keyspace}.driver_last WHERE token(driver) >= ? AND token(driver) <= ?"
        );
        let mut scan = prepare(scan, SCAN_TIMEOUT).await?;
        scan.set_page_size(SCAN_PAGE);
        Ok(Self {
            keep_by_cell: prepare(keep_by_cell, WRITE_TIMEOUT).await?,
            keep_last: prepare(keep_last, WRITE_TIMEOUT).await?,
            by_cell: prepare(by_cell, READ_TIMEOUT).await?,
            last: prepare(last, READ_TIMEOUT).await?,
            scan,
            session,
        })
    }

    /// Keeps sightings of one partition, each with its product's name. At most [`BATCH_MAX`] at once.
    pub async fn keep(
        &self,
        at: Partition<'_>,
        rows: &[(Sighting, &str)],
    ) -> Result<(), StoreError> {
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_is_idempotent(true);
        batch.set_request_timeout(Some(WRITE_TIMEOUT));
        let mut values = Vec::with_capacity(rows.len());
        for (seen, product) in rows {
            batch.append_statement(self.keep_by_cell.clone());
            let cell = at.cell.to_u64() as i64;
            let row = row(seen, product);
            values.push((
                at.city, cell, at.minute, row.0, row.1, row.2, row.3, row.4, row.5, row.6, row.7,
                row.8,
            ));
        }
        self.session.batch(&batch, values).await?;
        Ok(())
    }

    /// Keeps a driver's newest sighting.
    pub async fn keep_last(
        &self,
        city: &str,
        seen: &Sighting,
        product: &str,
    ) -> Result<(), StoreError> {
        let row = row(seen, product);
        let values = (
            row.0, city, row.1, row.2, row.3, row.4, row.5, row.6, row.7, row.8,
        );
        self.session
            .execute_unpaged(&self.keep_last, values)
            .await?;
        Ok(())
    }

    /// What is kept of a cell and minute.
    pub async fn by_cell(&self, at: Partition<'_>) -> Result<Vec<Kept>, StoreError> {
        let key = (at.city, at.cell.to_u64() as i64, at.minute);
        let answer = self.session.execute_unpaged(&self.by_cell, key).await?;
        rows(answer)
    }

    /// What is kept of a driver.
    pub async fn last(&self, driver: DriverId) -> Result<Option<Kept>, StoreError> {
        let key = (driver.uuid(),);
        let answer = self.session.execute_unpaged(&self.last, key).await?;
        Ok(rows(answer)?.pop())
    }

    /// Everybody's newest sighting whose token is in this span, a page after the other.
    pub async fn scan(
        &self,
        tokens: std::ops::RangeInclusive<i64>,
        mut show: impl FnMut(Vec<Kept>),
    ) -> Result<(), StoreError> {
        let mut state = scylla::response::PagingState::start();
        loop {
            let (answer, next) = self
                .session
                .execute_single_page(&self.scan, (tokens.start(), tokens.end()), state)
                .await?;
            show(rows(answer)?);
            match next.into_paging_control_flow() {
                std::ops::ControlFlow::Break(()) => return Ok(()),
                std::ops::ControlFlow::Continue(more) => state = more,
            }
        }
    }
}

fn tables(config: &StoreConfig) -> [String; 3] {
    let StoreConfig {
        keyspace,
        replication,
        ..
    } = config;
    [
        format!("CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {replication}"),
        format!(
            "CREATE TABLE IF NOT EXISTS {keyspace}.driver_by_cell (city text, cell_r7 bigint, minute bigint, driver uuid, \
             {COLUMNS}, PRIMARY KEY ((city, cell_r7, minute), driver)) WITH {KEEP}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {keyspace}.driver_last (driver uuid PRIMARY KEY, city text, {COLUMNS}) WITH {KEEP}"
        ),
    ]
}

type Row<'a> = (Uuid, i32, i32, i64, i8, &'a str, i16, bool, i64);

/// The last is the write's timestamp, microseconds.
fn row<'a>(seen: &Sighting, product: &'a str) -> Row<'a> {
    (
        seen.driver.uuid(),
        seen.point.lat_e7(),
        seen.point.lon_e7(),
        seen.recorded_ms,
        seen.status.bits() as i8,
        product,
        seen.heading_deg as i16,
        seen.inaccurate,
        seen.recorded_ms.saturating_mul(1_000),
    )
}

fn rows(answer: scylla::response::query_result::QueryResult) -> Result<Vec<Kept>, StoreError> {
    type Read = (Uuid, String, i32, i32, i64, i8, String, i16, bool);
    let odd = |error: String| StoreError::Answer(error);
    let answer = answer
        .into_rows_result()
        .map_err(|error| odd(error.to_string()))?;
    let mut all = Vec::with_capacity(answer.rows_num());
    for row in answer
        .rows::<Read>()
        .map_err(|error| odd(error.to_string()))?
    {
        let (driver, city, lat_e7, lon_e7, recorded_ms, status, product, heading_deg, inaccurate) =
            row.map_err(|error| odd(error.to_string()))?;
        let point = Point::from_e7(lat_e7, lon_e7).map_err(|error| odd(error.to_string()))?;
        all.push(Kept {
            city,
            product,
            seen: Sighting {
                driver: DriverId::from(driver),
                point,
                recorded_ms,
                status: Status::from_bits(status as u8),
                product: ProductNumber(0),
                heading_deg: heading_deg.unsigned_abs(),
                inaccurate,
            },
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_is_read_whose_rows_may_have_expired() {
        // Recorded a second ahead and written at once; kept for 180 s.
        for now_ms in (0..600_000).step_by(500) {
            let first_written_ms = oldest_minute(now_ms) * MINUTE_MS - 1_000;
            assert!(now_ms < first_written_ms + 180_000, "{now_ms}");
            assert!(oldest_minute(now_ms) < minute_of(now_ms));
        }
    }
}
