//! From the outbox to the broker.

use std::sync::Arc;

use hexcab_bus::{outbox, topic};
use hexcab_pg::PgError;
use hexcab_testkit::eventually;
use hexcab_types::Timestamp;
use sqlx::AssertSqlSafe;

use crate::{
    Bench, Seen,
    effects::{self, Effects},
    event, subjects,
};

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_in_order_with_their_headers() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    bench.consume(&[topic::TRIP], seen.clone());
    bench.relay();
    let subjects = subjects(20);
    for subject in &subjects {
        bench.write(subject).await;
    }
    assert_eq!(seen.until(20).await, subjects);
    let first = seen.events.lock()[0].clone();
    assert_eq!(
        (
            first.kind.as_str(),
            first.source.as_str(),
            first.key.as_str()
        ),
        ("hexcab.trip.v1.Test", "trip", "sf")
    );
    assert_eq!(first.time, Timestamp::from_timestamp(1_000, 0).unwrap());
    assert_eq!(&first.payload[..], b"trips/0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_change_publishes_nothing() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    bench.consume(&[topic::TRIP], seen.clone());
    bench.relay();
    let mut undone = bench.transaction().await;
    outbox::append(&mut undone, &event("trips/undone"))
        .await
        .unwrap();
    undone.rollback().await.unwrap();
    bench.write("trips/done").await;
    assert_eq!(seen.until(1).await, ["trips/done"]);
}

/// As the trip store does it: change and event are one statement.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_may_be_appended_in_the_statement_of_its_change() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    bench.consume(&[topic::TRIP], seen.clone());
    bench.relay();
    sqlx::query("CREATE TABLE changes (event uuid, version bigint)")
        .execute(bench.pg.pool())
        .await
        .unwrap();
    let told = &event("trips/1");
    let id = outbox::new_id();
    let both = format!(
        "WITH told AS ({} RETURNING event_id) INSERT INTO changes SELECT event_id, $10 FROM told",
        outbox::INSERT
    );
    let both = both.as_str();
    bench
        .pg
        .serializable("test.fold", |mut tx| async move {
            let query = sqlx::query(AssertSqlSafe(both.to_owned()));
            let done = outbox::bind(query, id, told).bind(7_i64);
            done.execute(&mut *tx).await?;
            Ok::<_, PgError>(())
        })
        .await
        .unwrap();
    assert_eq!(seen.until(1).await, ["trips/1"]);
    assert_eq!(seen.events.lock()[0].id, id);
    let given = outbox::COLUMNS.split(", ").count();
    assert_eq!(given, 9, "what is bound and what is listed");
}

/// The relay's process is killed when the broker has the batch and the cursor has not moved. The next one sends the batch
/// again under the same ids, and the inbox absorbs that.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_killed_between_send_and_cursor_loses_nothing_and_doubles_no_effect() {
    let bench = Bench::new().await;
    let (seen, kept) = (
        Arc::new(Seen::default()),
        Effects::new(&bench.pg, "payment").await,
    );
    bench.consume(&[topic::TRIP], seen.clone());
    bench.member("effects", &[topic::TRIP], kept);
    for subject in subjects(3) {
        bench.write(&subject).await;
    }
    let hold = bench.hold_cursor().await;
    let killed = bench.relay();
    bench.until_waiting_for_cursor(1).await;
    seen.until(3).await;
    killed.abort();
    let gone: bool = bench
        .ask(
            "SELECT bool_and(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity \
             WHERE datname = current_database() AND query LIKE 'UPDATE outbox_cursor%'",
        )
        .await;
    assert!(gone);
    hold.rollback().await.unwrap();
    let cursor: i64 = bench.ask("SELECT seq FROM outbox_cursor").await;
    assert_eq!(cursor, 0, "it was killed before the cursor moved");

    bench.relay();
    bench.write("trips/3").await;
    let twice = [subjects(3), subjects(4)].concat();
    assert_eq!(seen.until(7).await, twice);
    assert_eq!(seen.distinct(), 4, "a repeated event keeps its id");
    effects::until(bench.pg.pool(), 4).await;
    assert_eq!(effects::of(bench.pg.pool()).await, subjects(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_relays_one_publishes_each_event_once() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    bench.consume(&[topic::TRIP], seen.clone());
    for subject in subjects(3) {
        bench.write(&subject).await;
    }
    let hold = bench.hold_cursor().await;
    bench.relay();
    bench.relay();
    // One has sent the batch; the other has asked for the lock, and asked again.
    bench.until_waiting_for_cursor(1).await;
    let asked = parking_lot::Mutex::new(std::collections::BTreeSet::new());
    eventually(|| async {
        let at: Option<String> = bench
            .ask(
                "SELECT max(query_start)::text FROM pg_stat_activity WHERE datname = current_database() \
                 AND query LIKE 'SELECT pg_try_advisory_lock%'",
            )
            .await;
        let mut asked = asked.lock();
        asked.extend(at);
        (asked.len() >= 2).then_some(())
    })
    .await;
    bench.until_waiting_for_cursor(1).await;
    hold.rollback().await.unwrap();
    for n in 3..30 {
        bench.write(&format!("trips/{n}")).await;
    }
    seen.until(30).await;
    bench.until_polled().await;
    assert_eq!(seen.subjects(), subjects(30));
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_relay_that_leads_dies_another_goes_on() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    bench.consume(&[topic::TRIP], seen.clone());
    let leader = bench.relay();
    bench.write("trips/0").await;
    seen.until(1).await;
    bench.relay();
    bench.until_polled().await;
    leader.abort();
    for n in 1..20 {
        bench.write(&format!("trips/{n}")).await;
    }
    assert_eq!(seen.until(20).await, subjects(20));
}

/// The cursor is set back, as `republish` does it, in a transaction that ends only when the relay has published a batch
/// and waits to move the cursor: a relay that moves it from wherever it is undoes the republishing.
#[tokio::test(flavor = "multi_thread")]
async fn republishing_while_a_batch_is_on_its_way_is_not_undone() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    bench.consume(&[topic::TRIP], seen.clone());
    bench.write("trips/0").await;
    bench.write("trips/1").await;

    let mut back = bench.pg.pool().begin_with("BEGIN").await.unwrap();
    sqlx::query(
        "UPDATE outbox_cursor SET tx_id = first.tx_id, seq = first.seq - 1 \
         FROM (SELECT tx_id, seq FROM outbox ORDER BY tx_id, seq LIMIT 1) first",
    )
    .execute(&mut *back)
    .await
    .unwrap();
    bench.relay();
    bench.until_waiting_for_cursor(1).await;
    back.commit().await.unwrap();

    let subjects = seen.until(4).await;
    assert_eq!(subjects, ["trips/0", "trips/1", "trips/0", "trips/1"]);
}
