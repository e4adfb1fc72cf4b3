//! What a driver does next, as a state machine: told what the platform says and what time it is, it says which command is
//! to be sent. It drives by the city's clock whether the platform is there or not.
//! Invariants: at most one command is unanswered, and it is sent again under the same key until it is answered or what it
//! asked for is known to have happened; a job ends only by the platform's word; older news never undo newer.
//! Does not: read a clock, open a socket, draw from chance by itself ([`World`] does).

mod hear;
#[cfg(test)]
mod tests;

use chrono::TimeDelta;
use hexcab_types::{Point, Timestamp};
use uuid::Uuid;

pub use hear::Outcome;

use crate::{
    api::wire::{Command, Offer},
    chance::{Answer, Reaction},
    drive::{Drive, Motion},
    meeting::Words,
    tally::DriverNews,
};

/// After this a driver who heard no code asks again, city time.
const ASK_AGAIN: TimeDelta = TimeDelta::seconds(5);
/// So often a rider who does not come is asked for before the trip is given back. Counted and not timed, so that an outage
/// of the platform costs nobody the trip.
const ASKS_BEFORE_RELEASE: u32 = 60;
/// So many refusals of one step, and the trip is given back.
const REFUSALS_BEFORE_RELEASE: u32 = 10;
/// An ignored offer is over so long after its deadline at the latest (the server's grace and the way), city time.
const OFFER_GRACE: TimeDelta = TimeDelta::seconds(5);
/// So many sendings without an answer, and the connection is thought dead.
const SENDINGS_BEFORE_RECONNECT: u32 = 3;

/// All that a driver asks of the world around.
pub trait World {
    /// A drive that begins now; it takes `seconds` when given.
    fn drive(&self, from: Point, to: Point, now: Timestamp, seconds: Option<f64>) -> Drive;
    /// How he reacts to his nth offer.
    fn reaction(&self, nth: u64) -> Reaction;
    /// The key of his nth command.
    fn key(&self, nth: u64) -> Uuid;
    /// What the rider of a trip says to him.
    fn hear(&self, trip: Uuid) -> Option<Words>;
    /// How long getting in takes.
    fn boarding(&self) -> TimeDelta;
    /// Something worth counting.
    fn note(&self, news: DriverNews);
}

/// Waits that follow the network, as city time.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long an answer may take before the command is sent again.
    pub answer: TimeDelta,
    /// The first wait after a refusal or a fault; doubled each time up to `answer`.
    pub pause: TimeDelta,
}

/// A trip that the driver has.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Which.
    pub trip: Uuid,
    /// The newest version heard of.
    pub version: i64,
    pickup: Point,
    dropoff: Point,
    /// As quoted, seconds; none when it was not heard.
    ride_s: Option<f64>,
    /// From when he may say that nobody came; none when it was not heard.
    no_show_at: Option<Timestamp>,
}

/// What he is doing.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Waiting for an offer.
    Free,
    /// Looking at an offer; acts at `until`.
    Thinking {
        /// Which.
        offer: Box<Offer>,
        /// What he will do.
        answer: Answer,
        /// When.
        until: Timestamp,
    },
    /// On the way to the pickup.
    EnRoute {
        /// Whom for.
        job: Job,
        /// How.
        drive: Drive,
    },
    /// At the pickup.
    Waiting {
        /// Whom for.
        job: Job,
        /// When the rider is in the car, or is looked for again.
        until: Timestamp,
        /// How often he asked for the rider in vain.
        asks: u32,
    },
    /// The rider is in the car.
    OnTrip {
        /// Whose.
        job: Job,
        /// How.
        drive: Drive,
    },
}

/// What a ping says of a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// May be offered trips.
    Available,
    /// To a pickup, or at it.
    EnRoute,
    /// With a rider.
    OnTrip,
    /// Goes home.
    Offline,
}

impl Status {
    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::EnRoute => "en_route",
            Self::OnTrip => "on_trip",
            Self::Offline => "offline",
        }
    }
}

/// A command without its answer.
#[derive(Debug, Clone, PartialEq)]
struct Pending {
    request_id: Uuid,
    command: Command,
    send_at: Timestamp,
    sendings: u32,
    /// Faults in a row, for the wait before the next sending.
    faults: u32,
}

/// A driver.
pub struct Machine<W> {
    world: W,
    pace: Pace,
    phase: Phase,
    /// Where he stands when he does not drive.
    place: Point,
    heading_deg: u16,
    pending: Option<Pending>,
    offers: u64,
    keys: u64,
    /// Refusals in a row; steps wait longer after each.
    refusals: u32,
    holds_until: Timestamp,
    /// When to ask the platform what is true.
    asks_at: Option<Timestamp>,
    /// When he last asked, and when his job last changed: an answer from before the change says nothing about it.
    asked_at: Timestamp,
    changed_at: Timestamp,
    /// A trip that is over for him: late news of it are nothing.
    left: Option<Uuid>,
}

impl<W: World> Machine<W> {
    /// A driver who stands somewhere and is free.
    pub fn new(world: W, pace: Pace, place: Point, now: Timestamp) -> Self {
        Self {
            world,
            pace,
            phase: Phase::Free,
            place,
            heading_deg: 0,
            pending: None,
            offers: 0,
            keys: 0,
            refusals: 0,
            holds_until: now,
            asks_at: None,
            asked_at: now,
            changed_at: now,
            left: None,
        }
    }

    /// Nothing to do and nothing unanswered: he may go home.
    pub fn is_free(&self) -> bool {
        self.phase == Phase::Free && self.pending.is_none()
    }

    /// What he is doing.
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// What a ping says now.
    pub fn status(&self) -> Status {
        match &self.phase {
            Phase::Free | Phase::Thinking { .. } => Status::Available,
            Phase::EnRoute { .. } | Phase::Waiting { .. } => Status::EnRoute,
            Phase::OnTrip { .. } => Status::OnTrip,
        }
    }

    /// Where he is now.
    pub fn motion(&self, now: Timestamp) -> Motion {
        match &self.phase {
            Phase::EnRoute { drive, .. } | Phase::OnTrip { drive, .. } => drive.motion(now),
            Phase::Free | Phase::Thinking { .. } | Phase::Waiting { .. } => {
                Motion::standing(self.place, self.heading_deg)
            }
        }
    }

    /// Comes online somewhere else: the next stint.
    pub fn stand_at(&mut self, place: Point) {
        if self.is_free() {
            self.place = place;
        }
    }

    /// When [`Machine::step`] has something to do, at the latest; none while only the platform can change anything.
    pub fn due(&self) -> Option<Timestamp> {
        let own = match (&self.pending, &self.phase) {
            (Some(pending), _) => Some(pending.send_at),
            (None, Phase::Free) => None,
            (None, Phase::Thinking { until, .. } | Phase::Waiting { until, .. }) => Some(*until),
            (None, Phase::EnRoute { drive, .. } | Phase::OnTrip { drive, .. }) => {
                Some(drive.ends())
            }
        };
        own.map(|at| at.max(self.holds_until))
            .into_iter()
            .chain(self.asks_at)
            .min()
    }

    /// Whether the platform should be asked what is true; asking once is enough.
    pub fn asks(&mut self, now: Timestamp) -> bool {
        let asks = self.asks_at.take_if(|at| *at <= now).is_some();
        if asks {
            self.asked_at = now;
        }
        asks
    }

    /// The asking failed: once more, a little later.
    pub fn ask_again(&mut self, now: Timestamp) {
        self.asks_at = Some(now + self.pace.answer);
    }

    /// Whether the connection seems dead: several sendings, no answer.
    pub fn doubts_connection(&self) -> bool {
        self.pending
            .as_ref()
            .is_some_and(|pending| pending.sendings >= SENDINGS_BEFORE_RECONNECT)
    }

    /// A new connection: what is unanswered is sent again at once, and the platform is asked what is true.
    pub fn connected(&mut self, now: Timestamp) {
        self.asks_at = Some(now);
        if let Some(pending) = &mut self.pending {
            (pending.send_at, pending.sendings) = (now, 0);
        }
    }

    /// The command to send now, if any, with its key. A command that is not answered in time is given again.
    pub fn step(&mut self, now: Timestamp) -> Option<(Uuid, &Command)> {
        if now < self.holds_until {
            return None;
        }
        if self.pending.is_none() {
            let command = self.act(now)?;
            self.send(command, now);
        }
        let pending = self
            .pending
            .as_mut()
            .filter(|pending| pending.send_at <= now)?;
        pending.sendings += 1;
        pending.send_at = now + self.pace.answer;
        Some((pending.request_id, &pending.command))
    }

    /// What is to be done by now; may change the phase where that needs nobody's leave.
    fn act(&mut self, now: Timestamp) -> Option<Command> {
        match &mut self.phase {
            Phase::Free => None,
            Phase::Thinking { until, .. } if now < *until => None,
            Phase::Thinking { offer, answer, .. } => {
                let (trip, epoch) = (offer.trip, offer.epoch);
                match answer {
                    Answer::Accept => Some(Command::Accept { trip, epoch }),
                    Answer::Decline => Some(Command::Decline { trip, epoch }),
                    Answer::Ignore => {
                        self.phase = Phase::Free;
                        None
                    }
                }
            }
            Phase::EnRoute { drive, .. } if now < drive.ends() => None,
            Phase::EnRoute { job, .. } if self.refusals >= REFUSALS_BEFORE_RELEASE => {
                Some(Command::Release { trip: job.trip })
            }
            Phase::EnRoute { job, .. } => Some(Command::Arrive {
                trip: job.trip,
                at: job.pickup.into(),
            }),
            Phase::Waiting { until, .. } if now < *until => None,
            Phase::Waiting { job, asks, .. }
                if *asks >= ASKS_BEFORE_RELEASE || self.refusals >= REFUSALS_BEFORE_RELEASE =>
            {
                Some(Command::Release { trip: job.trip })
            }
            Phase::Waiting { job, until, asks } => match self.world.hear(job.trip) {
                Some(words) if *asks == 0 && words.late > TimeDelta::zero() => {
                    (*until, *asks) = (now + words.late, 1);
                    None
                }
                None if job.no_show_at.is_some_and(|at| at <= now) => {
                    Some(Command::NoShow { trip: job.trip })
                }
                Some(words) => Some(Command::Start {
                    trip: job.trip,
                    code: words.code,
                }),
                None => {
                    (*until, *asks) = (now + ASK_AGAIN, *asks + 1);
                    None
                }
            },
            Phase::OnTrip { drive, .. } if now < drive.ends() => None,
            Phase::OnTrip { job, .. } => Some(Command::Complete {
                trip: job.trip,
                at: job.dropoff.into(),
            }),
        }
    }

    fn send(&mut self, command: Command, now: Timestamp) {
        match &command {
            Command::Accept { .. } => self.world.note(DriverNews::Accepted),
            Command::Decline { .. } => self.world.note(DriverNews::Declined),
            Command::Release { .. } => self.world.note(DriverNews::GaveUp),
            Command::NoShow { .. } => self.world.note(DriverNews::NobodyCame),
            Command::Arrive { .. } | Command::Start { .. } | Command::Complete { .. } => {}
        }
        let request_id = self.world.key(self.keys);
        self.keys += 1;
        self.pending = Some(Pending {
            request_id,
            command,
            send_at: now,
            sendings: 0,
            faults: 0,
        });
    }

    fn pause(&self, nth: u32) -> TimeDelta {
        (self.pace.pause * (1 << nth.min(10))).min(self.pace.answer)
    }
}
