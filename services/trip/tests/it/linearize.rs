//! Is what clients were told about one trip what one trip could have told them, one command at a time?
//!
//! The history is checked against the domain's own `decide`, by the search of Wing and Gong with Lowe's memory: take any
//! operation that nobody else's answer had to wait for, see whether the trip could have answered it so, go on, and come
//! back if that leads nowhere. An operation whose outcome is not known may have happened at any time since, or never.
//! Below, the checker itself is given histories that no trip can have, and must refuse them.

use std::collections::HashSet;

use hexcab_proto::trip::v1 as proto;
use hexcab_trip::domain::{Command, Refusal, Rules, Trip, decide};
use hexcab_types::Timestamp;
use prost::Message as _;

/// One operation on the trip.
#[derive(Debug, Clone)]
pub struct Op {
    /// When it was asked: a number that only grows, over all clients.
    pub asked: u64,
    /// When it was answered; none when it may have happened at any time since.
    pub answered: Option<u64>,
    /// What the city's clock may have read when it was decided.
    pub nows: Vec<Timestamp>,
    pub what: What,
}

#[derive(Debug, Clone)]
pub enum What {
    /// A command, answered with the trip after it. Happened for certain.
    Done(Command, Box<proto::Trip>),
    /// A command that was refused for this reason.
    Refused(Command, Refusal),
    /// A command of which nobody knows.
    Unknown(Command),
    /// A look at the trip.
    Read(Box<proto::Trip>),
}

impl Op {
    /// Whether it may be left out.
    fn is_optional(&self) -> bool {
        matches!(self.what, What::Unknown(_))
    }

    /// The trips after it, where the trip could have answered it so at one of its instants.
    fn after(&self, trip: &Trip, rules: &Rules) -> Vec<Trip> {
        match &self.what {
            What::Read(seen) => (proto::Trip::from(trip) == **seen)
                .then(|| trip.clone())
                .into_iter()
                .collect(),
            What::Done(command, told) => self
                .stepped(trip, command, rules)
                .filter(|after| proto::Trip::from(after) == **told)
                .collect(),
            What::Unknown(command) => self.stepped(trip, command, rules).collect(),
            What::Refused(command, told) => {
                let fits = |now: &Timestamp| match decide(trip, command, rules, *now) {
                    Err(refusal) => refusal == *told,
                    // Another trip's doing, which the database knows and this trip does not.
                    Ok(_) => *told == Refusal::DriverBusy && matches!(command, Command::Offer(_)),
                };
                let told_so = self.nows.iter().any(fits);
                told_so.then(|| trip.clone()).into_iter().collect()
            }
        }
    }

    fn stepped<'a>(
        &'a self,
        trip: &'a Trip,
        command: &'a Command,
        rules: &'a Rules,
    ) -> impl Iterator<Item = Trip> + 'a {
        self.nows.iter().filter_map(move |now| {
            let event = decide(trip, command, rules, *now).ok()?;
            Some(trip.clone().apply(&event, *now))
        })
    }
}

/// An order in which the trip could have answered all of this.
pub fn order(begun: &Trip, rules: &Rules, ops: &[Op]) -> Option<Vec<usize>> {
    let mut search = Search {
        rules,
        ops,
        done: vec![false; ops.len()],
        order: Vec::new(),
        seen: HashSet::new(),
    };
    search.go(begun).then_some(search.order)
}

struct Search<'a> {
    rules: &'a Rules,
    ops: &'a [Op],
    done: Vec<bool>,
    order: Vec<usize>,
    /// Where one has been before: what was done, and what the trip was then.
    seen: HashSet<(Vec<bool>, Vec<u8>)>,
}

impl Search<'_> {
    fn go(&mut self, trip: &Trip) -> bool {
        let open = |(done, op): (&bool, &Op)| !done && !op.is_optional();
        if !self.done.iter().zip(self.ops).any(open) {
            return true;
        }
        let here = (self.done.clone(), proto::Trip::from(trip).encode_to_vec());
        if !self.seen.insert(here) {
            return false;
        }
        // Nothing comes after the answer to something that is still to come.
        let first_answer = self
            .done
            .iter()
            .zip(self.ops)
            .filter(|(done, _)| !**done)
            .filter_map(|(_, op)| op.answered)
            .min()
            .unwrap_or(u64::MAX);
        for n in 0..self.ops.len() {
            if self.done[n] || self.ops[n].asked > first_answer {
                continue;
            }
            for after in self.ops[n].after(trip, self.rules) {
                self.done[n] = true;
                self.order.push(n);
                if self.go(&after) {
                    return true;
                }
                self.order.pop();
                self.done[n] = false;
            }
        }
        false
    }
}

mod the_checker_itself {
    use chrono::TimeDelta;

    use super::*;
    use crate::fixture::{accept, cancel, decline, driver, offer_to, rider, rules, start, trip_in};

    /// A history under construction: every operation is asked and answered at the numbers given.
    struct History {
        begun: Trip,
        ops: Vec<Op>,
    }

    impl History {
        fn of(state: &str) -> Self {
            Self {
                begun: trip_in(state),
                ops: Vec::new(),
            }
        }

        fn with(mut self, asked: u64, answered: impl Into<Option<u64>>, what: What) -> Self {
            self.ops.push(Op {
                asked,
                answered: answered.into(),
                nows: vec![start()],
                what,
            });
            self
        }

        fn is_legal(&self) -> bool {
            order(&self.begun, &rules(), &self.ops).is_some()
        }
    }

    /// The trip after these commands.
    fn after(state: &str, commands: &[Command]) -> Box<proto::Trip> {
        let trip = commands.iter().fold(trip_in(state), |trip, command| {
            crate::fixture::must(trip, command, start())
        });
        // Its ids differ from one `trip_in` to the next: see `same`.
        Box::new((&trip).into())
    }

    /// `trip_in` draws new ids each time; here every answer is about one trip.
    fn same(history: History) -> History {
        let begun = proto::Trip::from(&history.begun);
        let ops = history.ops.into_iter().map(|mut op| {
            if let What::Done(_, told) | What::Read(told) = &mut op.what {
                told.name = begun.name.clone();
                told.quote = begun.quote.clone();
            }
            op
        });
        History {
            ops: ops.collect(),
            ..history
        }
    }

    fn accepted() -> What {
        What::Done(
            accept(driver(1), 1),
            after("OFFERED", &[accept(driver(1), 1)]),
        )
    }

    fn cancelled_when_offered() -> What {
        What::Done(cancel(rider(1)), after("OFFERED", &[cancel(rider(1))]))
    }

    fn cancelled_when_accepted() -> What {
        What::Done(
            cancel(rider(1)),
            after("OFFERED", &[accept(driver(1), 1), cancel(rider(1))]),
        )
    }

    #[test]
    fn one_after_the_other_is_legal_and_so_is_either_order_at_once() {
        let then = same(History::of("OFFERED").with(1, 2, accepted()).with(
            3,
            4,
            cancelled_when_accepted(),
        ));
        assert!(then.is_legal());
        let lost = What::Refused(accept(driver(1), 1), Refusal::TripCancelled);
        let at_once = same(History::of("OFFERED").with(1, 4, lost).with(
            2,
            3,
            cancelled_when_offered(),
        ));
        assert!(at_once.is_legal());
    }

    #[test]
    fn two_acceptances_are_refused() {
        let twice = same(
            History::of("OFFERED")
                .with(1, 4, accepted())
                .with(2, 3, accepted()),
        );
        assert!(!twice.is_legal());
    }

    #[test]
    fn a_winner_on_each_side_is_refused() {
        let both = same(History::of("OFFERED").with(1, 4, accepted()).with(
            2,
            3,
            cancelled_when_offered(),
        ));
        assert!(!both.is_legal());
    }

    #[test]
    fn an_answer_from_before_what_was_answered_already_is_refused() {
        let back_in_time = same(History::of("OFFERED").with(1, 2, accepted()).with(
            3,
            4,
            What::Read(after("OFFERED", &[])),
        ));
        assert!(!back_in_time.is_legal());
        let meanwhile = same(History::of("OFFERED").with(1, 4, accepted()).with(
            2,
            3,
            What::Read(after("OFFERED", &[])),
        ));
        assert!(meanwhile.is_legal());
    }

    #[test]
    fn a_loser_who_is_told_something_else_is_refused() {
        let wrong = What::Refused(accept(driver(1), 1), Refusal::OfferExpired);
        let history = same(
            History::of("OFFERED")
                .with(1, 2, cancelled_when_offered())
                .with(3, 4, wrong),
        );
        assert!(!history.is_legal());
    }

    #[test]
    fn a_refusal_without_a_cause_is_refused() {
        let history = same(History::of("OFFERED").with(
            1,
            2,
            What::Refused(accept(driver(1), 1), Refusal::TripCancelled),
        ));
        assert!(!history.is_legal());
    }

    #[test]
    fn a_busy_driver_is_another_trips_doing_but_only_where_an_offer_was_possible() {
        let busy = || What::Refused(offer_to(driver(2)), Refusal::DriverBusy);
        assert!(same(History::of("REQUESTED").with(1, 2, busy())).is_legal());
        assert!(!same(History::of("OFFERED").with(1, 2, busy())).is_legal());
    }

    #[test]
    fn what_is_not_known_may_have_happened_late_or_never_but_not_before_it_was_asked() {
        let unknown = || What::Unknown(accept(driver(1), 1));
        let en_route = || What::Read(after("OFFERED", &[accept(driver(1), 1)]));
        let offered = || What::Read(after("OFFERED", &[]));
        let late = same(
            History::of("OFFERED")
                .with(1, None, unknown())
                .with(2, 3, offered())
                .with(4, 5, en_route()),
        );
        assert!(late.is_legal());
        let never = same(
            History::of("OFFERED")
                .with(1, None, unknown())
                .with(2, 3, offered()),
        );
        assert!(never.is_legal());
        let undone = same(
            History::of("OFFERED")
                .with(1, None, unknown())
                .with(2, 3, en_route())
                .with(4, 5, offered()),
        );
        assert!(!undone.is_legal());
        let before = same(
            History::of("OFFERED")
                .with(1, 2, en_route())
                .with(3, None, unknown()),
        );
        assert!(!before.is_legal());
    }

    #[test]
    fn the_clock_must_have_been_able_to_read_so() {
        let expire = |nows: Vec<Timestamp>| {
            let now = start() + TimeDelta::seconds(17);
            let expired =
                crate::fixture::must(trip_in("OFFERED"), &Command::ExpireOffer { epoch: 1 }, now);
            let mut history = same(History::of("OFFERED").with(
                1,
                2,
                What::Done(
                    Command::ExpireOffer { epoch: 1 },
                    Box::new((&expired).into()),
                ),
            ));
            history.ops[0].nows = nows;
            history.is_legal()
        };
        assert!(expire(vec![start(), start() + TimeDelta::seconds(17)]));
        assert!(!expire(vec![start()]));
    }

    #[test]
    fn a_long_history_of_many_at_once_is_decided_quickly() {
        let mut history = History::of("REQUESTED");
        let mut trip = history.begun.clone();
        for n in 1..=30_u64 {
            let to = driver(u128::from(n));
            let epoch = i32::try_from(n).unwrap();
            for command in [offer_to(to), decline(to, epoch)] {
                trip = crate::fixture::must(trip, &command, start());
                let at = 10 * u64::try_from(trip.version).unwrap();
                let told = What::Done(command.clone(), Box::new((&trip).into()));
                // Eight at a time overlap.
                history = history.with(at, at + 80, told);
            }
        }
        assert!(history.is_legal());
    }
}
