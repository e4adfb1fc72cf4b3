//! Guards that stand behind the triggers: what a column or a key alone does not take, whoever writes.

use super::*;

/// The triggers are asleep, as in a restore.
const NO_TRIGGERS: &str = "SET LOCAL session_replication_role = replica;";

#[tokio::test]
async fn behind_the_triggers_stand_checks_and_keys() {
    let cases = [
        (
            Guard::Check,
            "trips_start_code_is_four_digits",
            "UPDATE trips SET start_code = '12a4'",
        ),
        (
            Guard::Check,
            "trips_cancelled_by_is_known",
            "UPDATE trips SET state = 'CANCELLED', cancelled_by = 'NOBODY', ended_at = now(), charge_minor = 0, driver_due_minor = 0",
        ),
        (
            Guard::Check,
            "trips_state_is_known",
            "UPDATE trips SET state = 'LOST'",
        ),
        (
            Guard::Check,
            "trips_version_is_positive",
            "UPDATE trips SET version = 0",
        ),
        (
            Guard::Check,
            "trips_exclusions_are_one_list",
            "UPDATE trips SET excluded_epochs = '{1}'",
        ),
        (
            Guard::Of("trip_events"),
            "trip_events_version_is_positive",
            "UPDATE trip_events SET version = 0",
        ),
        (
            Guard::Of("trip_events"),
            "trip_events_pkey",
            "INSERT INTO trip_events SELECT * FROM trip_events",
        ),
        (
            Guard::Of("trip_transitions"),
            "trip_transitions_pkey",
            "INSERT INTO trip_transitions VALUES ('COMPLETED', 'TripCancelled', 'OPERATOR', 'CANCELLED'), \
             ('COMPLETED', 'TripCancelled', 'OPERATOR', 'REQUESTED')",
        ),
        (
            Guard::Of("requests"),
            "requests_pkey",
            "INSERT INTO requests SELECT * FROM requests",
        ),
        (
            Guard::Of("requests"),
            "requests_body_hash_is_sha256",
            "UPDATE requests SET body_hash = 'x'",
        ),
        (
            Guard::Of("requests"),
            "requests_one_answer",
            "UPDATE requests SET refusal = 'TRIP_CANCELLED'",
        ),
        (
            Guard::Of("requests"),
            "requests_one_answer",
            "UPDATE requests SET version = NULL",
        ),
        (
            Guard::Of("start_code_attempts"),
            "start_code_attempts_pkey",
            "INSERT INTO start_code_attempts SELECT id, 1 FROM trips UNION ALL SELECT id, 2 FROM trips",
        ),
        (
            Guard::Of("start_code_attempts"),
            "start_code_attempts_within_limit",
            "INSERT INTO start_code_attempts SELECT id, 11 FROM trips",
        ),
    ];
    for (guard, name, sql) in cases {
        let store = Store::new().await;
        store.request(1).await;
        let sql = format!("{NO_TRIGGERS} {sql}");
        guarded(&store, guard, name, &sql).await;
    }
}

#[tokio::test]
async fn a_trip_is_there_once_and_codes_are_tried_on_one_that_is_there() {
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    let unknown = format!("INSERT INTO start_code_attempts VALUES ('{}', 1)", fresh());
    let (attempts, name) = (
        Guard::Of("start_code_attempts"),
        "start_code_attempts_trip_fkey",
    );
    guarded(&store, attempts, name, &unknown).await;
    let twice = format!("{NO_TRIGGERS} {}", copied(trip, trip, &[]))
        .replace(&format!("'{trip}', 1, "), &format!("'{trip}', 2, "));
    guarded(&store, Guard::Of("trips"), "trips_pkey", &twice).await;
}

#[tokio::test]
async fn a_new_trip_has_no_past() {
    for (column, value) in [
        ("epoch", "1"),
        ("excluded_drivers", "ARRAY[gen_random_uuid()]"),
    ] {
        let store = Store::new().await;
        let trip = store.request(1).await.id;
        let mut changed = vec![(column, value.to_owned())];
        if column == "excluded_drivers" {
            changed.push(("excluded_epochs", "ARRAY[1]".to_owned()));
            changed.push(("excluded_reasons", "ARRAY['DECLINED']".to_owned()));
        }
        let sql = copied(trip, fresh(), &changed);
        guarded(&store, ON_INSERT, "trips_version_steps_by_one", &sql).await;
    }
}

#[tokio::test]
async fn i3_a_trip_begins_requested_or_booked() {
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    let begun = [
        ("state", "'OFFERED'".to_owned()),
        ("last_event", "'OfferMade'".to_owned()),
    ];
    let sql = copied(trip, fresh(), &begun)
        .replace("'TripRequested', now()", "'OfferMade', now()")
        .replace(
            "updated_at) SELECT",
            "updated_at, offer_driver, offer_expires_at, offer_eta_s, offer_distance_m) SELECT",
        )
        .replace(
            " FROM trips WHERE",
            ", gen_random_uuid(), now(), 1, 1 FROM trips WHERE",
        );
    guarded(&store, ON_INSERT, "trips_transition_is_known", &sql).await;
}

/// A guard that has lost its table is no reason to let anything through.
#[tokio::test]
async fn i3_without_the_table_of_transitions_nothing_changes() {
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    run(&store, "TRUNCATE trip_transitions").await.unwrap();
    let cancelled = step(
        trip,
        2,
        "TripCancelled",
        &format!("{CANCELLED}, charge_minor = 0, driver_due_minor = 0"),
    );
    for sql in [cancelled, copied(trip, fresh(), &[])] {
        let refused = run(&store, &sql).await.expect_err(&sql);
        let guard = refused.constraint();
        assert_eq!(guard, Some("trips_transition_is_known"), "{refused:?}");
    }
}

/// I9: the instant that the sweeper waits for, in every state.
#[tokio::test]
async fn i9_what_is_due_follows_from_the_state() {
    let store = Store::new().await;
    let booked = store.book(1, 3600).await.id;
    let (searched, asked) = (store.request(2).await.id, store.offered(3).await.id);
    let driven = store.offered(4).await.id;
    store.must(driven, [accept(driver(4), 1)]).await;
    let there = store.offered(5).await.id;
    store
        .must(there, [accept(driver(5), 1), arrive(driver(5))])
        .await;
    for trip in [booked, searched, asked, driven, there] {
        let kept: Option<hexcab_types::Timestamp> =
            sqlx::query_scalar("SELECT due_at FROM trips WHERE id = $1")
                .bind(trip.uuid())
                .fetch_one(store.pg.pool())
                .await
                .unwrap();
        let trip = store.trips.get(trip).await.unwrap();
        let deadline = hexcab_trip::domain::deadline(&trip).map(|it| it.due_at);
        assert_eq!(kept, deadline, "{}", trip.state.name());
    }
}
