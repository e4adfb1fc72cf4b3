//! A day on a simulated clock: requests come, the policy plans, cabs drive, riders are picked up or leave.
//!
//! The policies are those that run live, given the same values: a [`Window`](hexcab_matching::Window) of open requests and
//! candidates, an outlook on idle cabs and expected requests. Drives take the street graph's time and the hour's factor,
//! rides their recorded time. Invariants: one scene, setup and seed give one outcome; a policy is told nothing that it
//! could not know live: not when a ride really ends, not when a shift ends, not what is asked for next.
//! Does not: judge; [`measure`](crate::measure) does.

mod drive;
mod moves;
mod window;

use std::{cmp::Reverse, collections::BinaryHeap, time::Instant};

use hexcab_matching::{Policy, reposition::Reposition};
use hexcab_road::Spread;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use self::drive::{Drive, Target, Whereabouts};
use crate::{
    forecast::Forecast,
    scene::{Cab, Scene, Trip, World},
};

/// What riders and drivers put up with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// A rider not picked up after this is gone.
    pub patience_ms: i64,
    /// A rider whom nobody is on the way to after this is gone.
    pub unassigned_ms: Option<i64>,
    /// The share of offers that drivers refuse.
    pub refusals: f64,
    /// How long a driver thinks before he refuses.
    pub refusal_ms: i64,
    /// The standard deviation of real drives about what the street graph says, as a share.
    pub eta_error: f64,
    /// The share of suggested moves that drivers follow.
    pub follow: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            patience_ms: 480_000,
            unassigned_ms: None,
            refusals: 0.0,
            refusal_ms: 5_000,
            eta_error: 0.0,
            follow: 1.0,
        }
    }
}

/// When windows are planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As soon as there is something to plan, but not again before this many milliseconds.
    AtOnce(i64),
    /// Every so many milliseconds.
    Every(i64),
}

/// How cabs are dispatched.
pub struct Setup<'a> {
    /// Who picks up whom.
    pub matching: &'a dyn Policy,
    /// Whether it may exchange pairs: given ones are shown to it.
    pub swaps: bool,
    /// Pairs are exchanged only while the pickup is at least this far ahead.
    pub swap_until_ms: i64,
    /// Whether it may give a rider to a cab that still has one, so long before it is expected to be free.
    pub chain_ms: Option<i64>,
    /// When it plans.
    pub pace: Pace,
    /// Most candidates of an open request.
    pub candidates: usize,
    /// Where idle cabs go.
    pub moves: Option<Moves<'a>>,
}

/// Repositioning.
#[derive(Clone, Copy)]
pub struct Moves<'a> {
    /// The policy.
    pub policy: &'a dyn Reposition,
    /// What it expects.
    pub forecast: &'a Forecast,
    /// How often it is asked, in milliseconds.
    pub every_ms: i64,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Fate {
    /// From request to pickup, of a rider who was served.
    pub wait_ms: Option<i64>,
    /// How often another driver took over.
    pub swaps: u32,
}

/// What became of a day.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// In order of requests.
    pub fates: Vec<Fate>,
    /// Driven without a rider: to pickups and to better places.
    pub empty_m: f64,
    /// Of that, to better places.
    pub moves_m: f64,
    /// Driven with a rider.
    pub occupied_m: f64,
    /// Time with a rider.
    pub occupied_ms: i64,
    /// Time on the street.
    pub online_ms: i64,
    /// How long each window took to plan, look-ups included: microseconds of real time.
    pub window_us: Vec<u32>,
    /// Real time spent on suggestions.
    pub moves_us: u64,
    /// Suggested moves that were followed.
    pub moves: usize,
}

/// What a cab is doing.
#[derive(Debug, Clone)]
enum State {
    Off,
    Standing(Target),
    /// To a better place, or on to the next junction after its rider was given to another: free for riders.
    Moving(Drive),
    Fetching(usize, Drive),
    Riding(usize),
}

struct CabNow {
    state: State,
    /// What was planned for an earlier state of this cab is void.
    epoch: u32,
    free_since_ms: i64,
    /// The zone that it was told to go to.
    bound_for: Option<u32>,
    /// When it should be free, as far as one can know.
    free_at_ms: i64,
    /// The rider to fetch after the present one.
    next: Option<usize>,
    /// Until when it is thinking about an offer that it will refuse.
    thinking_until_ms: i64,
    shift_over: bool,
}

/// What became of a request so far.
#[derive(Debug, Clone, Default)]
struct TripNow {
    cab: Option<usize>,
    /// A driver is thinking about it.
    asking: bool,
    asked: Vec<usize>,
    swaps: u32,
    /// Picked up, or gone.
    over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A cab gets where it was going.
    Arrive {
        cab: usize,
        epoch: u32,
    },
    /// A rider is set down.
    Drop {
        cab: usize,
    },
    Start {
        cab: usize,
    },
    End {
        cab: usize,
    },
    Request {
        trip: usize,
    },
    /// Nobody is on the way yet.
    GiveUp {
        trip: usize,
    },
    Leave {
        trip: usize,
    },
    /// A driver has refused.
    Refused {
        cab: usize,
        trip: usize,
    },
    Window,
    Moves,
}

/// A day under way.
struct Sim<'a> {
    world: &'a World,
    scene: &'a Scene,
    trips: &'a [Trip],
    shifts: &'a [Cab],
    rules: Rules,
    setup: &'a Setup<'a>,
    random: ChaCha8Rng,
    spread: Spread<'a>,
    now: i64,
    queue: BinaryHeap<Reverse<(i64, Event)>>,
    cabs: Vec<CabNow>,
    trips_now: Vec<TripNow>,
    /// Requests without a cab, in order of request.
    open: Vec<usize>,
    /// Cabs that came free since the last window.
    fresh: Vec<usize>,
    window_at: Option<i64>,
    last_window: i64,
    /// See `Advice::place_cost_s`.
    place_cost_s: Vec<f32>,
    outcome: Outcome,
}

/// Lives through a day.
pub fn run(
    world: &World,
    scene: &Scene,
    trips: &[Trip],
    shifts: &[Cab],
    rules: Rules,
    setup: &Setup<'_>,
    seed: u64,
) -> Outcome {
    let mut sim = Sim {
        world,
        scene,
        trips,
        shifts,
        rules,
        setup,
        random: ChaCha8Rng::seed_from_u64(seed),
        spread: world.spread(),
        now: 0,
        queue: BinaryHeap::new(),
        cabs: shifts.iter().map(|_| CabNow::off()).collect(),
        trips_now: vec![TripNow::default(); trips.len()],
        open: Vec::new(),
        fresh: Vec::new(),
        window_at: None,
        last_window: i64::MIN / 2,
        place_cost_s: Vec::new(),
        outcome: Outcome {
            fates: vec![Fate::default(); trips.len()],
            ..Outcome::default()
        },
    };
    sim.begin();
    while let Some(Reverse((at, event))) = sim.queue.pop() {
        sim.now = at;
        sim.happen(event);
    }
    sim.outcome
}

impl CabNow {
    fn off() -> Self {
        Self {
            state: State::Off,
            epoch: 0,
            free_since_ms: 0,
            bound_for: None,
            free_at_ms: 0,
            next: None,
            thinking_until_ms: i64::MIN,
            shift_over: false,
        }
    }

    fn is_free(&self) -> bool {
        matches!(self.state, State::Standing(_) | State::Moving(_))
    }
}

impl Sim<'_> {
    fn begin(&mut self) {
        for (cab, shift) in self.shifts.iter().enumerate() {
            self.queue
                .push(Reverse((shift.start_ms, Event::Start { cab })));
            self.queue.push(Reverse((shift.end_ms, Event::End { cab })));
            let until = shift.end_ms.min(self.scene.length_ms);
            self.outcome.online_ms += (until - shift.start_ms).max(0);
        }
        for (trip, request) in self.trips.iter().enumerate() {
            self.queue
                .push(Reverse((request.request_ms, Event::Request { trip })));
        }
        if self.setup.moves.is_some() {
            self.queue.push(Reverse((0, Event::Moves)));
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { cab, epoch } => self.arrive(cab, epoch),
            Event::Drop { cab } => self.drop_off(cab),
            Event::Start { cab } => {
                let start = self.shifts[cab].start;
                self.stand(cab, Target::Spot(start));
            }
            Event::End { cab } => self.end(cab),
            Event::Request { trip } => self.request(trip),
            Event::GiveUp { trip } => {
                if self.trips_now[trip].cab.is_none() {
                    self.leave(trip);
                }
            }
            Event::Leave { trip } => self.leave(trip),
            Event::Refused { cab, trip } => self.refused(cab, trip),
            Event::Window => self.window(),
            Event::Moves => {
                let start = Instant::now();
                self.suggest_moves();
                self.outcome.moves_us += start.elapsed().as_micros() as u64;
            }
        }
    }

    fn request(&mut self, trip: usize) {
        self.open.push(trip);
        let at = self.trips[trip].request_ms;
        self.queue.push(Reverse((
            at + self.rules.patience_ms,
            Event::Leave { trip },
        )));
        if let Some(patience_ms) = self.rules.unassigned_ms {
            self.queue
                .push(Reverse((at + patience_ms, Event::GiveUp { trip })));
        }
        self.want_window();
    }

    /// A window is planned when there is something to plan.
    fn want_window(&mut self) {
        if self.window_at.is_some() {
            return;
        }
        let at = match self.setup.pace {
            Pace::AtOnce(gap_ms) => self.now.max(self.last_window + gap_ms),
            Pace::Every(period_ms) => (self.now + period_ms - 1) / period_ms * period_ms,
        };
        self.window_at = Some(at);
        self.queue.push(Reverse((at, Event::Window)));
    }

    fn window(&mut self) {
        self.window_at = None;
        self.last_window = self.now;
        let may_swap = self.setup.swaps && !self.fresh.is_empty();
        if self.open.is_empty() && !may_swap {
            self.fresh.clear();
            return;
        }
        let start = Instant::now();
        self.plan_window();
        let took = u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX);
        self.outcome.window_us.push(took);
    }

    /// A rider goes away, unless he was picked up.
    fn leave(&mut self, trip: usize) {
        if self.trips_now[trip].over {
            return;
        }
        self.trips_now[trip].over = true;
        self.open.retain(|&open| open != trip);
        let Some(cab) = self.trips_now[trip].cab.take() else {
            return;
        };
        match &self.cabs[cab].state {
            State::Fetching(fetched, _) if *fetched == trip => self.turn_off(cab),
            State::Riding(_) => self.cabs[cab].next = None,
            State::Off | State::Standing(_) | State::Moving(_) | State::Fetching(..) => {}
        }
    }

    fn refused(&mut self, cab: usize, trip: usize) {
        self.trips_now[trip].asking = false;
        if !self.trips_now[trip].over {
            self.reopen(trip);
        }
        self.fresh.push(cab);
        self.want_window();
    }

    fn reopen(&mut self, trip: usize) {
        let at = self.open.partition_point(|&open| open < trip);
        self.open.insert(at, trip);
    }

    fn arrive(&mut self, cab: usize, epoch: u32) {
        if self.cabs[cab].epoch != epoch {
            return;
        }
        match std::mem::replace(&mut self.cabs[cab].state, State::Off) {
            State::Moving(drive) => {
                self.outcome.empty_m += f64::from(drive.metres);
                self.outcome.moves_m += f64::from(drive.metres);
                let since = self.cabs[cab].free_since_ms;
                self.cabs[cab].state = State::Standing(drive.target);
                self.cabs[cab].free_since_ms = since;
                self.cabs[cab].bound_for = None;
            }
            State::Fetching(trip, drive) => {
                self.outcome.empty_m += f64::from(drive.metres);
                self.pick_up(cab, trip);
            }
            // Nothing else is on its way anywhere.
            state @ (State::Off | State::Standing(_) | State::Riding(_)) => {
                self.cabs[cab].state = state;
            }
        }
    }

    fn pick_up(&mut self, cab: usize, trip: usize) {
        let ride = &self.trips[trip];
        self.trips_now[trip].over = true;
        self.outcome.fates[trip] = Fate {
            wait_ms: Some(self.now - ride.request_ms),
            swaps: self.trips_now[trip].swaps,
        };
        let drive_ms = f64::from(ride.drive_ms) * self.scene.factor(self.now);
        let expected_ms = drive_ms as i64 + i64::from(crate::scene::BOARDING_MS);
        self.outcome.occupied_m += f64::from(ride.metres);
        self.outcome.occupied_ms += ride.ride_ms;
        self.cabs[cab].state = State::Riding(trip);
        self.cabs[cab].free_at_ms = self.now + expected_ms;
        self.queue
            .push(Reverse((self.now + ride.ride_ms, Event::Drop { cab })));
    }

    fn drop_off(&mut self, cab: usize) {
        let State::Riding(trip) = self.cabs[cab].state else {
            return;
        };
        let there = self.trips[trip].dropoff;
        if let Some(next) = self.cabs[cab].next.take() {
            let from = Whereabouts::standing(&there);
            self.cabs[cab].epoch += 1;
            if self.fetch(cab, next, &from) {
                return;
            }
            self.trips_now[next].cab = None;
            self.reopen(next);
        }
        if self.cabs[cab].shift_over {
            self.cabs[cab].state = State::Off;
            return;
        }
        self.stand(cab, Target::Spot(there));
    }

    fn stand(&mut self, cab: usize, at: Target) {
        let now = &mut self.cabs[cab];
        now.state = State::Standing(at);
        now.epoch += 1;
        now.free_since_ms = self.now;
        now.bound_for = None;
        self.fresh.push(cab);
        self.want_window();
    }

    fn end(&mut self, cab: usize) {
        self.cabs[cab].shift_over = true;
        if self.cabs[cab].is_free() {
            if let State::Moving(mut drive) =
                std::mem::replace(&mut self.cabs[cab].state, State::Off)
            {
                let factor = self.scene.factor(self.now);
                let driven_m = drive.whereabouts(self.world, self.now, factor).driven_m;
                self.outcome.empty_m += f64::from(driven_m);
                self.outcome.moves_m += f64::from(driven_m);
            }
            self.cabs[cab].epoch += 1;
        }
    }

    /// Where a cab can be sent on from; what it has driven empty counts from here on.
    fn pull(&mut self, cab: usize) -> Whereabouts {
        let factor = self.scene.factor(self.now);
        let (from, moving) = match &mut self.cabs[cab].state {
            State::Standing(target) => (target.whereabouts(self.world), false),
            State::Moving(drive) => (drive.whereabouts(self.world, self.now, factor), true),
            State::Fetching(_, drive) => (drive.whereabouts(self.world, self.now, factor), false),
            State::Off | State::Riding(_) => unreachable!("only cabs without a rider are sent on"),
        };
        self.outcome.empty_m += f64::from(from.driven_m);
        if moving {
            self.outcome.moves_m += f64::from(from.driven_m);
        }
        self.cabs[cab].epoch += 1;
        from
    }

    /// A cab whose rider is another's now, or gone: it goes on to the next junction.
    fn turn_off(&mut self, cab: usize) {
        let from = self.pull(cab);
        if self.cabs[cab].shift_over {
            self.cabs[cab].state = State::Off;
            return;
        }
        let start = from.starts()[0];
        self.cabs[cab].free_since_ms = self.now;
        self.cabs[cab].bound_for = None;
        self.go(cab, &from, Target::Node(start.node));
        self.fresh.push(cab);
        self.want_window();
    }

    /// Sends a free cab somewhere.
    fn go(&mut self, cab: usize, from: &Whereabouts, to: Target) {
        let scale = self.real_scale();
        let Some(drive) = Drive::new(self.world, from, to, self.now, scale) else {
            return;
        };
        let epoch = self.cabs[cab].epoch;
        self.queue
            .push(Reverse((drive.arrive_ms, Event::Arrive { cab, epoch })));
        self.cabs[cab].state = State::Moving(drive);
    }

    /// Sends a cab for a rider; false where there is no way.
    fn fetch(&mut self, cab: usize, trip: usize, from: &Whereabouts) -> bool {
        let scale = self.real_scale();
        let target = Target::Spot(self.trips[trip].pickup);
        let Some(drive) = Drive::new(self.world, from, target, self.now, scale) else {
            return false;
        };
        let epoch = self.cabs[cab].epoch;
        self.queue
            .push(Reverse((drive.arrive_ms, Event::Arrive { cab, epoch })));
        self.cabs[cab].state = State::Fetching(trip, drive);
        self.trips_now[trip].cab = Some(cab);
        true
    }

    /// Real milliseconds for each of the graph's: the hour's factor, and what the day makes of it.
    fn real_scale(&mut self) -> f64 {
        let factor = self.scene.factor(self.now);
        if self.rules.eta_error <= 0.0 {
            return factor;
        }
        // Twelve uniform draws less six: near enough to a normal one, with tails that end.
        let normal: f64 = (0..12).map(|_| self.random.random::<f64>()).sum::<f64>() - 6.0;
        factor * (1.0 + self.rules.eta_error * normal).max(0.2)
    }
}
