//! For every check a violation is planted, on copies of the services' own tables without what guards them, and seen found.

use hexcab_testkit::TestDb;
use serde_json::{Value, json};
use sqlx::migrate::Migrator;

use super::*;

static TRIP: Migrator = sqlx::migrate!("../trip/migrations");
static PAYMENT: Migrator = sqlx::migrate!("../payment/migrations");
static PRICING: Migrator = sqlx::migrate!("../pricing/migrations");
static SANDBOX: Migrator = sqlx::migrate!("../payment/sandbox-migrations");

const T: &str = "00000000-0000-0000-0000-000000000001";
const RIDER: &str = "00000000-0000-0000-0000-00000000000a";
const DRIVER: &str = "00000000-0000-0000-0000-00000000000d";
const INTENT: &str = "00000000-0000-0000-0000-000000000011";

mod money;

/// A database with a service's tables, unguarded: no constraint, no trigger.
async fn unguarded(name: &str, migrator: &Migrator, tables: &[&str]) -> (TestDb, PgConnection) {
    let db = TestDb::create(name).await;
    let pg = db.connect().await;
    hexcab_bus::migrate(&pg).await.unwrap();
    pg.migrate(migrator).await.unwrap();
    let mut connection = PgConnection::connect(&db.url()).await.unwrap();
    let mut sql = "CREATE SCHEMA planted;".to_owned();
    for table in tables {
        sql += &format!("CREATE TABLE planted.{table} (LIKE public.{table} INCLUDING DEFAULTS);");
    }
    if tables.contains(&"bus_tables") {
        sql += "INSERT INTO planted.bus_tables SELECT * FROM public.bus_tables;";
    }
    sql += "SET search_path = planted, public";
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await
        .unwrap();
    (db, connection)
}

struct City {
    databases: Databases,
    /// Held, because they go when dropped.
    _servers: Vec<TestDb>,
}

async fn city() -> City {
    let bus = ["outbox", "inbox", "bus_tables"];
    let (a, trip) = unguarded(
        "vtrip",
        &TRIP,
        &[&["trips", "trip_events", "requests"][..], &bus].concat(),
    )
    .await;
    let (b, payment) = money::database(&bus).await;
    let (c, pricing) = unguarded("vpricing", &PRICING, &bus).await;
    let (d, sandbox) = unguarded(
        "vsandbox",
        &SANDBOX,
        &["payment_intents", "refunds", "disputes"],
    )
    .await;
    City {
        databases: Databases {
            trip,
            payment,
            pricing,
            sandbox,
        },
        _servers: vec![a, b, c, d],
    }
}

async fn put(connection: &mut PgConnection, table: &str, row: Value) {
    let columns: Vec<&str> = row
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let list = columns.join(", ");
    let sql = format!(
        "INSERT INTO {table} ({list}) SELECT {list} FROM jsonb_populate_record(NULL::{table}, $1)"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(&row)
        .execute(connection)
        .await
        .unwrap_or_else(|error| panic!("{table}: {error}"));
}

async fn change(connection: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
}

fn trip_row(state: &str) -> Value {
    let at = "2008-05-31T00:00:00Z";
    json!({"id": T, "version": 1, "epoch": 0, "state": state, "last_event": "TripRequested", "rider": RIDER, "city": "sf",
        "product": "standard", "pickup_lat_e7": 0, "pickup_lon_e7": 0, "dropoff_lat_e7": 0, "dropoff_lon_e7": 0,
        "quote": T, "currency": "USD", "fare_minor": 1000, "driver_pay_minor": 700, "tax_minor": 50,
        "cancellation_minor": 0, "duration_s": 60, "distance_m": 500, "start_code": "1234", "created_at": at,
        "request_expires_at": "2008-05-31T00:08:00Z", "excluded_drivers": [], "excluded_epochs": [],
        "excluded_reasons": [], "payment_method": "CARD", "updated_at": at})
}

fn event_id(version: i32) -> String {
    format!("00000000-0000-0000-0000-0000000001{version:02}")
}

/// A trip with these events, told, and the money that goes with it: a city in order.
async fn ride(city: &mut City, kinds: &[&str], state: &str, money: &str) {
    let mut row = trip_row(state);
    let ended = matches!(state, "COMPLETED" | "CANCELLED" | "EXPIRED");
    let charge = if state == "COMPLETED" { 1000 } else { 0 };
    row["version"] = json!(kinds.len());
    row["last_event"] = json!(kinds.last().unwrap());
    row["charge_minor"] = if ended { json!(charge) } else { Value::Null };
    row["driver_due_minor"] = if ended {
        json!(charge * 7 / 10)
    } else {
        Value::Null
    };
    row["driver"] = if state == "COMPLETED" {
        json!(DRIVER)
    } else {
        Value::Null
    };
    let databases = &mut city.databases;
    put(&mut databases.trip, "trips", row).await;
    for (version, kind) in (1..).zip(kinds) {
        let event = json!({"trip": T, "version": version, "kind": kind, "occurred_at": "2008-05-31T00:00:00Z",
            "event": event_id(version), "payload": ""});
        put(&mut databases.trip, "trip_events", event).await;
        let told = format!("hexcab.trip.v1.{kind}");
        tell(
            &mut databases.trip,
            &event_id(version),
            "hexcab.trip.v1",
            &told,
            &format!("trips/{T}"),
        )
        .await;
        if matches!(
            *kind,
            "TripRequested" | "TripActivated" | "TripCompleted" | "TripCancelled" | "TripExpired"
        ) {
            take(&mut databases.payment, "payment", &event_id(version), &told).await;
        }
        if matches!(*kind, "TripRequested" | "TripActivated") {
            take(&mut databases.pricing, "pricing", &event_id(version), &told).await;
        }
    }
    money::put(databases, money).await;
}

async fn tell(connection: &mut PgConnection, id: &str, topic: &str, kind: &str, subject: &str) {
    sqlx::query(
        "INSERT INTO outbox (seq, event_id, topic, key, kind, source, subject, occur_time, payload)
         VALUES ((SELECT count(*) FROM outbox), $1::text::uuid, $2, '', $3, '', $4, now(), '')",
    )
    .bind(id)
    .bind(topic)
    .bind(kind)
    .bind(subject)
    .execute(connection)
    .await
    .unwrap();
}

async fn take(connection: &mut PgConnection, consumer: &str, id: &str, kind: &str) {
    sqlx::query(
        "INSERT INTO inbox (consumer, event_id, kind, subject) VALUES ($1, $2::text::uuid, $3, '')",
    )
    .bind(consumer)
    .bind(id)
    .bind(kind)
    .execute(connection)
    .await
    .unwrap();
}

/// The names of checks that found something, at a moment before any deadline. Events here have no payload, so that what
/// reads payloads (its own tests do) complains, and is left out.
async fn failed(city: &mut City) -> Vec<&'static str> {
    let now = "2008-05-31T00:01:00Z".parse().unwrap();
    let outcomes = once(&mut city.databases, now, 5.0).await.unwrap();
    outcomes
        .iter()
        .filter(|one| one.violations > 0 && one.name != "I2 readable")
        .map(|one| one.name)
        .collect()
}

const WHOLE: [&str; 6] = [
    "TripRequested",
    "OfferMade",
    "OfferAccepted",
    "DriverArrived",
    "TripStarted",
    "TripCompleted",
];

#[tokio::test]
async fn a_city_in_order_has_no_violations() {
    let mut city = city().await;
    assert!(failed(&mut city).await.is_empty(), "an empty one");
    ride(&mut city, &WHOLE, "COMPLETED", "CAPTURED").await;
    assert_eq!(failed(&mut city).await, Vec::<&str>::new());
}

#[tokio::test]
async fn a_booked_trip_has_no_money_on_hold_until_its_time_comes() {
    let mut city = city().await;
    ride(&mut city, &["TripScheduled"], "SCHEDULED", "HELD").await;
    assert!(failed(&mut city).await.contains(&"money of trips"));

    let mut city = self::city().await;
    let activated = ["TripScheduled", "TripActivated"];
    ride(&mut city, &activated, "REQUESTED", "HELD").await;
    assert_eq!(failed(&mut city).await, Vec::<&str>::new());
}

#[tokio::test]
async fn what_is_wrong_with_a_finished_trip_is_found() {
    let plants: &[(&str, &str)] = &[
        ("I2 numbers", "UPDATE trips SET version = 7"),
        ("I2 numbers", "DELETE FROM trip_events WHERE version = 3"),
        (
            "I2 orphans",
            "INSERT INTO trip_events SELECT gen_random_uuid(), 1, kind, occurred_at, event, payload FROM trip_events WHERE version = 1",
        ),
        ("I2 state", "UPDATE trips SET state = 'EXPIRED'"),
        (
            "I2 state",
            "UPDATE trip_events SET kind = 'TripStarted' WHERE version = 4",
        ),
        (
            "I3 terminal",
            "UPDATE trip_events SET kind = 'TripCancelled' WHERE version = 5",
        ),
        (
            "I6 requests",
            "INSERT INTO requests (request_id, body_hash, asked_at) VALUES (gen_random_uuid(), '', now())",
        ),
        ("I6 quotes", "INSERT INTO trips SELECT * FROM trips"),
        (
            "I7 outbox",
            "DELETE FROM outbox WHERE kind LIKE '%OfferMade'",
        ),
        (
            "I7 outbox",
            "UPDATE outbox SET event_id = gen_random_uuid() WHERE kind LIKE '%OfferMade'",
        ),
        (
            "events trip→payment",
            "UPDATE trip_events SET event = gen_random_uuid() WHERE version = 6; UPDATE outbox SET event_id = (SELECT event FROM trip_events WHERE version = 6) WHERE kind LIKE '%Completed'",
        ),
        ("events payment→trip", "DELETE FROM inbox"),
        ("money of trips", "UPDATE trips SET charge_minor = 900"),
        (
            "money of trips",
            "UPDATE trips SET rider = gen_random_uuid()",
        ),
        ("money of trips", "UPDATE trips SET driver_due_minor = 701"),
        ("drivers owed", "UPDATE trips SET driver_due_minor = 701"),
        ("money of trips", "UPDATE trips SET tax_minor = 51"),
        ("money of trips", "UPDATE trips SET payment_method = 'CASH'"),
    ];
    for (check, sql) in plants {
        let mut city = city().await;
        ride(&mut city, &WHOLE, "COMPLETED", "CAPTURED").await;
        change(&mut city.databases.trip, sql).await;
        let failed = failed(&mut city).await;
        assert!(
            failed.contains(check),
            "{check} not in {failed:?} after {sql}"
        );
    }
}

/// What the outboxes dropped after its time is no violation; what they have is still compared.
#[tokio::test]
async fn events_that_were_dropped_after_their_time_are_not_missed() {
    let mut city = city().await;
    ride(&mut city, &WHOLE, "COMPLETED", "CAPTURED").await;
    for database in [&mut city.databases.trip, &mut city.databases.payment] {
        change(database, "DELETE FROM outbox").await;
    }
    assert!(failed(&mut city).await.contains(&"I7 outbox"));
    let dropped = "UPDATE bus_tables SET kept_from = '00000000-0000-0000-ffff-000000000000'";
    for database in [&mut city.databases.trip, &mut city.databases.payment] {
        change(database, dropped).await;
    }
    assert_eq!(failed(&mut city).await, Vec::<&str>::new());
}

#[tokio::test]
async fn what_is_wrong_with_an_open_trip_is_found() {
    let second = "INSERT INTO trips (id, version, epoch, state, last_event, rider, city, product, pickup_lat_e7, pickup_lon_e7, \
        dropoff_lat_e7, dropoff_lon_e7, quote, currency, fare_minor, driver_pay_minor, tax_minor, cancellation_minor, duration_s, \
        distance_m, start_code, created_at, request_expires_at, excluded_drivers, excluded_epochs, excluded_reasons, updated_at, \
        offer_driver, payment_method) SELECT gen_random_uuid(), version, epoch, state, last_event, rider, city, product, 0, 0, 0, 0, \
        gen_random_uuid(), currency, fare_minor, 0, 0, 0, 0, 0, start_code, created_at, request_expires_at, '{}', '{}', '{}', \
        updated_at, offer_driver, payment_method FROM trips";
    let plants: &[(&str, &str)] = &[
        ("I1 rider", second),
        ("I1 driver", second),
        (
            "I9 deadlines",
            "UPDATE trips SET request_expires_at = '2008-05-30T23:00:00Z', offer_expires_at = '2008-05-30T23:00:00Z'",
        ),
        ("I9 deadlines", "UPDATE trips SET offer_expires_at = NULL"),
    ];
    for (check, sql) in plants {
        let mut city = city().await;
        ride(
            &mut city,
            &["TripRequested", "OfferMade"],
            "OFFERED",
            "HELD",
        )
        .await;
        let open =
            "UPDATE trips SET offer_driver = rider, offer_expires_at = '2008-05-31T00:02:00Z'";
        change(&mut city.databases.trip, open).await;
        assert_eq!(failed(&mut city).await, Vec::<&str>::new());
        change(&mut city.databases.trip, sql).await;
        let failed = failed(&mut city).await;
        assert!(
            failed.contains(check),
            "{check} not in {failed:?} after {sql}"
        );
    }
}

#[tokio::test]
async fn a_charge_that_nobody_knows_and_an_event_that_pricing_missed_are_found() {
    let mut city = city().await;
    ride(&mut city, &WHOLE, "COMPLETED", "CAPTURED").await;
    change(&mut city.databases.sandbox, "INSERT INTO payment_intents SELECT 'pi_9', 9, 5, 0, currency, 'requires_capture', payment_method FROM payment_intents").await;
    change(&mut city.databases.pricing, "DELETE FROM inbox").await;
    let failed = failed(&mut city).await;
    assert_eq!(failed, ["events trip→pricing", "processor"]);
}

#[tokio::test]
async fn a_verifying_session_cannot_write() {
    let db = TestDb::create("readonly").await;
    let mut connection = open(&db.url()).await.unwrap();
    let error = sqlx::raw_sql("CREATE TABLE t ()")
        .execute(&mut connection)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("read-only"), "{error}");
}
