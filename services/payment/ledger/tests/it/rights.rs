//! The service's role adds transfers and can change nothing, whatever becomes of the triggers.

use futures::future::join_all;
use hexcab_chassis::Secret;
use hexcab_ledger::{Account, Limits, Outcome};
use hexcab_pg::{Pg, PgConfig, embedded};
use hexcab_types::Currency;
use sqlx::AssertSqlSafe;

use crate::rig::{Rig, at, driver, pend_for, post, post_pending, rider};

/// insufficient_privilege
const NO_RIGHT: &str = "42501";

async fn as_service(rig: &Rig) -> Pg {
    Pg::connect_as(&rig.db.config(), "test", hexcab_ledger::ROLE)
        .await
        .expect("connect as the service")
}

async fn sqlstate(pg: &Pg, statement: &str) -> Option<String> {
    let ran = sqlx::query(AssertSqlSafe(statement.to_owned()))
        .execute(pg.pool())
        .await;
    let error = ran.err()?.into_database_error()?;
    error.code().map(|code| code.into_owned())
}

#[tokio::test]
async fn the_service_does_its_work_under_its_role() {
    let rig = Rig::start("role_work").await;
    let service = Rig {
        pg: as_service(&rig).await,
        ..rig
    };
    let who: String = sqlx::query_scalar("SELECT current_user::text")
        .fetch_one(service.pg.pool())
        .await
        .unwrap();
    assert_eq!(who, hexcab_ledger::ROLE);
    let hold = pend_for(Account::Processor, rider(1), 900, 60);
    let lapsed = pend_for(Account::Processor, rider(1), 900, 5);
    let capture = [post_pending(&hold, 500), post(rider(1), driver(1), 500)];
    assert_eq!(
        service.submit(&[hold, lapsed]).await.unwrap(),
        Outcome::Applied
    );
    assert_eq!(service.submit(&capture).await.unwrap(), Outcome::Applied);
    assert_eq!(
        service.submit(&capture).await.unwrap(),
        Outcome::AlreadyThere
    );
    assert_eq!(service.expire(at(9), 5).await, [lapsed.id]);
    service
        .set_limits(driver(1), Limits::DEBITS_MUST_NOT_EXCEED_CREDITS)
        .await
        .unwrap();
    assert_eq!(service.usd(driver(1)).await, [500, 0, 0]);
    let mut conn = service.pg.pool().acquire().await.unwrap();
    let trial = hexcab_ledger::trial_balance(&mut conn).await.unwrap();
    assert_eq!(trial.totals[0].0, Currency::Usd);
    assert_eq!(hexcab_ledger::violations(&mut conn).await.unwrap(), []);
}

#[tokio::test]
async fn the_service_cannot_change_the_ledger_even_without_triggers() {
    let rig = Rig::start("role_rights").await;
    rig.submit(&[post(rider(1), driver(1), 5)]).await.unwrap();
    let triggers: Vec<(String, String)> = sqlx::query_as(
        "SELECT tgrelid::regclass::text, tgname::text FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid
         WHERE NOT tgisinternal AND relnamespace = 'ledger'::regnamespace AND tgname <> 'transfers_post'",
    )
    .fetch_all(rig.pg.pool())
    .await
    .unwrap();
    assert!(triggers.len() > 8, "{triggers:?}");
    for (table, trigger) in triggers {
        let drop = format!("DROP TRIGGER {trigger} ON {table}");
        sqlx::query(AssertSqlSafe(drop))
            .execute(rig.pg.pool())
            .await
            .unwrap();
    }
    let service = as_service(&rig).await;
    for statement in [
        "UPDATE ledger.transfers SET amount_minor = 1",
        "DELETE FROM ledger.transfers",
        "TRUNCATE ledger.transfers",
        "INSERT INTO ledger.entries OVERRIDING SYSTEM VALUE SELECT * FROM ledger.entries",
        "UPDATE ledger.entries SET posted_minor = 1",
        "DELETE FROM ledger.entries",
        "TRUNCATE ledger.entries",
        "INSERT INTO ledger.pendings SELECT * FROM ledger.pendings",
        "UPDATE ledger.pendings SET amount_minor = 1",
        "DELETE FROM ledger.pendings",
        "TRUNCATE ledger.pendings",
        "INSERT INTO ledger.balances SELECT * FROM ledger.balances",
        "UPDATE ledger.balances SET credits_posted = 1",
        "DELETE FROM ledger.balances",
        "TRUNCATE ledger.balances",
        "UPDATE ledger.settings SET hot_shards = 1",
        "DELETE FROM ledger.settings",
        "ALTER TABLE ledger.transfers DISABLE TRIGGER ALL",
        "DROP TABLE ledger.transfers",
        "SET session_replication_role = replica",
    ] {
        assert_eq!(
            sqlstate(&service, statement).await.as_deref(),
            Some(NO_RIGHT),
            "{statement}"
        );
    }
    assert_eq!(rig.usd(driver(1)).await, [5, 0, 0]);
    assert_eq!(rig.violations().await, []);
}

#[tokio::test]
async fn nobody_else_has_any_right() {
    let rig = Rig::start("role_others").await;
    let granted: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.oid::regclass::text, a.grantee::regrole::text FROM pg_class c, aclexplode(c.relacl) a
         WHERE relnamespace = 'ledger'::regnamespace AND a.grantee NOT IN (c.relowner, 'hexcab_payment'::regrole)
         UNION ALL
         SELECT p.oid::regprocedure::text, a.grantee::text
         FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
         WHERE pronamespace = 'ledger'::regnamespace AND a.grantee NOT IN (p.proowner, 'hexcab_payment'::regrole)",
    )
    .fetch_all(rig.pg.pool())
    .await
    .unwrap();
    assert_eq!(granted, []);
}

#[tokio::test]
async fn many_databases_of_a_new_cluster_are_migrated_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let options = embedded::Options::for_tests(dir.path().join("pg"));
    let server = embedded::Postgres::start(options)
        .await
        .expect("start Postgres");
    let names: Vec<String> = (0..8).map(|n| format!("ledger_{n}")).collect();
    for name in &names {
        server.create_database(name).await.unwrap();
    }
    let migrated = join_all(names.iter().map(async |name| {
        let config = PgConfig {
            url: Secret::new(server.url(name)),
            max_connections: 2,
            statement_timeout_ms: 30_000,
            acquire_timeout_ms: 30_000,
            lock_timeout_ms: 30_000,
            ..PgConfig::default()
        };
        let pg = Pg::connect(&config, "test").await.unwrap();
        // Two replicas of the service begin at once.
        let both = join_all([hexcab_ledger::migrate(&pg), hexcab_ledger::migrate(&pg)]).await;
        both.into_iter().collect::<Result<Vec<()>, _>>()
    }))
    .await;
    for (name, migrated) in names.iter().zip(migrated) {
        migrated.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
    server.stop().await;
}
