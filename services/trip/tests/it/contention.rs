//! Sixty-four clients at once on a hundred trips and fifty drivers, through two replicas with memories of their own: what
//! they were told is what each trip, one command at a time, could have told them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use hexcab_chassis::{client::Channel, deadline, status};
use hexcab_proto::{
    convert,
    trip::v1::{
        self as proto, State, TripEvent, trip_event::Event, trip_service_client::TripServiceClient,
    },
};
use hexcab_telemetry::metrics::{self, KeyValue};
use hexcab_testkit::{ChaCha8Rng, seeded};
use hexcab_trip::{
    app,
    domain::{Command, Refusal, Rules, Trip},
    store::Trips,
};
use hexcab_types::{DriverId, Timestamp};
use prost::Message as _;
use rand::{RngExt as _, SeedableRng as _};
use tonic::Code;

use crate::{
    api::id,
    fixture::*,
    linearize::{self, Op, What},
    replicas::{CityClock, Replicas, send},
};

const CLIENTS: u64 = 64;
const TRIPS: u128 = 100;
const DRIVERS: u128 = 50;
const OPS_EACH: usize = 40;
/// A command's deadline.
const DEADLINE: Duration = Duration::from_secs(10);

/// What all clients share.
struct City {
    clients: Vec<TripServiceClient<Channel>>,
    clock: CityClock,
    /// The instants of asking and answering, in one order over all.
    instant: AtomicU64,
    /// Each trip as somebody saw it last, maybe long ago.
    seen: Mutex<Vec<proto::Trip>>,
    /// What happened to each trip, as its clients were told.
    told: Mutex<Vec<Vec<Op>>>,
    given_up: AtomicU64,
}

impl City {
    fn now(&self) -> u64 {
        self.instant.fetch_add(1, Ordering::SeqCst)
    }

    fn saw(&self, n: usize, trip: &proto::Trip) {
        let mut seen = self.seen.lock().unwrap();
        if seen[n].version < trip.version {
            seen[n] = trip.clone();
        }
    }

    fn note(&self, n: usize, op: Op) {
        if let What::Done(_, trip) | What::Read(trip) = &op.what {
            self.saw(n, trip);
        }
        self.told.lock().unwrap()[n].push(op);
    }
}

/// One client, asking one thing after another.
struct Client {
    city: Arc<City>,
    chance: ChaCha8Rng,
}

impl Client {
    async fn run(mut self) {
        for _ in 0..OPS_EACH {
            // The first trips are everybody's favourites.
            let n = if self.chance.random_bool(0.5) {
                self.chance.random_range(0..TRIPS as usize / 8)
            } else {
                self.chance.random_range(0..TRIPS as usize)
            };
            if self.chance.random_bool(0.1) {
                self.look(n).await;
            } else {
                self.order(n).await;
            }
            // Time goes on with what is done: an offer lives for as long as some hundred operations take.
            if self.chance.random_bool(0.04) {
                self.city.clock.advance(Duration::from_millis(700));
            }
        }
    }

    fn replica(&mut self) -> TripServiceClient<Channel> {
        let which = self.chance.random_range(0..self.city.clients.len());
        self.city.clients[which].clone()
    }

    async fn look(&mut self, n: usize) {
        let name = self.city.seen.lock().unwrap()[n].name.clone();
        let mut client = self.replica();
        let asked = self.city.now();
        let got = client.get_trip(proto::GetTripRequest { name }).await;
        let trip = got.unwrap().into_inner().trip.unwrap();
        self.city.note(
            n,
            Op {
                asked,
                answered: Some(self.city.now()),
                nows: Vec::new(),
                what: What::Read(Box::new(trip)),
            },
        );
    }

    async fn order(&mut self, n: usize) {
        let seen = self.city.seen.lock().unwrap()[n].clone();
        let command = self.command(n, &seen);
        let request = id();
        let (asked, tick) = (self.city.now(), self.city.clock.ticks());
        // Some callers have no patience, and do not know what they missed …
        let hasty = self.chance.random_bool(0.05);
        let patience = if hasty {
            Duration::from_millis(self.chance.random_range(1..6))
        } else {
            DEADLINE
        };
        let mut client = self.replica();
        let sent = send(&mut client, &seen.name, &request, &command);
        let mut answer = deadline::scope(patience, sent).await;
        // … and most of them ask again, wherever they get to.
        while unknown(&answer) && self.chance.random_bool(0.7) {
            let mut client = self.replica();
            let again = send(&mut client, &seen.name, &request, &command);
            answer = deadline::scope(DEADLINE, again).await;
        }
        let (answered, nows) = (self.city.now(), self.city.clock.since(tick));
        let (answered, what) = match answer {
            Ok(trip) => (Some(answered), What::Done(command, Box::new(trip))),
            Err(_) if unknown(&answer) => (None, What::Unknown(command)),
            Err(told) => match refusal(&told) {
                Some(refusal) => (Some(answered), What::Refused(command, refusal)),
                // Others kept winning: nothing happened.
                None => {
                    self.city.given_up.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            },
        };
        self.city.note(
            n,
            Op {
                asked,
                answered,
                nows,
                what,
            },
        );
    }

    /// Something to ask of a trip that was like this not long ago: mostly what fits, and what may be too late.
    fn command(&mut self, n: usize, seen: &proto::Trip) -> Command {
        let somebody = driver(self.chance.random_range(0..DRIVERS));
        let his: DriverId = convert::name(&seen.driver, "driver").unwrap_or(somebody);
        let asked: DriverId = seen
            .offer
            .as_ref()
            .and_then(|offer| convert::name(&offer.driver, "driver").ok())
            .unwrap_or(somebody);
        let epoch = (seen.epoch - self.chance.random_range(0..2)).max(1);
        let chance = self.chance.random_range(0..100);
        match (seen.state(), chance) {
            (_, 0..3) => cancel(rider(n as u128 + 1)),
            (_, 3..5) => cancel(rider(n as u128 + 2)),
            (_, 5) => force(),
            (_, 6..12) => accept(somebody, epoch),
            (State::Requested, _) => offer_to(somebody),
            (State::Offered, ..50) => accept(asked, seen.epoch),
            (State::Offered, ..75) => decline(asked, seen.epoch),
            (State::Offered, _) => offer_to(somebody),
            (State::EnRoute, ..40) => Command::Release { driver: his },
            (State::EnRoute, ..60) => reassign(),
            (State::EnRoute, ..75) => arrive(his),
            (State::EnRoute, ..90) => accept(his, seen.epoch),
            (State::EnRoute, _) => decline(his, seen.epoch),
            (State::Arrived, ..60) => Command::Release { driver: his },
            (State::Arrived, _) => reassign(),
            (_, ..50) => offer_to(somebody),
            (_, _) => Command::Complete { driver: his },
        }
    }
}

/// Whether it may have happened.
fn unknown(answer: &Result<proto::Trip, tonic::Status>) -> bool {
    let Err(told) = answer else { return false };
    // ABORTED: the first try is still at work.
    let in_flight = status::reason(told).as_deref() == Some("REQUEST_IN_FLIGHT");
    matches!(
        told.code(),
        Code::DeadlineExceeded | Code::Unavailable | Code::Cancelled
    ) || (told.code() == Code::Aborted && in_flight)
}

/// The refusal, or none when the service gave up in the crowd. Anything else is a failure of the test.
fn refusal(told: &tonic::Status) -> Option<Refusal> {
    let reason = status::reason(told).unwrap_or_else(|| panic!("no reason: {told:?}"));
    match (told.code(), reason.as_str()) {
        (Code::Aborted, "CONTENDED" | "TRIP_CHANGED") => None,
        (Code::FailedPrecondition | Code::PermissionDenied, reason) => {
            Some(Refusal::from_reason(reason).unwrap_or_else(|| panic!("{reason} is no refusal")))
        }
        _ => panic!("{told:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_is_told_nothing_that_one_trip_could_not_have_told_one_by_one() {
    let (seed, _) = seeded("contention");
    let measured = metrics::in_memory();
    let replicas = Replicas::start(2).await;
    let begun = join_all((1..=TRIPS).map(|n| replicas.create(n))).await;
    let city = Arc::new(City {
        clients: replicas.clients.clone(),
        clock: replicas.clock.clone(),
        instant: AtomicU64::new(1),
        told: Mutex::new(vec![Vec::new(); begun.len()]),
        seen: Mutex::new(begun.clone()),
        given_up: AtomicU64::new(0),
    });
    let trips = Store::keeper(&replicas.pg, hexcab_chassis::Clock::manual(start()).0).0;
    let starts = join_all(begun.iter().map(|trip| kept(&trips, trip))).await;

    let retried_before = retries(&measured);
    join_all((0..CLIENTS).map(|n| {
        let client = Client {
            city: city.clone(),
            chance: ChaCha8Rng::seed_from_u64(seed ^ (n << 32)),
        };
        client.run()
    }))
    .await;

    let mut histories = city.told.lock().unwrap().clone();
    let mut events = Vec::new();
    for (n, trip) in begun.iter().enumerate() {
        let all = events_of(&trips, &starts[n]).await;
        histories[n].extend(carried_out_by_the_sweeper(&all));
        let mut client = city.clients[n % 2].clone();
        let name = trip.name.clone();
        let asked = city.now();
        let last = client.get_trip(proto::GetTripRequest { name }).await;
        histories[n].push(Op {
            asked,
            answered: Some(city.now()),
            nows: Vec::new(),
            what: What::Read(Box::new(last.unwrap().into_inner().trip.unwrap())),
        });
        events.push(all);
    }
    replicas.stop().await;

    let book = app::rules(&["sf".to_owned()]).unwrap();
    let order = &starts[0].order;
    let rules = book.of(&order.city, &order.product).unwrap();
    for (n, history) in histories.iter().enumerate() {
        check(&starts[n], rules, history, &events[n]);
    }
    every_busy_driver_was_busy(&histories, &events);
    report(&histories, &city);
    let retried = retries(&measured) - retried_before;
    println!(
        "retries {retried}, given up {}",
        city.given_up.load(Ordering::Relaxed)
    );
    assert!(
        retried > 0.0,
        "a crowd like this meets, and that is counted"
    );
}

async fn kept(trips: &Trips, told: &proto::Trip) -> Trip {
    let id = convert::name(&told.name, "name").unwrap();
    trips.get(id).await.unwrap()
}

fn retries(measured: &metrics::Measured) -> f64 {
    let of = [KeyValue::new("db.operation.name", "trip.execute")];
    measured.value("hexcab.pg.retries", &of)
}

async fn events_of(trips: &Trips, trip: &Trip) -> Vec<TripEvent> {
    let payloads = trips.events(trip.id).await.unwrap();
    payloads
        .iter()
        .map(|payload| TripEvent::decode(payload.as_slice()).unwrap())
        .collect()
}

/// What no client asked for: the deadlines. When that was, nobody was told; which instant the clock showed, the event says.
fn carried_out_by_the_sweeper(events: &[TripEvent]) -> Vec<Op> {
    let by_the_clock = |event: &TripEvent| {
        let command = match event.event.as_ref().unwrap() {
            Event::OfferExpired(expired) => Command::ExpireOffer {
                epoch: expired.epoch,
            },
            Event::Expired(_) => Command::ExpireRequest,
            Event::Requested(_)
            | Event::OfferMade(_)
            | Event::OfferAccepted(_)
            | Event::OfferDeclined(_)
            | Event::DriverArrived(_)
            | Event::Started(_)
            | Event::Completed(_)
            | Event::Cancelled(_)
            | Event::Released(_)
            | Event::Scheduled(_)
            | Event::Activated(_) => return None,
        };
        let after = event.after.clone().unwrap();
        let at = after.update_time.unwrap();
        let at = Timestamp::from_timestamp(at.seconds, at.nanos.unsigned_abs()).unwrap();
        Some(Op {
            asked: 0,
            answered: None,
            nows: vec![at],
            what: What::Done(command, Box::new(after)),
        })
    };
    events.iter().filter_map(by_the_clock).collect()
}

/// One trip's history: linearizable, its events numbered 1..n, and no answer that is not one of them.
fn check(begun: &Trip, rules: &Rules, history: &[Op], events: &[TripEvent]) {
    let versions: Vec<i64> = events.iter().map(|event| event.version).collect();
    assert_eq!(versions, (1..=events.len() as i64).collect::<Vec<_>>());
    let mut winners = BTreeMap::<i64, u32>::new();
    for op in history {
        if let What::Done(_, trip) = &op.what {
            *winners.entry(trip.version).or_default() += 1;
            let event = &events[usize::try_from(trip.version).unwrap() - 1];
            assert_eq!(event.after.as_ref(), Some(trip.as_ref()));
        }
    }
    assert!(
        winners.values().all(|winners| *winners == 1),
        "one winner each: {winners:?}"
    );
    if linearize::order(begun, rules, history).is_none() {
        let mut history = history.to_vec();
        history.sort_by_key(|op| op.asked);
        for op in &history {
            println!("{op:?}");
        }
        panic!("{} answered what it could not have", begun.id);
    }
}

/// Who was told that a driver is busy was told so while another trip had him, or may have had.
fn every_busy_driver_was_busy(histories: &[Vec<Op>], events: &[Vec<TripEvent>]) {
    // Trip, from when at the earliest, to when at the latest.
    let mut engagements: HashMap<String, Vec<(usize, u64, u64)>> = HashMap::new();
    for (n, events) in events.iter().enumerate() {
        let told_of = |version: i64| {
            histories[n]
                .iter()
                .find(|op| matches!(&op.what, What::Done(_, trip) if trip.version == version))
        };
        let mut engaged: Option<(String, u64)> = None;
        for event in events {
            let after = event.after.as_ref().unwrap();
            let op = told_of(event.version);
            let now = match after.offer.as_ref() {
                Some(offer) => Some(offer.driver.clone()),
                None if after.end_time.is_none() && !after.driver.is_empty() => {
                    Some(after.driver.clone())
                }
                None => None,
            };
            if let Some((who, from)) = engaged.take() {
                if now.as_ref() == Some(&who) {
                    engaged = Some((who, from));
                    continue;
                }
                let to = op.and_then(|op| op.answered).unwrap_or(u64::MAX);
                engagements.entry(who).or_default().push((n, from, to));
            }
            engaged = now.map(|who| (who, op.map_or(0, |op| op.asked)));
        }
        if let Some((who, from)) = engaged {
            engagements
                .entry(who)
                .or_default()
                .push((n, from, u64::MAX));
        }
    }
    for (n, history) in histories.iter().enumerate() {
        for op in history {
            let What::Refused(Command::Offer(to), Refusal::DriverBusy) = &op.what else {
                continue;
            };
            let had = engagements
                .get(&to.driver.name())
                .is_some_and(|engagements| {
                    engagements.iter().any(|(other, from, to)| {
                        *other != n && *from < op.answered.unwrap_or(u64::MAX) && *to > op.asked
                    })
                });
            assert!(had, "nobody had {}: {op:?}", to.driver);
        }
    }
}

/// What it came to, for whoever reads the test's output.
fn report(histories: &[Vec<Op>], city: &City) {
    let mut counts = BTreeMap::<String, u32>::new();
    for op in histories.iter().flatten() {
        let what = match &op.what {
            What::Done(command, _) => format!("{} ok", command.name()),
            What::Refused(_, refusal) => format!("refused {}", refusal.reason()),
            What::Unknown(_) => "unknown".to_owned(),
            What::Read(_) => "read".to_owned(),
        };
        *counts.entry(what).or_default() += 1;
    }
    println!("ticks of the clock {}, {counts:#?}", city.clock.ticks());
    for needed in [
        "accept ok",
        "decline ok",
        "cancel ok",
        "release ok",
        "expire offer ok",
        "reassign ok",
        "refused DRIVER_BUSY",
        "refused OFFER_EXPIRED",
        "refused TRIP_CANCELLED",
    ] {
        assert!(counts.contains_key(needed), "no {needed}: {counts:#?}");
    }
}
