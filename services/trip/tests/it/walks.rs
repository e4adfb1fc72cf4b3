//! Random histories of several trips, riders and drivers: clocks that jump, back too, and requests that come again. The
//! invariants hold whatever is asked in whatever order, in a world in memory; and Postgres gives the same answers.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap, HashSet},
};

use chrono::TimeDelta;
use hexcab_proto::trip::v1 as proto;
use hexcab_trip::{
    domain::{
        Canceller, Command, Event, ExclusionReason, NewTrip, OfferTo, PaymentMethod, Refusal,
        ReleasedBy, StartCode, State, Trip, deadline, decide,
    },
    store::{ExecuteError, RequestKey},
    sweeper::Sweeper,
};
use hexcab_types::{DriverId, QuoteId, RequestId, Timestamp, TripId};
use proptest::{prelude::*, sample::Index, test_runner::TestRunner};
use uuid::Uuid;

use crate::{
    fixture::*,
    keeper::Keeper,
    world::{Ask, World, engaged, is_active},
};

/// What happens next, some seconds later or earlier.
#[derive(Debug, Clone)]
struct Step {
    what: What,
    after_s: i64,
}

#[derive(Debug, Clone)]
enum What {
    /// A rider asks for a trip, perhaps for later, perhaps with a quote that was used.
    Create {
        rider: u128,
        ahead_s: Option<i64>,
        used: bool,
    },
    /// What usually comes next for a trip.
    Usual { trip: Index, driver: u128 },
    /// Anything at all.
    Any {
        trip: Index,
        kind: u8,
        driver: u128,
        epoch: i32,
        right: bool,
    },
    /// Something that was asked before comes again.
    Again(Index),
    /// Deadlines are carried out.
    Sweep,
}

fn what() -> impl Strategy<Value = What> {
    let ahead = prop_oneof![3 => Just(None), 2 => (-10_i64..4_000).prop_map(Some)];
    prop_oneof![
        2 => (0_u128..3, ahead, prop::bool::weighted(0.1))
            .prop_map(|(rider, ahead_s, used)| What::Create { rider, ahead_s, used }),
        8 => (any::<Index>(), 0_u128..4).prop_map(|(trip, driver)| What::Usual { trip, driver }),
        5 => (any::<Index>(), 0_u8..18, 0_u128..4, 1_i32..5, any::<bool>()).prop_map(
            |(trip, kind, driver, epoch, right)| What::Any { trip, kind, driver, epoch, right }
        ),
        1 => any::<Index>().prop_map(What::Again),
        2 => Just(What::Sweep),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let after = prop_oneof![
        20 => 0_i64..3, 6 => 3_i64..20, 2 => 20_i64..400, 1 => 400_i64..2_000, 1 => -300_i64..0
    ];
    (what(), after).prop_map(|(what, after_s)| Step { what, after_s })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..70)
}

/// A walk through a world of its own: its people are told apart from those of other walks by `salt`.
struct Walk {
    salt: u128,
    world: World,
    asked: Vec<Ask>,
    order: Vec<TripId>,
    now: Timestamp,
}

/// What a step comes to.
enum Act {
    Ask(usize),
    Sweep,
    Nothing,
}

impl Walk {
    fn new(salt: u128) -> Self {
        Self {
            salt,
            world: World::default(),
            asked: Vec::new(),
            order: Vec::new(),
            now: start(),
        }
    }

    fn driver(&self, n: u128) -> DriverId {
        Uuid::from_u128((self.salt << 64) + 0xd0 + n).into()
    }

    fn act(&mut self, step: &Step) -> Act {
        self.now += TimeDelta::seconds(step.after_s);
        let ask = match &step.what {
            What::Sweep => return Act::Sweep,
            What::Again(_) if self.asked.is_empty() => return Act::Nothing,
            What::Again(which) => return Act::Ask(which.index(self.asked.len())),
            What::Create {
                rider,
                ahead_s,
                used,
            } => self.create(*rider, *ahead_s, *used),
            What::Usual { .. } | What::Any { .. } if self.order.is_empty() => return Act::Nothing,
            What::Usual { trip, driver } => {
                let trip = &self.world.trips[trip.get(&self.order)];
                Ask::Do(trip.id, usual(trip, self.driver(*driver), *driver == 0))
            }
            What::Any {
                trip,
                kind,
                driver,
                epoch,
                right,
            } => {
                let trip = &self.world.trips[trip.get(&self.order)];
                let command = any_command(trip, *kind, self.driver(*driver), *epoch, *right);
                Ask::Do(trip.id, command)
            }
        };
        self.asked.push(ask);
        Act::Ask(self.asked.len() - 1)
    }

    fn create(&self, rider: u128, ahead_s: Option<i64>, used: bool) -> Ask {
        let n = self.asked.len() as u128;
        let rider = Uuid::from_u128((self.salt << 64) + 0xa0 + rider).into();
        let mut new = new_trip(rider);
        new.id = Uuid::from_u128((self.salt << 64) + 0x1000 + n).into();
        let quote = if used { 0 } else { n };
        new.quote.quote = QuoteId::from(Uuid::from_u128((self.salt << 64) + 0x1_0000 + quote));
        new.quote.expires_at = self.now;
        // No two at one instant, so that Postgres and the world carry bookings out in the same order.
        new.pickup_time = ahead_s.map(|seconds| {
            self.now + TimeDelta::seconds(seconds) + TimeDelta::microseconds(n as i64)
        });
        new.payment_method = if n.is_multiple_of(2) {
            PaymentMethod::Card
        } else {
            PaymentMethod::Cash
        };
        Ask::Create(Box::new(new))
    }

    /// Asks the world. The trip of a request that was granted is walked on with.
    fn ask(&mut self, id: usize) -> Result<Trip, Refusal> {
        let answer = self.world.ask(id, &self.asked[id], self.now);
        if let (Ask::Create(new), Ok(_)) = (&self.asked[id], &answer)
            && !self.order.contains(&new.id)
        {
            self.order.push(new.id);
        }
        answer
    }

    /// I9: time goes on, deadlines are carried out, nobody does anything else. At the end nobody waits for somebody who
    /// need not come.
    fn settle(&mut self) {
        for _ in 0..8 {
            self.now += TimeDelta::days(8);
            self.world.sweep(self.now);
        }
        for trip in self.world.trips.values() {
            assert_eq!(deadline(trip), None, "{trip:?} is forgotten");
            assert!(!is_waiting(&trip.state), "{trip:?} is forgotten");
        }
    }
}

fn is_waiting(state: &State) -> bool {
    match state {
        State::Scheduled | State::Requested | State::Offered(_) | State::EnRoute(_) => true,
        State::Arrived(_)
        | State::InProgress(_)
        | State::Completed { .. }
        | State::Cancelled { .. }
        | State::Expired { .. } => false,
    }
}

/// What usually comes next. Of the riders whose driver is there, some do not come.
fn usual(trip: &Trip, another: DriverId, nobody_comes: bool) -> Command {
    match &trip.state {
        State::Scheduled => Command::Activate,
        State::Requested => offer_to(another),
        State::Offered(open) => accept(open.driver, open.epoch),
        State::EnRoute(by) => arrive(by.driver),
        State::Arrived(there) if nobody_comes => no_show(there.acceptance.driver),
        State::Arrived(there) => begin(there.acceptance.driver),
        State::InProgress(ride) => Command::Complete {
            driver: ride.arrival.acceptance.driver,
        },
        State::Completed { .. } | State::Cancelled { .. } | State::Expired { .. } => force(),
    }
}

fn any_command(trip: &Trip, kind: u8, driver: DriverId, epoch: i32, right: bool) -> Command {
    let his = trip.driver().filter(|_| right).unwrap_or(driver);
    let last = if right { trip.epoch.max(1) } else { epoch };
    match kind {
        0 => Command::Offer(OfferTo {
            driver,
            version: (!right).then_some(i64::from(epoch)),
            decision: None,
            pickup_eta_s: epoch * 100,
            pickup_distance_m: 900,
        }),
        1 => accept(driver, last),
        2 | 3 => decline(engaged(trip).unwrap_or(driver), last),
        4 => Command::ExpireOffer { epoch: last },
        5 => Command::ExpireRequest,
        6 => Command::Activate,
        7 => stall(last),
        8 => arrive(his),
        9 => Command::Start {
            driver: his,
            code: if right { code() } else { StartCode::of(1) },
        },
        10 => Command::Complete { driver: his },
        11 => no_show(his),
        12 => Command::Release { driver: his },
        13 => reassign(),
        14 if right => force(),
        14 | 15 => Command::Cancel(Canceller::PaymentDeclined),
        16 => Command::Cancel(Canceller::RiderBusy),
        _ => cancel(if right { trip.order.rider } else { rider(999) }),
    }
}

/// I1: nobody is in two places.
fn check_engagements(world: &World) {
    let (mut riders, mut drivers) = (HashSet::new(), HashSet::new());
    for trip in world.trips.values() {
        assert!(!is_active(trip) || riders.insert(trip.order.rider));
        if let Some(driver) = engaged(trip) {
            assert!(drivers.insert(driver), "{driver} is in two places");
        }
    }
}

/// What is remembered of one trip, to hold its history against.
#[derive(Default)]
struct Seen {
    version: i64,
    offers: HashMap<i32, (DriverId, Timestamp)>,
    open: Option<i32>,
    accepted: Option<(DriverId, i32)>,
    in_vain: HashSet<DriverId>,
    ended: bool,
}

impl Seen {
    /// One more event, at this instant.
    fn step(&mut self, event: &Event, after: &Trip) {
        let at = after.updated_at;
        assert!(!self.ended, "I3: {event:?} after the end");
        self.version += 1;
        assert_eq!(after.version, self.version, "I2");
        match event {
            Event::Requested { .. } | Event::Scheduled { .. } => assert_eq!(self.version, 1),
            Event::Activated { .. } => {
                assert!(self.version == 2 && at > after.order.activates_at.unwrap());
            }
            Event::OfferMade(offer) => {
                assert!(!self.in_vain.contains(&offer.driver), "I8");
                assert_eq!(offer.epoch as usize, self.offers.len() + 1, "I4");
                assert_eq!(self.open.replace(offer.epoch), None, "I5");
                let last = at + TimeDelta::seconds(16);
                self.offers.insert(offer.epoch, (offer.driver, last));
            }
            Event::OfferAccepted { driver, epoch, .. } => {
                self.outcome(*driver, *epoch);
                assert!(at <= self.offers[epoch].1, "I4");
                self.accepted = Some((*driver, *epoch));
            }
            Event::OfferDeclined { driver, epoch } => {
                self.outcome(*driver, *epoch);
                self.in_vain.insert(*driver);
            }
            Event::OfferExpired { driver, epoch } => {
                self.outcome(*driver, *epoch);
                assert!(at > self.offers[epoch].1, "I5: his time was not over");
                self.in_vain.insert(*driver);
            }
            Event::Released {
                driver, epoch, by, ..
            } => {
                assert_eq!(self.accepted.take(), Some((*driver, *epoch)));
                let last = after.excluded.last().unwrap();
                let reason = match by {
                    ReleasedBy::Driver => ExclusionReason::Released,
                    ReleasedBy::Stall => ExclusionReason::Stalled,
                    ReleasedBy::Operator { .. } => ExclusionReason::Reassigned,
                };
                assert_eq!((last.driver, last.reason), (*driver, reason));
                self.in_vain.insert(*driver);
            }
            Event::Arrived { .. } | Event::Started { .. } => assert!(self.accepted.is_some()),
            Event::Completed { .. } | Event::Cancelled { .. } | Event::Expired => {
                self.ended = true;
                self.open = None;
            }
        }
        let in_vain: HashSet<DriverId> = after.excluded.iter().map(|it| it.driver).collect();
        assert_eq!(in_vain, self.in_vain, "I8");
        check_money(event, after);
    }

    /// I5: an offer has one outcome.
    fn outcome(&mut self, driver: DriverId, epoch: i32) {
        assert_eq!(self.open.take(), Some(epoch), "I5");
        assert_eq!(self.offers[&epoch].0, driver, "I4");
    }
}

/// Who is done owes the fare and his waiting, or the fee, or nothing; his driver is due a part of it.
fn check_money(event: &Event, after: &Trip) {
    let ended = after.state.ended_at().is_some();
    assert_eq!(after.charge().is_some(), ended);
    assert_eq!(after.driver_due().is_some(), ended);
    let (Some(charge), Some(due)) = (after.charge(), after.driver_due()) else {
        return;
    };
    let waiting = after.state.progress().ride().map(|ride| ride.waiting_fee);
    if let Event::Completed { .. } = event {
        let waiting = waiting.unwrap();
        assert!(waiting.minor >= 0);
        assert_eq!(charge, after.order.fare.plus(waiting).unwrap());
        assert!(due.minor >= after.order.driver_pay.minor);
    } else {
        assert!([0, after.order.cancellation_fee.minor].contains(&charge.minor));
    }
    assert!((0..=charge.minor).contains(&due.minor));
}

/// I2, I3, I4, I5, I8 and the money, trip by trip.
fn check_histories(world: &World) {
    let mut seen: HashMap<TripId, Seen> = HashMap::new();
    let mut folded: HashMap<TripId, Trip> = HashMap::new();
    for (id, event, after) in &world.history {
        seen.entry(*id).or_default().step(event, after);
        let before = folded
            .remove(id)
            .unwrap_or_else(|| Trip::new(*id, after.order.clone(), after.created_at));
        folded.insert(*id, before.apply(event, after.updated_at));
    }
    for (id, trip) in &world.trips {
        assert_eq!(
            folded[id], *trip,
            "I2: the state is what the events fold to"
        );
    }
}

/// Histories in memory.
const WALKS: u32 = 1_500;
/// Histories on real Postgres: fewer, since each step is a transaction.
const HISTORIES: u32 = 24;

/// What happened in all walks, by kind: walks that never complete a ride say nothing about completed rides.
#[derive(Default)]
struct Reached(RefCell<BTreeMap<String, usize>>);

impl Reached {
    fn note(&self, world: &World) {
        for (_, event, after) in &world.history {
            let mut cause = String::new();
            if let Event::Released { by, .. } = event {
                cause = format!("{:?}", by.exclusion());
            }
            if let Some(cancellation) = proto::Trip::from(after).cancellation {
                cause = cancellation.reason().as_str_name().to_owned();
            }
            let kind = format!("{} {cause}", event.kind());
            *self.0.borrow_mut().entry(kind).or_default() += 1;
        }
    }
}

fn walks(cases: u32) -> TestRunner {
    TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

#[test]
fn no_history_breaks_an_invariant() {
    let reached = Reached::default();
    let walked = walks(WALKS).run(&steps(), |steps| {
        let mut walk = Walk::new(0);
        let mut answers = HashMap::new();
        for step in &steps {
            match walk.act(step) {
                Act::Ask(id) => {
                    let answer = walk.ask(id);
                    if answer != Err(Refusal::TripChanged) {
                        // I6: whatever was answered under an id before.
                        let first = answers.entry(id).or_insert_with(|| answer.clone());
                        prop_assert_eq!(&*first, &answer);
                    }
                }
                Act::Sweep => {
                    walk.world.sweep(walk.now);
                }
                Act::Nothing => {}
            }
            check_engagements(&walk.world);
        }
        walk.settle();
        check_engagements(&walk.world);
        check_histories(&walk.world);
        reached.note(&walk.world);
        Ok(())
    });
    walked.unwrap();
    let reached = reached.0.into_inner();
    println!("{reached:#?}");
    // Of 13 kinds of events one has three causes and one six (a rider's two reasons are one edge).
    assert_eq!(reached.len(), 11 + 3 + 5, "{reached:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn of_two_commands_at_once_the_second_sees_the_first(
        one in (0_u8..18, 0_u128..4, 1_i32..3, any::<bool>()), other in (0_u8..18, 0_u128..4, 1_i32..3, any::<bool>()),
        state in 0_usize..6,
    ) {
        // Whatever two commands race, applied in either order, at most one of two acceptances stands (I5).
        let mut trip = trip_in(crate::table::STATES[state]);
        let mut accepted = trip.driver().is_some();
        for (kind, n, epoch, right) in [one, other] {
            let command = any_command(&trip, kind, driver(n), epoch, right);
            if let Ok(event) = decide(&trip, &command, &rules(), start()) {
                if matches!(event, Event::OfferAccepted { .. }) {
                    prop_assert!(!accepted);
                    accepted = true;
                }
                if matches!(event, Event::Released { .. }) {
                    accepted = false;
                }
                trip = trip.apply(&event, start());
            }
        }
    }
}

#[test]
fn postgres_answers_as_the_world_in_memory_does() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let store = runtime.block_on(Store::new());
    let salt = Cell::new(1);
    let walked = walks(HISTORIES).run(&steps(), |steps| {
        salt.set(salt.get() + 1);
        runtime.block_on(walk_in_both(&store, Walk::new(salt.get()), &steps));
        Ok(())
    });
    walked.unwrap();
}

async fn walk_in_both(store: &Store, mut walk: Walk, steps: &[Step]) {
    // Whoever was left waiting by the walk before is not this one's.
    let mut sweeper = Sweeper::new(store.trips.0.clone());
    for step in steps {
        let act = walk.act(step);
        store.hand.set(walk.now);
        match act {
            Act::Ask(id) => {
                let (here, there) = (walk.ask(id), asked(&walk, &store.trips, id).await);
                assert_eq!(here, there, "{:?}", walk.asked[id]);
            }
            Act::Sweep => {
                let here = walk.world.sweep(walk.now);
                let there = sweeper.sweep(tokio::time::Instant::now()).await.unwrap();
                assert_eq!(here, there.carried_out);
            }
            Act::Nothing => {}
        }
    }
    for trip in walk.world.trips.values() {
        assert_eq!(store.trips.get(trip.id).await.unwrap(), *trip);
        check_rows(store, trip).await;
    }
    // Nobody is left for the next walk.
    for _ in 0..8 {
        walk.now += TimeDelta::days(8);
        store.hand.set(walk.now);
        walk.world.sweep(walk.now);
        sweeper.sweep(tokio::time::Instant::now()).await.unwrap();
    }
    for trip in walk.world.trips.values() {
        assert_eq!(store.trips.get(trip.id).await.unwrap(), *trip);
    }
}

async fn asked(walk: &Walk, trips: &Keeper, id: usize) -> Result<Trip, Refusal> {
    let request = (walk.salt << 64) + 0x10_0000 + id as u128;
    let key = RequestKey {
        id: RequestId::from(Uuid::from_u128(request)),
        body_hash: [7; 32],
    };
    let answer = match &walk.asked[id] {
        Ask::Create(new) => trips.create(key, NewTrip::clone(new)).await,
        Ask::Do(trip, command) => trips.execute(key, *trip, command.clone()).await,
    };
    match answer {
        Ok(trip) => Ok(trip),
        Err(ExecuteError::Refused(refusal)) => Err(refusal),
        Err(other) => panic!("{other:?}"),
    }
}

/// I2, I7 and I9 as the rows have them: an event and an outbox row a version, and the deadline of the domain.
async fn check_rows(store: &Store, trip: &Trip) {
    let (events, told, due_at): (i64, i64, Option<Timestamp>) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM trip_events WHERE trip = t.id),
                (SELECT count(*) FROM outbox WHERE subject = 'trips/' || t.id), due_at
         FROM trips t WHERE id = $1",
    )
    .bind(trip.id.uuid())
    .fetch_one(store.pg.pool())
    .await
    .unwrap();
    assert_eq!((events, told), (trip.version, trip.version));
    assert_eq!(due_at, deadline(trip).map(|deadline| deadline.due_at));
}
