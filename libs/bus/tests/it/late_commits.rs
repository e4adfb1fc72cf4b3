//! A row that is committed after younger ones: what a relay by `seq` loses, and ours does not.

use std::sync::Arc;

use hexcab_bus::{outbox, topic};
use hexcab_pg::Pg;

use crate::{Bench, Seen, event};

/// What an outbox relay looks like that remembers the last `seq` it has sent.
#[derive(Default)]
struct Naive {
    last: i64,
    sent: Vec<String>,
}

impl Naive {
    async fn poll(&mut self, pg: &Pg) {
        let rows: Vec<(i64, String)> =
            sqlx::query_as("SELECT seq, subject FROM outbox WHERE seq > $1 ORDER BY seq")
                .bind(self.last)
                .fetch_all(pg.pool())
                .await
                .unwrap();
        for (seq, subject) in rows {
            self.last = seq;
            self.sent.push(subject);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_commit_is_not_skipped_and_a_relay_by_seq_skips_it() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    bench.consume(&[topic::TRIP], seen.clone());
    bench.relay();
    let mut naive = Naive::default();

    // The late one takes its seq first, the early one is committed first.
    let mut late = bench.transaction().await;
    outbox::append(&mut late, &event("trips/late"))
        .await
        .unwrap();
    bench.write("trips/early").await;
    // Both relays look while only the early one can be seen …
    naive.poll(&bench.pg).await;
    bench.until_polled().await;
    late.commit().await.unwrap();
    // … and again when both can.
    naive.poll(&bench.pg).await;

    assert_eq!(naive.sent, ["trips/early"], "the late row is lost to it");
    assert_eq!(seen.until(2).await, ["trips/late", "trips/early"]);
}

/// The same with a transaction that was only begun: it has no id yet, and what it writes comes after what others have
/// committed meanwhile. It holds nobody up.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_has_written_nothing_holds_nobody_up() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    bench.consume(&[topic::TRIP], seen.clone());
    bench.relay();
    let mut slow = bench.transaction().await;
    sqlx::query("SELECT count(*) FROM outbox")
        .execute(&mut *slow)
        .await
        .unwrap();
    bench.write("trips/early").await;
    assert_eq!(seen.until(1).await, ["trips/early"]);
    outbox::append(&mut slow, &event("trips/slow"))
        .await
        .unwrap();
    slow.commit().await.unwrap();
    assert_eq!(seen.until(2).await, ["trips/early", "trips/slow"]);
}
