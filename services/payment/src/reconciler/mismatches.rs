//! Rows of `mismatches`: found, seen again, gone by themselves or resolved by an operator, each told with its change.
//!
//! Invariants: of one kind about one subject one is open at most; what an operator accepted is not opened again unless it
//! changes; a resolved one never changes.

use hexcab_bus::{Outgoing, outbox, topic};
use hexcab_chassis::Clock;
use hexcab_pg::{Pg, PgError};
use hexcab_proto::{
    convert,
    payment::v1::{self as proto, payment_event},
};
use hexcab_types::{IntentId, OperatorId, Timestamp};
use prost::Message as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::finding::{Finding, Kind, Subject};
use crate::store::StoreError;

/// Why one went away by itself.
const GONE: &str = "it is no longer there";

/// The table.
#[derive(Debug, Clone)]
pub struct Mismatches {
    pg: Pg,
    clock: Clock,
}

/// A mismatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Its own.
    pub id: Uuid,
    /// What does not fit.
    pub kind: Kind,
    /// Of what.
    pub subject: Subject,
    /// Whose money, as far as anybody says.
    pub intent: Option<IntentId>,
    /// What we know.
    pub ours: String,
    /// What the other side says.
    pub theirs: String,
    /// Real time.
    pub found_at: Timestamp,
    /// The last time, real time.
    pub seen_at: Timestamp,
    /// How often.
    pub times_seen: i32,
    /// None while it is open.
    pub resolution: Option<Resolution>,
}

/// How a mismatch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// Real time.
    pub at: Timestamp,
    /// Who resolved it; none when it went away by itself.
    pub operator: Option<OperatorId>,
    /// For people to read.
    pub reason: String,
    /// Of the operator's request.
    pub request: Option<Uuid>,
}

/// What seeing a mismatch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It is new.
    New,
    /// It was open.
    Again,
    /// An operator has accepted it as it is.
    Accepted,
}

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolve {
    /// Which mismatch.
    pub id: Uuid,
    /// The same request gets the same answer.
    pub request: Uuid,
    /// Who.
    pub operator: OperatorId,
    /// Why.
    pub reason: String,
}

/// Why a mismatch was not resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// There is none of this id.
    #[error("there is no such mismatch")]
    NotFound,
    /// Somebody else was first, or it went away.
    #[error("the mismatch is resolved already")]
    Resolved,
    /// The request id was used for something else.
    #[error("the request id was used for another request")]
    RequestIdReused,
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<PgError> for ResolveError {
    fn from(error: PgError) -> Self {
        Self::Store(StoreError::Pg(error))
    }
}

impl hexcab_pg::PgFailure for ResolveError {
    fn pg(&self) -> Option<&PgError> {
        match self {
            Self::Store(error) => error.pg(),
            Self::NotFound | Self::Resolved | Self::RequestIdReused => None,
        }
    }
}

/// Where a page begins: after this one, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    /// Found at.
    pub found_at: Timestamp,
    /// Its id.
    pub id: Uuid,
}

#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: Uuid,
    kind: String,
    subject: String,
    payment: Option<String>,
    intent: Option<Uuid>,
    ours: String,
    theirs: String,
    found_at: Timestamp,
    seen_at: Timestamp,
    times_seen: i32,
    resolved_at: Option<Timestamp>,
    operator: Option<Uuid>,
    reason: Option<String>,
    resolved_request: Option<Uuid>,
}

const COLUMNS: &str = "id, kind, subject, payment, intent, ours, theirs, found_at, seen_at, times_seen, resolved_at, operator, reason, \
                       resolved_request";

impl TryFrom<Row> for Mismatch {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let unreadable = || StoreError::Unreadable(format!("mismatch {}", row.id));
        Ok(Self {
            kind: Kind::parse(&row.kind).ok_or_else(unreadable)?,
            subject: Subject::parse(&row.subject, row.payment.as_deref()).ok_or_else(unreadable)?,
            resolution: match (row.resolved_at, row.reason.clone()) {
                (Some(at), Some(reason)) => Some(Resolution {
                    at,
                    operator: row.operator.map(OperatorId::from),
                    reason,
                    request: row.resolved_request,
                }),
                (None, None) => None,
                (Some(_), None) | (None, Some(_)) => return Err(unreadable()),
            },
            id: row.id,
            intent: row.intent.map(IntentId::from),
            ours: row.ours,
            theirs: row.theirs,
            found_at: row.found_at,
            seen_at: row.seen_at,
            times_seen: row.times_seen,
        })
    }
}

impl Mismatches {
    /// The table in this database. The clock is the city's, for events.
    pub const fn new(pg: Pg, clock: Clock) -> Self {
        Self { pg, clock }
    }

    /// Something does not fit: opened, or seen again.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn see(&self, finding: &Finding) -> Result<Seen, StoreError> {
        let fresh = Uuid::now_v7();
        self.pg
            .serializable("payment.mismatch", |mut tx| async move {
                if again(&mut tx, finding).await? {
                    return Ok(Seen::Again);
                }
                if accepted(&mut tx, finding).await? {
                    return Ok(Seen::Accepted);
                }
                let mismatch = open(&mut tx, fresh, finding).await?;
                self.tell(&mut tx, mismatch).await?;
                Ok(Seen::New)
            })
            .await
    }

    /// It is no longer there. False when it was resolved meanwhile.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn gone(&self, id: Uuid) -> Result<bool, StoreError> {
        self.pg
            .serializable("payment.mismatch_gone", |mut tx| async move {
                let sql = format!(
                    "UPDATE mismatches SET state = 'RESOLVED', resolved_at = now(), reason = $2
                     WHERE id = $1 AND state = 'OPEN' RETURNING {COLUMNS}"
                );
                let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
                    .bind(id)
                    .bind(GONE)
                    .fetch_optional(&mut *tx)
                    .await?;
                let Some(row) = row else { return Ok(false) };
                self.tell(&mut tx, row.try_into()?).await?;
                Ok(true)
            })
            .await
    }

    /// An operator has dealt with it, or accepts it.
    ///
    /// # Errors
    /// When it cannot be resolved: why.
    pub async fn resolve(&self, ask: &Resolve) -> Result<Mismatch, ResolveError> {
        self.pg
            .idempotent("payment.mismatch_resolve", |mut tx| async move {
                if let Some(answer) = replay(&mut tx, ask).await? {
                    return answer;
                }
                let sql = format!(
                    "UPDATE mismatches SET state = 'RESOLVED', resolved_at = now(), operator = $2, reason = $3, resolved_request = $4
                     WHERE id = $1 AND state = 'OPEN' RETURNING {COLUMNS}"
                );
                let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
                    .bind(ask.id)
                    .bind(ask.operator.uuid())
                    .bind(&ask.reason)
                    .bind(ask.request)
                    .fetch_optional(&mut *tx)
                    .await
                    .map_err(PgError::from)?;
                match row {
                    Some(row) => {
                        let mismatch = Mismatch::try_from(row)?;
                        self.tell(&mut tx, mismatch.clone()).await?;
                        Ok(mismatch)
                    }
                    None if is_there(&mut tx, ask.id).await? => Err(ResolveError::Resolved),
                    None => Err(ResolveError::NotFound),
                }
            })
            .await
    }

    /// Every open mismatch, or those about this payment.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn open(&self, payment: Option<&str>) -> Result<Vec<Mismatch>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM mismatches WHERE state = 'OPEN' AND ($1::text IS NULL OR payment = $1)"
        );
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(payment)
            .fetch_all(self.pg.pool())
            .await?;
        rows.into_iter().map(Mismatch::try_from).collect()
    }

    /// Mismatches, newest first: open ones, resolved ones, or both.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn list(
        &self,
        states: &[&str],
        after: Option<After>,
        limit: i64,
    ) -> Result<Vec<Mismatch>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM mismatches
             WHERE (cardinality($1::text[]) = 0 OR state = ANY($1))
               AND ($2::timestamptz IS NULL OR (found_at, id) < ($2, $3))
             ORDER BY found_at DESC, id DESC LIMIT $4"
        );
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(states)
            .bind(after.map(|after| after.found_at))
            .bind(after.map(|after| after.id))
            .bind(limit)
            .fetch_all(self.pg.pool())
            .await?;
        rows.into_iter().map(Mismatch::try_from).collect()
    }

    /// How many are open, by kind; those with none too.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn open_by_kind(&self) -> Result<Vec<(Kind, i64)>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT kind, count(*) FROM mismatches WHERE state = 'OPEN' GROUP BY kind",
        )
        .fetch_all(self.pg.pool())
        .await?;
        let of = |kind: Kind| {
            let found = rows.iter().find(|(name, _)| name == kind.as_str());
            (kind, found.map_or(0, |(_, count)| *count))
        };
        Ok(Kind::ALL.into_iter().map(of).collect())
    }

    /// An event of the payment topic, keyed by the trip where one is known.
    async fn tell(&self, conn: &mut PgConnection, mismatch: Mismatch) -> Result<(), StoreError> {
        let trip: Option<(Uuid, Uuid)> = match mismatch.intent {
            Some(intent) => {
                sqlx::query_as("SELECT trip, rider FROM intents WHERE id = $1")
                    .bind(intent.uuid())
                    .fetch_optional(&mut *conn)
                    .await?
            }
            None => None,
        };
        let now = self.clock.now();
        let resolved = mismatch.resolution.is_some();
        let (key, subject) = (
            trip.map_or(mismatch.id, |(trip, _)| trip).to_string(),
            name(mismatch.id),
        );
        let names = trip.map(|(trip, rider)| {
            let (trip, rider) = (
                hexcab_types::TripId::from(trip),
                hexcab_types::RiderId::from(rider),
            );
            (trip.name(), rider.name())
        });
        let (trip, rider) = names.unwrap_or_default();
        let intent = mismatch.intent.map(IntentId::name).unwrap_or_default();
        let shown = Some(proto::Mismatch::from(mismatch));
        let (kind, event) = if resolved {
            let resolved = proto::MismatchResolved { mismatch: shown };
            (
                "MismatchResolved",
                payment_event::Event::MismatchResolved(resolved),
            )
        } else {
            let found = proto::MismatchFound { mismatch: shown };
            ("MismatchFound", payment_event::Event::MismatchFound(found))
        };
        let message = proto::PaymentEvent {
            intent,
            trip,
            rider,
            version: if resolved { 2 } else { 1 },
            occur_time: Some(convert::to_timestamp(now)),
            event: Some(event),
            ..proto::PaymentEvent::default()
        };
        let outgoing = Outgoing {
            topic: topic::PAYMENT,
            key,
            kind: format!("hexcab.payment.v1.{kind}"),
            source: "payment",
            subject,
            time: now,
            payload: message.encode_to_vec(),
            traceparent: hexcab_telemetry::current_traceparent(),
        };
        outbox::append(conn, &outgoing).await?;
        Ok(())
    }
}

/// `mismatches/{mismatch}`
pub fn name(id: Uuid) -> String {
    format!("mismatches/{id}")
}

async fn again(conn: &mut PgConnection, finding: &Finding) -> Result<bool, StoreError> {
    let seen = sqlx::query(
        "UPDATE mismatches SET seen_at = now(), times_seen = times_seen + 1, ours = $3, theirs = $4
         WHERE kind = $1 AND subject = $2 AND state = 'OPEN'",
    )
    .bind(finding.kind.as_str())
    .bind(finding.subject.name())
    .bind(&finding.ours)
    .bind(&finding.theirs)
    .execute(conn)
    .await?;
    Ok(seen.rows_affected() == 1)
}

/// An operator resolved it, and it is as it was then.
async fn accepted(conn: &mut PgConnection, finding: &Finding) -> Result<bool, StoreError> {
    let seen = sqlx::query(
        "UPDATE mismatches SET seen_at = now(), times_seen = times_seen + 1
         WHERE id = (SELECT id FROM mismatches WHERE kind = $1 AND subject = $2 ORDER BY found_at DESC, id DESC LIMIT 1)
           AND operator IS NOT NULL AND ours = $3 AND theirs = $4",
    )
    .bind(finding.kind.as_str())
    .bind(finding.subject.name())
    .bind(&finding.ours)
    .bind(&finding.theirs)
    .execute(conn)
    .await?;
    Ok(seen.rows_affected() == 1)
}

async fn open(
    conn: &mut PgConnection,
    id: Uuid,
    finding: &Finding,
) -> Result<Mismatch, StoreError> {
    let sql = format!(
        "INSERT INTO mismatches (id, kind, subject, payment, intent, ours, theirs) VALUES ($1, $2, $3, $4, $5, $6, $7)
         RETURNING {COLUMNS}"
    );
    let row: Row = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(id)
        .bind(finding.kind.as_str())
        .bind(finding.subject.name())
        .bind(finding.subject.payment().map(|id| id.0))
        .bind(finding.intent.map(IntentId::uuid))
        .bind(&finding.ours)
        .bind(&finding.theirs)
        .fetch_one(conn)
        .await?;
    row.try_into()
}

/// The answer to a request that was made before.
async fn replay(
    conn: &mut PgConnection,
    ask: &Resolve,
) -> Result<Option<Result<Mismatch, ResolveError>>, ResolveError> {
    let sql = format!("SELECT {COLUMNS} FROM mismatches WHERE resolved_request = $1");
    let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(ask.request)
        .fetch_optional(conn)
        .await
        .map_err(PgError::from)?;
    let Some(row) = row else { return Ok(None) };
    let same = row.id == ask.id
        && row.operator == Some(ask.operator.uuid())
        && row.reason.as_ref() == Some(&ask.reason);
    Ok(Some(if same {
        Ok(row.try_into()?)
    } else {
        Err(ResolveError::RequestIdReused)
    }))
}

async fn is_there(conn: &mut PgConnection, id: Uuid) -> Result<bool, PgError> {
    Ok(
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM mismatches WHERE id = $1)")
            .bind(id)
            .fetch_one(conn)
            .await?,
    )
}
