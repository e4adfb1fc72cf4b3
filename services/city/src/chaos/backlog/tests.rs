//! What is left to do is seen in the services' own tables, each kind of it, and what is done or came later is not.

use hexcab_bus::{Outgoing, outbox, topic};
use hexcab_pg::{Pg, PgError};
use hexcab_testkit::TestDb;
use sqlx::migrate::Migrator;

use super::*;
use crate::verify::open;

static TRIP: Migrator = sqlx::migrate!("../trip/migrations");
static PAYMENT: Migrator = sqlx::migrate!("../payment/migrations");
static PRICING: Migrator = sqlx::migrate!("../pricing/migrations");

async fn migrated(name: &str, migrator: &Migrator) -> (TestDb, Pg) {
    let db = TestDb::create(name).await;
    let pg = db.connect().await;
    hexcab_bus::migrate(&pg).await.unwrap();
    // Only payment has books; elsewhere they are empty.
    let mut ledger = sqlx::migrate!("../payment/ledger/migrations");
    ledger.dangerous_set_table_name("_hexcab_ledger_migrations");
    pg.migrate(&ledger).await.unwrap();
    pg.migrate(migrator).await.unwrap();
    (db, pg)
}

async fn write_event(pg: &Pg) -> uuid::Uuid {
    let event = Outgoing {
        topic: topic::TRIP,
        key: "sf".into(),
        kind: "hexcab.trip.v1.TripRequested".into(),
        source: "trip",
        subject: "trips/1".into(),
        time: Timestamp::UNIX_EPOCH,
        payload: Vec::new(),
        traceparent: None,
    };
    let event = &event;
    let id = pg
        .serializable("test.event", |mut tx| async move {
            let id = outbox::append(&mut tx, event).await?;
            Ok::<_, PgError>(id)
        })
        .await;
    id.unwrap().uuid()
}

async fn change(pg: &Pg, sql: &'static str) {
    sqlx::raw_sql(sql).execute(pg.pool()).await.unwrap();
}

#[tokio::test]
async fn what_is_left_from_before_is_seen_and_what_came_later_is_not() {
    let (a, trip) = migrated("btrip", &TRIP).await;
    let (b, payment) = migrated("bpayment", &PAYMENT).await;
    let (c, pricing) = migrated("bpricing", &PRICING).await;
    let mut databases = Databases {
        trip: open(&a.url()).await.unwrap(),
        payment: open(&b.url()).await.unwrap(),
        pricing: open(&c.url()).await.unwrap(),
        sandbox: open(&b.url()).await.unwrap(),
    };
    let none = across::oldest_undelivered(&mut databases).await.unwrap();
    assert_eq!(none, None);
    let mut left = async |by: Timestamp| {
        let mut left = in_rows(&mut databases, by).await.unwrap();
        left.retain(|_, count| *count > 0);
        left.into_iter().collect::<Vec<_>>()
    };
    let now = || Clock::system().now();
    assert_eq!(left(now()).await, []);

    let before = now();
    let event = write_event(&trip).await;
    assert_eq!(left(before).await, [], "it came later");
    let waits = ("events in the outbox of trip".to_owned(), 1);
    let missing = ("undelivered events trip→pricing".to_owned(), 1);
    assert_eq!(left(now()).await, [waits.clone(), missing.clone()]);

    change(
        &trip,
        "UPDATE outbox_cursor SET tx_id = o.tx_id, seq = o.seq FROM outbox o",
    )
    .await;
    assert_eq!(left(now()).await, [missing]);

    sqlx::query("INSERT INTO inbox (consumer, event_id, kind, subject) VALUES ('pricing', $1, 'hexcab.trip.v1.TripRequested', '')")
        .bind(event)
        .execute(pricing.pool())
        .await
        .unwrap();
    assert_eq!(left(now()).await, []);

    // The guards of payment's tables are payment's to test.
    change(
        &payment,
        "SET session_replication_role = replica;
         INSERT INTO intents (id, trip, rider, method, state, asked, currency, amount_minor, created_at, updated_at)
         VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'CARD', 'UNKNOWN', 'hold', 'USD', 100, now(), now());
         INSERT INTO work (intent, ordinal, step) SELECT id, 1, 'hold' FROM intents;
         SET session_replication_role = origin",
    )
    .await;
    let unknown = ("unknown intents".to_owned(), 1);
    let work = ("work of payment".to_owned(), 1);
    assert_eq!(left(before).await, [], "it came later");
    assert_eq!(left(now()).await, [unknown, work]);
    change(&payment, "UPDATE work SET finished_at = now()").await;
    assert_eq!(left(now()).await, []);

    // Whoever must be told again hears it from there on.
    let earlier = now();
    write_event(&trip).await;
    let oldest = across::oldest_undelivered(&mut databases).await.unwrap();
    assert!(
        oldest.is_some_and(|at| at >= earlier && at <= now()),
        "{oldest:?}"
    );
}
