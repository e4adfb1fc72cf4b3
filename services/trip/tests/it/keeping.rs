//! What the keeper promises: the change, its event, its outbox row and its answer are one; the same key gets the same
//! answer for ever after.

use std::process::{Command as Process, Stdio};

use hexcab_chassis::Clock;
use hexcab_pg::embedded::Binaries;
use hexcab_proto::trip::v1::{self as proto, TripEvent};
use hexcab_testkit::TestDb;
use hexcab_trip::{
    domain::{Command, NewTrip, OfferTo, PaymentMethod, StartCode, State, Trip},
    store::{ExecuteError, Filter, RequestKey},
};
use hexcab_types::TripId;
use prost::Message as _;
use uuid::Uuid;

use crate::fixture::*;

async fn events_of(store: &Store, trip: TripId) -> Vec<TripEvent> {
    let payloads = store.trips.events(trip).await.unwrap();
    payloads
        .iter()
        .map(|payload| TripEvent::decode(payload.as_slice()).unwrap())
        .collect()
}

#[tokio::test]
async fn a_trip_reads_back_as_it_was_kept_in_every_state() {
    let store = Store::new().await;
    let trip = store.request(1).await;
    let whole_ride = [
        offer_to(driver(1)),
        decline(driver(1), 1),
        offer_to(driver(2)),
        accept(driver(2), 2),
        Command::Release { driver: driver(2) },
        offer_to(driver(3)),
        accept(driver(3), 3),
        reassign(),
        offer_to(driver(4)),
        accept(driver(4), 4),
        arrive(driver(4)),
        begin(driver(4)),
        Command::Complete { driver: driver(4) },
    ];
    for command in whole_ride {
        store.advance(if command == begin(driver(4)) { 200 } else { 3 });
        let kept = store.execute(trip.id, command).await.unwrap();
        assert_eq!(store.trips.get(trip.id).await.unwrap(), kept);
    }
    for (n, command) in [
        (11, cancel(rider(11))),
        (12, force()),
        (13, Command::ExpireRequest),
    ] {
        let trip = store.request_later(n).await;
        if n == 13 {
            store.advance(481);
        }
        let kept = store.execute(trip.id, command).await.unwrap();
        assert!(kept.state.ended_at().is_some());
        assert_eq!(store.trips.get(trip.id).await.unwrap(), kept);
    }
    let waited = store.request_later(14).await.id;
    store
        .must(
            waited,
            [
                offer_to(driver(14)),
                accept(driver(14), 1),
                arrive(driver(14)),
            ],
        )
        .await;
    store.advance(300);
    let kept = store.execute(waited, no_show(driver(14))).await.unwrap();
    assert_eq!(store.trips.get(waited).await.unwrap(), kept);
}

#[tokio::test]
async fn a_booking_reads_back_as_it_was_kept_until_its_end() {
    let store = Store::new().await;
    let new = NewTrip {
        payment_method: PaymentMethod::Cash,
        ..booking(rider(1), 3600)
    };
    let booked = store.trips.create(key(), new).await.unwrap();
    assert_eq!(store.trips.get(booked.id).await.unwrap(), booked);
    store.advance(2701);
    for command in [
        Command::Activate,
        offer_to(driver(1)),
        accept(driver(1), 1),
        arrive(driver(1)),
        cancel(rider(1)),
    ] {
        let kept = store.execute(booked.id, command).await.unwrap();
        assert_eq!(kept.order, booked.order);
        assert_eq!(store.trips.get(booked.id).await.unwrap(), kept);
    }
}

impl Store {
    /// A trip of rider n whose quote is good now, whatever the clock reads.
    async fn request_later(&self, n: u128) -> Trip {
        let mut new = new_trip(rider(n));
        new.quote.expires_at += chrono::TimeDelta::days(1);
        self.trips.create(key(), new).await.unwrap()
    }
}

#[tokio::test]
async fn events_are_numbered_without_gaps_and_the_last_says_how_the_trip_is() {
    let store = Store::new().await;
    let trip = store.offered(1).await;
    let trip = store
        .must(
            trip.id,
            [accept(driver(1), 1), arrive(driver(1)), cancel(rider(1))],
        )
        .await;
    let events = events_of(&store, trip.id).await;
    assert_eq!(
        events.iter().map(|event| event.version).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5]
    );
    assert_eq!(events[4].after, Some(proto::Trip::from(&trip)));
    let Some(proto::trip_event::Event::Cancelled(cancelled)) = &events[4].event else {
        panic!("{:?}", events[4])
    };
    assert_eq!(cancelled.driver, driver(1).name());
    told_in_the_outbox(&store, trip.id, &events).await;
}

#[tokio::test]
async fn an_event_says_who_took_a_trip_from_its_driver_and_why() {
    let store = Store::new().await;
    let trip = store.offered(1).await.id;
    let (one, two, three) = (driver(1), driver(2), driver(3));
    store
        .must(
            trip,
            [
                accept(one, 1),
                Command::Release { driver: one },
                offer_to(two),
                accept(two, 2),
                reassign(),
                offer_to(three),
                accept(three, 3),
            ],
        )
        .await;
    store.advance(901);
    store.must(trip, [stall(3), force()]).await;
    let events = events_of(&store, trip).await;
    let released: Vec<proto::TripReleased> = events
        .iter()
        .filter_map(|event| match &event.event {
            Some(proto::trip_event::Event::Released(released)) => Some(released.clone()),
            _ => None,
        })
        .collect();
    let said = |driver: hexcab_types::DriverId, reason: proto::ReleaseReason| proto::TripReleased {
        driver: driver.name(),
        reason: reason.into(),
        ..proto::TripReleased::default()
    };
    assert_eq!(
        released,
        [
            said(one, proto::ReleaseReason::Driver),
            proto::TripReleased {
                operator: operator().name(),
                note: "his car broke down".into(),
                ..said(two, proto::ReleaseReason::Reassigned)
            },
            said(three, proto::ReleaseReason::Stalled),
        ]
    );
    let forced = events.last().unwrap().after.clone().unwrap();
    let cancellation = forced.cancellation.unwrap();
    assert_eq!(
        (cancellation.operator, cancellation.note.as_str()),
        (operator().name(), "lost property desk")
    );
    told_in_the_outbox(&store, trip, &events).await;
}

/// The outbox holds these events of the trip, as they are, and no other.
async fn told_in_the_outbox(store: &Store, trip: TripId, events: &[TripEvent]) {
    let outbox: Vec<(String, String, String, Vec<u8>)> = sqlx::query_as(
        "SELECT topic, key, kind, payload FROM outbox WHERE subject = $1 ORDER BY seq",
    )
    .bind(trip.name())
    .fetch_all(store.pg.pool())
    .await
    .unwrap();
    assert_eq!(outbox.len(), events.len());
    for ((topic, city, kind, payload), event) in outbox.iter().zip(events) {
        assert_eq!((topic.as_str(), city.as_str()), ("hexcab.trip.v1", "sf"));
        assert!(kind.starts_with("hexcab.trip.v1."));
        assert_eq!(TripEvent::decode(payload.as_slice()).unwrap(), *event);
    }
}

#[tokio::test]
async fn the_same_key_gets_the_same_answer_for_ever_after() {
    let store = Store::new().await;
    let (create, offer, too_early) = (key(), key(), key());
    let new = new_trip(rider(1));
    let trip = store.trips.create(create, new.clone()).await.unwrap();
    let offered = store
        .trips
        .execute(offer, trip.id, offer_to(driver(1)))
        .await
        .unwrap();
    let refused = reason(
        &store
            .trips
            .execute(too_early, trip.id, arrive(driver(1)))
            .await,
    );
    store.must(trip.id, [accept(driver(1), 1)]).await;
    store.advance(100_000);
    assert_eq!(store.trips.create(create, new).await.unwrap(), trip);
    assert_eq!(
        store
            .trips
            .execute(offer, trip.id, offer_to(driver(1)))
            .await
            .unwrap(),
        offered
    );
    // By now the driver could arrive; under this key he was refused.
    assert_eq!(refused, "OFFER_NOT_ACCEPTED");
    assert_eq!(
        reason(
            &store
                .trips
                .execute(too_early, trip.id, arrive(driver(1)))
                .await
        ),
        refused
    );
    assert_eq!(events_of(&store, trip.id).await.len(), 3);
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused() {
    let store = Store::new().await;
    let trip = store.request(1).await;
    let first = key();
    store
        .trips
        .execute(first, trip.id, offer_to(driver(1)))
        .await
        .unwrap();
    let other = RequestKey {
        body_hash: [8; 32],
        ..first
    };
    let refused = store
        .trips
        .execute(other, trip.id, offer_to(driver(2)))
        .await;
    assert!(
        matches!(refused, Err(ExecuteError::RequestIdReused)),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_refusal_by_the_database_is_an_answer_like_any_other() {
    let store = Store::new().await;
    let (busy, other) = (store.offered(1).await, store.request(2).await);
    let first = key();
    assert_eq!(
        reason(
            &store
                .trips
                .execute(first, other.id, offer_to(driver(1)))
                .await
        ),
        "DRIVER_BUSY"
    );
    store.must(busy.id, [decline(driver(1), 1)]).await;
    assert_eq!(
        reason(
            &store
                .trips
                .execute(first, other.id, offer_to(driver(1)))
                .await
        ),
        "DRIVER_BUSY"
    );
    assert_eq!(
        reason(&store.execute(other.id, offer_to(driver(1))).await),
        "OFFERED"
    );
}

#[tokio::test]
async fn what_was_not_decided_is_not_an_answer() {
    let store = Store::new().await;
    let nowhere = TripId::from(Uuid::new_v4());
    let first = key();
    let missing = store.trips.execute(first, nowhere, cancel(rider(1))).await;
    assert!(
        matches!(missing, Err(ExecuteError::NoSuchTrip)),
        "{missing:?}"
    );
    // The same key may be used for what is there after all.
    let trip = store.request(1).await;
    let stale = OfferTo {
        driver: driver(1),
        version: Some(9),
        decision: None,
        pickup_eta_s: 1,
        pickup_distance_m: 1,
    };
    assert_eq!(
        reason(
            &store
                .trips
                .execute(first, trip.id, Command::Offer(stale))
                .await
        ),
        "TRIP_CHANGED"
    );
    assert_eq!(
        reason(&store.trips.execute(first, trip.id, cancel(rider(1))).await),
        "CANCELLED"
    );
}

#[tokio::test]
async fn a_rider_has_one_trip_at_a_time_and_a_quote_is_used_once() {
    let store = Store::new().await;
    let new = new_trip(rider(1));
    let trip = store.trips.create(key(), new.clone()).await.unwrap();
    assert_eq!(
        reason(&store.trips.create(key(), new_trip(rider(1))).await),
        "RIDER_BUSY"
    );
    assert_eq!(
        reason(&store.trips.create(key(), another(&new)).await),
        "QUOTE_USED"
    );
    store.must(trip.id, [cancel(rider(1))]).await;
    assert_eq!(
        reason(&store.trips.create(key(), another(&new)).await),
        "QUOTE_USED"
    );
    assert_eq!(
        reason(&store.trips.create(key(), new_trip(rider(1))).await),
        "REQUESTED"
    );
}

fn another(new: &hexcab_trip::domain::NewTrip) -> hexcab_trip::domain::NewTrip {
    hexcab_trip::domain::NewTrip {
        id: TripId::from(Uuid::new_v4()),
        ..new.clone()
    }
}

#[tokio::test]
async fn a_driver_is_engaged_once() {
    let store = Store::new().await;
    let (one, two) = (store.offered(1).await, store.request(2).await);
    assert_eq!(
        reason(&store.execute(two.id, offer_to(driver(1))).await),
        "DRIVER_BUSY"
    );
    store
        .must(
            one.id,
            [accept(driver(1), 1), arrive(driver(1)), begin(driver(1))],
        )
        .await;
    assert_eq!(
        reason(&store.execute(two.id, offer_to(driver(1))).await),
        "DRIVER_BUSY"
    );
    store
        .must(one.id, [Command::Complete { driver: driver(1) }])
        .await;
    assert_eq!(
        reason(&store.execute(two.id, offer_to(driver(1))).await),
        "OFFERED"
    );
}

#[tokio::test]
async fn a_city_or_product_that_is_not_served_is_refused() {
    let store = Store::new().await;
    let mut new = new_trip(rider(1));
    new.quote.product = hexcab_types::ProductId::new("submarine").unwrap();
    assert_eq!(
        reason(&store.trips.create(key(), new).await),
        "CITY_NOT_SERVED"
    );
}

#[tokio::test]
async fn pages_show_every_trip_once_newest_first() {
    let store = Store::new().await;
    let mut made = Vec::new();
    for n in 1..=7 {
        made.push(store.request(n).await.id);
        // Two of one instant must not hide each other.
        if n % 2 == 0 {
            store.advance(1);
        }
    }
    store.must(made[0], [offer_to(driver(1))]).await;
    store
        .must(made[1], [offer_to(driver(2)), accept(driver(2), 1)])
        .await;
    let ids = |trips: &[Trip]| trips.iter().map(|trip| trip.id).collect::<Vec<_>>();

    let mut seen = Vec::new();
    let mut filter = Filter {
        limit: 3,
        ..Filter::default()
    };
    loop {
        let (page, next) = store.trips.list(&filter).await.unwrap();
        assert!(page.is_sorted_by_key(|trip| std::cmp::Reverse((trip.created_at, trip.id))));
        seen.extend(ids(&page));
        filter.after = next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 7);
    made.sort();
    let mut sorted = seen.clone();
    sorted.sort();
    assert_eq!(sorted, made);

    let list = async |filter: Filter| ids(&store.trips.list(&filter).await.unwrap().0).len();
    let all = || Filter {
        limit: 100,
        ..Filter::default()
    };
    assert_eq!(
        list(Filter {
            rider: Some(rider(3)),
            ..all()
        })
        .await,
        1
    );
    assert_eq!(
        list(Filter {
            driver: Some(driver(1)),
            ..all()
        })
        .await,
        1
    );
    assert_eq!(
        list(Filter {
            driver: Some(driver(2)),
            ..all()
        })
        .await,
        1
    );
    assert_eq!(
        list(Filter {
            driver: Some(driver(3)),
            ..all()
        })
        .await,
        0
    );
    assert_eq!(
        list(Filter {
            states: vec!["REQUESTED", "OFFERED"],
            ..all()
        })
        .await,
        6
    );
    let city = |name: &str| Some(hexcab_types::CityId::new(name).unwrap());
    assert_eq!(
        list(Filter {
            city: city("sf"),
            ..all()
        })
        .await,
        7
    );
    assert_eq!(
        list(Filter {
            city: city("nyc"),
            ..all()
        })
        .await,
        0
    );
}

#[tokio::test]
async fn migrations_may_be_applied_again() {
    let store = Store::new().await;
    hexcab_trip::app::migrate(&store.pg).await.unwrap();
    assert!(matches!(store.request(1).await.state, State::Requested));
}

#[tokio::test]
async fn ten_wrong_codes_lock_a_trip_until_somebody_ends_it() {
    let store = Store::new().await;
    let trip = store.offered(1).await.id;
    store
        .must(trip, [accept(driver(1), 1), arrive(driver(1))])
        .await;
    let wrong = || Command::Start {
        driver: driver(1),
        code: StartCode::of(1),
    };
    let retried = key();
    for _ in 0..3 {
        let told = store.trips.execute(retried, trip, wrong()).await;
        assert_eq!(
            reason(&told),
            "WRONG_START_CODE",
            "the same request counts once"
        );
    }
    for _ in 2..=10 {
        assert_eq!(
            reason(&store.execute(trip, wrong()).await),
            "WRONG_START_CODE"
        );
    }
    assert_eq!(
        reason(&store.execute(trip, wrong()).await),
        "START_CODE_LOCKED"
    );
    assert_eq!(
        reason(&store.execute(trip, begin(driver(1))).await),
        "START_CODE_LOCKED",
        "even the right one"
    );
    let ended = store.execute(trip, cancel(rider(1))).await.unwrap();
    assert_eq!(ended.version, 5, "a wrong code is no event");
}

#[tokio::test]
async fn nine_wrong_codes_do_not_keep_the_right_one_out() {
    let store = Store::new().await;
    let trip = store.offered(1).await.id;
    store
        .must(trip, [accept(driver(1), 1), arrive(driver(1))])
        .await;
    for n in 0..9 {
        let wrong = Command::Start {
            driver: driver(1),
            code: StartCode::of(n),
        };
        assert_eq!(
            reason(&store.execute(trip, wrong).await),
            "WRONG_START_CODE"
        );
    }
    let started = store.execute(trip, begin(driver(1))).await.unwrap();
    assert_eq!(started, store.trips.get(trip).await.unwrap());
}

/// As an operator would: pg_dump's SQL runs with an empty search path, and fills the tables with their CHECKs in place.
#[tokio::test]
async fn a_backup_is_restored_with_its_trips_and_its_guards() {
    let store = Store::new().await;
    let trip = store.offered(1).await.id;
    let kept = store.must(trip, [accept(driver(1), 1)]).await;
    let copy = TestDb::create("restored").await;
    restore(&store.db.url(), &copy.url());

    let pg = copy.connect().await;
    let (clock, _) = Clock::manual(start());
    let restored = Store::keeper(&pg, clock);
    assert_eq!(restored.get(trip).await.unwrap(), kept);
    let done = restored.execute(key(), trip, arrive(driver(1))).await;
    assert_eq!(done.unwrap().version, kept.version + 1);
    let back = "UPDATE trips SET state = 'REQUESTED', version = version + 1";
    let refused = sqlx::query(back).execute(pg.pool()).await.unwrap_err();
    assert!(refused.as_database_error().is_some(), "{refused:?}");
}

fn restore(from: &str, to: &str) {
    let binaries = Binaries::find(None).unwrap();
    let mut dump = Process::new(binaries.program("pg_dump"))
        .arg(from)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let restored = Process::new(binaries.program("psql"))
        .args(["--quiet", "--set=ON_ERROR_STOP=1", to])
        .stdin(dump.stdout.take().unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&restored.stderr);
    assert!(restored.status.success(), "{said}");
    assert!(dump.wait().unwrap().success());
}
