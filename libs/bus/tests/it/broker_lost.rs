//! A broker that comes back empty: the outbox is sent again, and the inbox takes in only what it has not had.

use std::sync::Arc;

use hexcab_bus::{Producer, topic};
use hexcab_testkit::Broker;
use hexcab_types::Timestamp;

use crate::{
    Bench, Seen,
    effects::{self, Effects},
    event, subjects,
};

/// Six events are published, three are consumed, the broker is lost with the rest. All relays and consumers begin again at
/// an empty broker, as processes do that are started anew.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_republish_every_event_has_had_its_effect_once() {
    let mut bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    let relay = bench.relay();
    bench.consume(&[topic::TRIP], seen.clone());
    let kept = Effects::new(&bench.pg, "payment").await;
    let member = bench.member("effects", &[topic::TRIP], kept);
    for subject in subjects(3) {
        bench.write(&subject).await;
    }
    effects::until(bench.pg.pool(), 3).await;
    member.abort();
    for n in 3..6 {
        bench.write(&format!("trips/{n}")).await;
    }
    seen.until(6).await;
    relay.abort();

    bench.broker = Broker::start();
    bench.broker.create_topic(topic::TRIP, 1);
    let again = Arc::new(Seen::default());
    bench.member("again", &[topic::TRIP], again.clone());
    let kept = Effects::new(&bench.pg, "payment").await;
    bench.member("effects", &[topic::TRIP], kept);
    bench.relay();
    bench.until_polled().await;
    assert_eq!(again.subjects().len(), 0, "the cursor has passed them all");

    let count = hexcab_bus::republish(&bench.pg, Timestamp::UNIX_EPOCH)
        .await
        .unwrap();
    assert_eq!(count, 6);
    assert_eq!(again.until(6).await, subjects(6));
    let ids = |seen: &Seen| -> Vec<_> { seen.events.lock().iter().map(|event| event.id).collect() };
    assert_eq!(ids(&seen), ids(&again), "an event keeps its id");
    effects::until(bench.pg.pool(), 6).await;
    assert_eq!(effects::of(bench.pg.pool()).await, subjects(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_republish_goes_back_to_the_time_that_was_named() {
    let bench = Bench::new().await;
    let seen = Arc::new(Seen::default());
    bench.consume(&[topic::TRIP], seen.clone());
    bench.relay();
    bench.write("trips/0").await;
    seen.until(1).await;
    let since: Timestamp = bench.ask("SELECT clock_timestamp()").await;
    bench.write("trips/1").await;
    seen.until(2).await;
    let count = hexcab_bus::republish(&bench.pg, since).await.unwrap();
    assert_eq!(count, 1);
    assert_eq!(seen.until(3).await, ["trips/0", "trips/1", "trips/1"]);
    // A time to come: nothing is sent, and the cursor stays.
    let later = since + std::time::Duration::from_secs(3_600);
    assert_eq!(hexcab_bus::republish(&bench.pg, later).await.unwrap(), 0);
    bench.write("trips/2").await;
    assert_eq!(seen.until(4).await[3..], ["trips/2"]);
}

/// The cursor moves every few milliseconds, and counting takes longer than that.
#[tokio::test(flavor = "multi_thread")]
async fn a_republish_is_heard_while_the_relay_is_busy() {
    const MANY: i64 = 5_000;
    let bench = Bench::new().await;
    sqlx::query(
        "INSERT INTO outbox (event_id, topic, key, kind, source, subject, occur_time, payload) \
         SELECT overlay(gen_random_uuid()::text PLACING prefix FROM 1)::uuid, \
                $1, 'sf', 'x', 'trip', 'trips/' || n, now(), '' \
         FROM left(bus_id_at(now())::text, 13) prefix, generate_series(1, $2) n",
    )
    .bind(topic::TRIP)
    .bind(MANY)
    .execute(bench.pg.pool())
    .await
    .unwrap();
    bench.relay();
    for _ in 0..5 {
        let before: i64 = bench.ask("SELECT seq FROM outbox_cursor").await;
        hexcab_testkit::eventually(|| async {
            let now: i64 = bench.ask("SELECT seq FROM outbox_cursor").await;
            (now > before.max(50)).then_some(())
        })
        .await;
        let sent = hexcab_bus::republish(&bench.pg, Timestamp::UNIX_EPOCH).await;
        assert_eq!(sent.unwrap(), u64::try_from(MANY).unwrap());
        let back: i64 = bench.ask("SELECT seq FROM outbox_cursor").await;
        assert!(back < MANY, "{back}");
    }
}

/// The database was dumped and restored into another server, whose transactions are numbered from the beginning: what was
/// sent is behind the cursor, what was not is not, and what is new comes after both.
#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_restored_into_another_server_goes_on() {
    let bench = Bench::new().await;
    for subject in subjects(4) {
        bench.write(&subject).await;
    }
    let elsewhere = "UPDATE outbox SET tx_id = (1000000000000 + seq)::text::xid8; \
                     UPDATE outbox_cursor SET tx_id = '1000000000002', seq = 2";
    sqlx::raw_sql(elsewhere)
        .execute(bench.pg.pool())
        .await
        .unwrap();
    let seen = Arc::new(Seen::default());
    bench.consume(&[topic::TRIP], seen.clone());
    let relay = bench.relay();
    bench.write("trips/4").await;
    assert_eq!(seen.until(3).await, ["trips/2", "trips/3", "trips/4"]);
    // Once is enough: a relay that begins again finds nothing to do.
    bench.until_all_sent().await;
    relay.abort();
    bench.write("trips/5").await;
    bench.relay();
    assert_eq!(seen.until(4).await[3..], ["trips/5"]);
    let numbered_anew: bool = bench.ask("SELECT bus_rebase()").await;
    assert!(!numbered_anew);
}

/// What was not sent yet is sent once: the cursor never goes forward.
#[tokio::test(flavor = "multi_thread")]
async fn a_republish_skips_nothing_that_still_waits() {
    let bench = Bench::new().await;
    bench.write("trips/0").await;
    let since: Timestamp = bench.ask("SELECT clock_timestamp()").await;
    bench.write("trips/1").await;
    assert_eq!(hexcab_bus::republish(&bench.pg, since).await.unwrap(), 1);
    let seen = Arc::new(Seen::default());
    bench.consume(&[topic::TRIP], seen.clone());
    bench.relay();
    assert_eq!(seen.until(2).await, subjects(2));
    // Events of a producer go past the outbox, and are not sent again.
    let producer = Producer::connect(&bench.config()).unwrap();
    producer.publish(event("trips/2")).await.unwrap();
    assert_eq!(seen.until(3).await, subjects(3));
}
