//! Callers who do not wait for their transaction.

use std::{net::SocketAddr, sync::atomic::AtomicU32, time::Duration};

use hexcab_chassis::Secret;
use hexcab_pg::{Pg, PgConfig};
use hexcab_proxy::{Mode, Proxy};

use crate::{add, counter, value};

/// Longer than its caller waits.
const LATENCY: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_millis(50);

/// sqlx would give the connection to the next as it is, in a transaction that nobody commits.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_begin_nobody_waits_for_is_over_before_its_connection_is_used_again() {
    let (db, direct) = counter().await;
    let server = db.url();
    let (before, rest) = server.split_once('@').unwrap();
    let (address, path) = rest.split_once('/').unwrap();
    let upstream: SocketAddr = address.parse().unwrap();
    let proxy = Proxy::start("127.0.0.1:0".parse().unwrap(), upstream)
        .await
        .unwrap();
    let config = PgConfig {
        url: Secret::new(format!("{before}@{}/{path}", proxy.addr())),
        max_connections: 1,
        ..PgConfig::default()
    };
    let pg = Pg::connect(&config, "test").await.unwrap();
    assert_eq!(value(&pg).await, 0);

    proxy.set(Mode::Slow(LATENCY));
    let runs = AtomicU32::new(0);
    let begun = tokio::time::timeout(PATIENCE, add(&pg, 1, &runs)).await;
    assert!(begun.is_err(), "{begun:?}");
    proxy.set(Mode::Pass);

    sqlx::query("UPDATE counter SET value = 7")
        .execute(pg.pool())
        .await
        .unwrap();
    assert_eq!(value(&direct).await, 7, "what was done is not committed");
}
