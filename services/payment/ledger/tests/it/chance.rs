//! Random work for a ledger: rides and nonsense, so that every refusal is met.

use std::{collections::VecDeque, time::Duration};

use hexcab_ledger::{
    AMOUNT_MAX_MINOR, Account, Action, Code, Limits, Movement, Transfer, TransferId,
};
use hexcab_testkit::ChaCha8Rng;
use hexcab_types::{Currency, Money};
use rand::{RngExt as _, seq::IndexedRandom as _};
use uuid::Uuid;

use crate::rig::{at, driver, rider};

/// How many of the newest promises, transfers and groups are worth coming back to.
const REMEMBERED: usize = 48;
const CURRENCIES: [Currency; 2] = [Currency::Usd, Currency::Jpy];

#[derive(Debug, Clone)]
pub enum Operation {
    State(Vec<Transfer>),
    Limit((Account, Currency), Limits),
    /// At this second, at most so many.
    Expire(i64, u32),
}

pub struct Chance {
    rng: ChaCha8Rng,
    accounts: Vec<Account>,
    /// Whether amounts are near the largest, so that sums overflow.
    huge: bool,
    now: i64,
    ids: u128,
    promises: VecDeque<Transfer>,
    others: VecDeque<TransferId>,
    groups: VecDeque<Vec<Transfer>>,
}

impl Chance {
    pub fn new(rng: ChaCha8Rng, huge: bool) -> Self {
        let people = (0..5).flat_map(|n| [rider(n), driver(n)]);
        Self {
            rng,
            accounts: Account::FIXED.into_iter().chain(people).collect(),
            huge,
            now: 0,
            ids: 0,
            promises: VecDeque::new(),
            others: VecDeque::new(),
            groups: VecDeque::new(),
        }
    }

    pub fn next(&mut self) -> Operation {
        self.now += i64::from(self.rng.random_bool(0.2)) * self.rng.random_range(1..4);
        match self.rng.random_range(0..1_000) {
            0..5 => Operation::Expire(self.now, self.rng.random_range(1..20)),
            5..35 => self.limit(),
            _ => {
                let group = self.group();
                keep(&mut self.groups, group.clone());
                Operation::State(group)
            }
        }
    }

    /// The group is there now: worth coming back to.
    pub fn applied(&mut self, group: &[Transfer]) {
        for transfer in group {
            if matches!(transfer.action, Action::Pend { .. }) {
                keep(&mut self.promises, *transfer);
            } else {
                keep(&mut self.others, transfer.id);
            }
        }
    }

    fn limit(&mut self) -> Operation {
        let key = (self.account(), self.currency());
        let limits = match self.rng.random_range(0..6) {
            0 => Limits::DEBITS_MUST_NOT_EXCEED_CREDITS,
            1 => Limits::CREDITS_MUST_NOT_EXCEED_DEBITS,
            2 => Limits {
                floor: Some(self.rng.random_range(-20_000..0)),
                ceiling: Some(self.rng.random_range(0..20_000)),
            },
            _ => Limits::NONE,
        };
        Operation::Limit(key, limits)
    }

    fn group(&mut self) -> Vec<Transfer> {
        match self.rng.random_range(0..1_000) {
            0..3 => Vec::new(),
            _ if self.huge && self.rng.random_bool(0.1) => self.heap(),
            3..5 => (0..65).map(|_| self.any()).collect(),
            5..15 => {
                let one = self.any();
                vec![one, self.any(), one]
            }
            15..95 => self.again(),
            95..125 => self.again_with_a_difference(),
            125..155 => {
                let mut group = self.again();
                group.truncate(1);
                let more = match group.first().copied() {
                    Some(first) if self.rng.random_bool(0.5) => self.end(&first),
                    _ => self.any(),
                };
                group.push(more);
                group
            }
            155..300 => self.ride(),
            300..700 => vec![self.any()],
            _ => self.several(),
        }
    }

    /// Transfers that may refer to each other.
    fn several(&mut self) -> Vec<Transfer> {
        let mut group: Vec<Transfer> = Vec::new();
        for _ in 0..self.rng.random_range(2..6) {
            let before = group.choose(&mut self.rng).copied();
            let transfer = match before {
                Some(before) if self.rng.random_bool(0.25) => self.end(&before),
                _ => self.any(),
            };
            group.push(transfer);
        }
        group
    }

    /// As much as fits into a group.
    fn heap(&mut self) -> Vec<Transfer> {
        let amount = Money::new(AMOUNT_MAX_MINOR, Currency::Usd);
        let (debit, credit) = (rider(0), driver(0));
        let post = Action::Post(Movement {
            debit,
            credit,
            amount,
        });
        (0..64).map(|_| self.make(post)).collect()
    }

    fn again(&mut self) -> Vec<Transfer> {
        let n = self.rng.random_range(0..self.groups.len().max(1));
        let again = self.groups.get(n).cloned().unwrap_or_default();
        let at = at(self.now);
        again.into_iter().map(|t| Transfer { at, ..t }).collect()
    }

    fn again_with_a_difference(&mut self) -> Vec<Transfer> {
        let mut group = self.again();
        let n = self.rng.random_range(0..group.len().max(1));
        let Some(transfer) = group.get_mut(n) else {
            return group;
        };
        match self.rng.random_range(0..3) {
            0 => transfer.code = Code::WriteOff,
            1 => transfer.reference = Uuid::from_u128(0xbad),
            _ => {
                if let Action::Post(movement) | Action::Pend { movement, .. } = &mut transfer.action
                {
                    movement.amount.minor ^= 1;
                }
            }
        }
        group
    }

    /// A hold that is captured, at once or from before, and shared out.
    fn ride(&mut self) -> Vec<Transfer> {
        let Some(hold) = self.some_promise() else {
            return vec![self.any()];
        };
        let Action::Pend { movement, .. } = hold.action else {
            return vec![self.any()];
        };
        let charge = self.rng.random_range(1..=movement.amount.minor.max(1));
        let amount = |minor| Money::new(minor, movement.amount.currency);
        let payer = movement.credit;
        let mut group = vec![self.make(Action::PostPending {
            pending: hold.id,
            amount: amount(charge),
        })];
        let (share, tax) = (charge * 7 / 10, charge / 10);
        for (credit, minor) in [
            (self.account(), share),
            (Account::Tax, tax),
            (Account::Revenue, charge - share - tax),
        ] {
            if minor > 0 && credit != payer {
                group.push(self.make(Action::Post(Movement {
                    debit: payer,
                    credit,
                    amount: amount(minor),
                })));
            }
        }
        group
    }

    fn any(&mut self) -> Transfer {
        match self.rng.random_range(0..100) {
            0..32 => {
                let movement = self.movement();
                self.make(Action::Post(movement))
            }
            32..62 => {
                let (movement, expires_after) = (self.movement(), self.expiry());
                self.make(Action::Pend {
                    movement,
                    expires_after,
                })
            }
            62..94 => match self.some_promise() {
                Some(promise) => self.end(&promise),
                None => self.any(),
            },
            94..98 => {
                let n = self.rng.random_range(0..self.others.len().max(1));
                let pending = self.others.get(n).copied();
                let pending = pending.unwrap_or(TransferId::from(Uuid::from_u128(1)));
                self.make(Action::VoidPending { pending })
            }
            _ => {
                let pending = TransferId::from(Uuid::from_u128(self.rng.random_range(1..99)));
                let amount = Money::new(5, self.currency());
                self.make(Action::PostPending { pending, amount })
            }
        }
    }

    /// A transfer that ends another one, which is best a promise.
    fn end(&mut self, of: &Transfer) -> Transfer {
        let promised = match of.action {
            Action::Post(movement) | Action::Pend { movement, .. } => movement.amount,
            Action::PostPending { amount, .. } => amount,
            Action::VoidPending { .. } => Money::new(5, self.currency()),
        };
        let action = match self.rng.random_range(0..10) {
            0..3 => Action::VoidPending { pending: of.id },
            3..6 => Action::PostPending {
                pending: of.id,
                amount: promised,
            },
            6..8 => Action::PostPending {
                pending: of.id,
                amount: Money {
                    minor: self
                        .rng
                        .random_range(1..=promised.minor.clamp(1, AMOUNT_MAX_MINOR)),
                    ..promised
                },
            },
            8 => Action::PostPending {
                pending: of.id,
                amount: Money {
                    minor: promised.minor.saturating_add(1),
                    ..promised
                },
            },
            _ => Action::PostPending {
                pending: of.id,
                amount: Money {
                    currency: self.currency(),
                    ..promised
                },
            },
        };
        self.make(action)
    }

    fn some_promise(&mut self) -> Option<Transfer> {
        let n = self.rng.random_range(0..self.promises.len().max(1));
        self.promises.get(n).copied()
    }

    fn make(&mut self, action: Action) -> Transfer {
        self.ids += 1;
        let codes = Code::ALL;
        Transfer {
            // Spread over the index, as ids of steps are.
            id: TransferId::derive(Uuid::from_u128(self.ids), "chance"),
            action,
            code: *codes.choose(&mut self.rng).expect("there are codes"),
            reference: Uuid::from_u128(self.rng.random_range(1..1_000)),
            at: at(self.now - self.rng.random_range(0..3)),
        }
    }

    fn movement(&mut self) -> Movement {
        Movement {
            debit: self.account(),
            credit: self.account(),
            amount: Money::new(self.amount(), self.currency()),
        }
    }

    fn amount(&mut self) -> i64 {
        match self.rng.random_range(0..100) {
            0 => self.rng.random_range(-3..=0),
            1 => AMOUNT_MAX_MINOR + 1,
            2..60 if self.huge => AMOUNT_MAX_MINOR - self.rng.random_range(0..3),
            _ => self.rng.random_range(1..3_000),
        }
    }

    fn expiry(&mut self) -> Option<Duration> {
        match self.rng.random_range(0..100) {
            0 => Some(Duration::ZERO),
            1 => Some(Duration::from_nanos(1_500)),
            2 => Some(Duration::MAX),
            3..50 => Some(Duration::from_millis(self.rng.random_range(1..40_000))),
            _ => None,
        }
    }

    fn account(&mut self) -> Account {
        *self.accounts.choose(&mut self.rng).expect("accounts")
    }

    fn currency(&mut self) -> Currency {
        CURRENCIES[usize::from(self.rng.random_bool(0.15))]
    }
}

fn keep<T>(queue: &mut VecDeque<T>, item: T) {
    queue.push_back(item);
    if queue.len() > REMEMBERED {
        queue.pop_front();
    }
}
