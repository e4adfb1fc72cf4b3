//! Who may do what, in every state: riders, drivers A and B, dispatch, the sweeper, an operator, the clock, and what goes
//! wrong between them.
//!
//! Messages are a bag: any of them may be the next to arrive, so all are late in every way; a fault loses one, has one
//! arrive twice, or crashes somebody, who forgets what he knew and had not sent. Nobody need do anything: a message that
//! arrives after the end changes nothing, so whoever acts late enough did not act.
//!
//! Invariant: no run comes back to a state it was in ([`World::spent`] grows with every step), so that "every run ends
//! well" is a property of the states without a next one, which stateright checks soundly: `eventually` of a DAG's join
//! would not be. Every message costs something that only grows: an offer, a version, a decision, a fault.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use hexcab_trip::domain::{
    Canceller, Command, Deadline, Event, NewTrip, OfferRef, OfferTo, PaymentMethod, Refusal,
    RiderReason, StartCode, State, deadline, request,
};
use hexcab_types::{
    CityId, Currency, DriverId, Money, OperatorId, Point, ProductId, QuoteClaims, QuoteId, RiderId,
    TripId,
};
use stateright::{Model, Property};
use uuid::Uuid;

use crate::{
    keeper::{Mistake, Row, accept, at, decided, rules},
    monitor::{self, Monitor},
};

/// How much happens in a run.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Trips, each of a rider of its own.
    pub trips: usize,
    /// Offers that dispatch sends.
    pub offers: u8,
    /// Messages lost or doubled, and crashes.
    pub faults: u8,
    /// Whether an operator reassigns.
    pub operator: bool,
}

/// The model.
#[derive(Debug)]
pub struct City {
    bounds: Bounds,
    mistake: Mistake,
    answers: Mutex<BTreeSet<(&'static str, &'static str)>>,
}

/// Drivers A and B.
const DRIVERS: [u8; 2] = [0, 1];

/// Something on its way, or about to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Message {
    /// Dispatch asks trip to offer, at the version that it saw.
    Offer {
        trip: usize,
        driver: u8,
        version: i64,
    },
    /// A driver is told that he is asked.
    Asked { trip: usize, driver: u8, epoch: i32 },
    /// A driver answers.
    Answer {
        trip: usize,
        driver: u8,
        epoch: i32,
        yes: bool,
    },
    /// A driver is told that the trip is his.
    Taken { trip: usize, driver: u8 },
    /// A driver is at the pickup.
    Arrive { trip: usize, driver: u8 },
    /// A driver gives it back.
    Release { trip: usize, driver: u8 },
    /// A rider calls it off.
    Cancel { trip: usize },
    /// An operator looks for another driver.
    Reassign { trip: usize },
    /// The sweeper read that something is due.
    Due { trip: usize, order: Order },
}

/// What the sweeper orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Order {
    ExpireRequest,
    ExpireOffer { epoch: i32 },
    Stall { epoch: i32 },
}

/// Who may crash. (The row does not: it is Postgres.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    Rider(usize),
    Driver(u8),
    Dispatch,
    Sweeper,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// Time passes.
    Tick,
    /// Dispatch sees an open trip and chooses.
    Match { trip: usize, driver: u8 },
    /// A rider decides to call it off.
    ChangeMind { trip: usize },
    /// An operator decides to step in.
    StepIn { trip: usize },
    /// The sweeper sees that something is due.
    Look { trip: usize },
    /// A message arrives at trip.
    Arrives(Message),
    /// A driver reads what he was told, and says or does this.
    Does(Message, Message),
    /// A driver takes no notice.
    Ignores(Message),
    /// A message is lost.
    Lose(Message),
    /// A message arrives, and will again.
    Double(Message),
    /// Somebody crashes and comes back.
    Crash(Who),
}

/// A moment. Rows are what Postgres holds; the rest is on its way, or in somebody's head.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    now: u8,
    rows: Vec<Row>,
    /// Sorted; several of one kind are possible.
    messages: Vec<Message>,
    /// What the sweeper read, where it writes without looking again (a mistake).
    stale: Vec<Option<Row>>,
    /// The version at which the sweeper last read that something is due.
    looked: Vec<i64>,
    may_change_mind: Vec<bool>,
    may_step_in: bool,
    offers_left: u8,
    faults_left: u8,
    monitors: Vec<Monitor>,
}

impl City {
    pub fn new(bounds: Bounds, mistake: Mistake) -> Self {
        Self {
            bounds,
            mistake,
            answers: Mutex::default(),
        }
    }

    /// Which command was ever answered what.
    pub fn answers(&self) -> BTreeSet<(&'static str, &'static str)> {
        self.answers.lock().unwrap().clone()
    }

    /// A message arrives at trip, which decides, keeps, and tells.
    fn arrives(&self, world: &mut World, message: &Message) {
        let (trip, command) = world.command(message);
        let row = match (message, self.mistake) {
            (Message::Due { .. }, Mistake::SweepsWithoutVersion) => {
                world.stale[trip].take().unwrap_or(world.rows[trip].clone())
            }
            _ => world.rows[trip].clone(),
        };
        let answer = decided(self.mistake, &row.0, &command, world.now).and_then(|event| {
            let after = Row(Arc::new((*row.0).clone().apply(&event, at(world.now))));
            self.fits(world, trip, &after)?;
            Ok((event, after))
        });
        let said = match &answer {
            Ok((event, _)) => event.kind(),
            Err(refusal) => refusal.reason(),
        };
        self.answers.lock().unwrap().insert((command.name(), said));
        match answer {
            Ok((event, after)) => world.keep(trip, &command, &event, after),
            Err(refusal) => {
                if let Command::Accept(answer) | Command::Decline(answer) = command
                    && refusal != Refusal::DriverBusy
                {
                    world.monitors[trip].told(&answer, refusal, world.now);
                }
            }
        }
    }

    /// I1, as the unique index has it.
    fn fits(&self, world: &World, trip: usize, after: &Row) -> Result<(), Refusal> {
        let Some(driver) = engaged(after) else {
            return Ok(());
        };
        let mut others = world
            .rows
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != trip);
        if self.mistake != Mistake::NoIndex && others.any(|(_, row)| engaged(row) == Some(driver)) {
            return Err(Refusal::DriverBusy);
        }
        Ok(())
    }

    fn crash(&self, world: &mut World, who: Who) {
        world
            .messages
            .retain(|message| sender(message) != Some(who) && reader(message) != Some(who));
        match who {
            // He does not know whether he called it off.
            Who::Rider(trip) => world.may_change_mind[trip] = true,
            // His app connects again and is told how things stand.
            Who::Driver(driver) => {
                for trip in 0..world.rows.len() {
                    match &world.rows[trip].0.state {
                        State::Offered(open) if open.driver == id_of(driver) => {
                            let epoch = open.epoch;
                            world.send(Message::Asked {
                                trip,
                                driver,
                                epoch,
                            });
                        }
                        State::EnRoute(by) if by.driver == id_of(driver) => {
                            world.send(Message::Taken { trip, driver });
                        }
                        State::Scheduled
                        | State::Requested
                        | State::Offered(_)
                        | State::EnRoute(_)
                        | State::Arrived(_)
                        | State::InProgress(_)
                        | State::Completed { .. }
                        | State::Cancelled { .. }
                        | State::Expired { .. } => {}
                    }
                }
            }
            Who::Dispatch => {}
            Who::Sweeper => {
                world.looked.fill(0);
                world.stale.fill(None);
            }
        }
    }
}

impl Model for City {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let (mut rows, mut monitors) = (Vec::new(), Vec::new());
        for trip in 0..self.bounds.trips {
            let (requested, event) = request(new_trip(trip), &rules(), at(0)).unwrap();
            let mut monitor = Monitor::default();
            monitor.step(&Command::Activate, &event, requested.version, 0);
            rows.push(Row(Arc::new(requested)));
            monitors.push(monitor);
        }
        vec![World {
            now: 0,
            stale: vec![None; rows.len()],
            looked: vec![0; rows.len()],
            may_change_mind: vec![true; rows.len()],
            may_step_in: self.bounds.operator,
            offers_left: self.bounds.offers,
            faults_left: self.bounds.faults,
            messages: Vec::new(),
            rows,
            monitors,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let over = world.rows.iter().all(is_over);
        if over {
            // Nothing can change any more, unless an end is none: then any message shows it, and one after the other will do.
            if let Some(message) = world.messages.first() {
                actions.push(world.next_of(message)[0].clone());
            }
            return;
        }
        let deadlines = || world.rows.iter().filter_map(|row| deadline(&row.0));
        if deadlines().any(|Deadline { due_at, .. }| due_at >= at(world.now)) {
            actions.push(Action::Tick);
        }
        for (trip, row) in world.rows.iter().enumerate() {
            if row.0.state == State::Requested && world.offers_left > 0 {
                actions.extend(DRIVERS.map(|driver| Action::Match { trip, driver }));
            }
            if world.may_change_mind[trip] && !is_over(row) {
                actions.push(Action::ChangeMind { trip });
            }
            if world.may_step_in && row.0.driver().is_some() && !is_over(row) {
                actions.push(Action::StepIn { trip });
            }
            let due = deadline(&row.0).is_some_and(|it| it.due_at < at(world.now));
            if due && world.looked[trip] < row.0.version && self.mistake != Mistake::NeverSweeps {
                actions.push(Action::Look { trip });
            }
        }
        let mut last = None;
        for message in &world.messages {
            if last == Some(message) {
                continue;
            }
            last = Some(message);
            actions.extend(world.next_of(message));
            if world.faults_left > 0 {
                // A driver who is not told is one who takes no notice.
                if reader(message).is_none() {
                    actions.push(Action::Lose(message.clone()));
                }
                actions.push(Action::Double(message.clone()));
            }
        }
        if world.faults_left > 0 {
            actions.extend(world.who_may_crash().map(Action::Crash));
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Tick => world.now += 1,
            Action::Match { trip, driver } => {
                world.offers_left -= 1;
                let version = world.rows[trip].0.version;
                world.send(Message::Offer {
                    trip,
                    driver,
                    version,
                });
            }
            Action::ChangeMind { trip } => {
                world.may_change_mind[trip] = false;
                world.send(Message::Cancel { trip });
            }
            Action::StepIn { trip } => {
                world.may_step_in = false;
                world.send(Message::Reassign { trip });
            }
            Action::Look { trip } => {
                let row = world.rows[trip].clone();
                let order = order(&deadline(&row.0)?.order)?;
                world.looked[trip] = row.0.version;
                world.send(Message::Due { trip, order });
                if self.mistake == Mistake::SweepsWithoutVersion {
                    world.stale[trip] = Some(row);
                }
            }
            Action::Arrives(message) => {
                world.forget(&message);
                self.arrives(&mut world, &message);
            }
            Action::Does(told, said) => {
                world.forget(&told);
                world.send(said);
            }
            Action::Ignores(told) => world.forget(&told),
            Action::Lose(message) => {
                world.faults_left -= 1;
                world.forget(&message);
                if let Message::Due { trip, .. } = message {
                    world.looked[trip] = 0;
                }
            }
            Action::Double(message) => {
                world.faults_left -= 1;
                match world.next_of(&message).swap_remove(0) {
                    Action::Arrives(message) => self.arrives(&mut world, &message),
                    // Told twice, he answers twice, and need not say the same.
                    _ => world.send(message),
                }
            }
            Action::Crash(who) => {
                world.faults_left -= 1;
                self.crash(&mut world, who);
            }
        }
        assert!(world.spent() > before.spent(), "a run must not come back");
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(monitor::I1, |_: &Self, world: &World| {
                world.nobody_is_in_two_places()
            }),
            Property::always(monitor::I3, |_: &Self, world: &World| {
                world.holds(monitor::I3)
            }),
            Property::always(monitor::I4, |_: &Self, world: &World| {
                world.holds(monitor::I4)
            }),
            Property::always(monitor::I5, |_: &Self, world: &World| {
                world.holds(monitor::I5)
            }),
            Property::always(monitor::I8, |_: &Self, world: &World| {
                world.holds(monitor::I8)
            }),
            // At the end of a run, which has one: nobody waits for somebody who need not come.
            Property::always(monitor::I9, |city: &Self, world: &World| {
                let mut next = Vec::new();
                city.actions(world, &mut next);
                !next.is_empty() || world.rows.iter().all(|row| deadline(&row.0).is_none())
            }),
        ]
    }
}

impl World {
    fn holds(&self, property: &'static str) -> bool {
        self.monitors.iter().all(|monitor| monitor.holds(property))
    }

    fn nobody_is_in_two_places(&self) -> bool {
        let mut engaged: Vec<DriverId> = self.rows.iter().filter_map(engaged).collect();
        let drivers = engaged.len();
        engaged.sort_unstable();
        engaged.dedup();
        engaged.len() == drivers
    }

    /// Those who would forget something.
    fn who_may_crash(&self) -> impl Iterator<Item = Who> {
        let riders = (0..self.rows.len())
            .filter(|trip| !self.may_change_mind[*trip] && !is_over(&self.rows[*trip]))
            .map(Who::Rider);
        let others = [Who::Driver(0), Who::Driver(1), Who::Dispatch, Who::Sweeper];
        let others = others.into_iter().filter(|who| {
            let mut messages = self.messages.iter();
            messages.any(|it| sender(it) == Some(*who) || reader(it) == Some(*who))
        });
        riders.chain(others)
    }

    fn send(&mut self, message: Message) {
        let place = self.messages.partition_point(|other| *other < message);
        self.messages.insert(place, message);
    }

    fn forget(&mut self, message: &Message) {
        if let Ok(place) = self.messages.binary_search(message) {
            self.messages.remove(place);
        }
    }

    /// What can become of a message without a fault.
    fn next_of(&self, message: &Message) -> Vec<Action> {
        let does = |said| Action::Does(message.clone(), said);
        match *message {
            Message::Asked {
                trip,
                driver,
                epoch,
            } => {
                let answer = |yes| Message::Answer {
                    trip,
                    driver,
                    epoch,
                    yes,
                };
                vec![
                    Action::Ignores(message.clone()),
                    does(answer(true)),
                    does(answer(false)),
                ]
            }
            Message::Taken { trip, driver } => vec![
                Action::Ignores(message.clone()),
                does(Message::Arrive { trip, driver }),
                does(Message::Release { trip, driver }),
            ],
            Message::Offer { .. }
            | Message::Answer { .. }
            | Message::Arrive { .. }
            | Message::Release { .. }
            | Message::Cancel { .. }
            | Message::Reassign { .. }
            | Message::Due { .. } => vec![Action::Arrives(message.clone())],
        }
    }

    /// What a message orders. (One to a driver orders nothing; it never arrives at trip.)
    fn command(&self, message: &Message) -> (usize, Command) {
        match *message {
            Message::Offer {
                trip,
                driver,
                version,
            } => {
                let to = OfferTo {
                    driver: id_of(driver),
                    version: Some(version),
                    decision: None,
                    pickup_eta_s: 0,
                    pickup_distance_m: 0,
                };
                (trip, Command::Offer(to))
            }
            Message::Answer {
                trip,
                driver,
                epoch,
                yes,
            } => {
                let answer = OfferRef {
                    driver: id_of(driver),
                    epoch,
                };
                (
                    trip,
                    if yes {
                        accept(answer.driver, epoch)
                    } else {
                        Command::Decline(answer)
                    },
                )
            }
            Message::Arrive { trip, driver } => (
                trip,
                Command::Arrive {
                    driver: id_of(driver),
                    position: self.rows[trip].0.order.pickup,
                },
            ),
            Message::Release { trip, driver } => (
                trip,
                Command::Release {
                    driver: id_of(driver),
                },
            ),
            Message::Cancel { trip } => {
                let by = Canceller::Rider {
                    rider: self.rows[trip].0.order.rider,
                    reason: RiderReason::ChangedMind,
                };
                (trip, Command::Cancel(by))
            }
            Message::Reassign { trip } => {
                let operator = OperatorId::from(Uuid::from_u128(0xf000));
                let note = String::from("why");
                (trip, Command::Reassign { operator, note })
            }
            Message::Due { trip, order } => (
                trip,
                match order {
                    Order::ExpireRequest => Command::ExpireRequest,
                    Order::ExpireOffer { epoch } => Command::ExpireOffer { epoch },
                    Order::Stall { epoch } => Command::Stall { epoch },
                },
            ),
            Message::Asked { .. } | Message::Taken { .. } => unreachable!("it is a driver's"),
        }
    }

    /// Keeps a change and tells whom it concerns.
    fn keep(&mut self, trip: usize, command: &Command, event: &Event, after: Row) {
        self.monitors[trip].step(command, event, after.0.version, self.now);
        match event {
            Event::OfferMade(offer) => self.send(Message::Asked {
                trip,
                driver: number_of(offer.driver),
                epoch: offer.epoch,
            }),
            Event::OfferAccepted { driver, .. } => self.send(Message::Taken {
                trip,
                driver: number_of(*driver),
            }),
            Event::Requested { .. }
            | Event::Scheduled { .. }
            | Event::Activated { .. }
            | Event::OfferDeclined { .. }
            | Event::OfferExpired { .. }
            | Event::Arrived { .. }
            | Event::Started { .. }
            | Event::Completed { .. }
            | Event::Cancelled { .. }
            | Event::Released { .. }
            | Event::Expired => {}
        }
        self.rows[trip] = after;
    }

    /// What a run has used up; every step uses up something.
    fn spent(&self) -> i64 {
        let on_the_way: i64 = self
            .messages
            .iter()
            .map(|message| match message {
                Message::Asked { .. } | Message::Taken { .. } => 2,
                Message::Offer { .. }
                | Message::Answer { .. }
                | Message::Arrive { .. }
                | Message::Release { .. }
                | Message::Cancel { .. }
                | Message::Reassign { .. }
                | Message::Due { .. } => 1,
            })
            .sum();
        let versions: i64 = self.monitors.iter().map(Monitor::steps).sum();
        let looks: i64 = self.looked.iter().sum();
        let decisions = i64::from(!self.may_step_in)
            + self.may_change_mind.iter().filter(|may| !**may).count() as i64;
        let faults = -i64::from(self.faults_left);
        let offers = -i64::from(self.offers_left);
        10_000 * faults + 10 * (versions + looks + decisions + offers) + i64::from(self.now)
            - on_the_way
    }
}

fn order(command: &Command) -> Option<Order> {
    match command {
        Command::ExpireRequest => Some(Order::ExpireRequest),
        Command::ExpireOffer { epoch } => Some(Order::ExpireOffer { epoch: *epoch }),
        Command::Stall { epoch } => Some(Order::Stall { epoch: *epoch }),
        Command::Activate
        | Command::Offer(_)
        | Command::Accept(_)
        | Command::Decline(_)
        | Command::Arrive { .. }
        | Command::Start { .. }
        | Command::Complete { .. }
        | Command::NoShow { .. }
        | Command::Cancel(_)
        | Command::Release { .. }
        | Command::Reassign { .. }
        | Command::ForceEnd { .. } => None,
    }
}

/// In whose head it is, or who had it to send.
fn sender(message: &Message) -> Option<Who> {
    match *message {
        Message::Offer { .. } => Some(Who::Dispatch),
        Message::Answer { driver, .. }
        | Message::Arrive { driver, .. }
        | Message::Release { driver, .. } => Some(Who::Driver(driver)),
        Message::Cancel { trip } => Some(Who::Rider(trip)),
        Message::Due { .. } => Some(Who::Sweeper),
        Message::Asked { .. } | Message::Taken { .. } | Message::Reassign { .. } => None,
    }
}

/// Whom it is for, if not for trip.
fn reader(message: &Message) -> Option<Who> {
    match *message {
        Message::Asked { driver, .. } | Message::Taken { driver, .. } => Some(Who::Driver(driver)),
        Message::Offer { .. }
        | Message::Answer { .. }
        | Message::Arrive { .. }
        | Message::Release { .. }
        | Message::Cancel { .. }
        | Message::Reassign { .. }
        | Message::Due { .. } => None,
    }
}

fn is_over(row: &Row) -> bool {
    row.0.state.ended_at().is_some()
}

fn engaged(row: &Row) -> Option<DriverId> {
    match &row.0.state {
        State::Offered(open) => Some(open.driver),
        State::EnRoute(_) | State::Arrived(_) | State::InProgress(_) => row.0.driver(),
        State::Scheduled
        | State::Requested
        | State::Completed { .. }
        | State::Cancelled { .. }
        | State::Expired { .. } => None,
    }
}

fn id_of(driver: u8) -> DriverId {
    Uuid::from_u128(0xd000 + u128::from(driver)).into()
}

fn number_of(driver: DriverId) -> u8 {
    (driver.uuid().as_u128() - 0xd000) as u8
}

fn new_trip(trip: usize) -> NewTrip {
    let rider = RiderId::from(Uuid::from_u128(0xa000 + trip as u128));
    let nothing = Money::zero(Currency::Usd);
    let here = Point::from_degrees(37.77, -122.42).unwrap();
    NewTrip {
        id: TripId::from(Uuid::from_u128(0x7000 + trip as u128)),
        rider,
        quote: QuoteClaims {
            quote: QuoteId::from(Uuid::from_u128(0x9000 + trip as u128)),
            rider,
            city: CityId::new("sf").unwrap(),
            product: ProductId::new("standard").unwrap(),
            pickup: here,
            dropoff: here,
            price: nothing,
            driver_pay: nothing,
            tax: nothing,
            cancellation_fee: nothing,
            duration_s: 0,
            distance_m: 0,
            expires_at: at(0),
            traceparent: None,
        },
        pickup_time: None,
        payment_method: PaymentMethod::Card,
        start_code: StartCode::of(0),
        traceparent: None,
    }
}
