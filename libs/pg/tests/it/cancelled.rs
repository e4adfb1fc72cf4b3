//! Callers who do not wait for their transaction.

use std::{sync::atomic::AtomicU32, time::Duration};

use hexcab_pg::{Pg, PgConfig};
use hexcab_proxy::Mode;
use hexcab_testkit::eventually;

use crate::{add, counter, proxied, value};

/// How long the server's answer is on its way: longer than its caller waits.
const LATENCY: Duration = Duration::from_millis(300);

/// sqlx would give the connection to the next as it is, in a transaction that nobody commits.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_begin_nobody_waits_for_is_over_before_its_connection_is_used_again() {
    let (db, direct) = counter().await;
    let (proxy, config) = proxied(&db).await;
    let config = PgConfig {
        max_connections: 1,
        ..config
    };
    let pg = Pg::connect(&config, "test").await.unwrap();
    assert_eq!(value(&pg).await, 0);

    proxy.set(Mode::Slow(LATENCY));
    let runs = AtomicU32::new(0);
    tokio::select! {
        added = add(&pg, 1, &runs) => panic!("{added:?}"),
        () = is_in_a_transaction(&direct) => {}
    }
    proxy.set(Mode::Pass);

    sqlx::query("UPDATE counter SET value = 7")
        .execute(pg.pool())
        .await
        .unwrap();
    assert_eq!(value(&direct).await, 7, "what was done is not committed");
}

/// Waits until somebody else has begun one and does nothing in it.
async fn is_in_a_transaction(pg: &Pg) {
    let somebody = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'";
    eventually(|| async {
        let found = sqlx::query(somebody).fetch_optional(pg.pool()).await;
        found.unwrap().map(|_| ())
    })
    .await;
}
