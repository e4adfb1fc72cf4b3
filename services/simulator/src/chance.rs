//! All chance of a simulation, from one seed: who answers what, who changes his mind, which ids people have.
//! Invariant: a choice depends on the seed, on who chooses, and on how many choices of that kind he made before, never on
//! what the city did: two runs with one seed hold the same people.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

/// The least and the most that a driver looks at an offer before he answers, city seconds.
const REACTION_S: std::ops::Range<f64> = 1.0..6.0;
/// When a rider who changes his mind does so, city seconds after the request.
const CHANGE_OF_MIND_S: std::ops::Range<f64> = 15.0..240.0;
/// How long a rider who is late keeps his driver waiting at the pickup, city seconds.
const LATE_S: std::ops::Range<f64> = 60.0..280.0;

/// What a choice is about; each kind has its own stream of chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Kind {
    /// When and where requests are made.
    Demand = 1,
    /// Where drivers begin, and which of the recorded ones drive.
    Supply = 2,
    /// How a driver answers an offer.
    Offer = 3,
    /// What a rider has in mind.
    Rider = 4,
    /// Ids of riders.
    RiderId = 5,
    /// Ids of drivers.
    DriverId = 6,
    /// The request keys of a person.
    Key = 7,
    /// How long someone waits before he tries again.
    Backoff = 8,
}

/// How a driver answers an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Takes it.
    Accept,
    /// Refuses it.
    Decline,
    /// Lets it run out.
    Ignore,
}

/// An answer and how long the driver takes for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reaction {
    /// What.
    pub answer: Answer,
    /// After how long, city time.
    pub after: Duration,
}

/// Shares of the three answers; what is missing to 1 counts as ignored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnswerRates {
    /// Share of offers accepted, 0 to 1.
    pub accept: f64,
    /// Share of offers declined, 0 to 1.
    pub decline: f64,
}

/// Shares of what riders do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RiderRates {
    /// Share of riders who cancel while they wait, 0 to 1.
    pub cancel: f64,
    /// Share of riders who go on following by WebSocket once they are in the car, 0 to 1.
    pub follow: f64,
    /// Share of riders who pay in cash, 0 to 1.
    pub cash: f64,
    /// Share of riders who keep the driver waiting at the pickup, 0 to 1.
    pub late: f64,
    /// Share of riders who do not come to the pickup, 0 to 1.
    pub no_show: f64,
    /// Share of riders who give a tip, when they do not pay in cash, 0 to 1.
    pub tip: f64,
}

/// What one rider has in mind from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RiderMind {
    /// Changes his mind so long after the request, when he is not in the car by then. City time.
    pub cancels_after: Option<Duration>,
    /// Watches the phone during the ride too, instead of looking again at its end.
    pub follows_ride: bool,
    /// Pays the driver in cash.
    pub pays_cash: bool,
    /// Keeps the driver waiting for so long. City time.
    pub late: Duration,
    /// Does not come to the pickup.
    pub no_show: bool,
    /// Gives a tip.
    pub tips: bool,
}

/// The seed of a simulation.
#[derive(Debug, Clone, Copy)]
pub struct Chance {
    seed: u64,
}

impl Chance {
    /// Chance from a seed.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The stream of chance of one kind, one person (or thing), one occasion.
    pub fn stream(&self, kind: Kind, who: u64, occasion: u64) -> ChaCha8Rng {
        let mut seed = [0; 32];
        let words = [self.seed, kind as u64, who, occasion];
        for (bytes, word) in seed.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        ChaCha8Rng::from_seed(seed)
    }

    /// How driver `who` reacts to his `nth` offer.
    pub fn reaction(&self, who: u64, nth: u64, rates: AnswerRates) -> Reaction {
        let mut chance = self.stream(Kind::Offer, who, nth);
        let drawn = chance.random_range(0.0..1.0);
        let answer = if drawn < rates.accept {
            Answer::Accept
        } else if drawn < rates.accept + rates.decline {
            Answer::Decline
        } else {
            Answer::Ignore
        };
        let after = Duration::from_secs_f64(chance.random_range(REACTION_S));
        Reaction { answer, after }
    }

    /// What the rider of request `who` has in mind.
    pub fn mind(&self, who: u64, rates: RiderRates) -> RiderMind {
        let mut chance = self.stream(Kind::Rider, who, 0);
        let (cancels, follows) = (chance.random_range(0.0..1.0), chance.random_range(0.0..1.0));
        let after = Duration::from_secs_f64(chance.random_range(CHANGE_OF_MIND_S));
        let [pays, waits, comes, gives] = chance.random::<[f64; 4]>();
        let late = Duration::from_secs_f64(chance.random_range(LATE_S));
        RiderMind {
            cancels_after: (cancels < rates.cancel).then_some(after),
            follows_ride: follows < rates.follow,
            pays_cash: pays < rates.cash,
            late: if waits < rates.late {
                late
            } else {
                Duration::ZERO
            },
            no_show: comes < rates.no_show,
            tips: gives < rates.tip && pays >= rates.cash,
        }
    }

    /// An id: a version 4 UUID that the seed decides.
    pub fn id(&self, kind: Kind, who: u64, occasion: u64) -> Uuid {
        uuid::Builder::from_random_bytes(self.stream(kind, who, occasion).random()).into_uuid()
    }

    /// How long `who` waits before the `nth` try in a row: 0.1 s doubled each time up to 5 s, half of it by chance.
    /// Real time: it is about the network.
    pub fn backoff(&self, who: u64, nth: u32) -> Duration {
        let whole = 0.1 * f64::from(1 << nth.min(10)).min(50.0);
        let share = self
            .stream(Kind::Backoff, who, u64::from(nth))
            .random_range(0.5..1.0);
        Duration::from_secs_f64(whole * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: AnswerRates = AnswerRates {
        accept: 0.90,
        decline: 0.07,
    };
    const RIDERS: RiderRates = RiderRates {
        cancel: 0.02,
        follow: 0.25,
        cash: 0.10,
        late: 0.05,
        no_show: 0.01,
        tip: 0.20,
    };

    #[test]
    fn riders_pay_come_and_tip_at_their_rates_and_nobody_tips_by_card_what_he_pays_in_cash() {
        let chance = Chance::new(1);
        let minds: Vec<_> = (0..20_000).map(|n| chance.mind(n, RIDERS)).collect();
        let share = |which: fn(&RiderMind) -> bool| {
            minds.iter().filter(|mind| which(mind)).count() as f64 / minds.len() as f64
        };
        assert!((share(|mind| mind.pays_cash) - 0.10).abs() < 0.01);
        assert!((share(|mind| !mind.late.is_zero()) - 0.05).abs() < 0.01);
        assert!((share(|mind| mind.no_show) - 0.01).abs() < 0.005);
        assert!((share(|mind| mind.tips) - 0.18).abs() < 0.01);
        assert!(!minds.iter().any(|mind| mind.tips && mind.pays_cash));
    }

    #[test]
    fn the_same_seed_makes_the_same_choices() {
        let (one, two, other) = (Chance::new(7), Chance::new(7), Chance::new(8));
        let choices = |chance: &Chance| {
            (0..200)
                .map(|n| chance.reaction(n % 10, n / 10, RATES))
                .collect::<Vec<_>>()
        };
        assert_eq!(choices(&one), choices(&two));
        assert_ne!(choices(&one), choices(&other));
        assert_eq!(one.id(Kind::RiderId, 3, 0), two.id(Kind::RiderId, 3, 0));
        assert_ne!(one.id(Kind::RiderId, 3, 0), one.id(Kind::DriverId, 3, 0));
    }

    #[test]
    fn answers_come_at_their_rates_and_after_1_to_6_seconds() {
        let chance = Chance::new(1);
        let reactions: Vec<_> = (0..20_000)
            .map(|n| chance.reaction(n % 100, n / 100, RATES))
            .collect();
        let share = |answer| {
            reactions.iter().filter(|r| r.answer == answer).count() as f64 / reactions.len() as f64
        };
        assert!((share(Answer::Accept) - 0.90).abs() < 0.01);
        assert!((share(Answer::Decline) - 0.07).abs() < 0.01);
        assert!((share(Answer::Ignore) - 0.03).abs() < 0.01);
        assert!(
            reactions
                .iter()
                .all(|r| (1.0..6.0).contains(&r.after.as_secs_f64()))
        );
    }

    #[test]
    fn riders_cancel_at_their_rate_and_never_when_it_is_zero() {
        let chance = Chance::new(1);
        let cancelling = |cancel| {
            let rates = RiderRates { cancel, ..RIDERS };
            (0..10_000)
                .filter(|n| chance.mind(*n, rates).cancels_after.is_some())
                .count()
        };
        assert!((150..250).contains(&cancelling(0.02)));
        assert_eq!(cancelling(0.0), 0);
        assert_eq!(cancelling(1.0), 10_000);
    }

    #[test]
    fn waiting_before_another_try_grows_to_five_seconds() {
        let chance = Chance::new(1);
        let waits: Vec<f64> = (0..20)
            .map(|n| chance.backoff(4, n).as_secs_f64())
            .collect();
        assert!(
            waits[0] <= 0.1 && waits[19] <= 5.0 && waits[19] >= 2.5,
            "{waits:?}"
        );
    }
}
