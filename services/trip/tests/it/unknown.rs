//! The connection to Postgres cut at any byte: whoever asks again with the same request_id finds the one true answer.

use hexcab_chassis::{Clock, Secret};
use hexcab_pg::{Pg, PgConfig};
use hexcab_proto::trip::v1 as proto;
use hexcab_proxy::{Mode, Proxy, Trap};
use hexcab_testkit::{ChaCha8Rng, TestDb, seeded};
use hexcab_trip::{
    app,
    domain::{Command, Trip},
    store::{Answer, ExecuteError, RequestKey},
    wire,
};
use hexcab_types::TripId;
use rand::RngExt as _;

use crate::{fixture::*, keeper::Keeper};

/// Cuts in a run, each at a place of its own.
const CUTS: u32 = 100;
/// Bytes of a connection's requests at most: its beginning, the statements, COMMIT.
const BYTES_MAX: u64 = 12_000;
/// How often a client asks before it wonders.
const ASKS_MAX: usize = 20;

/// A database, and the same behind a proxy.
struct Behind {
    store: Store,
    proxy: Proxy,
}

impl Behind {
    async fn new() -> Self {
        hexcab_testkit::telemetry();
        let db = TestDb::create("trip_unknown").await;
        let pg = db.connect().await;
        app::migrate(&pg).await.unwrap();
        let (clock, hand) = Clock::manual(start());
        let trips = Store::keeper(&pg, clock);
        let upstream = format!("127.0.0.1:{}", port(&db.url())).parse().unwrap();
        let proxy = Proxy::start("127.0.0.1:0".parse().unwrap(), upstream)
            .await
            .unwrap();
        Self {
            store: Store {
                db,
                pg,
                trips,
                hand,
            },
            proxy,
        }
    }

    /// A keeper on fresh connections through the proxy, which remembers trips or not.
    async fn keeper(&self, way: Way) -> Keeper {
        let url = self.store.db.url().replace(
            &format!(":{}/", port(&self.store.db.url())),
            &format!(":{}/", self.proxy.addr().port()),
        );
        let config = PgConfig {
            url: Secret::new(url),
            max_connections: 2,
            ..PgConfig::default()
        };
        let pg = Pg::connect(&config, "cut").await.unwrap();
        let keeper = Store::keeper(&pg, Clock::manual(start()).0);
        match way {
            Way::OneTrip => keeper,
            Way::Transaction => Keeper(keeper.0.remembering(0)),
        }
    }
}

fn port(url: &str) -> String {
    let (_, after) = url.rsplit_once(':').unwrap();
    after.split_once('/').unwrap().0.to_owned()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    OneTrip,
    Transaction,
}

/// How a client's asking ended.
struct Asked {
    trip: proto::Trip,
    /// How often he was left in doubt.
    doubts: usize,
}

/// Asks until there is an answer.
async fn ask(
    keeper: &Keeper,
    proxy: &Proxy,
    key: RequestKey,
    trip: TripId,
    command: &Command,
) -> Asked {
    for doubts in 0..ASKS_MAX {
        match keeper.0.execute(key, trip, command.clone()).await {
            Ok(answer) => {
                return Asked {
                    trip: told(&answer),
                    doubts,
                };
            }
            Err(ExecuteError::RequestInFlight) => {}
            Err(ExecuteError::Pg(error)) if error.is_unavailable() => {}
            Err(other) => panic!("{other:?}"),
        }
        // He looks up, and the network is back.
        proxy.set(Mode::Pass);
    }
    panic!("no answer after {ASKS_MAX} times")
}

fn told(answer: &Answer) -> proto::Trip {
    match answer {
        Answer::Done(trip) => proto::Trip::from(trip.as_ref()),
        Answer::Before(event) => wire::after(event).unwrap(),
    }
}

/// A life that ends where it began, so that it can go on for ever: offered to somebody new each time, and declined.
fn next(trip: &Trip) -> Command {
    let somebody = driver(u128::from(trip.epoch.unsigned_abs()) + 10);
    match trip.state.name() {
        "REQUESTED" => offer_to(somebody),
        "OFFERED" => decline(
            driver(u128::from(trip.epoch.unsigned_abs()) + 9),
            trip.epoch,
        ),
        other => panic!("{other}"),
    }
}

fn trap(chance: &mut ChaCha8Rng, key: &RequestKey) -> Trap {
    let request = key.id.uuid().as_bytes().to_vec();
    match chance.random_range(0..6) {
        0 => Trap::BeforeReply(request),
        1 => Trap::BeforeRequest(request),
        2 => Trap::BeforeReply(b"COMMIT".to_vec()),
        3 => Trap::BeforeRequest(b"COMMIT".to_vec()),
        _ => Trap::AtByte(chance.random_range(0..BYTES_MAX)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_cut_anywhere_has_one_true_answer() {
    let (_, mut chance) = seeded("unknown outcomes");
    let behind = Behind::new().await;
    let trip = behind.store.request(1).await.id;
    let (mut sprung, mut doubts, mut answers) = (0, 0, 0);
    for round in 0..CUTS {
        let way = if chance.random_bool(0.6) {
            Way::OneTrip
        } else {
            Way::Transaction
        };
        behind.proxy.set(Mode::Pass);
        let keeper = behind.keeper(way).await;
        if way == Way::OneTrip {
            // So that it remembers the trip: what it knows now it has written itself.
            let trip_now = behind.store.trips.get(trip).await.unwrap();
            ask(&keeper, &behind.proxy, key(), trip, &next(&trip_now)).await;
            answers += 1;
        }
        let before = behind.store.trips.get(trip).await.unwrap();
        let (key, command) = (key(), next(&before));
        behind.proxy.trap(trap(&mut chance, &key));
        // Sometimes the network stays away for a while: then even the keeper cannot find out.
        let away = chance.random_bool(0.3);
        let asked = tokio::select! {
            asked = ask(&keeper, &behind.proxy, key, trip, &command) => asked,
            () = stay_away(&behind.proxy, away) => unreachable!("it never returns"),
        };
        sprung += u32::from(behind.proxy.is_sprung());
        behind.proxy.set(Mode::Pass);
        // A trap that nobody stepped into must not catch what follows.
        behind.proxy.trap(Trap::AtByte(u64::MAX));
        doubts += usize::from(asked.doubts > 0);
        answers += 1;

        // One change, and everybody who asks again is told the same.
        assert_eq!(
            asked.trip.version,
            before.version + 1,
            "round {round}: {way:?}"
        );
        let now = behind.store.trips.get(trip).await.unwrap();
        assert_eq!(
            proto::Trip::from(&now),
            asked.trip,
            "round {round}: {way:?}"
        );
        let again = behind
            .store
            .trips
            .0
            .execute(key, trip, command.clone())
            .await;
        assert_eq!(told(&again.unwrap()), asked.trip);
        let other = RequestKey {
            body_hash: [8; 32],
            ..key
        };
        let reused = behind.store.trips.0.execute(other, trip, command).await;
        assert!(
            matches!(reused, Err(ExecuteError::RequestIdReused)),
            "{reused:?}"
        );
    }
    println!("traps sprung {sprung} of {CUTS}, clients left in doubt {doubts}");
    assert!(sprung > CUTS / 3, "{sprung} traps were sprung");
    assert!(doubts > 0, "some clients were left in doubt");

    let events: i64 = sqlx::query_scalar("SELECT count(*) FROM trip_events")
        .fetch_one(behind.store.pg.pool())
        .await
        .unwrap();
    // The request that made the trip, and one for each answer.
    assert_eq!(events, 1 + answers);
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM requests WHERE version IS NOT NULL")
        .fetch_one(behind.store.pg.pool())
        .await
        .unwrap();
    assert_eq!(kept, events);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_in_doubt_is_looked_up_under_its_request() {
    let behind = Behind::new().await;
    let trip = behind.store.request(1).await.id;
    let keeper = behind.keeper(Way::OneTrip).await;
    // So that it remembers the trip.
    let offer = offer_to(driver(1));
    ask(&keeper, &behind.proxy, key(), trip, &offer).await;
    let asked = key();
    let its_bytes = asked.id.uuid().as_bytes().to_vec();
    behind.proxy.trap(Trap::BeforeReply(its_bytes));
    let answer = keeper.0.execute(asked, trip, decline(driver(1), 1)).await;
    assert!(behind.proxy.is_sprung());
    let answer = answer.unwrap();
    assert!(matches!(answer, Answer::Before(_)), "{answer:?}");
    assert_eq!(told(&answer).version, 3);
}

/// Refuses everything as soon as the trap is sprung, until the client gets to know of it.
async fn stay_away(proxy: &Proxy, away: bool) {
    while away && !proxy.is_sprung() {
        tokio::task::yield_now().await;
    }
    if away {
        proxy.set(Mode::Refuse);
    }
    std::future::pending::<()>().await;
}
