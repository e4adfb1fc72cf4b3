//! Random lives of money on a ledger of their own: nothing is lost, made, or left where it does not belong.

use std::collections::BTreeMap;

use hexcab_ledger::{Book, Outcome};
use hexcab_types::{Currency, DriverId, RiderId};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::{
    Answer, DriverPay, Hold, Method, ProcessorId, Said, State,
    decide::{Command, decide},
    dispute::{Move, hear},
    payout::{LineState, lines},
    refund::{self, Ask, Before},
    samples::{driver, ending, intent, usd},
};

/// An intent with its ledger and everything beside it.
struct Life {
    book: Book,
    intent: Intent,
    extras: Vec<Extra>,
    refunds: Vec<Refund>,
    disputes: Vec<Dispute>,
    was_raised: bool,
}

impl Life {
    fn begin(method: Method, amount: i64) -> Self {
        let state = match method {
            Method::Card => State::RequiresHold,
            Method::Cash => State::AwaitsCash,
        };
        let intent = Intent {
            method,
            amount: usd(amount),
            ..intent(state, None)
        };
        let mut life = Self {
            book: Book::default(),
            extras: Vec::new(),
            refunds: Vec::new(),
            disputes: Vec::new(),
            was_raised: false,
            intent,
        };
        if method == Method::Card {
            life.state(hold(&life.intent, at()));
        }
        life
    }

    fn state(&mut self, group: Vec<Transfer>) {
        if !group.is_empty() {
            assert_eq!(self.book.submit(&group), Ok(Outcome::Applied), "{group:?}");
            assert_eq!(
                self.book.submit(&group),
                Ok(Outcome::AlreadyThere),
                "a fact is stated once"
            );
        }
        let sums = self
            .book
            .accounts()
            .fold((0, 0), |(posted, pending), (_, totals)| {
                let promised = totals.credits_pending - totals.debits_pending;
                (posted + totals.net(), pending + promised)
            });
        assert_eq!(sums, (0, 0), "{group:?}");
    }

    fn happen(&mut self, event: &Event) {
        let group = of_event(&self.intent, event, at()).unwrap();
        self.state(group);
        self.intent = self.intent.clone().apply(event);
    }

    /// What is known, if the domain takes it.
    fn know(&mut self, command: Command) -> bool {
        let known = decide(&self.intent, command);
        if let Ok(event) = &known {
            self.happen(event);
        }
        known.is_ok()
    }

    fn raise(&mut self, by: i64) {
        self.intent.raise = usd(by);
        self.state(raise(&self.intent, at()));
    }

    fn add(&mut self, extra: Extra) {
        self.state(super::extra(&self.intent, &extra, at()));
        self.extras.push(extra);
    }

    fn answer_extra(&mut self, said: Said) {
        let Some(extra) = self
            .extras
            .iter_mut()
            .find(|extra| extra.answer.is_outstanding())
        else {
            return;
        };
        let before = extra.clone();
        extra.answer = extra.answer.hear(&said).unwrap();
        let command = match before.kind {
            ExtraKind::Rest => Command::AnswerRest(before, said),
            ExtraKind::Tip { .. } => Command::AnswerTip(before, said),
        };
        assert!(self.know(command));
    }

    fn give_back(&mut self, amount: Option<i64>, clawback: bool, said: Said) {
        let ask = Ask {
            amount: amount.map(usd),
            clawback,
            reason: "late".into(),
            operator: Uuid::from_u128(7).into(),
        };
        let before = Before {
            extras: &self.extras,
            refunds: &self.refunds,
            disputes: &self.disputes,
        };
        for part in refund::parts(&self.intent, before, &ask).unwrap_or_default() {
            let mut refund = Refund {
                id: Uuid::from_u128(100 + self.refunds.len() as u128).into(),
                of: part.of,
                amount: part.amount,
                driver_part: part.driver_part,
                tax_part: part.tax_part,
                clawback,
                reason: "late".into(),
                operator: Uuid::from_u128(7).into(),
                answer: Answer::Awaited,
                created_at: at(),
            };
            self.state(super::refund(&self.intent, &refund, at()));
            assert!(self.know(Command::AnswerRefund(refund.clone(), said.clone())));
            refund.answer = refund.answer.hear(&said).unwrap();
            self.refunds.push(refund);
        }
    }

    fn dispute(&mut self, amount: i64, said: DisputeState) {
        let Some(hold) = self.intent.state.taken().and(self.intent.state.hold()) else {
            return;
        };
        let mut dispute = Dispute {
            id: format!("dp_{}", self.disputes.len()),
            payment: hold.id.clone(),
            amount: usd(amount),
            reason: "fraudulent".into(),
            state: DisputeState::Open,
            opened_at: at(),
            closed_at: None,
        };
        for step in hear(None, said).unwrap() {
            dispute.state = match step {
                Move::Open => DisputeState::Open,
                Move::Win => DisputeState::Won,
                Move::Lose => DisputeState::Lost,
            };
            self.happen(&match step {
                Move::Open => Event::ChargebackOpened(dispute.clone()),
                Move::Win | Move::Lose => Event::ChargebackClosed(dispute.clone()),
            });
        }
        self.disputes.push(dispute);
    }

    /// Account → posted, pending.
    fn balances(&self) -> BTreeMap<String, (i64, i64)> {
        let accounts = self.book.accounts().map(|((account, _), totals)| {
            let pending = totals.credits_pending - totals.debits_pending;
            (account.to_string(), (totals.net(), pending))
        });
        accounts.filter(|(_, balance)| *balance != (0, 0)).collect()
    }

    /// The same, by what the life says and no journal.
    fn story(&self) -> BTreeMap<String, (i64, i64)> {
        let mut story = BTreeMap::new();
        let mut add = |account: Account, posted: i64, pending: i64| {
            let balance: &mut (i64, i64) = story.entry(account.to_string()).or_default();
            balance.0 += posted;
            balance.1 += pending;
        };
        let rider = Account::Rider(self.intent.rider);
        let state = &self.intent.state;
        let promised = self.intent.amount.minor + self.intent.raise.minor;
        if self.intent.method == Method::Card && !state.is_terminal() {
            add(Account::Processor, 0, -promised);
            add(rider, 0, promised);
        }
        let settled = state.is_terminal() && !matches!(state, State::Declined { owed: None, .. });
        if let Some(Ending { charge, .. }) = self.intent.ending.filter(|_| settled) {
            let (due, tax) = (charge.driver_due().minor, charge.tax.minor);
            let paid = state
                .taken()
                .map_or(0, |taken| taken.captured.minor + taken.rest.minor);
            let cash = if *state == State::CashCollected {
                charge.amount.minor
            } else {
                0
            };
            add(Account::Processor, -paid, 0);
            add(rider, paid + cash - charge.amount.minor, 0);
            add(Account::Driver(driver()), due - cash, 0);
            add(Account::Tax, tax, 0);
            add(Account::Revenue, charge.amount.minor - due - tax, 0);
        }
        for extra in &self.extras {
            let minor = extra.amount.minor;
            if extra.answer.is_outstanding() {
                add(Account::Processor, 0, -minor);
                add(rider, 0, minor);
            } else if let (ExtraKind::Tip { driver }, true) = (extra.kind, extra.answer.counts()) {
                add(Account::Processor, -minor, 0);
                add(Account::Driver(driver), minor, 0);
            }
        }
        for refund in self.refunds.iter().filter(|refund| refund.answer.counts()) {
            let (all, his, tax) = (
                refund.amount.minor,
                refund.driver_part.minor,
                refund.tax_part.minor,
            );
            add(Account::Processor, all, 0);
            add(Account::Driver(driver()), -his, 0);
            add(Account::Tax, -tax, 0);
            add(Account::Revenue, his + tax - all, 0);
        }
        for dispute in &self.disputes {
            let minor = dispute.amount.minor;
            match dispute.state {
                DisputeState::Won => {}
                DisputeState::Open => {
                    add(Account::Processor, minor, 0);
                    add(Account::Disputes, -minor, 0);
                }
                DisputeState::Lost => {
                    add(Account::Processor, minor, 0);
                    add(Account::Losses, -minor, 0);
                }
            }
        }
        story.retain(|_, balance| *balance != (0, 0));
        story
    }
}

fn at() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

fn done(id: &str) -> Said {
    Said::Done {
        processor_id: ProcessorId(id.into()),
    }
}

fn refused() -> Said {
    Said::Refused { code: "x".into() }
}

fn said(is_done: bool, id: &str) -> Said {
    if is_done { done(id) } else { refused() }
}

/// A chance choice of what the world does next.
#[derive(Debug, Clone)]
enum Turn {
    Hold(bool),
    Raise(i64),
    AnswerRaise(bool),
    End(Option<(i64, i64, i64)>),
    Settle(bool),
    AnswerExtra(bool),
    Tip(i64),
    Refund(Option<i64>, bool, bool),
    Dispute(i64, u8),
}

fn turns() -> impl Strategy<Value = Turn> {
    let amount = 1_i64..3_000;
    prop_oneof![
        2 => any::<bool>().prop_map(Turn::Hold),
        1 => amount.clone().prop_map(Turn::Raise),
        1 => any::<bool>().prop_map(Turn::AnswerRaise),
        2 => prop::option::of((amount.clone(), 0_i64..4_000, 0_i64..3_000)).prop_map(Turn::End),
        4 => any::<bool>().prop_map(Turn::Settle),
        2 => any::<bool>().prop_map(Turn::AnswerExtra),
        1 => amount.clone().prop_map(Turn::Tip),
        2 => (prop::option::of(amount.clone()), any::<bool>(), any::<bool>()).prop_map(|(a, b, c)| Turn::Refund(a, b, c)),
        1 => (amount, 0_u8..3).prop_map(|(amount, said)| Turn::Dispute(amount, said)),
    ]
}

fn take(life: &mut Life, turn: Turn, count: usize) {
    let code = || "x".to_owned();
    match turn {
        Turn::Hold(true) => {
            let processor_id = ProcessorId("pi_1".into());
            life.know(Command::PlaceHold { processor_id });
        }
        Turn::Hold(false) => {
            life.know(Command::DeclineHold { code: code() });
        }
        Turn::Raise(by) => {
            let held = matches!(life.intent.state, State::RequiresHold | State::Held(_));
            if held && life.intent.ending.is_none() && !life.was_raised {
                life.was_raised = true;
                life.raise(by);
            }
        }
        Turn::AnswerRaise(is_done) if life.intent.raise.minor > 0 => {
            let to = life.intent.amount.plus(life.intent.raise).unwrap();
            life.know(if is_done {
                Command::RaiseHold { to }
            } else {
                Command::DeclineRaise { code: code() }
            });
        }
        Turn::AnswerRaise(_) => {}
        Turn::End(charge) => end(life, charge),
        Turn::Settle(is_done) => settle(life, is_done, count),
        Turn::AnswerExtra(is_done) => life.answer_extra(said(is_done, &format!("pi_x{count}"))),
        Turn::Tip(amount) => {
            let may = matches!(
                life.intent.state,
                State::Captured { .. } | State::CashCollected
            ) && !life
                .extras
                .iter()
                .any(|extra| extra.answer.is_outstanding());
            if may {
                life.add(Extra {
                    id: Uuid::from_u128(1_000 + count as u128).into(),
                    kind: ExtraKind::Tip { driver: driver() },
                    amount: usd(amount),
                    answer: Answer::Awaited,
                    created_at: at(),
                });
            }
        }
        Turn::Refund(amount, clawback, is_done) => {
            life.give_back(amount, clawback, said(is_done, "re_1"));
        }
        Turn::Dispute(amount, said) => {
            let states = [DisputeState::Open, DisputeState::Won, DisputeState::Lost];
            life.dispute(amount, states[usize::from(said)]);
        }
    }
}

fn end(life: &mut Life, charge: Option<(i64, i64, i64)>) {
    if life.intent.ending.is_some() {
        return;
    }
    life.intent.ending = Some(match charge {
        None => ending(0),
        Some((amount, due, tax)) => Ending {
            charge: Charge {
                amount: usd(amount),
                driver: Some(DriverPay {
                    driver: driver(),
                    amount: usd(due),
                }),
                tax: usd(tax.min(amount)),
            },
            ..ending(amount)
        },
    });
}

/// Steps of an intent are done in order: what was raised is answered before anything is settled.
fn settle(life: &mut Life, is_done: bool, count: usize) {
    let Some(Ending { charge, .. }) = life.intent.ending else {
        return;
    };
    let hold = life
        .intent
        .state
        .hold()
        .map(|Hold { amount, .. }| amount.minor);
    let raised = life.intent.amount.minor + life.intent.raise.minor;
    if hold.is_some_and(|held| held < raised) && !life.intent.state.is_terminal() {
        life.know(Command::DeclineRaise { code: "x".into() });
    }
    let was_terminal = life.intent.state.is_terminal();
    for command in [
        Command::Void,
        Command::CollectCash,
        Command::Owe,
        Command::Capture {
            amount: usd(charge.amount.minor.min(hold.unwrap_or_default())),
        },
        Command::FailCapture { code: "x".into() },
    ] {
        if !is_done && matches!(command, Command::Capture { .. } | Command::CollectCash) {
            continue;
        }
        if matches!(command, Command::Owe) && is_done && life.intent.method == Method::Cash {
            continue;
        }
        if life.know(command) {
            break;
        }
    }
    let above = life
        .intent
        .state
        .taken()
        .map(|taken| charge.amount.minor - taken.captured.minor);
    if let Some(above) = above.filter(|above| *above > 0 && !was_terminal) {
        life.add(Extra {
            id: Uuid::from_u128(5_000 + count as u128).into(),
            kind: ExtraKind::Rest,
            amount: usd(above),
            answer: Answer::Awaited,
            created_at: at(),
        });
    }
}

proptest! {
    #[test]
    fn any_life_leaves_every_cent_with_whom_it_belongs(
        cash: bool, amount in 1_i64..3_000, turns in prop::collection::vec(turns(), 1..40),
    ) {
        let method = if cash { Method::Cash } else { Method::Card };
        let mut life = Life::begin(method, amount);
        for (count, turn) in turns.into_iter().enumerate() {
            take(&mut life, turn.clone(), count);
            prop_assert_eq!(life.balances(), life.story(), "after {:?} in {:?}", turn, life.intent.state);
        }
    }

    #[test]
    fn a_batch_takes_from_drivers_what_the_bank_pays_and_gives_back_what_it_does_not(
        owed in prop::collection::hash_map(1_u128..200, 1_i64..9_000, 1..40), fails in prop::collection::vec(any::<bool>(), 40),
    ) {
        let mut book = Book::default();
        let rider = Account::Rider(RiderId::from(Uuid::from_u128(1)));
        let who = |id: u128| DriverId::from(Uuid::from_u128(id));
        for (id, minor) in &owed {
            let movement = Movement { debit: rider, credit: Account::Driver(who(*id)), amount: usd(*minor) };
            let earned = Transfer { id: TransferId::from(Uuid::from_u128(*id)), action: Action::Post(movement),
                code: Code::DriverShare, reference: Uuid::from_u128(*id), at: at() };
            prop_assert_eq!(book.submit(&[earned]), Ok(Outcome::Applied));
        }
        let batch = PayoutId::from(Uuid::from_u128(77));
        let lines = lines(owed.iter().map(|(id, minor)| (who(*id), usd(*minor))), 1);
        for line in &lines {
            prop_assert_eq!(book.submit(&[payout(batch, line, at())]), Ok(Outcome::Applied));
            let totals = book.totals((Account::Driver(line.driver), Currency::Usd));
            prop_assert_eq!(totals.available(), 0, "all of it is set aside");
        }
        let mut paid_minor = 0;
        for (line, fail) in lines.iter().zip(&fails) {
            prop_assert_eq!(&line.state, &LineState::Pending);
            prop_assert_eq!(book.submit(&[paid(batch, line, !fail, at())]), Ok(Outcome::Applied));
            paid_minor += if *fail { 0 } else { line.amount.minor };
        }
        if paid_minor > 0 {
            prop_assert_eq!(book.submit(&[sent(batch, usd(paid_minor), at())]), Ok(Outcome::Applied));
        }
        let net = |account| book.totals((account, Currency::Usd)).net();
        prop_assert_eq!(net(Account::Bank), paid_minor);
        prop_assert_eq!(net(Account::Payouts), 0);
        for (line, fail) in lines.iter().zip(&fails) {
            prop_assert_eq!(net(Account::Driver(line.driver)), if *fail { line.amount.minor } else { 0 });
        }
        prop_assert_eq!(book.accounts().map(|(_, totals)| totals.net()).sum::<i64>(), 0);
    }
}
