//! What somebody remembers of a trip who sees its events and the answers that were given, and trusts nobody: deadlines are
//! counted in ticks here, not taken from the row.
//!
//! Invariant: knows nothing of `decide`. Does not: look at other trips (I1 and I9 are of the whole city).

use hexcab_trip::domain::{Command, Event, ExclusionReason, OfferRef, Refusal};
use hexcab_types::DriverId;

/// A driver has one trip.
pub const I1: &str = "I1: a driver is in one place";
/// Nothing leads out of an end.
pub const I3: &str = "I3: an end is an end, and no change is lost";
/// An acceptance is of the open offer and in time.
pub const I4: &str = "I4: an acceptance is of the offer that its driver answered, while it is open";
/// One wins.
pub const I5: &str = "I5: an offer has one outcome, nobody's time is cut short, the loser is told";
/// Nobody is asked twice.
pub const I8: &str = "I8: nobody is asked again";
/// Nobody waits for ever.
pub const I9: &str = "I9: nobody is forgotten";

/// How long an offer may be accepted, and how long a driver may take to the pickup, in ticks.
const OFFER: i8 = 1;
const WAY: i8 = 1;

/// How an offer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Outcome {
    Declined,
    TimedOut,
    Released,
    Stalled,
    Reassigned,
}

/// An offer or an acceptance: whose, which, and how many ticks he has left; -1 once it is too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Until {
    driver: DriverId,
    epoch: i32,
    left: i8,
}

/// How far a driver has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
enum Far {
    #[default]
    OnTheWay,
    There,
    UnderWay,
}

/// What is remembered of one trip.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Monitor {
    open: Option<Until>,
    has: Option<Until>,
    far: Far,
    /// By epoch, from 1.
    outcomes: Vec<(DriverId, Option<Outcome>)>,
    end: Option<Refusal>,
    version: i64,
    /// What was broken.
    broken: Vec<&'static str>,
}

impl Monitor {
    /// Whether this was never broken.
    pub fn holds(&self, property: &'static str) -> bool {
        !self.broken.contains(&property)
    }

    /// Whether this driver was ever asked.
    pub fn was_asked(&self, driver: DriverId) -> bool {
        self.outcomes.iter().any(|(asked, _)| *asked == driver)
    }

    /// Time passes.
    pub fn tick(&mut self) {
        for until in [&mut self.open, &mut self.has].into_iter().flatten() {
            until.left = (until.left - 1).max(-1);
        }
    }

    fn expect(&mut self, property: &'static str, holds: bool) {
        if !holds && self.holds(property) {
            self.broken.push(property);
        }
    }

    /// An event that this command caused, and the version it made.
    pub fn step(&mut self, command: &Command, event: &Event, version: i64) {
        self.expect(I3, self.end.is_none());
        self.expect(I3, version == self.version + 1);
        self.version = version;
        match event {
            Event::Requested { .. } => {}
            Event::OfferMade(offer) => {
                self.expect(I8, !self.was_asked(offer.driver));
                self.expect(I5, self.open.is_none() && self.has.is_none());
                self.outcomes.push((offer.driver, None));
                self.open = Some(Until {
                    driver: offer.driver,
                    epoch: offer.epoch,
                    left: OFFER,
                });
            }
            Event::OfferAccepted { driver, epoch, .. } => {
                let said = OfferRef {
                    driver: *driver,
                    epoch: *epoch,
                };
                let open = self.open.take();
                self.expect(I4, *command == Command::Accept(said));
                self.expect(
                    I4,
                    open.is_some_and(|open| is_of(&open, &said) && open.left >= 0),
                );
                self.has = Some(Until {
                    driver: *driver,
                    epoch: *epoch,
                    left: WAY,
                });
            }
            Event::OfferDeclined { driver, epoch } => {
                self.offer_ended(*driver, *epoch, Outcome::Declined);
            }
            Event::OfferExpired { driver, epoch } => {
                self.expect(I5, self.open.is_some_and(|open| open.left < 0));
                self.offer_ended(*driver, *epoch, Outcome::TimedOut);
            }
            Event::Released {
                driver, epoch, by, ..
            } => {
                let outcome = match by.exclusion() {
                    ExclusionReason::Stalled => Outcome::Stalled,
                    ExclusionReason::Reassigned => Outcome::Reassigned,
                    ExclusionReason::Released
                    | ExclusionReason::Declined
                    | ExclusionReason::TimedOut => Outcome::Released,
                };
                let late = self.has.is_some_and(|has| has.left < 0) && self.far == Far::OnTheWay;
                self.expect(I5, outcome != Outcome::Stalled || late);
                self.expect(I5, self.far != Far::UnderWay);
                let had = self.has.take();
                self.far = Far::OnTheWay;
                self.ended(had, *driver, *epoch, outcome);
            }
            Event::Arrived { .. } => {
                self.comes(Far::OnTheWay, Far::There);
            }
            Event::Started { .. } => self.comes(Far::There, Far::UnderWay),
            Event::Completed { .. } => {
                self.comes(Far::UnderWay, Far::UnderWay);
                self.ends(Refusal::TripCompleted);
            }
            Event::Cancelled { .. } => {
                self.expect(I5, self.far != Far::UnderWay);
                self.ends(Refusal::TripCancelled);
            }
            Event::Expired => {
                self.expect(I5, self.open.is_none() && self.has.is_none());
                self.ends(Refusal::TripExpired);
            }
            Event::Scheduled { .. } | Event::Activated { .. } => self.expect(I3, false),
        }
    }

    /// What an answer to an offer was told when it was refused.
    pub fn told(&mut self, answer: &OfferRef, refusal: Refusal) {
        let expected = self.loses_to(answer);
        self.expect(I5, expected == Some(refusal));
    }

    /// To what an answer to an offer loses now, if it does.
    fn loses_to(&self, answer: &OfferRef) -> Option<Refusal> {
        if self.end.is_some() {
            return self.end;
        }
        match (self.open, self.has) {
            (Some(open), _) if is_of(&open, answer) => {
                (open.left < 0).then_some(Refusal::OfferExpired)
            }
            (None, Some(has)) if is_of(&has, answer) => Some(Refusal::OfferTaken),
            (Some(_), _) | (None, Some(_)) => Some(Refusal::OfferSuperseded),
            (None, None) => {
                let (driver, outcome) = *self.outcomes.get(answer.epoch as usize - 1)?;
                if driver != answer.driver {
                    return Some(Refusal::NotYourOffer);
                }
                Some(match outcome? {
                    Outcome::Declined => Refusal::OfferDeclined,
                    Outcome::TimedOut => Refusal::OfferExpired,
                    Outcome::Released => Refusal::TripReleased,
                    Outcome::Stalled => Refusal::TripStalled,
                    Outcome::Reassigned => Refusal::TripReassigned,
                })
            }
        }
    }

    fn comes(&mut self, from: Far, to: Far) {
        self.expect(I5, self.has.is_some() && self.far == from);
        self.far = to;
    }

    /// Whatever was is of no consequence any more.
    fn ends(&mut self, end: Refusal) {
        *self = Self {
            end: Some(end),
            version: self.version,
            broken: std::mem::take(&mut self.broken),
            ..Self::default()
        };
    }

    fn offer_ended(&mut self, driver: DriverId, epoch: i32, outcome: Outcome) {
        let was = self.open.take();
        self.ended(was, driver, epoch, outcome);
    }

    fn ended(&mut self, was: Option<Until>, driver: DriverId, epoch: i32, outcome: Outcome) {
        let of = OfferRef { driver, epoch };
        self.expect(I5, was.is_some_and(|was| is_of(&was, &of)));
        match self.outcomes.get_mut(epoch as usize - 1) {
            Some((_, ended @ None)) => *ended = Some(outcome),
            Some((_, Some(_))) | None => self.expect(I5, false),
        }
    }
}

fn is_of(until: &Until, of: &OfferRef) -> bool {
    (until.driver, until.epoch) == (of.driver, of.epoch)
}
