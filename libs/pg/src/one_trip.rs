//! One statement as a SERIALIZABLE transaction of its own, in one round trip: begun, run and committed by Postgres.
//!
//! For a change that was decided before and says in its statement what it rests on (a version to compare and set): there is
//! nothing left to read in a transaction. Beside [`Pg::serializable`], by the same rules of retrying.
//!
//! Invariants: the connections of this path, and only they, are SERIALIZABLE by default, so that a statement cannot be
//! weaker by mistake, and plain reads elsewhere take no part in it; the answer is read to its end before it is believed,
//! since a COMMIT may fail after the rows were sent; a connection whose answer was not read to its end is never used again.
//! Does not: know what the statement does.

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use sqlx::{
    Connection as _, PgConnection, Postgres,
    postgres::{PgArguments, PgConnectOptions, PgRow},
    query::Query,
};
use tokio::{sync::Semaphore, time::Instant};
use tracing::{Instrument as _, Span};

use crate::{
    Pg, PgConfig, PgError,
    breaker::Breaker,
    error::is_connection_error,
    tries::{Ended, Tries, outcome_unknown},
};

/// How long a connection may be idle before it is closed.
const IDLE_MAX: Duration = Duration::from_secs(60);

impl Pg {
    /// Runs one statement as a SERIALIZABLE transaction in one round trip, and returns its first row. It may run several
    /// times (40001, 40P01), so it is made anew for each.
    ///
    /// # Errors
    /// What Postgres says, a failure at COMMIT included; [`PgError::Contended`] when the tries are spent;
    /// [`PgError::OutcomeUnknown`] when the connection was lost before the answer: it may have happened.
    pub async fn one_trip<'q, F>(
        &self,
        name: &'static str,
        mut statement: F,
    ) -> Result<Option<PgRow>, PgError>
    where
        F: FnMut() -> Query<'q, Postgres, PgArguments>,
    {
        let span = self.span(name);
        let attempts = async {
            let mut tries = Tries::of(name);
            loop {
                match self.lines().send(name, statement()).await {
                    Ended::Done(row) => {
                        Span::current().record("hexcab.db.tries", tries.count());
                        return Ok(row);
                    }
                    Ended::Failed(error) => return Err(error),
                    Ended::Again(error) => tries.again(error).await?,
                }
            }
        };
        attempts.instrument(span).await
    }
}

/// The connections of this path. Opened when they are needed first.
///
/// Not a pool of sqlx's: that one sends a Sync and waits for it whenever a connection comes back, which is a second round
/// trip (ADR 0008).
pub(crate) struct Lines {
    options: PgConnectOptions,
    breaker: Arc<Breaker>,
    idle: Mutex<Vec<Idle>>,
    room: Semaphore,
    patience: Duration,
}

struct Idle {
    line: PgConnection,
    since: Instant,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines")
            .field("idle", &self.idle.lock().len())
            .field("room", &self.room.available_permits())
            .finish_non_exhaustive()
    }
}

impl Lines {
    pub fn new(options: PgConnectOptions, breaker: Arc<Breaker>, config: &PgConfig) -> Self {
        Self {
            // A generic plan from the first time on: the statements find rows by their address or key, whatever is asked.
            options: options.options([
                ("default_transaction_isolation", "serializable"),
                ("plan_cache_mode", "force_generic_plan"),
            ]),
            breaker,
            idle: Mutex::default(),
            room: Semaphore::new(config.one_trip_connections as usize),
            patience: Duration::from_millis(config.acquire_timeout_ms),
        }
    }

    async fn send<'q>(
        &self,
        name: &'static str,
        statement: Query<'q, Postgres, PgArguments>,
    ) -> Ended<Option<PgRow>, PgError> {
        let Ok(Ok(_room)) = tokio::time::timeout(self.patience, self.room.acquire()).await else {
            return Ended::Failed(PgError::Sql(sqlx::Error::PoolTimedOut));
        };
        let mut line = match self.line().await {
            Ok(line) => line,
            Err(error) => return Ended::Failed(PgError::Sql(error)),
        };
        // All rows, although one is wanted: what comes after the last one is the COMMIT's.
        match statement.fetch_all(&mut line).await {
            Ok(rows) => {
                self.give_back(line);
                Ended::Done(rows.into_iter().next())
            }
            Err(error) if was_rolled_back(&error) => {
                self.give_back(line);
                let error = PgError::Sql(error);
                if error.is_serialization() {
                    Ended::Again(error)
                } else {
                    Ended::Failed(error)
                }
            }
            Err(error) => {
                // Where one connection broke, those that lie idle are likely to be dead, too.
                self.idle.lock().clear();
                Ended::Failed(outcome_unknown(name, error))
            }
        }
    }

    async fn line(&self) -> Result<PgConnection, sqlx::Error> {
        let idle = self.idle.lock().pop();
        if let Some(idle) = idle {
            return Ok(idle.line);
        }
        let connecting = async {
            self.breaker.until_closed().await;
            PgConnection::connect_with(&self.options).await
        };
        let connected = tokio::time::timeout(self.patience, connecting).await;
        connected.map_err(|_| sqlx::Error::PoolTimedOut)?
    }

    fn give_back(&self, line: PgConnection) {
        let now = Instant::now();
        let mut idle = self.idle.lock();
        // The one that was used longest ago lies at the bottom.
        if idle
            .first()
            .is_some_and(|first| first.since + IDLE_MAX < now)
        {
            idle.remove(0);
        }
        idle.push(Idle { line, since: now });
    }
}

/// Whether nothing of the statement happened, for certain: Postgres said that it failed. (What ends a session, such as a
/// shutdown, may come after the COMMIT and before its answer.)
fn was_rolled_back(error: &sqlx::Error) -> bool {
    match error.as_database_error() {
        Some(said) => !said
            .code()
            .is_some_and(|code| code.starts_with("57P") || code.starts_with("08")),
        // Not even sent, unless it was the connection.
        None => !is_connection_error(error),
    }
}
