//! The second guard: raw SQL that goes round the code is stopped by Postgres, by the guard named. Each test then takes
//! that guard away and sees the same SQL go through: a guard that is not missed is not a guard.

use hexcab_pg::PgError;
use hexcab_trip::domain::Command;
use hexcab_types::TripId;
use sqlx::AssertSqlSafe;

use crate::fixture::*;

mod lives;
mod plain;

/// How to take a guard away.
enum Guard {
    /// One of the rules in the CHECK of trips.
    Check,
    /// A CHECK or key of this table.
    Of(&'static str),
    /// A unique index.
    Index,
    /// One of the rules in a trigger of this table.
    Trigger(&'static str, &'static str),
}

const ON_UPDATE: Guard = Guard::Trigger("trips", "guard_update");
const ON_INSERT: Guard = Guard::Trigger("trips", "guard_insert");
const ON_ORDER: Guard = Guard::Trigger("trips", "guard_order");
const TOLD: Guard = Guard::Trigger("trips", "guard_told");
const HAPPENED: Guard = Guard::Trigger("trip_events", "guard_happened");

async fn run(store: &Store, sql: &str) -> Result<(), PgError> {
    store
        .pg
        .serializable("test", |mut tx| async move {
            sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
                .execute(&mut *tx)
                .await?;
            Ok::<_, PgError>(())
        })
        .await
}

/// The SQL is refused by the guard of this name, and by nothing else.
async fn guarded(store: &Store, guard: Guard, name: &str, sql: &str) {
    let refused = run(store, sql).await.expect_err(name);
    assert_eq!(refused.constraint(), Some(name), "{refused:?}");
    let removal = match guard {
        Guard::Check => without(store, name).await,
        Guard::Of(table) => format!("ALTER TABLE {table} DROP CONSTRAINT {name} CASCADE"),
        Guard::Index => format!("DROP INDEX {name}"),
        Guard::Trigger(table, trigger) => format!("ALTER TABLE {table} DISABLE TRIGGER {trigger}"),
    };
    run(store, &removal).await.unwrap();
    run(store, sql)
        .await
        .unwrap_or_else(|error| panic!("{name} is not the only guard: {error:?}"));
}

/// SQL that takes one rule out of the CHECK of trips, and leaves the others.
async fn without(store: &Store, rule: &str) -> String {
    let check: String = sqlx::query_scalar("SELECT pg_get_functiondef('trip_is_sound'::regproc)")
        .fetch_one(store.pg.pool())
        .await
        .unwrap();
    let (asked, rest) = check.split_once(&format!("THEN '{rule}'")).expect(rule);
    let (before, _) = asked.rsplit_once("WHEN NOT (").expect(rule);
    format!("{before}{rest}")
}

/// A step as it should be: event, outbox row and row change in one statement, apart from what `set` gets wrong.
fn step(trip: TripId, version: i64, event: &str, set: &str) -> String {
    told(
        trip,
        version,
        event,
        &format!(
            "UPDATE trips SET version = {version}, last_event = '{event}', {set} WHERE id = '{trip}'"
        ),
    )
}

fn told(trip: TripId, version: i64, event: &str, change: &str) -> String {
    format!(
        "WITH happened AS (
            INSERT INTO trip_events (trip, version, kind, occurred_at, event, payload)
            VALUES ('{trip}', {version}, '{event}', now(), gen_random_uuid(), '') RETURNING event),
        told AS (
            INSERT INTO outbox (event_id, topic, key, kind, source, subject, occur_time, payload)
            SELECT event, 'hexcab.trip.v1', 'sf', 'x', 'trip', 'trips/{trip}', now(), '' FROM happened)
        {change}"
    )
}

const NO_OFFER: &str = "offer_driver = NULL, offer_expires_at = NULL, offer_decision = NULL, offer_eta_s = NULL, offer_distance_m = NULL";
const ENDED: &str = "ended_at = now(), charge_minor = 0, driver_due_minor = 0";

const CANCELLED: &str =
    "state = 'CANCELLED', cancelled_by = 'RIDER_CHANGED_MIND', ended_at = now()";
/// The deadline of the state has passed.
const LATE: &str = "updated_at = due_at + interval '1 microsecond'";

fn offer(n: u128) -> String {
    format!(
        "state = 'OFFERED', epoch = epoch + 1, offer_driver = '{}', offer_expires_at = now(), offer_eta_s = 1, offer_distance_m = 1",
        driver(n)
    )
}

fn accepted(n: u128, epoch: i32, after_deadline: &str) -> String {
    format!(
        "state = 'EN_ROUTE', {NO_OFFER}, driver = '{}', accepted_epoch = {epoch}, \
         accepted_at = (SELECT offer_expires_at + interval '{after_deadline}' FROM trips t WHERE t.id = trips.id), stalls_at = now()",
        driver(n)
    )
}

/// The row of one trip copied as a new request, apart from these columns.
fn copied(from: TripId, id: TripId, changed: &[(&str, String)]) -> String {
    let columns = [
        "id",
        "version",
        "epoch",
        "state",
        "last_event",
        "rider",
        "city",
        "product",
        "pickup_lat_e7",
        "pickup_lon_e7",
        "dropoff_lat_e7",
        "dropoff_lon_e7",
        "quote",
        "currency",
        "fare_minor",
        "driver_pay_minor",
        "tax_minor",
        "cancellation_minor",
        "duration_s",
        "distance_m",
        "start_code",
        "payment_method",
        "created_at",
        "request_expires_at",
        "excluded_drivers",
        "excluded_epochs",
        "excluded_reasons",
        "updated_at",
    ];
    let value = |column: &str| match changed.iter().find(|(name, _)| *name == column) {
        Some((_, value)) => value.clone(),
        None if column == "id" => format!("'{id}'"),
        None if column == "quote" => "gen_random_uuid()".to_owned(),
        None if column == "rider" => "gen_random_uuid()".to_owned(),
        None => column.to_owned(),
    };
    let values = columns.map(value).join(", ");
    told(
        id,
        1,
        "TripRequested",
        &format!(
            "INSERT INTO trips ({}) SELECT {values} FROM trips WHERE id = '{from}'",
            columns.join(", ")
        ),
    )
}

fn fresh() -> TripId {
    TripId::from(uuid::Uuid::new_v4())
}

#[tokio::test]
async fn the_steps_of_these_tests_are_otherwise_right() {
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    run(&store, &step(trip, 2, "OfferMade", &offer(1)))
        .await
        .unwrap();
    run(
        &store,
        &step(trip, 3, "OfferAccepted", &accepted(1, 1, "1 second")),
    )
    .await
    .unwrap();
    run(
        &store,
        &copied(
            trip,
            fresh(),
            &[
                ("version", "1".into()),
                ("epoch", "0".into()),
                ("state", "'REQUESTED'".into()),
                ("last_event", "'TripRequested'".into()),
            ],
        ),
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn i1_a_rider_has_one_trip_at_a_time() {
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    let again = copied(trip, fresh(), &[("rider", "rider".into())]);
    guarded(&store, Guard::Index, "trips_one_alive_per_rider", &again).await;
}

#[tokio::test]
async fn i1_a_driver_is_asked_for_one_trip() {
    let store = Store::new().await;
    store.offered(1).await;
    let other = store.request(2).await.id;
    guarded(
        &store,
        Guard::Index,
        "trips_one_engagement_per_driver",
        &step(other, 2, "OfferMade", &offer(1)),
    )
    .await;
}

#[tokio::test]
async fn i1_a_driver_drives_one_trip() {
    let store = Store::new().await;
    let (one, other) = (store.offered(1).await.id, store.request(2).await.id);
    store
        .must(
            one,
            [accept(driver(1), 1), arrive(driver(1)), begin(driver(1))],
        )
        .await;
    guarded(
        &store,
        Guard::Index,
        "trips_one_engagement_per_driver",
        &step(other, 2, "OfferMade", &offer(1)),
    )
    .await;
}

#[tokio::test]
async fn a_quote_is_used_once() {
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    guarded(
        &store,
        Guard::Index,
        "trips_quote_once",
        &copied(trip, fresh(), &[("quote", "quote".into())]),
    )
    .await;
}

#[tokio::test]
async fn i2_versions_step_by_one() {
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    guarded(
        &store,
        ON_UPDATE,
        "trips_version_steps_by_one",
        &step(trip, 3, "OfferMade", &offer(1)),
    )
    .await;
}

#[tokio::test]
async fn i2_a_trip_begins_at_version_one() {
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    let id = fresh();
    let sql = copied(trip, id, &[("version", "2".into())])
        .replace(&format!("'{id}', 1, "), &format!("'{id}', 2, "));
    guarded(&store, ON_INSERT, "trips_version_steps_by_one", &sql).await;
}

#[tokio::test]
async fn i2_a_change_has_its_event() {
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    let silent = format!(
        "UPDATE trips SET version = 2, last_event = 'OfferMade', {} WHERE id = '{trip}'",
        offer(1)
    );
    guarded(&store, TOLD, "trips_version_has_its_event", &silent).await;
}

#[tokio::test]
async fn i2_an_event_has_its_change() {
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    let invented = told(trip, 2, "OfferMade", "SELECT");
    guarded(&store, HAPPENED, "trip_events_happened", &invented).await;
}

#[tokio::test]
async fn i2_trips_and_events_are_kept() {
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    for sql in [
        "UPDATE trip_events SET payload = ''",
        "DELETE FROM trip_events",
    ] {
        let store = Store::new().await;
        store.request(1).await;
        guarded(
            &store,
            Guard::Trigger("trip_events", "guard_kept"),
            "trip_events_are_kept",
            sql,
        )
        .await;
    }
    let sql = format!(
        "ALTER TABLE trip_events DISABLE TRIGGER guard_kept; DELETE FROM trip_events WHERE trip = '{trip}'; \
         DELETE FROM trips WHERE id = '{trip}'"
    );
    guarded(
        &store,
        Guard::Trigger("trips", "guard_delete"),
        "trips_are_kept",
        &sql,
    )
    .await;
}

#[tokio::test]
async fn i3_nothing_leads_out_of_an_end() {
    for (command, back) in [
        (cancel(rider(1)), "TripReleased"),
        (force(), "OfferDeclined"),
    ] {
        let store = Store::new().await;
        let trip = store.request(1).await.id;
        store.must(trip, [command]).await;
        let undead = "state = 'REQUESTED', ended_at = NULL, charge_minor = NULL, driver_due_minor = NULL, cancelled_by = NULL, cancel_operator = NULL, cancel_note = NULL";
        guarded(
            &store,
            ON_UPDATE,
            "trips_transition_is_known",
            &step(trip, 3, back, undead),
        )
        .await;
    }
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    store.advance(481);
    store.must(trip, [Command::ExpireRequest]).await;
    guarded(
        &store,
        ON_UPDATE,
        "trips_transition_is_known",
        &step(
            trip,
            3,
            "OfferMade",
            &format!(
                "{}, ended_at = NULL, charge_minor = NULL, driver_due_minor = NULL",
                offer(1)
            ),
        ),
    )
    .await;
}

#[tokio::test]
async fn i3_a_completed_trip_stays_so() {
    let store = Store::new().await;
    let trip = store.offered(1).await.id;
    let ride = [
        accept(driver(1), 1),
        arrive(driver(1)),
        begin(driver(1)),
        Command::Complete { driver: driver(1) },
    ];
    store.must(trip, ride).await;
    let undone = "state = 'CANCELLED', cancelled_by = 'RIDER_CHANGED_MIND', charge_minor = 0, driver_due_minor = 0";
    guarded(
        &store,
        ON_UPDATE,
        "trips_transition_is_known",
        &step(trip, 7, "TripCancelled", undone),
    )
    .await;
}

#[tokio::test]
async fn a_ride_under_way_is_not_skipped_to() {
    let store = Store::new().await;
    let trip = store.offered(1).await.id;
    let skipped = format!(
        "{}, arrived_at = now(), no_show_from = now(), started_at = now(), waiting_fee_minor = 0",
        accepted(1, 1, "0").replace("EN_ROUTE", "IN_PROGRESS")
    );
    guarded(
        &store,
        ON_UPDATE,
        "trips_transition_is_known",
        &step(trip, 3, "TripStarted", &skipped),
    )
    .await;
}

#[tokio::test]
async fn i3_an_edge_leads_where_it_leads_and_no_further() {
    let store = Store::new().await;
    let trip = store.offered(1).await.id;
    let there = accepted(1, 1, "0").replace("EN_ROUTE", "ARRIVED");
    let skipped = format!("{there}, arrived_at = now(), no_show_from = now()");
    let sql = step(trip, 3, "OfferAccepted", &skipped);
    guarded(&store, ON_UPDATE, "trips_transition_is_known", &sql).await;
}

#[tokio::test]
async fn i4_an_acceptance_is_in_time() {
    let store = Store::new().await;
    let trip = store.offered(1).await.id;
    let late = step(
        trip,
        3,
        "OfferAccepted",
        &accepted(1, 1, "1.000001 seconds"),
    );
    guarded(&store, ON_UPDATE, "trips_acceptance_in_time", &late).await;
}

#[tokio::test]
async fn i4_an_acceptance_is_of_the_open_offer() {
    for (by, epoch) in [(2, 2), (3, 1)] {
        let store = Store::new().await;
        let trip = store.offered(1).await.id;
        store
            .must(trip, [decline(driver(1), 1), offer_to(driver(2))])
            .await;
        let sql = step(
            trip,
            5,
            "OfferAccepted",
            &accepted(by, if epoch == 2 { 1 } else { 2 }, "0"),
        );
        guarded(
            &store,
            ON_UPDATE,
            "trips_acceptance_of_the_open_offer",
            &sql,
        )
        .await;
    }
}

#[tokio::test]
async fn i4_epochs_count_offers() {
    for wrong in ["epoch = epoch", "epoch = epoch + 2"] {
        let store = Store::new().await;
        let trip = store.request(1).await.id;
        let sql = step(
            trip,
            2,
            "OfferMade",
            &offer(1).replace("epoch = epoch + 1", wrong),
        );
        guarded(&store, ON_UPDATE, "trips_epoch_counts_offers", &sql).await;
    }
}

#[tokio::test]
async fn i7_a_change_is_in_the_outbox() {
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    let mute = format!(
        "UPDATE trips SET version = 2, last_event = 'OfferMade', {} WHERE id = '{trip}';
         INSERT INTO trip_events (trip, version, kind, occurred_at, event, payload)
         SELECT trip, 2, 'OfferMade', now(), event, '' FROM trip_events WHERE trip = '{trip}'",
        offer(1)
    );
    guarded(&store, TOLD, "trips_change_is_in_the_outbox", &mute).await;
}

#[tokio::test]
async fn i7_the_outbox_row_is_about_this_trip() {
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    let other =
        step(trip, 2, "OfferMade", &offer(1)).replace(&format!("trips/{trip}"), "trips/another");
    guarded(&store, TOLD, "trips_change_is_in_the_outbox", &other).await;
}

#[tokio::test]
async fn i6_an_answer_is_kept_as_it_was_given() {
    const KEPT: Guard = Guard::Trigger("requests", "guard_answer");
    for forged in [
        "UPDATE requests SET version = 2",
        "UPDATE requests SET trip = NULL, version = NULL, refusal = 'TRIP_CANCELLED'",
        "UPDATE requests SET body_hash = sha256('another')",
        "DELETE FROM requests",
    ] {
        let store = Store::new().await;
        store.request(1).await;
        guarded(&store, KEPT, "requests_answer_is_kept", forged).await;
    }
    // Nor does a question change while it waits for its answer.
    for forged in [
        "UPDATE requests SET body_hash = sha256('another')",
        "DELETE FROM requests",
    ] {
        let store = Store::new().await;
        let asked = "INSERT INTO requests VALUES (gen_random_uuid(), sha256('one'), now())";
        run(&store, asked).await.unwrap();
        guarded(&store, KEPT, "requests_answer_is_kept", forged).await;
    }
}

#[tokio::test]
async fn a_trip_whose_code_was_guessed_at_too_often_does_not_start() {
    let store = Store::new().await;
    let trip = store.offered(1).await.id;
    store
        .must(trip, [accept(driver(1), 1), arrive(driver(1))])
        .await;
    for n in 0..10 {
        let wrong = Command::Start {
            driver: driver(1),
            code: hexcab_trip::domain::StartCode::of(n),
        };
        assert!(store.execute(trip, wrong).await.is_err());
    }
    let started = step(
        trip,
        5,
        "TripStarted",
        "state = 'IN_PROGRESS', started_at = now(), waiting_fee_minor = 0",
    );
    guarded(&store, ON_UPDATE, "trips_start_is_not_locked", &started).await;
}

#[tokio::test]
async fn i8_no_offer_to_who_was_asked_in_vain() {
    let store = Store::new().await;
    let trip = store.offered(1).await.id;
    store.must(trip, [decline(driver(1), 1)]).await;
    guarded(
        &store,
        Guard::Check,
        "trips_no_offer_to_excluded",
        &step(trip, 4, "OfferMade", &offer(1)),
    )
    .await;
}

#[tokio::test]
async fn i8_who_was_asked_in_vain_is_remembered() {
    let store = Store::new().await;
    let trip = store.offered(1).await.id;
    let forgotten = step(
        trip,
        3,
        "OfferDeclined",
        &format!("state = 'REQUESTED', {NO_OFFER}"),
    );
    guarded(
        &store,
        ON_UPDATE,
        "trips_asked_in_vain_is_excluded",
        &forgotten,
    )
    .await;

    let store = Store::new().await;
    let trip = store.offered(1).await.id;
    store.must(trip, [decline(driver(1), 1)]).await;
    let pardoned = "excluded_drivers = '{}', excluded_epochs = '{}', excluded_reasons = '{}'";
    let sql = step(trip, 4, "OfferMade", &format!("{}, {pardoned}", offer(1)));
    guarded(&store, ON_UPDATE, "trips_asked_in_vain_is_excluded", &sql).await;
}

#[tokio::test]
async fn i9_whoever_waits_for_somebody_has_a_deadline_of_its_own_accord() {
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    store.offered(2).await;
    store.book(3, 3600).await;
    let taken = store.offered(4).await.id;
    store.must(taken, [accept(driver(4), 1)]).await;
    let refused = run(
        &store,
        &format!("UPDATE trips SET due_at = NULL WHERE id = '{trip}'"),
    )
    .await
    .unwrap_err();
    assert!(refused.message().unwrap().contains("due_at"), "{refused:?}");
    let none: i64 = sqlx::query_scalar("SELECT count(*) FROM trips WHERE due_at IS NULL")
        .fetch_one(store.pg.pool())
        .await
        .unwrap();
    assert_eq!(none, 0);
}

#[tokio::test]
async fn what_was_ordered_does_not_change() {
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    let dearer = step(
        trip,
        2,
        "OfferMade",
        &format!("{}, fare_minor = fare_minor * 10", offer(1)),
    );
    guarded(&store, ON_ORDER, "trips_order_is_fixed", &dearer).await;
}

/// The trigger is asked only when a statement sets one of its columns: all but these, which change with the state.
#[tokio::test]
async fn whatever_does_not_change_with_the_state_was_ordered() {
    let store = Store::new().await;
    let unwatched: String = sqlx::query_scalar(
        "SELECT string_agg(column_name, ' ' ORDER BY ordinal_position) FROM information_schema.columns
         WHERE table_name = 'trips' AND column_name NOT IN (
             SELECT event_object_column FROM information_schema.triggered_update_columns WHERE trigger_name = 'guard_order')",
    )
    .fetch_one(store.pg.pool())
    .await
    .unwrap();
    assert_eq!(
        unwatched,
        "version epoch state last_event request_expires_at offer_driver offer_expires_at offer_decision offer_eta_s \
         offer_distance_m excluded_drivers excluded_epochs excluded_reasons driver accepted_epoch accepted_at stalls_at \
         arrived_at no_show_from started_at waiting_fee_minor ended_at charge_minor driver_due_minor cancelled_by \
         cancel_operator cancel_note updated_at due_at engaged_driver"
    );
}

#[tokio::test]
async fn the_driver_is_who_accepted() {
    let store = Store::new().await;
    let trip = store.offered(1).await.id;
    store.must(trip, [accept(driver(1), 1)]).await;
    let swapped = step(
        trip,
        4,
        "DriverArrived",
        &format!(
            "state = 'ARRIVED', arrived_at = now(), no_show_from = now(), driver = '{}'",
            driver(2)
        ),
    );
    guarded(&store, ON_UPDATE, "trips_driver_is_who_accepted", &swapped).await;
}

#[tokio::test]
async fn wrong_start_codes_are_counted_one_by_one_up_to_ten() {
    const STEP: Guard = Guard::Trigger("start_code_attempts", "guard_step");
    const KEPT: Guard = Guard::Trigger("start_code_attempts", "guard_kept");
    let more = "UPDATE start_code_attempts SET wrong = wrong + 1";
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    let begin = format!("INSERT INTO start_code_attempts VALUES ('{trip}', 1)");
    run(&store, &begin).await.unwrap();
    for _ in 2..=10 {
        run(&store, more).await.unwrap();
    }
    let refused = run(&store, more).await.unwrap_err();
    assert_eq!(
        refused.constraint(),
        Some("start_code_attempts_within_limit")
    );
    let other = Store::new().await;
    let ahead = format!(
        "INSERT INTO start_code_attempts VALUES ('{}', 2)",
        other.request(1).await.id
    );
    guarded(&other, STEP, "start_code_attempts_step_by_one", &ahead).await;
    let again = "UPDATE start_code_attempts SET wrong = 1";
    guarded(&store, STEP, "start_code_attempts_step_by_one", again).await;
    let forget = "DELETE FROM start_code_attempts";
    guarded(&store, KEPT, "start_code_attempts_are_kept", forget).await;
}

#[tokio::test]
async fn a_state_has_its_data_and_no_other() {
    let cases: [(&str, &str, String); 5] = [
        (
            "trips_offer_iff_offered",
            "OfferMade",
            "state = 'OFFERED', epoch = 1".into(),
        ),
        (
            "trips_ended_iff_terminal",
            "TripExpired",
            format!("state = 'EXPIRED', {LATE}"),
        ),
        (
            "trips_cancelled_by_someone",
            "TripCancelled",
            format!("state = 'CANCELLED', cancelled_by = 'OPERATOR', {ENDED}"),
        ),
        (
            "trips_money_is_not_negative",
            "TripCancelled",
            format!("{CANCELLED}, charge_minor = 0, driver_due_minor = -1"),
        ),
        (
            "trips_driver_once_accepted",
            "TripExpired",
            format!(
                "state = 'EXPIRED', {ENDED}, driver = gen_random_uuid(), accepted_epoch = 1, accepted_at = now(), stalls_at = now()"
            ),
        ),
    ];
    for (name, event, set) in cases {
        let store = Store::new().await;
        let trip = store.request(1).await.id;
        if name == "trips_driver_once_accepted" {
            // Two guards stand here: the trigger and the CHECK.
            run(&store, "ALTER TABLE trips DISABLE TRIGGER guard_update")
                .await
                .unwrap();
        }
        guarded(&store, Guard::Check, name, &step(trip, 2, event, &set)).await;
    }
}
