//! Tables that are made beforehand.

use std::time::Duration;

use hexcab_pg::PgConfig;
use hexcab_pricing::store::Store;
use hexcab_testkit::TestDb;

#[tokio::test(flavor = "multi_thread")]
async fn what_migrate_makes_is_all_that_pricing_waits_for() {
    let db = TestDb::create("pricing_migrate").await;
    let config = PgConfig {
        migrate_at_start: false,
        ..db.config()
    };
    let early = tokio::time::timeout(Duration::from_secs(1), Store::connect(&config)).await;
    assert!(early.is_err(), "it began without its tables");
    Store::migrate(&config).await.unwrap();
    let connected = tokio::time::timeout(Duration::from_secs(20), Store::connect(&config)).await;
    assert!(connected.expect("it waits for something else").is_ok());
}
