//! The one way to begin a transaction: SERIALIZABLE, run again as a whole when others won.
//!
//! Rules (DESIGN section 4): retried on 40001 and 40P01, errors at COMMIT included, as `tries` says. A connection lost at
//! COMMIT is an unknown outcome.
//! Does not: know what the body does. The body changes nothing outside of its transaction.

mod begin;

use std::{
    future::Future,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use parking_lot::Mutex;
use sqlx::{PgConnection, Postgres, Transaction};
use tracing::Instrument as _;

use begin::begin;

use crate::{
    Pg, PgError, PgFailure,
    error::is_connection_error,
    tries::{Ended, Tries, outcome_unknown},
};

type Slot = Arc<Mutex<Option<Transaction<'static, Postgres>>>>;

/// An open transaction, handed to the body by value; it ends when the body returns.
pub struct Tx {
    inner: Option<Transaction<'static, Postgres>>,
    home: Slot,
}

impl Deref for Tx {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        self.inner
            .as_ref()
            .expect("a Tx holds its connection until it is dropped")
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.inner
            .as_mut()
            .expect("a Tx holds its connection until it is dropped")
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        *self.home.lock() = self.inner.take();
    }
}

impl Pg {
    /// Runs the body in a SERIALIZABLE transaction and commits it when it returns `Ok`. It may run several times.
    ///
    /// # Errors
    /// The body's own; [`PgError::Contended`] when the tries are spent; [`PgError::OutcomeUnknown`] when the connection
    /// was lost at COMMIT.
    pub async fn serializable<T, E, F, Fut>(&self, name: &'static str, body: F) -> Result<T, E>
    where
        F: FnMut(Tx) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: PgFailure,
    {
        self.run(name, body, false).await
    }

    /// The same for a body that begins by looking up its own `request_id`: it is also run again after a COMMIT whose
    /// outcome is unknown, and finds the one true answer.
    ///
    /// # Errors
    /// See [`Pg::serializable`].
    pub async fn idempotent<T, E, F, Fut>(&self, name: &'static str, body: F) -> Result<T, E>
    where
        F: FnMut(Tx) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: PgFailure,
    {
        self.run(name, body, true).await
    }

    async fn run<T, E, F, Fut>(&self, name: &'static str, mut body: F, keyed: bool) -> Result<T, E>
    where
        F: FnMut(Tx) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: PgFailure,
    {
        let span = self.span(name);
        let attempts = async {
            let mut tries = Tries::of(name);
            loop {
                match self.attempt(name, &mut body, keyed).await {
                    Ended::Done(value) => {
                        tracing::Span::current().record("hexcab.db.tries", tries.count());
                        return Ok(value);
                    }
                    Ended::Failed(error) => return Err(error),
                    Ended::Again(error) => tries.again(error).await?,
                }
            }
        };
        attempts.instrument(span).await
    }

    async fn attempt<T, E, F, Fut>(
        &self,
        name: &'static str,
        body: &mut F,
        keyed: bool,
    ) -> Ended<T, E>
    where
        F: FnMut(Tx) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: PgFailure,
    {
        // Dropped half-way (deadline, shutdown), it is rolled back before the connection is used again.
        let transaction = match begin(self.pool()).await {
            Ok(transaction) => transaction,
            Err(error) => return Ended::Failed(E::from(PgError::Sql(error))),
        };
        let home = Slot::default();
        let result = body(Tx {
            inner: Some(transaction),
            home: home.clone(),
        })
        .await;
        let Some(transaction) = home.lock().take() else {
            return Ended::Failed(E::from(PgError::Sql(sqlx::Error::WorkerCrashed)));
        };
        match result {
            Ok(value) => match transaction.commit().await {
                Ok(()) => Ended::Done(value),
                Err(error) => commit_failed(name, error, keyed),
            },
            Err(error) => {
                // A rollback that fails means the connection is gone, and the transaction with it.
                let _ = transaction.rollback().await;
                if error.pg().is_some_and(PgError::is_serialization) {
                    Ended::Again(error)
                } else {
                    Ended::Failed(error)
                }
            }
        }
    }
}

fn commit_failed<T, E: PgFailure>(
    name: &'static str,
    error: sqlx::Error,
    keyed: bool,
) -> Ended<T, E> {
    if error.as_database_error().is_some() && !is_connection_error(&error) {
        // The server answered: a deferred constraint or a serialization failure; it has rolled back.
        let error = PgError::Sql(error);
        return if error.is_serialization() {
            Ended::Again(E::from(error))
        } else {
            Ended::Failed(E::from(error))
        };
    }
    let unknown = E::from(outcome_unknown(name, error));
    if keyed {
        Ended::Again(unknown)
    } else {
        Ended::Failed(unknown)
    }
}
