//! Rows of `intents`: between columns and [`Intent`].

use hexcab_types::{Currency, IntentId, Money, Timestamp, TripId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use crate::domain::{
    Charge, DriverPay, Ending, Hold, HoldStep, Intent, Method, ProcessorId, State, Step, Taken,
    Unanswered, settlement::EndingKind,
};

/// Where a page begins: after this intent, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Created at, city clock.
    pub created_at: Timestamp,
    /// Its id.
    pub id: Uuid,
}

const COLUMNS: &str = "id, trip, rider, method, state, asked, currency, amount_minor, raise_minor, held_minor, captured_minor, \
    rest_minor, owed_minor, refunded_minor, processor_id, decline_code, ended_as, ended_at, charge_minor, driver, \
    driver_due_minor, tax_minor, version, created_at, updated_at";

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    trip: Uuid,
    rider: Uuid,
    method: String,
    state: String,
    asked: Option<String>,
    currency: String,
    amount_minor: i64,
    raise_minor: i64,
    held_minor: i64,
    captured_minor: i64,
    rest_minor: i64,
    owed_minor: Option<i64>,
    refunded_minor: i64,
    processor_id: Option<String>,
    decline_code: Option<String>,
    ended_as: Option<String>,
    ended_at: Option<Timestamp>,
    charge_minor: Option<i64>,
    driver: Option<Uuid>,
    driver_due_minor: Option<i64>,
    tax_minor: Option<i64>,
    version: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl Row {
    fn state(&self, currency: Currency) -> Option<State> {
        let money = |minor| Money::new(minor, currency);
        let hold = self.processor_id.clone().map(|id| Hold {
            id: ProcessorId(id),
            amount: money(self.held_minor),
        });
        let (code, owed) = (self.decline_code.clone(), self.owed_minor.map(money));
        let asked = self.asked.as_deref().map(Step::parse);
        Some(match (self.state.as_str(), asked, hold) {
            ("REQUIRES_HOLD", None, None) => State::RequiresHold,
            ("HELD", None, Some(hold)) => State::Held(hold),
            ("CAPTURED" | "PARTLY_REFUNDED" | "REFUNDED", None, Some(hold)) => State::Captured {
                hold,
                taken: Taken {
                    captured: money(self.captured_minor),
                    rest: money(self.rest_minor),
                    owed: owed?,
                    refunded: money(self.refunded_minor),
                },
            },
            ("CAPTURE_FAILED", None, Some(hold)) => State::CaptureFailed {
                hold,
                code: code?,
                owed: owed?,
            },
            ("VOIDED", None, hold) => State::Voided { hold },
            ("DECLINED", None, None) => State::Declined { code: code?, owed },
            ("AWAITS_CASH", None, None) => State::AwaitsCash,
            ("CASH_COLLECTED", None, None) => State::CashCollected,
            ("OWED", None, None) => State::Owed { owed: owed? },
            ("UNKNOWN", Some(Some(step)), hold) => State::Unknown(match (step, hold) {
                (Step::Hold, None) => Unanswered::Hold,
                (Step::Raise, Some(hold)) => Unanswered::Raise(hold),
                (Step::Capture, Some(hold)) => Unanswered::Capture(hold),
                (Step::Void, Some(hold)) => Unanswered::Void(hold),
                _ => return None,
            }),
            _ => return None,
        })
    }

    /// None when it cannot be read; none inside when the trip has not ended.
    fn ending(&self, currency: Currency) -> Option<Option<Ending>> {
        let money = |minor| Money::new(minor, currency);
        let Some(ended_as) = self.ended_as.as_deref() else {
            return Some(None);
        };
        let kind = match ended_as {
            "DRIVEN" => EndingKind::Driven,
            "CANCELLED" => EndingKind::Cancelled,
            "NO_SHOW" => EndingKind::NoShow,
            _ => return None,
        };
        let due = money(self.driver_due_minor?);
        Some(Some(Ending {
            charge: Charge {
                amount: money(self.charge_minor?),
                driver: self.driver.map(|driver| DriverPay {
                    driver: driver.into(),
                    amount: due,
                }),
                tax: money(self.tax_minor?),
            },
            kind,
            at: self.ended_at?,
        }))
    }
}

impl TryFrom<Row> for Intent {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let unreadable =
            || StoreError::Unreadable(format!("intent {} in state {}", row.id, row.state));
        let currency: Currency = row.currency.parse().map_err(|_| unreadable())?;
        Ok(Self {
            id: row.id.into(),
            trip: row.trip.into(),
            rider: row.rider.into(),
            method: match row.method.as_str() {
                "CARD" => Method::Card,
                "CASH" => Method::Cash,
                _ => return Err(unreadable()),
            },
            amount: Money::new(row.amount_minor, currency),
            raise: Money::new(row.raise_minor, currency),
            state: row.state(currency).ok_or_else(unreadable)?,
            ending: row.ending(currency).ok_or_else(unreadable)?,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// The state's column.
pub fn state_name(state: &State) -> &'static str {
    match state {
        State::RequiresHold => "REQUIRES_HOLD",
        State::Held(_) => "HELD",
        State::Captured { taken, .. } if taken.refunded.minor == 0 => "CAPTURED",
        State::Captured { taken, .. } => {
            if taken.refunded.minor < taken.captured.minor + taken.rest.minor {
                "PARTLY_REFUNDED"
            } else {
                "REFUNDED"
            }
        }
        State::CaptureFailed { .. } => "CAPTURE_FAILED",
        State::Voided { .. } => "VOIDED",
        State::Declined { .. } => "DECLINED",
        State::Unknown(_) => "UNKNOWN",
        State::AwaitsCash => "AWAITS_CASH",
        State::CashCollected => "CASH_COLLECTED",
        State::Owed { .. } => "OWED",
    }
}

/// The step whose answer is outstanding.
const fn asked(state: &State) -> Option<HoldStep> {
    match state {
        State::Unknown(Unanswered::Hold) => Some(HoldStep::Hold),
        State::Unknown(Unanswered::Raise(_)) => Some(HoldStep::Raise),
        State::Unknown(Unanswered::Capture(_)) => Some(HoldStep::Capture),
        State::Unknown(Unanswered::Void(_)) => Some(HoldStep::Void),
        State::RequiresHold
        | State::Held(_)
        | State::Captured { .. }
        | State::CaptureFailed { .. }
        | State::Voided { .. }
        | State::Declined { .. }
        | State::AwaitsCash
        | State::CashCollected
        | State::Owed { .. } => None,
    }
}

fn code(state: &State) -> Option<&str> {
    match state {
        State::Declined { code, .. } | State::CaptureFailed { code, .. } => Some(code),
        State::RequiresHold
        | State::Held(_)
        | State::Captured { .. }
        | State::Voided { .. }
        | State::Unknown(_)
        | State::AwaitsCash
        | State::CashCollected
        | State::Owed { .. } => None,
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

/// The same, locked: nobody else changes what belongs to it until the transaction ends.
pub async fn lock_by_trip(
    conn: &mut PgConnection,
    trip: TripId,
) -> Result<Option<Intent>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM intents WHERE trip = $1 FOR UPDATE");
    let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(trip.uuid())
        .fetch_optional(conn)
        .await?;
    row.map(Intent::try_from).transpose()
}

/// The intent that has this payment at the processor: its hold, or a charge beside it. Locked.
pub async fn lock_by_payment(
    conn: &mut PgConnection,
    payment: &ProcessorId,
) -> Result<Option<Intent>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM intents
         WHERE id = coalesce((SELECT id FROM intents WHERE processor_id = $1), (SELECT intent FROM extras WHERE processor_id = $1))
         FOR UPDATE"
    );
    let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(&payment.0)
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
    let method = match intent.method {
        Method::Card => "CARD",
        Method::Cash => "CASH",
    };
    sqlx::query(
        "INSERT INTO intents (id, trip, rider, method, state, currency, amount_minor, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(intent.id.uuid())
    .bind(intent.trip.uuid())
    .bind(intent.rider.uuid())
    .bind(method)
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

/// How the intent's trip ended.
pub async fn end(
    conn: &mut PgConnection,
    intent: IntentId,
    ending: &Ending,
) -> Result<(), StoreError> {
    let kind = match ending.kind {
        EndingKind::Driven => "DRIVEN",
        EndingKind::Cancelled => "CANCELLED",
        EndingKind::NoShow => "NO_SHOW",
    };
    sqlx::query(
        "UPDATE intents SET ended_as = $2, ended_at = $3, charge_minor = $4, driver = $5, driver_due_minor = $6, tax_minor = $7
         WHERE id = $1",
    )
    .bind(intent.uuid())
    .bind(kind)
    .bind(ending.at)
    .bind(ending.charge.amount.minor)
    .bind(ending.charge.driver.map(|pay| pay.driver.uuid()))
    .bind(ending.charge.driver_due().minor)
    .bind(ending.charge.tax.minor)
    .execute(conn)
    .await?;
    Ok(())
}

/// What the intent's hold is to be raised by.
pub async fn raise(conn: &mut PgConnection, intent: IntentId, by: Money) -> Result<(), StoreError> {
    sqlx::query("UPDATE intents SET raise_minor = $2 WHERE id = $1")
        .bind(intent.uuid())
        .bind(by.minor)
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
    let (state, hold, taken) = (&after.state, after.state.hold(), after.state.taken());
    let saved = sqlx::query(
        "UPDATE intents SET state = $2, asked = $3, raise_minor = $4, held_minor = $5, captured_minor = $6, rest_minor = $7,
                            owed_minor = $8, refunded_minor = $9, processor_id = $10, decline_code = $11, version = $12,
                            updated_at = $13
         WHERE id = $1 AND version = $14 AND state = $15",
    )
    .bind(after.id.uuid())
    .bind(state_name(state))
    .bind(asked(state).map(|step| step.step().as_str()))
    .bind(after.raise.minor)
    .bind(hold.map_or(0, |hold| hold.amount.minor))
    .bind(taken.map_or(0, |taken| taken.captured.minor))
    .bind(taken.map_or(0, |taken| taken.rest.minor))
    .bind(state.owed().map(|owed| owed.minor))
    .bind(taken.map_or(0, |taken| taken.refunded.minor))
    .bind(hold.map(|hold| hold.id.0.as_str()))
    .bind(code(state))
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
