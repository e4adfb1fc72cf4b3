//! Waiting for tables that somebody else makes.

use std::{borrow::Cow, time::Duration};

use hexcab_chassis::Secret;
use hexcab_pg::{Pg, PgConfig, PgError};
use hexcab_proxy::{Mode, Proxy};
use hexcab_testkit::TestDb;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

/// These statements as migrations 1, 2, …
fn migrator(table: &'static str, statements: &[&'static str]) -> Migrator {
    let migrations = statements.iter().zip(1..).map(|(sql, version)| {
        Migration::new(
            version,
            Cow::Borrowed("a table"),
            MigrationType::Simple,
            sqlx::SqlStr::from_static(sql),
            false,
        )
    });
    let mut migrator = Migrator {
        migrations: Cow::Owned(migrations.collect()),
        ..Migrator::DEFAULT
    };
    migrator.dangerous_set_table_name(table);
    migrator
}

const A: &str = "CREATE TABLE a (id int)";
const B: &str = "CREATE TABLE b (id int)";

/// Whether it is still waited after a while that is longer than one look.
async fn waits(config: &PgConfig, schema: &[&Migrator]) -> bool {
    let connecting = Pg::connect_migrated(config, "test", schema);
    tokio::time::timeout(Duration::from_millis(1_500), connecting)
        .await
        .is_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_migration_of_every_kind_is_waited_for() {
    let db = TestDb::create("schema").await;
    let (pg, config) = (db.connect().await, db.config());
    let (one, two) = (migrator("one", &[A]), migrator("two", &[B]));
    assert!(waits(&config, &[&one]).await);
    pg.migrate(&one).await.unwrap();
    assert!(waits(&config, &[&one, &two]).await);
    let both = [&one, &two];
    let waiting = Pg::connect_migrated(&config, "test", &both);
    let (connected, migrated) = tokio::join!(waiting, pg.migrate(&two));
    migrated.unwrap();
    assert!(connected.unwrap().is_there().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_ahead_is_good_enough_and_one_that_differs_is_not() {
    let db = TestDb::create("schema").await;
    let (pg, config) = (db.connect().await, db.config());
    pg.migrate(&migrator("one", &[A, B])).await.unwrap();
    let older = migrator("one", &[A]);
    Pg::connect_migrated(&config, "test", &[&older])
        .await
        .unwrap();
    let other = migrator("one", &[B]);
    let refused = Pg::connect_migrated(&config, "test", &[&other]).await;
    assert!(
        matches!(
            refused,
            Err(PgError::Migrate(MigrateError::VersionMismatch(1)))
        ),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_yet_is_waited_for_and_a_url_that_is_none_is_not() {
    let db = TestDb::create("schema").await;
    let one = migrator("one", &[A]);
    let server = db.url();
    let (before, rest) = server.split_once('@').unwrap();
    let (address, path) = rest.split_once('/').unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let proxy = Proxy::start(any, address.parse().unwrap()).await.unwrap();
    proxy.set(Mode::Refuse);
    let config = PgConfig {
        url: Secret::new(format!("{before}@{}/{path}", proxy.addr())),
        ..PgConfig::default()
    };
    assert!(waits(&config, &[&one]).await);
    let migrating = async {
        let pg = Pg::connect_to_migrate(&config, "test").await.unwrap();
        pg.migrate(&one).await.unwrap();
    };
    let comes = async {
        tokio::task::yield_now().await;
        proxy.set(Mode::Pass);
    };
    let schema = [&one];
    let (served, (), ()) = tokio::join!(
        Pg::connect_migrated(&config, "test", &schema),
        migrating,
        comes
    );
    assert!(served.unwrap().is_there().await);

    let wrong = PgConfig {
        url: Secret::new("no URL"),
        ..PgConfig::default()
    };
    assert!(Pg::connect_migrated(&wrong, "test", &[]).await.is_err());
    assert!(Pg::connect_to_migrate(&wrong, "test").await.is_err());
}
