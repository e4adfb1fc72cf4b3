//! A server that is away, and those who want it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use hexcab_chassis::{Readiness, Tasks};
use hexcab_pg::{Pg, PgConfig};
use hexcab_testkit::{TestDb, eventually};
use tokio::net::TcpListener;

use crate::proxied;

/// Knocks are counted where the server was, and nobody is let in.
async fn gatekeeper(tasks: &Tasks) -> (SocketAddr, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let knocks = Arc::new(AtomicU32::new(0));
    let counted = knocks.clone();
    tasks.spawn("gatekeeper", async move {
        let mut waiting = Vec::new();
        while let Ok((knocking, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            waiting.push(knocking);
        }
        Ok(())
    });
    (addr, knocks)
}

/// Without that, every caller would wait in the server's queue and leave it again, and it would let in nobody but those who
/// have gone.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_server_is_away_one_knocks_and_all_are_let_in_when_it_is_back() {
    let db = TestDb::create("away").await;
    let (proxy, config) = proxied(&db).await;
    let config = PgConfig {
        acquire_timeout_ms: 100,
        ..config
    };
    let pg = Pg::connect(&config, "test").await.unwrap();
    let (readiness, tasks) = (Readiness::new(), Tasks::new());
    let component = readiness.component("postgres");
    tasks.spawn("watch", pg.clone().watch(component, tasks.shutdown()));
    let becomes = |ready| {
        let readiness = &readiness;
        eventually(move || async move { (readiness.is_ready() == ready).then_some(()) })
    };
    becomes(true).await;

    let (addr, knocks) = gatekeeper(&tasks).await;
    let server = proxy.set_upstream(addr);
    proxy.cut();
    becomes(false).await;
    // The watcher is knocking; from now on a second long everybody wants in, by both ways.
    eventually(|| async { (knocks.load(Ordering::Relaxed) > 0).then_some(()) }).await;
    let already = knocks.load(Ordering::Relaxed);
    let wanting = |n: u32| {
        let pg = pg.clone();
        async move {
            for _ in 0..5 {
                if n.is_multiple_of(2) {
                    assert!(!pg.is_there().await);
                } else {
                    let asked = pg.one_trip("test", || sqlx::query("SELECT 1")).await;
                    assert!(asked.is_err_and(|error| error.is_unavailable()));
                }
            }
        }
    };
    futures::future::join_all((0..24).map(wanting)).await;
    let more = knocks.load(Ordering::Relaxed) - already;
    assert!(more <= 1, "{more} connections were tried");

    proxy.set_upstream(server);
    proxy.cut();
    becomes(true).await;
    assert!(pg.is_there().await);
    let answer = pg.one_trip("test", || sqlx::query("SELECT 1")).await;
    assert!(answer.unwrap().is_some());
    tasks.stop(Duration::from_secs(5)).await;
}
