//! What can go wrong with Postgres, told apart by what the caller will do.

use std::time::{Duration, Instant};

use hexcab_chassis::status;
use parking_lot::Mutex;
use tonic::{Code, Status};

/// SQLSTATE of a serialization failure.
const SERIALIZATION_FAILURE: &str = "40001";
/// SQLSTATE of a deadlock.
const DEADLOCK_DETECTED: &str = "40P01";
/// SQLSTATE of a lock that was not had in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// An error of Postgres.
#[derive(Debug, thiserror::Error)]
pub enum PgError {
    /// Other transactions kept winning until the tries or the time were spent: try again.
    #[error("gave up after {tries} tries")]
    Contended {
        /// How often it was tried.
        tries: u32,
    },
    /// The connection was lost at COMMIT: the transaction may have happened. Look it up by its `request_id`.
    #[error("the connection was lost at commit: the outcome is unknown")]
    OutcomeUnknown(#[source] sqlx::Error),
    /// Anything else, as the driver says it.
    #[error("postgres")]
    Sql(#[from] sqlx::Error),
    /// The migrations could not be applied.
    #[error("migrate")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl PgError {
    /// The name of the constraint that refused, if one did.
    pub fn constraint(&self) -> Option<&str> {
        self.database()?.constraint()
    }

    /// The SQLSTATE, if the server sent one.
    pub fn sqlstate(&self) -> Option<String> {
        self.database()?.code().map(|code| code.into_owned())
    }

    /// The server's own message, if it sent one.
    pub fn message(&self) -> Option<&str> {
        self.database().map(|error| error.message())
    }

    /// Whether the same transaction may succeed when run again.
    pub fn is_serialization(&self) -> bool {
        matches!(
            self.sqlstate().as_deref(),
            Some(SERIALIZATION_FAILURE | DEADLOCK_DETECTED)
        )
    }

    /// Whether somebody else held a lock for longer than `lock_timeout`.
    pub fn is_lock_timeout(&self) -> bool {
        self.sqlstate().as_deref() == Some(LOCK_NOT_AVAILABLE)
    }

    /// Whether Postgres is away rather than refusing: connection lost, shutting down, out of connections, timed out.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Contended { .. } | Self::Migrate(_) => false,
            Self::OutcomeUnknown(_) => true,
            Self::Sql(error) => is_connection_error(error),
        }
    }

    /// What a caller is told. `domain` is the service's, such as `trip.hexcab`.
    pub fn status(&self, domain: &str) -> Status {
        match self {
            Self::Contended { .. } => {
                let busy = status::error(
                    Code::Aborted,
                    "CONTENDED",
                    domain,
                    "too many others changed the same thing",
                );
                status::with_retry(&busy, Duration::from_millis(200))
            }
            Self::OutcomeUnknown(_) => status::unavailable(
                domain,
                "the outcome is unknown; ask again with the same request_id",
            ),
            Self::Sql(_) | Self::Migrate(_) if self.is_unavailable() => {
                say_away(self);
                status::unavailable(domain, "the database is away")
            }
            Self::Sql(_) | Self::Migrate(_) => {
                tracing::error!(error = %chain(self), "postgres refused");
                status::internal(domain)
            }
        }
    }

    fn database(&self) -> Option<&dyn sqlx::error::DatabaseError> {
        match self {
            Self::Sql(error) | Self::OutcomeUnknown(error) => error.as_database_error(),
            Self::Contended { .. } | Self::Migrate(_) => None,
        }
    }
}

/// One line a second: while Postgres is away every request ends so.
fn say_away(error: &PgError) {
    static SAID: Mutex<Option<Instant>> = Mutex::new(None);
    let mut said = SAID.lock();
    if said.is_none_or(|said| said.elapsed() >= Duration::from_secs(1)) {
        *said = Some(Instant::now());
        tracing::warn!(error = %chain(error), "postgres is away; requests are refused");
    }
}

/// An error of a transaction's body in which an error of Postgres can be recognised, so that it can be retried.
pub trait PgFailure: From<PgError> {
    /// The error of Postgres, if it is one.
    fn pg(&self) -> Option<&PgError>;
}

impl PgFailure for PgError {
    fn pg(&self) -> Option<&PgError> {
        Some(self)
    }
}

pub(crate) fn is_connection_error(error: &sqlx::Error) -> bool {
    if let Some(database) = error.as_database_error() {
        // Class 08 connection, 57P0x shutdown, 53xxx resources, 57014 statement timeout, 55P03 lock timeout.
        return database.code().is_some_and(|code| {
            code.starts_with("08")
                || code.starts_with("57P")
                || code.starts_with("53")
                || code == "57014"
                || code == "55P03"
        });
    }
    matches!(
        error,
        sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_)
            | sqlx::Error::Tls(_)
    )
}

/// The whole chain of an error on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
