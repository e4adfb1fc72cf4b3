//! Rows of `reconciliations`: one runs at a time, under a lease; a run whose process died is ended by the next.

use std::time::Duration;

use hexcab_pg::{Pg, PgError};
use hexcab_types::Timestamp;
use uuid::Uuid;

/// A run that has not said anything for so long is taken for dead.
const LEASE: Duration = Duration::from_secs(120);

/// The table.
#[derive(Debug, Clone)]
pub struct Runs {
    pg: Pg,
}

/// One comparison of all books.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Run {
    /// Its own; of one that was asked for, the request's.
    pub id: Uuid,
    /// Real time.
    pub started_at: Timestamp,
    /// Real time; none while it runs.
    pub ended_at: Option<Timestamp>,
    /// What was looked at and what was found.
    #[sqlx(flatten)]
    pub tally: Tally,
    /// Mismatches at its end.
    pub open: i32,
    /// Why it could not be ended.
    pub error: Option<String>,
}

/// What a run looked at and found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, sqlx::FromRow)]
pub struct Tally {
    /// The processor's payments.
    pub payments: i32,
    /// Its refunds.
    pub refunds: i32,
    /// Its disputes.
    pub disputes: i32,
    /// Intents, with the ledger.
    pub intents: i32,
    /// Mismatches that are new.
    pub found: i32,
    /// Mismatches that went away.
    pub resolved: i32,
}

/// Whether a run may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It may, and has.
    Now(Run),
    /// It has before.
    Before(Run),
    /// Another one runs.
    Another,
}

const COLUMNS: &str =
    "id, started_at, ended_at, payments, refunds, disputes, intents, found, resolved, open, error";

impl Runs {
    /// The table in this database.
    pub const fn new(pg: Pg) -> Self {
        Self { pg }
    }

    /// Begins a run, unless another one runs.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn begin(&self, id: Uuid) -> Result<Begun, PgError> {
        if let Some(run) = self.get(id).await? {
            return Ok(Begun::Before(run));
        }
        sqlx::query(
            "UPDATE reconciliations SET ended_at = now(), lease_until = NULL, error = 'its process died'
             WHERE ended_at IS NULL AND lease_until < now()",
        )
        .execute(self.pg.pool())
        .await?;
        let sql = format!(
            "INSERT INTO reconciliations (id, lease_until) VALUES ($1, now() + $2 * interval '1 second')
             ON CONFLICT DO NOTHING RETURNING {COLUMNS}"
        );
        let run: Option<Run> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(id)
            .bind(LEASE.as_secs_f64())
            .fetch_optional(self.pg.pool())
            .await?;
        if let Some(run) = run {
            return Ok(Begun::Now(run));
        }
        Ok(self.get(id).await?.map_or(Begun::Another, Begun::Before))
    }

    /// It goes on, and this is how far it is. False when it was taken for dead.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn go_on(&self, id: Uuid, tally: &Tally) -> Result<bool, PgError> {
        let gone_on = sqlx::query(
            "UPDATE reconciliations SET lease_until = now() + $2 * interval '1 second', payments = $3, refunds = $4,
                                        disputes = $5, intents = $6, found = $7, resolved = $8
             WHERE id = $1 AND ended_at IS NULL",
        )
        .bind(id)
        .bind(LEASE.as_secs_f64())
        .bind(tally.payments)
        .bind(tally.refunds)
        .bind(tally.disputes)
        .bind(tally.intents)
        .bind(tally.found)
        .bind(tally.resolved)
        .execute(self.pg.pool())
        .await?;
        Ok(gone_on.rows_affected() == 1)
    }

    /// It has ended. None when it was taken for dead before.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn end(
        &self,
        id: Uuid,
        tally: &Tally,
        error: Option<&str>,
    ) -> Result<Option<Run>, PgError> {
        if !self.go_on(id, tally).await? {
            return Ok(None);
        }
        let sql = format!(
            "UPDATE reconciliations SET ended_at = now(), lease_until = NULL, error = $2,
                                        open = (SELECT count(*)::integer FROM mismatches WHERE state = 'OPEN')
             WHERE id = $1 AND ended_at IS NULL RETURNING {COLUMNS}"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(id)
            .bind(error)
            .fetch_optional(self.pg.pool())
            .await?)
    }

    /// One run.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn get(&self, id: Uuid) -> Result<Option<Run>, PgError> {
        let sql = format!("SELECT {COLUMNS} FROM reconciliations WHERE id = $1");
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(id)
            .fetch_optional(self.pg.pool())
            .await?)
    }

    /// Whether one began within this time, here or in another process.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn began_within(&self, time: Duration) -> Result<bool, PgError> {
        Ok(sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM reconciliations WHERE started_at > now() - $1 * interval '1 second')",
        )
        .bind(time.as_secs_f64())
        .fetch_one(self.pg.pool())
        .await?)
    }
}
