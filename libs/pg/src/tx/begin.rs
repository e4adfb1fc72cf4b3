//! A BEGIN that is seen through, also when nobody waits for it any more.
//!
//! sqlx forgets a BEGIN whose future is dropped before the server has answered (0.8.4 to 0.9.0, its issue 4385): the connection
//! goes back to the pool in a transaction that nobody knows of, and what others do on it is never committed.
//!
//! Invariant: no connection is in the pool while it is in a transaction. Does not: commit, or wait for anybody else.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use sqlx::{PgPool, Postgres, SqlStr, Transaction};
use tokio::runtime::Handle;

const BEGIN: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE";

type Begun = Result<Transaction<'static, Postgres>, sqlx::Error>;

/// A SERIALIZABLE transaction. Dropped at any time, it leaves nothing behind.
pub async fn begin(pool: &PgPool) -> Begun {
    // Safe to drop: a connection that was not handed over stays in the pool.
    let connection = pool.acquire().await?;
    SeenThrough(Some(Transaction::begin(
        connection,
        Some(SqlStr::from_static(BEGIN)),
    )))
    .await
}

/// Dropped before its end, it is finished by the runtime: a transaction that has begun is rolled back as it is dropped.
struct SeenThrough(Option<BoxFuture<'static, Begun>>);

impl Future for SeenThrough {
    type Output = Begun;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Begun> {
        let begin = self.0.as_mut().expect("polled until it is ready");
        let begun = begin.as_mut().poll(context);
        if begun.is_ready() {
            self.0 = None;
        }
        begun
    }
}

impl Drop for SeenThrough {
    fn drop(&mut self) {
        // Without a runtime there is no pool to come back to either.
        if let (Some(begin), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(begin);
        }
    }
}
