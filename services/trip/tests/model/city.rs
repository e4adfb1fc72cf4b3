//! Who may say what, when: riders, drivers A and B, dispatch, the sweeper, an operator, the clock, and what goes wrong
//! between them.
//!
//! What somebody has reason to say is in [`World::words`], and it arrives at any later moment, however things stand by
//! then: late, again and again, or never. So any number of messages is lost, doubled and overtaken. Each arrival is
//! decided anew, as one under another request id would be; under the same id it would change nothing (I6). Who crashes
//! forgets what he had reason to say, comes back, and learns how things stand; any of them may, at any time, as often as
//! he likes.
//!
//! Time is counted in ticks, and two worlds are the same if all that lies ahead of them lies equally far ahead
//! ([`Row::digest`]): so there are finitely many.

use std::{
    collections::BTreeSet,
    hash::{Hash, Hasher},
    sync::Mutex,
};

use hexcab_trip::domain::{Command, Deadline, Refusal, State, deadline};
use hexcab_types::DriverId;
use stateright::{Model, Property};

use crate::{
    keeper::{Digest, Mistake, Row, at, decided},
    monitor::{self, Monitor},
    words::{Who, Word, id_of, reasons, the_sweeper_reads},
};

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Trips, each of a rider of its own.
    pub trips: usize,
    /// Drivers.
    pub drivers: u8,
    /// Offers of a trip. (That nobody is asked twice is a bound, too, but a mistake may be to ask again.)
    pub offers: i32,
    /// Whether somebody may crash.
    pub crashes: bool,
    /// Whether what somebody had reason to say arrives after the reason is gone.
    pub late: bool,
    /// Whether an operator takes the trip from its driver, when he likes.
    pub operator: bool,
}

/// The model.
#[derive(Debug)]
pub struct City {
    bounds: Bounds,
    mistake: Mistake,
    answers: Mutex<BTreeSet<(&'static str, &'static str)>>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// Time passes.
    Tick,
    /// A rider no longer wants the ride.
    ChangesMind { trip: usize },
    /// The sweeper sees that something is due.
    Looks { trip: usize },
    /// What somebody has, or had, reason to say arrives at trip.
    Arrives(Word),
    /// Somebody crashes and comes back.
    Crashes(Who),
}

/// A moment.
#[derive(Debug, Clone)]
pub struct World {
    now: u8,
    /// What Postgres holds.
    rows: Vec<Row>,
    /// What may arrive.
    words: BTreeSet<Word>,
    /// What the sweeper read last, where it writes without looking again (a mistake).
    stale: Vec<Option<Row>>,
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

    /// A word arrives at trip, which decides, keeps, and tells.
    fn arrives(&self, world: &mut World, word: Word) {
        let trip = word.trip();
        let row = match (word, self.mistake, &world.stale[trip]) {
            (Word::Due { .. }, Mistake::SweepsWithoutVersion, Some(read)) => read.clone(),
            _ => world.rows[trip].clone(),
        };
        let command = word.command(&row.0);
        let answer = decided(self.mistake, &row.0, &command, world.now).and_then(|event| {
            let after = row.after(&event, world.now);
            self.fits(world, trip, &after)?;
            Ok((event, after))
        });
        let said = match &answer {
            Ok((event, _)) => event.kind(),
            Err(refusal) => refusal.reason(),
        };
        self.answers.lock().unwrap().insert((command.name(), said));
        match answer {
            Ok((event, after)) => {
                world.monitors[trip].step(&command, &event, after.0.version);
                world.rows[trip] = after;
                if !self.bounds.late {
                    let words = &mut world.words;
                    words.retain(|word| word.trip() != trip || word.is_a_wish());
                }
                world.learns(self.bounds, trip, None);
            }
            Err(refusal) => {
                if let Command::Accept(answer) | Command::Decline(answer) = command
                    && refusal != Refusal::DriverBusy
                {
                    world.monitors[trip].told(&answer, refusal);
                }
            }
        }
    }

    /// I1, as the unique index has it.
    fn fits(&self, world: &World, trip: usize, after: &Row) -> Result<(), Refusal> {
        let Some(driver) = after.engaged() else {
            return Ok(());
        };
        let mut others = world.rows.iter().enumerate();
        let busy = others.any(|(other, row)| other != trip && row.engaged() == Some(driver));
        if busy && self.mistake != Mistake::NoIndex {
            return Err(Refusal::DriverBusy);
        }
        Ok(())
    }

    /// Whether the clock and the sweeper alone bring a trip to an end, or to a driver who is at the pickup: everybody else
    /// may be gone for ever.
    fn ends(&self, row: &Row, mut now: u8) -> bool {
        /// More than any trip needs.
        const STEPS: usize = 20;
        let mut row = row.clone();
        for _ in 0..STEPS {
            let Some(Deadline { due_at, order }) = deadline(&row.0) else {
                return true;
            };
            if due_at >= at(now) {
                now += 1;
            } else if self.mistake == Mistake::NeverSweeps {
                return false;
            } else if let Ok(event) = decided(self.mistake, &row.0, &order, now) {
                row = row.after(&event, now);
            } else {
                return false;
            }
        }
        false
    }
}

impl Model for City {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let trips = 0..self.bounds.trips;
        let (rows, monitors) = trips
            .clone()
            .map(|trip| {
                let (row, event) = Row::requested(trip);
                let mut monitor = Monitor::default();
                monitor.step(&Command::Activate, &event, row.0.version);
                (row, monitor)
            })
            .unzip();
        let mut world = World {
            now: 0,
            rows,
            words: BTreeSet::new(),
            stale: vec![None; self.bounds.trips],
            monitors,
        };
        for trip in trips {
            if self.bounds.operator {
                world.words.insert(Word::Reassign { trip });
            }
            world.learns(self.bounds, trip, None);
        }
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let words = world.words.iter().copied();
        actions.extend(
            words
                .filter(|word| world.may_be_next(*word))
                .map(Action::Arrives),
        );
        if world.rows.iter().all(Row::is_over) {
            return;
        }
        let deadlines = || world.rows.iter().map(|row| deadline(&row.0));
        if deadlines().flatten().any(|it| it.due_at >= at(world.now)) {
            actions.push(Action::Tick);
        }
        for (trip, due) in deadlines().enumerate() {
            if due.is_some_and(|it| it.due_at < at(world.now))
                && self.mistake != Mistake::NeverSweeps
            {
                actions.push(Action::Looks { trip });
            }
            if !world.words.contains(&Word::Cancel { trip }) {
                actions.push(Action::ChangesMind { trip });
            }
        }
        if self.bounds.crashes {
            let who: BTreeSet<Who> = world.words.iter().filter_map(|it| it.whose()).collect();
            actions.extend(who.into_iter().map(Action::Crashes));
        }
    }

    fn next_state(&self, before: &World, action: Action) -> Option<World> {
        let mut world = before.clone();
        match action {
            Action::Tick => {
                world.now += 1;
                world.monitors.iter_mut().for_each(Monitor::tick);
            }
            Action::ChangesMind { trip } => {
                world.words.insert(Word::Cancel { trip });
            }
            Action::Looks { trip } => {
                let row = &world.rows[trip];
                world.words.insert(the_sweeper_reads(trip, row)?);
                if self.mistake == Mistake::SweepsWithoutVersion {
                    world.stale[trip] = Some(row.clone());
                }
            }
            Action::Arrives(word) => self.arrives(&mut world, word),
            Action::Crashes(who) => {
                world.words.retain(|word| word.whose() != Some(who));
                if who == Who::Sweeper {
                    world.stale.fill(None);
                }
                for trip in 0..world.rows.len() {
                    world.learns(self.bounds, trip, Some(who));
                }
            }
        }
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
            Property::always(monitor::I9, |city: &Self, world: &World| {
                world.rows.iter().all(|row| city.ends(row, world.now))
            }),
        ]
    }
}

impl World {
    fn holds(&self, property: &'static str) -> bool {
        self.monitors.iter().all(|monitor| monitor.holds(property))
    }

    /// Of runs that differ in nothing but names one will do: of drivers whom nobody remembers, the first is asked first,
    /// and of trips to which nothing happened, something happens to the first.
    fn may_be_next(&self, word: Word) -> bool {
        let is_known = |driver| {
            let mut monitors = self.monitors.iter();
            monitors.any(|it| it.was_asked(id_of(driver)))
        };
        let in_order = match word {
            Word::Offer { driver, .. } => is_known(driver) || (0..driver).all(is_known),
            Word::Accept { .. }
            | Word::Decline { .. }
            | Word::Arrive { .. }
            | Word::Start { .. }
            | Word::NoShow { .. }
            | Word::Release { .. }
            | Word::Complete { .. }
            | Word::Cancel { .. }
            | Word::Reassign { .. }
            | Word::Due { .. } => true,
        };
        in_order && (word.trip() == 0 || self.rows[0].0.version > 1)
    }

    fn nobody_is_in_two_places(&self) -> bool {
        let mut engaged: Vec<DriverId> = self.rows.iter().filter_map(Row::engaged).collect();
        let drivers = engaged.len();
        engaged.sort_unstable();
        engaged.dedup();
        engaged.len() == drivers
    }

    /// How a trip stands gives those whom it concerns, or him of them, reason to say something.
    fn learns(&mut self, bounds: Bounds, trip: usize, who: Option<Who>) {
        let row = &self.rows[trip].0;
        if row.state == State::Requested && row.epoch >= bounds.offers {
            return;
        }
        let reasons = reasons(trip, row, bounds.drivers);
        self.words.extend(
            reasons
                .into_iter()
                .filter(|word| who.is_none() || word.whose() == who),
        );
    }

    /// All that can make a difference.
    fn digests(&self) -> impl Iterator<Item = Option<Digest>> {
        let rows = self.rows.iter().map(Some);
        let stale = self.stale.iter().map(Option::as_ref);
        rows.chain(stale)
            .map(|row| row.map(|row| row.digest(self.now)))
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.words == other.words
            && self.monitors == other.monitors
            && self.digests().eq(other.digests())
    }
}

impl Eq for World {}

impl Hash for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.words.hash(hasher);
        self.monitors.hash(hasher);
        self.digests().for_each(|digest| digest.hash(hasher));
    }
}
