//! The one transaction, over a real Postgres.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

mod away;
mod cancelled;
mod one_trip;
mod schema;

use std::sync::atomic::{AtomicU32, Ordering};

use hexcab_chassis::Secret;
use hexcab_pg::{Pg, PgConfig, PgError};
use hexcab_proxy::Proxy;
use hexcab_testkit::TestDb;

/// A proxy before the database's server, and a configuration that goes through it.
async fn proxied(db: &TestDb) -> (Proxy, PgConfig) {
    let url = db.url();
    let (before, rest) = url.split_once('@').unwrap();
    let (address, name) = rest.split_once('/').unwrap();
    let upstream = address.parse().unwrap();
    let proxy = Proxy::start("127.0.0.1:0".parse().unwrap(), upstream)
        .await
        .unwrap();
    let config = PgConfig {
        url: Secret::new(format!("{before}@{}/{name}", proxy.addr())),
        ..PgConfig::default()
    };
    (proxy, config)
}

async fn counter() -> (TestDb, Pg) {
    let db = TestDb::create("pg").await;
    let pg = db.connect().await;
    sqlx::raw_sql("CREATE TABLE counter (id int PRIMARY KEY, value int NOT NULL CONSTRAINT counter_small CHECK (value < 1000)); INSERT INTO counter VALUES (1, 0)")
        .execute(pg.pool())
        .await
        .unwrap();
    (db, pg)
}

async fn add(pg: &Pg, by: i32, runs: &AtomicU32) -> Result<i32, PgError> {
    pg.serializable("test.add", |mut tx| async move {
        runs.fetch_add(1, Ordering::Relaxed);
        let value: i32 = sqlx::query_scalar("SELECT value FROM counter WHERE id = 1")
            .fetch_one(&mut *tx)
            .await?;
        sqlx::query("UPDATE counter SET value = $1 WHERE id = 1")
            .bind(value + by)
            .execute(&mut *tx)
            .await?;
        Ok(value + by)
    })
    .await
}

async fn value(pg: &Pg) -> i32 {
    sqlx::query_scalar("SELECT value FROM counter")
        .fetch_one(pg.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_changes_are_retried_until_each_is_counted_once() {
    let (_db, pg) = counter().await;
    let runs = AtomicU32::new(0);
    let results = futures::future::join_all((0..4).map(|_| add(&pg, 1, &runs))).await;
    let done = results.iter().filter(|result| result.is_ok()).count();
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Ok(_) | Err(PgError::Contended { .. }))),
        "{results:?}"
    );
    assert_eq!(value(&pg).await, done as i32);
    assert!(done >= 1);
}

#[tokio::test]
async fn a_refused_change_leaves_nothing_behind_and_names_its_constraint() {
    let (_db, pg) = counter().await;
    let runs = AtomicU32::new(0);
    let error = add(&pg, 5000, &runs).await.unwrap_err();
    assert_eq!(error.constraint(), Some("counter_small"));
    assert_eq!((value(&pg).await, runs.load(Ordering::Relaxed)), (0, 1));
}

#[tokio::test]
async fn a_dropped_transaction_is_rolled_back() {
    let (_db, pg) = counter().await;
    let half_way = pg.serializable("test.drop", |mut tx| async move {
        sqlx::query("UPDATE counter SET value = 7")
            .execute(&mut *tx)
            .await?;
        std::future::pending::<()>().await;
        Ok::<_, PgError>(())
    });
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(100), half_way)
            .await
            .is_err()
    );
    assert_eq!(add(&pg, 1, &AtomicU32::new(0)).await.unwrap(), 1);
}

#[tokio::test]
async fn the_deadline_ends_the_retries() {
    let (_db, pg) = counter().await;
    let runs = AtomicU32::new(0);
    let runs = &runs;
    let always_losing = pg.serializable("test.lose", |mut tx| async move {
        runs.fetch_add(1, Ordering::Relaxed);
        sqlx::raw_sql("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$")
            .execute(&mut *tx)
            .await?;
        Ok::<_, PgError>(())
    });
    let error = hexcab_chassis::deadline::scope(std::time::Duration::ZERO, always_losing)
        .await
        .unwrap_err();
    assert!(
        matches!(error, PgError::Contended { tries: 1 }),
        "{error:?}"
    );
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}

/// The server is killed under the transaction's feet right when it commits: whether it happened is not known.
#[tokio::test]
async fn a_connection_lost_at_commit_is_an_unknown_outcome() {
    let (_db, pg) = counter().await;
    let admin = pg.pool().clone();
    let admin = &admin;
    let lost = pg.serializable("test.lost", |mut tx| async move {
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut *tx)
            .await?;
        sqlx::query("UPDATE counter SET value = 7")
            .execute(&mut *tx)
            .await?;
        sqlx::query("SELECT pg_terminate_backend($1)")
            .bind(pid)
            .execute(admin)
            .await?;
        Ok::<_, PgError>(())
    });
    let error = lost.await.unwrap_err();
    assert!(matches!(error, PgError::OutcomeUnknown(_)), "{error:?}");
    assert_eq!(error.status("test.hexcab").code(), tonic::Code::Unavailable);
}

#[tokio::test]
async fn a_keyed_transaction_is_run_again_after_an_unknown_outcome() {
    let (_db, pg) = counter().await;
    let (admin, runs) = (pg.pool().clone(), AtomicU32::new(0));
    let (admin, runs) = (&admin, &runs);
    let value = pg
        .idempotent("test.keyed", |mut tx| async move {
            let run = runs.fetch_add(1, Ordering::Relaxed);
            let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
                .fetch_one(&mut *tx)
                .await?;
            sqlx::query("UPDATE counter SET value = value + 1")
                .execute(&mut *tx)
                .await?;
            if run == 0 {
                sqlx::query("SELECT pg_terminate_backend($1)")
                    .bind(pid)
                    .execute(admin)
                    .await?;
            }
            Ok::<_, PgError>(run)
        })
        .await
        .unwrap();
    assert_eq!(value, 1);
}
