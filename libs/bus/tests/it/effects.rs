//! A consumer whose effects are rows, kept as a service keeps them: with the inbox row, in one transaction.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use hexcab_bus::{Failure, Handler, Incoming, inbox};
use hexcab_pg::{Pg, PgError};
use hexcab_testkit::eventually;
use parking_lot::Mutex;
use sqlx::PgPool;
use tokio::sync::Semaphore;

/// Every event is a row in `effects`, numbered. Nothing in the database keeps it from being there twice but the inbox.
pub struct Effects {
    pg: Pg,
    consumer: &'static str,
    /// Deliveries, repeated ones included.
    pub deliveries: AtomicUsize,
    /// Partitions that came and went.
    pub assigned: Mutex<Vec<i32>>,
    pub revoked: Mutex<Vec<i32>>,
    /// Where it stops, and a permit lets it go on.
    pub stops: Mutex<Option<(Stop, Arc<Semaphore>)>>,
    pub stopped: Semaphore,
}

/// Where a handler is when its process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    Before(&'static str),
    After(&'static str),
}

pub async fn create_table(pg: &Pg) {
    let sql = "CREATE TABLE IF NOT EXISTS effects (seq bigserial, subject text NOT NULL, key text NOT NULL, payload text NOT NULL)";
    sqlx::query(sql).execute(pg.pool()).await.unwrap();
}

impl Effects {
    pub async fn new(pg: &Pg, consumer: &'static str) -> Arc<Self> {
        create_table(pg).await;
        Arc::new(Self::over(pg, consumer))
    }

    /// Over a table that is there.
    pub fn over(pg: &Pg, consumer: &'static str) -> Self {
        Self {
            pg: pg.clone(),
            consumer,
            deliveries: AtomicUsize::new(0),
            assigned: Mutex::default(),
            revoked: Mutex::default(),
            stops: Mutex::default(),
            stopped: Semaphore::new(0),
        }
    }

    /// Stops here until the returned semaphore has a permit.
    pub fn stop_at(&self, stop: Stop) -> Arc<Semaphore> {
        let go_on = Arc::new(Semaphore::new(0));
        *self.stops.lock() = Some((stop, go_on.clone()));
        go_on
    }

    pub async fn until_stopped(&self) {
        let stopped =
            tokio::time::timeout(std::time::Duration::from_secs(20), self.stopped.acquire());
        stopped.await.unwrap().unwrap().forget();
    }

    async fn stop(&self, here: impl Fn(Stop) -> bool) {
        let stop = self.stops.lock().clone();
        if let Some((stop, go_on)) = stop
            && here(stop)
        {
            self.stopped.add_permits(1);
            go_on.acquire().await.unwrap().forget();
        }
    }

    async fn keep(&self, event: &Incoming) -> Result<(), PgError> {
        self.pg
            .idempotent("test.effect", |mut tx| async move {
                if !inbox::first_time(&mut tx, self.consumer, event).await? {
                    return Ok(());
                }
                sqlx::query("INSERT INTO effects (subject, key, payload) VALUES ($1, $2, $3)")
                    .bind(&event.subject)
                    .bind(&event.key)
                    .bind(String::from_utf8_lossy(&event.payload).into_owned())
                    .execute(&mut *tx)
                    .await?;
                Ok(())
            })
            .await
    }
}

#[async_trait]
impl Handler for Effects {
    async fn handle(&self, event: &Incoming) -> Result<(), Failure> {
        self.deliveries.fetch_add(1, Ordering::Relaxed);
        self.stop(|stop| {
            stop == Stop::Before("any") || matches!(stop, Stop::Before(at) if at == event.subject)
        })
        .await;
        self.keep(event)
            .await
            .map_err(|error| Failure::Dependency(error.into()))?;
        self.stop(|stop| matches!(stop, Stop::After(at) if at == event.subject))
            .await;
        Ok(())
    }

    async fn assigned(&self, partitions: &[(String, i32)]) -> Result<(), Failure> {
        self.assigned
            .lock()
            .extend(partitions.iter().map(|(_, n)| n));
        Ok(())
    }

    async fn revoked(&self, partitions: &[(String, i32)]) {
        self.revoked
            .lock()
            .extend(partitions.iter().map(|(_, n)| n));
    }
}

/// What had its effect, in order.
pub async fn of(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("SELECT subject FROM effects ORDER BY seq")
        .fetch_all(pool)
        .await
        .unwrap()
}

/// The same by key: each key's effects in order.
pub async fn of_key(pool: &PgPool, key: &str) -> Vec<String> {
    sqlx::query_scalar("SELECT subject FROM effects WHERE key = $1 ORDER BY seq")
        .bind(key)
        .fetch_all(pool)
        .await
        .unwrap()
}

/// Waits until there are at least so many.
pub async fn until(pool: &PgPool, count: usize) -> Vec<String> {
    eventually(|| async { Some(of(pool).await).filter(|effects| effects.len() >= count) }).await
}
