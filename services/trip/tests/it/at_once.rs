//! The one-round-trip way: what it may answer, and that its memory, which may be old, never decides anything alone.

use hexcab_chassis::Clock;
use hexcab_trip::{
    domain::{Command, StartCode},
    store::ExecuteError,
};
use hexcab_types::TripId;

use crate::{fixture::*, keeper::Keeper};

impl Store {
    /// Another replica: a memory of its own, the same database, a clock that stands where this one began.
    fn replica(&self) -> Keeper {
        Self::keeper(&self.pg, Clock::manual(start()).0)
    }

    /// Driver 1 at the pickup of rider 1, all of it remembered here.
    async fn arrived(&self) -> TripId {
        let trip = self.offered(1).await.id;
        self.must(trip, [accept(driver(1), 1), arrive(driver(1))])
            .await;
        trip
    }
}

#[tokio::test]
async fn a_whole_life_needs_no_transaction_of_several_round_trips() {
    let store = Store::new().await;
    // What transactions and plain reads run on is closed: only single statements are left.
    store.pg.pool().close().await;
    let trip = store.request(1).await.id;
    for command in [
        offer_to(driver(1)),
        decline(driver(1), 1),
        offer_to(driver(2)),
        accept(driver(2), 2),
        arrive(driver(2)),
        begin(driver(2)),
        Command::Complete { driver: driver(2) },
    ] {
        store.execute(trip, command).await.unwrap();
    }
    // It is over and forgotten, and a refusal is nothing to remember: both want a look.
    let late = store.execute(trip, cancel(rider(1))).await;
    assert!(matches!(late, Err(ExecuteError::Pg(_))), "{late:?}");
}

#[tokio::test]
async fn a_refusal_is_not_made_from_memory() {
    let store = Store::new().await;
    let trip = store.offered(1).await.id;
    store
        .replica()
        .execute(key(), trip, accept(driver(1), 1))
        .await
        .unwrap();
    // Remembered as offered, it would be OFFER_PENDING.
    let told = store.execute(trip, offer_to(driver(2))).await;
    assert_eq!(reason(&told), "TRIP_TAKEN");
}

#[tokio::test]
async fn a_decision_on_an_old_memory_changes_nothing() {
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    let elsewhere = store.replica();
    for command in [offer_to(driver(1)), decline(driver(1), 1)] {
        elsewhere.execute(key(), trip, command).await.unwrap();
    }
    // Remembered as never offered, this would be offer 1, at version 2.
    let offered = store.execute(trip, offer_to(driver(2))).await.unwrap();
    assert_eq!((offered.version, offered.epoch), (4, 2));
    // Remembered as it was before that offer, it would be OFFER_DECLINED.
    let told = elsewhere.execute(key(), trip, accept(driver(1), 1)).await;
    assert_eq!(reason(&told), "OFFER_SUPERSEDED");
}

#[tokio::test]
async fn an_old_memory_is_known_by_its_version_where_the_row_is_where_it_was() {
    let store = Store::new().await;
    let trip = store.offered(1).await.id;
    let place = async || -> String {
        sqlx::query_scalar("SELECT ctid::text FROM trips WHERE id = $1")
            .bind(trip.uuid())
            .fetch_one(store.pg.pool())
            .await
            .unwrap()
    };
    store.must(trip, [accept(driver(1), 1)]).await;
    let remembered = place().await;
    // Two rows take the place of the two versions before, so that this one comes back to where it was.
    for n in [2, 3] {
        store.request(n).await;
    }
    let elsewhere = store.replica();
    elsewhere
        .execute(key(), trip, arrive(driver(1)))
        .await
        .unwrap();
    sqlx::raw_sql("VACUUM FULL trips")
        .execute(store.pg.pool())
        .await
        .unwrap();
    assert_eq!(place().await, remembered);
    // Remembered as on his way, the driver would never have arrived.
    let cancelled = store.execute(trip, cancel(rider(1))).await.unwrap();
    assert_eq!(cancelled.version, 5);
    assert!(cancelled.state.progress().arrival().is_some());
}

#[tokio::test]
async fn wrong_codes_that_were_tried_elsewhere_count_here() {
    let store = Store::new().await;
    let trip = store.arrived().await;
    let elsewhere = store.replica();
    for n in 0..10 {
        let wrong = Command::Start {
            driver: driver(1),
            code: StartCode::of(n),
        };
        let told = elsewhere.execute(key(), trip, wrong).await;
        assert_eq!(reason(&told), "WRONG_START_CODE");
    }
    for keeper in [&store.trips, &elsewhere] {
        let told = keeper.execute(key(), trip, begin(driver(1))).await;
        assert_eq!(reason(&told), "START_CODE_LOCKED");
    }
}

#[tokio::test]
async fn an_answer_that_was_given_elsewhere_is_given_again() {
    let store = Store::new().await;
    let trip = store.request(1).await.id;
    let (offer, elsewhere) = (key(), store.replica());
    let told = elsewhere
        .execute(offer, trip, offer_to(driver(1)))
        .await
        .unwrap();
    // What is remembered here would allow it once more.
    for keeper in [&store.trips, &elsewhere, &store.trips] {
        let again = keeper.execute(offer, trip, offer_to(driver(1))).await;
        assert_eq!(again.unwrap(), told);
    }
    // A refusal, too: it stands although the trip has gone on since.
    let too_early = key();
    let refused = elsewhere.execute(too_early, trip, arrive(driver(1))).await;
    assert_eq!(reason(&refused), "OFFER_NOT_ACCEPTED");
    store.must(trip, [accept(driver(1), 1)]).await;
    let again = store
        .trips
        .execute(too_early, trip, arrive(driver(1)))
        .await;
    assert_eq!(reason(&again), "OFFER_NOT_ACCEPTED");
}

#[tokio::test]
async fn a_trip_whose_row_was_moved_is_found() {
    let store = Store::new().await;
    let other = store.request(2).await.id;
    let trip = store.request(1).await.id;
    store.must(other, [cancel(rider(2))]).await;
    sqlx::raw_sql("VACUUM FULL trips")
        .execute(store.pg.pool())
        .await
        .unwrap();
    let offered = store.execute(trip, offer_to(driver(1))).await.unwrap();
    assert_eq!(offered.version, 2);
    assert_eq!(store.trips.get(trip).await.unwrap(), offered);
}

#[tokio::test]
async fn a_driver_who_is_busy_elsewhere_is_said_to_be() {
    let store = Store::new().await;
    let (one, two) = (store.request(1).await.id, store.request(2).await.id);
    store
        .replica()
        .execute(key(), one, offer_to(driver(1)))
        .await
        .unwrap();
    let (asked, again) = (key(), offer_to(driver(1)));
    let told = store.trips.execute(asked, two, again.clone()).await;
    assert_eq!(reason(&told), "DRIVER_BUSY");
    // Kept as the answer, although he has become free.
    store.must(one, [decline(driver(1), 1)]).await;
    let told = store.trips.execute(asked, two, again).await;
    assert_eq!(reason(&told), "DRIVER_BUSY");
}

/// A predicate lock on a page of an index is a conflict with whoever writes to that page, whatever he writes (ADR 0009).
/// What is read here is written by nobody, or by who counts a wrong code.
#[tokio::test]
async fn a_life_locks_no_page_that_others_write_to() {
    let store = Store::new().await;
    // While this lasts, the locks of what is committed meanwhile are kept.
    let mut meanwhile = store.pg.pool().acquire().await.unwrap();
    sqlx::raw_sql("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM outbox_cursor")
        .execute(&mut *meanwhile)
        .await
        .unwrap();
    let trip = store.arrived().await;
    store
        .must(
            trip,
            [begin(driver(1)), Command::Complete { driver: driver(1) }],
        )
        .await;
    let locked: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT coalesce(i.indrelid, l.relation)::regclass::text
         FROM pg_locks l LEFT JOIN pg_index i ON i.indexrelid = l.relation
         WHERE l.mode = 'SIReadLock' AND l.locktype <> 'tuple'
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1",
    )
    .fetch_all(store.pg.pool())
    .await
    .unwrap();
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut *meanwhile)
        .await
        .unwrap();
    assert_eq!(
        locked,
        ["outbox_cursor", "start_code_attempts", "trip_transitions"]
    );
}
