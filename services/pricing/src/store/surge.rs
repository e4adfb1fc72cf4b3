//! Demand from trips, and the surge snapshots computed from all demand. Demand is counted where it is kept, so a process
//! that restarts, or another replica, goes on exactly where the last one stopped.

use std::collections::BTreeMap;

use hexcab_bus::{Incoming, Outgoing, inbox, outbox};
use hexcab_cities::SurgeRules;
use hexcab_pg::{PgError, Tx};
use hexcab_types::{Cell, CityId, RiderId, SnapshotId, Timestamp, TripId};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{Store, Wish, add_demand, corrupt};
use crate::domain::surge::{CellSurge, Counts, Market, Snapshot, next};

/// Snapshots are kept for this long, seconds of the city's clock: to explain a quote of today.
const SNAPSHOTS_KEEP_S: i64 = 86_400;
/// Demand is kept for this long: `hexcab verify` compares it with the trips.
const DEMAND_KEEP_S: i64 = 30 * 86_400;
/// Rows pruned by one tick at most, so that it stays short.
const PRUNE_MAX: i64 = 500;

/// One moment at which surge is computed.
#[derive(Debug, Clone, Copy)]
pub struct Tick<'a> {
    /// Where.
    pub city: &'a CityId,
    /// By these rules.
    pub rules: &'a SurgeRules,
    /// Which interval of the city's clock: computed once, whoever does it.
    pub slot: i64,
    /// City clock.
    pub now: Timestamp,
    /// A new id.
    pub id: SnapshotId,
    /// Fresh idle drivers; none when nothing fresh is known.
    pub supply: Option<&'a Counts>,
}

/// Quotes and requests in a cell since the last time they were told of.
pub type Observed = BTreeMap<Cell, (i32, i32)>;

/// What came of a tick.
#[derive(Debug, Clone)]
pub struct Computed {
    /// The city's newest snapshot.
    pub snapshot: Snapshot,
    /// Whether this tick made it; otherwise another one had.
    pub is_new: bool,
}

impl Store {
    /// Counts a requested trip as demand, once however often its event comes. False when it was counted before.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn count_request(
        &self,
        consumer: &str,
        event: &Incoming,
        (trip, rider): (TripId, RiderId),
        (city, cell): (&CityId, Cell),
        at: Timestamp,
    ) -> Result<bool, PgError> {
        self.pg
            .idempotent("pricing.count_request", |mut tx| async move {
                if !inbox::first_time(&mut tx, consumer, event).await? {
                    return Ok(false);
                }
                let wish = Wish {
                    kind: "request",
                    subject: trip.uuid(),
                    city: city.as_str(),
                    cell,
                    rider,
                    at,
                };
                add_demand(&mut tx, &wish).await?;
                Ok(true)
            })
            .await
    }

    /// The newest snapshot of a city.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn newest_snapshot(&self, city: &CityId) -> Result<Option<Snapshot>, PgError> {
        let mut connection = self.pg.pool().acquire().await?;
        Ok(newest(&mut connection, city)
            .await?
            .map(|(_, snapshot)| snapshot))
    }

    /// Computes the snapshot of a slot, keeps it, and writes the events `tell` makes of it and of the demand since the
    /// last one, all in one transaction. When the slot has its snapshot already, that is the answer.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn tick(
        &self,
        tick: Tick<'_>,
        tell: impl Fn(&Snapshot, &Observed) -> [Outgoing; 2] + Sync,
    ) -> Result<Computed, PgError> {
        let tell = &tell;
        self.pg
            .serializable("pricing.surge_tick", |mut tx| async move {
                let before = newest(&mut tx, tick.city).await?;
                if let Some((slot, snapshot)) = before.clone()
                    && slot >= tick.slot
                {
                    return Ok(Computed {
                        snapshot,
                        is_new: false,
                    });
                }
                let snapshot =
                    compute(&mut tx, &tick, before.map(|(_, snapshot)| snapshot)).await?;
                insert(&mut tx, &tick, &snapshot).await?;
                let observed = observe(&mut tx, &tick).await?;
                for event in tell(&snapshot, &observed) {
                    outbox::append(&mut tx, &event).await?;
                }
                prune(&mut tx, &tick).await?;
                Ok(Computed {
                    snapshot,
                    is_new: true,
                })
            })
            .await
    }
}

/// Without fresh supply there is no market: every cell is at 1 at once. A snapshot too old to count is no start.
async fn compute(
    tx: &mut Tx,
    tick: &Tick<'_>,
    before: Option<Snapshot>,
) -> Result<Snapshot, PgError> {
    let cells = match tick.supply {
        None => Vec::new(),
        Some(supply) => {
            let market = Market {
                demand: demand(tx, tick).await?,
                supply: supply.clone(),
            };
            let start = before.filter(|snapshot| snapshot.is_fresh(tick.rules, tick.now));
            let elapsed_s = start
                .as_ref()
                .map_or(f64::from(tick.rules.interval_s), |start| {
                    (tick.now - start.created_at).as_seconds_f64()
                });
            next(
                tick.rules,
                start.as_ref().map_or(&[], |start| &start.cells),
                elapsed_s,
                &market,
            )
        }
    };
    Ok(Snapshot {
        id: tick.id,
        created_at: tick.now,
        cells,
    })
}

/// Riders per cell in the window, each counted once in a cell.
async fn demand(connection: &mut PgConnection, tick: &Tick<'_>) -> Result<Counts, PgError> {
    let counts: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT cell, count(DISTINCT rider_id) FROM demand WHERE city = $1 AND occur_time > $2 AND occur_time <= $3 \
         GROUP BY cell",
    )
    .bind(tick.city.as_str())
    .bind(tick.now - chrono::TimeDelta::seconds(tick.rules.window_s.into()))
    .bind(tick.now)
    .fetch_all(connection)
    .await?;
    counts
        .into_iter()
        .map(|(cell, riders)| Ok((read_cell(cell)?, u32::try_from(riders).unwrap_or(u32::MAX))))
        .collect()
}

/// Marks all demand that was not told of yet as told of with this snapshot.
async fn observe(connection: &mut PgConnection, tick: &Tick<'_>) -> Result<Observed, PgError> {
    let told: Vec<(i64, String, i64)> = sqlx::query_as(
        "WITH told AS (UPDATE demand SET observed_by = $2 WHERE city = $1 AND observed_by IS NULL RETURNING cell, kind) \
         SELECT cell, kind, count(*) FROM told GROUP BY cell, kind",
    )
    .bind(tick.city.as_str())
    .bind(tick.id.uuid())
    .fetch_all(connection)
    .await?;
    let mut observed = Observed::new();
    for (cell, kind, count) in told {
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        let counts = observed.entry(read_cell(cell)?).or_default();
        if kind == "quote" {
            counts.0 += count
        } else {
            counts.1 += count
        }
    }
    Ok(observed)
}

async fn newest(
    connection: &mut PgConnection,
    city: &CityId,
) -> Result<Option<(i64, Snapshot)>, PgError> {
    type Row = (i64, Uuid, Timestamp, Json<Vec<CellSurge>>);
    let row: Option<Row> = sqlx::query_as(
        "SELECT slot, snapshot_id, create_time, cells FROM surge_snapshots WHERE city = $1 ORDER BY slot DESC LIMIT 1",
    )
    .bind(city.as_str())
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(slot, id, created_at, Json(cells))| {
        (
            slot,
            Snapshot {
                id: id.into(),
                created_at,
                cells,
            },
        )
    }))
}

async fn insert(
    connection: &mut PgConnection,
    tick: &Tick<'_>,
    snapshot: &Snapshot,
) -> Result<(), PgError> {
    sqlx::query("INSERT INTO surge_snapshots (snapshot_id, city, slot, create_time, cells) VALUES ($1, $2, $3, $4, $5)")
        .bind(snapshot.id.uuid())
        .bind(tick.city.as_str())
        .bind(tick.slot)
        .bind(snapshot.created_at)
        .bind(Json(&snapshot.cells))
        .execute(connection)
        .await?;
    Ok(())
}

async fn prune(connection: &mut PgConnection, tick: &Tick<'_>) -> Result<(), PgError> {
    let before = |keep_s| tick.now - chrono::TimeDelta::seconds(keep_s);
    sqlx::query(
        "DELETE FROM surge_snapshots WHERE snapshot_id IN \
         (SELECT snapshot_id FROM surge_snapshots WHERE city = $1 AND create_time < $2 LIMIT $3)",
    )
    .bind(tick.city.as_str())
    .bind(before(SNAPSHOTS_KEEP_S))
    .bind(PRUNE_MAX)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "DELETE FROM demand WHERE (kind, subject_id) IN \
         (SELECT kind, subject_id FROM demand WHERE city = $1 AND occur_time < $2 LIMIT $3)",
    )
    .bind(tick.city.as_str())
    .bind(before(DEMAND_KEEP_S))
    .bind(PRUNE_MAX)
    .execute(connection)
    .await?;
    Ok(())
}

fn read_cell(column: i64) -> Result<Cell, PgError> {
    Cell::from_u64(column.cast_unsigned()).map_err(corrupt)
}
