//! One statement, one round trip, over a real Postgres, and over a proxy that cuts it at the worst moment.

use std::time::Duration;

use hexcab_pg::{Pg, PgConfig, PgError};
use hexcab_proxy::{Proxy, Trap};
use hexcab_telemetry::metrics::{self, KeyValue};
use hexcab_testkit::TestDb;
use sqlx::{Postgres, Row as _, postgres::PgArguments, query::Query};

use crate::proxied;

/// A table whose rows are looked at when they are committed: negative ones are refused only then.
const SCHEMA: &str = "
    CREATE TABLE kept (id int PRIMARY KEY, value int NOT NULL);
    CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.value < 0 THEN
            RAISE EXCEPTION 'below nothing' USING ERRCODE = 'check_violation', CONSTRAINT = 'kept_not_negative';
        END IF;
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER look AFTER INSERT ON kept DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION look();
    CREATE FUNCTION lose() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE '40001'; END $$;";

async fn database() -> (TestDb, Pg) {
    let db = TestDb::create("one_trip").await;
    let pg = db.connect().await;
    sqlx::raw_sql(SCHEMA).execute(pg.pool()).await.unwrap();
    (db, pg)
}

fn insert<'q>(id: i32, value: i32) -> Query<'q, Postgres, PgArguments> {
    sqlx::query("INSERT INTO kept VALUES ($1, $2) RETURNING value")
        .bind(id)
        .bind(value)
}

async fn rows(pg: &Pg) -> Vec<i32> {
    sqlx::query_scalar("SELECT value FROM kept ORDER BY id")
        .fetch_all(pg.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_statement_is_serializable_and_plain_reads_are_not() {
    let (_db, pg) = database().await;
    let asked = || sqlx::query("SELECT current_setting('transaction_isolation')");
    let row = pg.one_trip("test.isolation", asked).await.unwrap().unwrap();
    assert_eq!(row.get::<String, _>(0), "serializable");
    let row = asked().fetch_one(pg.pool()).await.unwrap();
    assert_eq!(row.get::<String, _>(0), "read committed");
}

#[tokio::test]
async fn a_failure_at_commit_is_not_lost_behind_the_row_that_came_before_it() {
    let (_db, pg) = database().await;
    let error = pg
        .one_trip("test.insert", || insert(1, -1))
        .await
        .unwrap_err();
    assert_eq!(error.constraint(), Some("kept_not_negative"));
    let row = pg.one_trip("test.insert", || insert(2, 5)).await.unwrap();
    assert_eq!(row.unwrap().get::<i32, _>(0), 5);
    assert_eq!(rows(&pg).await, [5]);
}

#[tokio::test]
async fn who_keeps_losing_is_tried_five_times_and_counted() {
    let measured = metrics::in_memory();
    let (_db, pg) = database().await;
    let of = [KeyValue::new("db.operation.name", "test.lose")];
    let error = pg
        .one_trip("test.lose", || sqlx::query("SELECT lose()"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, PgError::Contended { tries: 5 }),
        "{error:?}"
    );
    assert_eq!(measured.value("hexcab.pg.retries", &of), 4.0);
    assert_eq!(measured.value("hexcab.pg.contended", &of), 1.0);
}

#[tokio::test]
async fn the_deadline_ends_the_tries() {
    let (_db, pg) = database().await;
    let losing = pg.one_trip("test.late", || sqlx::query("SELECT lose()"));
    let error = hexcab_chassis::deadline::scope(Duration::ZERO, losing)
        .await
        .unwrap_err();
    assert!(
        matches!(error, PgError::Contended { tries: 1 }),
        "{error:?}"
    );
}

/// Eight at once add one to one row, each seeing what the one before left: whoever loses runs again.
#[tokio::test(flavor = "multi_thread")]
async fn statements_that_meet_are_run_again_until_each_counts_once() {
    let (_db, pg) = database().await;
    pg.one_trip("test.insert", || insert(1, 0)).await.unwrap();
    let adding = (0..8).map(|_| {
        pg.one_trip("test.add", || {
            sqlx::query("UPDATE kept SET value = value + 1 WHERE id = 1")
        })
    });
    let ended = futures::future::join_all(adding).await;
    let done = ended.iter().filter(|ended| ended.is_ok()).count();
    assert!(
        ended
            .iter()
            .all(|ended| matches!(ended, Ok(_) | Err(PgError::Contended { .. }))),
        "{ended:?}"
    );
    assert_eq!(rows(&pg).await, [done as i32]);
    assert!(done >= 1);
}

/// The same database through a proxy.
async fn through_a_proxy(db: &TestDb) -> (Proxy, Pg) {
    let (proxy, config) = proxied(db).await;
    let pg = Pg::connect(&config, "test").await.unwrap();
    (proxy, pg)
}

#[tokio::test]
async fn a_connection_lost_before_the_answer_is_an_unknown_outcome_and_counted() {
    let measured = metrics::in_memory();
    let (db, pg) = database().await;
    let (proxy, over) = through_a_proxy(&db).await;
    over.one_trip("test.cut", || insert(1, 1)).await.unwrap();
    // The statement has its name by now: what travels is the bind, and the value in it.
    let value = 0x0bad_cafe_i32;
    for (id, trap, expected) in [
        (2, Trap::BeforeReply(value.to_be_bytes().to_vec()), 1),
        (3, Trap::BeforeRequest(value.to_be_bytes().to_vec()), 0),
    ] {
        let before = rows(&pg).await.len();
        proxy.trap(trap);
        let error = over
            .one_trip("test.cut", || insert(id, value))
            .await
            .unwrap_err();
        assert!(matches!(error, PgError::OutcomeUnknown(_)), "{error:?}");
        assert!(proxy.is_sprung());
        assert_eq!(rows(&pg).await.len(), before + expected);
        // And the next one has a connection of its own.
        over.one_trip("test.cut", || insert(id + 10, 1))
            .await
            .unwrap();
    }
    let of = [KeyValue::new("db.operation.name", "test.cut")];
    assert_eq!(measured.value("hexcab.pg.unknown_outcomes", &of), 2.0);
}

#[tokio::test]
async fn a_statement_that_was_dropped_half_way_leaves_no_answer_to_the_next() {
    let (_db, pg) = database().await;
    let slow = pg.one_trip("test.slow", || sqlx::query("SELECT 7 FROM pg_sleep(1)"));
    assert!(
        tokio::time::timeout(Duration::from_millis(50), slow)
            .await
            .is_err()
    );
    let row = pg.one_trip("test.insert", || insert(1, 5)).await.unwrap();
    assert_eq!(row.unwrap().get::<i32, _>(0), 5);
}

#[tokio::test]
async fn there_are_no_more_connections_than_were_asked_for() {
    let (db, admin) = database().await;
    let config = PgConfig {
        one_trip_connections: 2,
        ..db.config()
    };
    let pg = Pg::connect(&config, "two_lines").await.unwrap();
    let many =
        (0..6).map(|_| pg.one_trip("test.many", || sqlx::query("SELECT 1 FROM pg_sleep(0.02)")));
    for ended in futures::future::join_all(many).await {
        ended.unwrap();
    }
    // One of the pool's own beside them.
    let open: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'two_lines'",
    )
    .fetch_one(admin.pool())
    .await
    .unwrap();
    assert_eq!(open, 3);
}
