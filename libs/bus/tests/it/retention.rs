//! Partitions made ahead and dropped after their time, and what is never dropped.

use std::{sync::Arc, time::Duration};

use hexcab_bus::{
    Outgoing, outbox,
    retention::{self, Keep, Table, Tended},
    topic,
};
use hexcab_pg::{Pg, PgError};
use hexcab_telemetry::metrics::{KeyValue, in_memory};
use hexcab_testkit::eventually;
use hexcab_types::{EventId, Timestamp};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::{Bench, Seen, event, subjects};

const DAY: Duration = Duration::from_secs(86_400);
const KEEP: Keep = Keep {
    outbox: Duration::from_secs(7 * 86_400),
    inbox: Duration::from_secs(45 * 86_400),
};

async fn now(bench: &Bench) -> Timestamp {
    bench.ask("SELECT clock_timestamp()").await
}

/// Tends so many days from now.
async fn tend_in(bench: &Bench, days: u32) -> Tended {
    let then = now(bench).await + DAY * days;
    retention::tend(&bench.pg, KEEP, then).await.unwrap()
}

/// An id that is made so many days from now.
fn id_in(days: u32) -> EventId {
    let ms = u128::from(days) * DAY.as_millis();
    Uuid::from_u128(outbox::new_id().uuid().as_u128() + (ms << 80)).into()
}

async fn append(bench: &Bench, id: EventId, event: Outgoing) -> Result<(), PgError> {
    let event = &event;
    bench
        .pg
        .serializable("test.append", |mut tx| async move {
            let row = outbox::bind(sqlx::query(outbox::INSERT), id, event);
            row.execute(&mut *tx).await?;
            Ok(())
        })
        .await
}

async fn partition_of(bench: &Bench, subject: &str) -> String {
    sqlx::query_scalar("SELECT tableoid::regclass::text FROM outbox WHERE subject = $1")
        .bind(subject)
        .fetch_one(bench.pg.pool())
        .await
        .unwrap()
}

/// Publishes everything there is.
async fn publish(bench: &Bench, count: usize) {
    let seen = Arc::new(Seen::default());
    bench.consume(&[topic::TRIP], seen.clone());
    bench.relay();
    seen.until(count).await;
    bench.until_all_sent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_there_before_their_time() {
    let bench = Bench::new().await;
    for days in 0..3 {
        let subject = format!("trips/{days}");
        append(&bench, id_in(days), event(&subject)).await.unwrap();
        let partition = partition_of(&bench, &subject).await;
        assert!(partition.starts_with("outbox_2"), "{partition}");
    }
    let begins: bool = bench
        .ask("SELECT from_time <= now() AND now() < to_time FROM bus_partitions WHERE parent = 'outbox' ORDER BY from_time LIMIT 1")
        .await;
    assert!(begins, "the first one is of today");
    assert_eq!(tend_in(&bench, 0).await, Tended::default());
    let tomorrow = tend_in(&bench, 1).await;
    assert_eq!(tomorrow.made, 1, "{tomorrow:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_may_prepare_at_once() {
    let bench = Bench::new().await;
    let then = now(&bench).await + DAY * 5;
    let all = futures::future::join_all((0..6).map(|_| retention::prepare(&bench.pg, then)));
    let made: Vec<i32> = all.await.into_iter().map(Result::unwrap).collect();
    let outboxes: i64 = bench
        .ask("SELECT count(*) FROM bus_partitions WHERE parent = 'outbox'")
        .await;
    assert!(made.iter().sum::<i32>() >= 3, "{made:?}");
    let contiguous: bool = bench
        .ask("SELECT bool_and(to_time - from_time = interval '1 day') AND count(DISTINCT from_time) = count(*) FROM bus_partitions WHERE parent = 'outbox'")
        .await;
    assert!(contiguous && outboxes >= 6, "{outboxes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_goes_with_its_partition_after_its_time() {
    let bench = Bench::new().await;
    append(&bench, id_in(0), event("trips/0")).await.unwrap();
    append(&bench, id_in(1), event("trips/1")).await.unwrap();
    publish(&bench, 2).await;
    assert_eq!(tend_in(&bench, 7).await.dropped, Vec::<String>::new());
    assert_eq!(
        retention::goes_back_to(&bench.pg, Table::Outbox)
            .await
            .unwrap(),
        None
    );

    let tended = tend_in(&bench, 8).await;
    assert_eq!(tended.dropped.len(), 1, "{tended:?}");
    assert_eq!(tended.held, None);
    let left: String = bench
        .ask("SELECT string_agg(subject, ' ') FROM outbox")
        .await;
    assert_eq!(left, "trips/1");
    let ends: Timestamp = bench
        .ask("SELECT min(from_time) FROM bus_partitions WHERE parent = 'outbox'")
        .await;
    assert_eq!(
        retention::goes_back_to(&bench.pg, Table::Outbox)
            .await
            .unwrap(),
        Some(ends)
    );
    // What is gone cannot be sent again; what is left can.
    let count = hexcab_bus::republish(&bench.pg, Timestamp::UNIX_EPOCH)
        .await
        .unwrap();
    assert_eq!(count, 1);
}

/// The broker is away for longer than events are kept: nothing is lost for that.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_published_is_never_dropped() {
    let bench = Bench::new().await;
    for subject in subjects(3) {
        bench.write(&subject).await;
    }
    let tended = tend_in(&bench, 30).await;
    assert_eq!(
        tended
            .dropped
            .iter()
            .filter(|name| name.starts_with("outbox"))
            .count(),
        0
    );
    assert_eq!(tended.held, Some(partition_of(&bench, "trips/0").await));
    publish(&bench, 3).await;
    let tended = tend_in(&bench, 30).await;
    assert!(
        tended.dropped.len() > 1 && tended.held.is_none(),
        "{tended:?}"
    );
    assert_eq!(bench.ask::<i64>("SELECT count(*) FROM outbox").await, 0);
}

/// An appender is at it when the partition is to go: neither waits for the other for long, and the row stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_written_to_is_not_dropped() {
    let bench = Bench::new().await;
    bench.write("trips/0").await;
    publish(&bench, 1).await;
    let mut late = bench.transaction().await;
    outbox::append(&mut late, &event("trips/late"))
        .await
        .unwrap();
    let tended = tend_in(&bench, 8).await;
    assert_eq!(
        (tended.dropped.len(), tended.held),
        (0, None),
        "it is in use"
    );
    late.commit().await.unwrap();
    bench.until_all_sent().await;
    assert_eq!(tend_in(&bench, 8).await.dropped.len(), 1);
}

/// The row is committed after the partition was looked at and before its lock was had.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_committed_just_before_the_lock_is_seen() {
    let bench = Bench::new().await;
    bench.write("trips/0").await;
    publish(&bench, 1).await;
    bench.tasks.shutdown().cancel();
    let mut late = bench.transaction().await;
    outbox::append(&mut late, &event("trips/late"))
        .await
        .unwrap();
    // Patient, so that it gets its lock when the appender ends.
    sqlx::query("ALTER FUNCTION bus_drop_oldest SET lock_timeout = '20s'")
        .execute(bench.pg.pool())
        .await
        .unwrap();
    let (tended, ()) = tokio::join!(tend_in(&bench, 8), async {
        eventually(|| async {
            let waits: bool = bench
                .ask(
                    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
                     AND wait_event_type = 'Lock' AND query LIKE '%bus_drop_oldest($1%')",
                )
                .await;
            waits.then_some(())
        })
        .await;
        late.commit().await.unwrap();
    });
    assert_eq!(tended.dropped, Vec::<String>::new());
    assert_eq!(tended.held, Some(partition_of(&bench, "trips/late").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_is_not_dropped_by_an_old_snapshot() {
    let bench = Bench::new().await;
    let mut transaction = bench.transaction().await;
    let refused = sqlx::query("SELECT bus_drop_oldest('outbox', now() + interval '30 days')")
        .execute(&mut *transaction)
        .await;
    let refused = PgError::from(refused.unwrap_err());
    assert!(
        refused
            .message()
            .unwrap()
            .contains("outside of a transaction"),
        "{refused:?}"
    );
}

/// Appends go on while partitions are dropped: none fails, and none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn appends_go_on_while_partitions_are_dropped() {
    let bench = Bench::new().await;
    for days in 1..20 {
        retention::prepare(&bench.pg, now(&bench).await + DAY * days)
            .await
            .unwrap();
    }
    let appends = async {
        for n in 0..300 {
            append(&bench, id_in(25), event(&format!("trips/{n}")))
                .await
                .unwrap();
        }
    };
    // A day at a time, so that there is one to drop all along; one that is in use goes later.
    let drops = async {
        for days in 8..27 {
            tend_in(&bench, days).await;
        }
    };
    tokio::join!(appends, drops);
    eventually(|| async {
        tend_in(&bench, 26).await;
        let old: i64 = bench
            .ask("SELECT count(*) FROM bus_partitions WHERE parent = 'outbox' AND to_time <= now() + interval '19 days'")
            .await;
        (old == 0).then_some(())
    })
    .await;
    assert_eq!(bench.ask::<i64>("SELECT count(*) FROM outbox").await, 300);
}

/// Ids of a clock that is far off, or of another kind, have no partition: they are published all the same, and go when
/// they are old.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_never_fails_for_want_of_a_partition() {
    let bench = Bench::new().await;
    let odd = Uuid::from_u128(0xffff_4000_8000_0000_0000_0000).into();
    append(&bench, id_in(400), event("trips/0")).await.unwrap();
    append(&bench, odd, event("trips/1")).await.unwrap();
    for subject in subjects(2) {
        assert_eq!(partition_of(&bench, &subject).await, "outbox_rest");
    }
    let unsent = tend_in(&bench, 30).await;
    assert_eq!(unsent.swept, 0, "not before they are published: {unsent:?}");
    publish(&bench, 2).await;
    assert_eq!(tend_in(&bench, 6).await.swept, 0);
    assert_eq!(tend_in(&bench, 8).await.swept, 2);
    assert_eq!(bench.ask::<i64>("SELECT count(*) FROM outbox").await, 0);
}

/// Nobody tended for a week, and rows of today are in the rest: they stay there, and tomorrow has its partition.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_came_before_their_partition_stay_where_they_are() {
    let bench = Bench::new().await;
    append(&bench, id_in(10), event("trips/0")).await.unwrap();
    assert_eq!(partition_of(&bench, "trips/0").await, "outbox_rest");
    tend_in(&bench, 10).await;
    append(&bench, id_in(10), event("trips/1")).await.unwrap();
    append(&bench, id_in(11), event("trips/2")).await.unwrap();
    assert_eq!(partition_of(&bench, "trips/1").await, "outbox_rest");
    assert!(
        partition_of(&bench, "trips/2")
            .await
            .starts_with("outbox_2")
    );
    publish(&bench, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_there_once_in_all_partitions() {
    let bench = Bench::new().await;
    for id in [id_in(0), id_in(2), id_in(400)] {
        append(&bench, id, event("trips/0")).await.unwrap();
        let again = append(&bench, id, event("trips/1")).await.unwrap_err();
        assert_eq!(again.sqlstate().as_deref(), Some("23505"), "{again:?}");
    }
}

/// A service that may append, consume and relay, and nothing else: all of this goes on for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_need_not_own_its_tables() {
    let bench = Bench::new().await;
    let role = format!("{}_role", bench.pg.database());
    let make = format!("CREATE ROLE {role} NOLOGIN; SELECT bus_grant('{role}')");
    sqlx::raw_sql(AssertSqlSafe(make))
        .execute(bench.pg.pool())
        .await
        .unwrap();
    let owner = bench.pg.clone();
    let bench = Bench {
        pg: Pg::connect_as(&bench.db.config(), "test", &role)
            .await
            .unwrap(),
        ..bench
    };
    let changed = sqlx::query("UPDATE outbox SET payload = ''")
        .execute(bench.pg.pool())
        .await;
    assert_eq!(
        PgError::from(changed.unwrap_err()).sqlstate().as_deref(),
        Some("42501")
    );
    bench.write("trips/0").await;
    publish(&bench, 1).await;
    let tended = tend_in(&bench, 9).await;
    assert!(tended.made > 0 && tended.dropped.len() == 2, "{tended:?}");
    bench.write("trips/1").await;
    let count = hexcab_bus::republish(&bench.pg, Timestamp::UNIX_EPOCH)
        .await
        .unwrap();
    assert_eq!(count, 1);
    bench.tasks.stop(Duration::from_secs(10)).await;
    bench.pg.pool().close().await;
    let drop = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    sqlx::raw_sql(AssertSqlSafe(drop))
        .execute(owner.pool())
        .await
        .unwrap();
}

/// The relay that leads does all that by itself, and says what it cannot.
#[tokio::test(flavor = "multi_thread")]
async fn the_relay_that_leads_tends_the_partitions() {
    let bench = Bench::new().await;
    bench.write("trips/0").await;
    // As if today's had been a month ago.
    let long_ago = "UPDATE bus_partitions SET from_time = from_time - interval '30 days', to_time = to_time - interval '30 days' \
                    WHERE parent = 'outbox' AND now() BETWEEN from_time AND to_time";
    sqlx::query(long_ago)
        .execute(bench.pg.pool())
        .await
        .unwrap();
    let hold = bench.hold_cursor().await;
    bench.relay();
    bench.until_waiting_for_cursor(1).await;
    let measured = in_memory();
    let of = [KeyValue::new(
        "db.namespace",
        bench.pg.database().to_owned(),
    )];
    assert_eq!(measured.value("hexcab.outbox.held", &of), 1.0);
    assert_eq!(bench.ask::<i64>("SELECT count(*) FROM outbox").await, 1);
    hold.rollback().await.unwrap();
    bench.relay();
    bench.tasks.stop(Duration::from_secs(10)).await;

    // The next one that leads finds it published.
    let bench = Bench {
        tasks: hexcab_chassis::Tasks::new(),
        ..bench
    };
    bench.relay();
    eventually(|| async {
        let left: i64 = bench.ask("SELECT count(*) FROM outbox").await;
        (left == 0).then_some(())
    })
    .await;
    eventually(|| async { (measured.value("hexcab.outbox.held", &of) == 0.0).then_some(()) }).await;
}
