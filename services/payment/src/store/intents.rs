//! Rows of `intents`: between columns and [`Intent`].

use hexcab_types::{Currency, IntentId, Money, Timestamp, TripId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use crate::domain::{Intent, ProcessorId, State, Step, Unanswered};

/// Where a page begins: after this intent, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Created at, city clock.
    pub created_at: Timestamp,
    /// Its id.
    pub id: Uuid,
}

const COLUMNS: &str = "id, trip, rider, state, asked, currency, held_minor, captured_minor, processor_id, decline_code, \
                       version, created_at, updated_at";

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    trip: Uuid,
    rider: Uuid,
    state: String,
    asked: Option<String>,
    currency: String,
    held_minor: i64,
    captured_minor: i64,
    processor_id: Option<String>,
    decline_code: Option<String>,
    version: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl TryFrom<Row> for Intent {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let unreadable =
            || StoreError::Unreadable(format!("intent {} in state {}", row.id, row.state));
        let currency: Currency = row.currency.parse().map_err(|_| unreadable())?;
        let processor_id = row.processor_id.clone().map(ProcessorId);
        let asked = row.asked.as_deref().and_then(Step::parse);
        let state = match (row.state.as_str(), asked, processor_id) {
            ("REQUIRES_HOLD", None, None) => State::RequiresHold,
            ("HELD", None, Some(processor_id)) => State::Held { processor_id },
            ("CAPTURED", None, Some(processor_id)) => State::Captured {
                processor_id,
                amount: Money::new(row.captured_minor, currency),
            },
            ("VOIDED", None, processor_id) => State::Voided { processor_id },
            ("DECLINED", None, None) => State::Declined {
                code: row.decline_code.clone().ok_or_else(unreadable)?,
            },
            ("UNKNOWN", Some(Step::Hold), None) => State::Unknown(Unanswered::Hold),
            ("UNKNOWN", Some(Step::Capture), Some(processor_id)) => {
                State::Unknown(Unanswered::Capture { processor_id })
            }
            ("UNKNOWN", Some(Step::Void), Some(processor_id)) => {
                State::Unknown(Unanswered::Void { processor_id })
            }
            _ => return Err(unreadable()),
        };
        Ok(Self {
            id: row.id.into(),
            trip: row.trip.into(),
            rider: row.rider.into(),
            amount: Money::new(row.held_minor, currency),
            state,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// The state's column.
pub const fn state_name(state: &State) -> &'static str {
    match state {
        State::RequiresHold => "REQUIRES_HOLD",
        State::Held { .. } => "HELD",
        State::Captured { .. } => "CAPTURED",
        State::Voided { .. } => "VOIDED",
        State::Declined { .. } => "DECLINED",
        State::Unknown(_) => "UNKNOWN",
    }
}

/// The columns beside the state that depend on it: asked, captured_minor, decline_code.
fn details(state: &State) -> (Option<&'static str>, i64, Option<&str>) {
    match state {
        State::Unknown(Unanswered::Hold) => (Some("hold"), 0, None),
        State::Unknown(Unanswered::Capture { .. }) => (Some("capture"), 0, None),
        State::Unknown(Unanswered::Void { .. }) => (Some("void"), 0, None),
        State::Captured { amount, .. } => (None, amount.minor, None),
        State::Declined { code } => (None, 0, Some(code)),
        State::RequiresHold | State::Held { .. } | State::Voided { .. } => (None, 0, None),
    }
}

/// The intent of a trip.
pub async fn by_trip(conn: &mut PgConnection, trip: TripId) -> Result<Option<Intent>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM intents WHERE trip = $1");
    let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(trip.uuid())
        .fetch_optional(conn)
        .await?;
    row.map(Intent::try_from).transpose()
}

/// An intent that is there.
pub async fn fetch(conn: &mut PgConnection, id: IntentId) -> Result<Intent, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM intents WHERE id = $1");
    let row: Row = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id.uuid())
        .fetch_one(conn)
        .await?;
    row.try_into()
}

/// Intents in any of these states (any at all when empty), newest first.
pub async fn list(
    conn: &mut PgConnection,
    states: &[&str],
    after: Option<Page>,
    limit: i64,
) -> Result<Vec<Intent>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM intents
         WHERE (cardinality($1::text[]) = 0 OR state = ANY($1))
           AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3))
         ORDER BY created_at DESC, id DESC LIMIT $4"
    );
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(states)
        .bind(after.map(|page| page.created_at))
        .bind(after.map(|page| page.id))
        .bind(limit)
        .fetch_all(conn)
        .await?;
    rows.into_iter().map(Intent::try_from).collect()
}

/// A new intent.
pub async fn insert(conn: &mut PgConnection, intent: &Intent) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO intents (id, trip, rider, state, currency, held_minor, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(intent.id.uuid())
    .bind(intent.trip.uuid())
    .bind(intent.rider.uuid())
    .bind(state_name(&intent.state))
    .bind(intent.amount.currency.code())
    .bind(intent.amount.minor)
    .bind(intent.version)
    .bind(intent.created_at)
    .bind(intent.updated_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// The intent after an event, if it is still what it was `before` it.
pub async fn save(
    conn: &mut PgConnection,
    before: &Intent,
    after: &Intent,
) -> Result<(), StoreError> {
    let (asked, captured, decline_code) = details(&after.state);
    let saved = sqlx::query(
        "UPDATE intents SET state = $2, asked = $3, captured_minor = $4, processor_id = $5, decline_code = $6,
                            version = $7, updated_at = $8
         WHERE id = $1 AND version = $9 AND state = $10",
    )
    .bind(after.id.uuid())
    .bind(state_name(&after.state))
    .bind(asked)
    .bind(captured)
    .bind(after.state.processor_id().map(|id| id.0.as_str()))
    .bind(decline_code)
    .bind(after.version)
    .bind(after.updated_at)
    .bind(before.version)
    .bind(state_name(&before.state))
    .execute(conn)
    .await?;
    if saved.rows_affected() == 1 {
        Ok(())
    } else {
        Err(StoreError::LeaseLost)
    }
}
