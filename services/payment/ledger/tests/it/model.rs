//! What a ledger is, said a second time and as simply as it can be: facts in a map, sums in wide integers, and a list of
//! what to undo when a fact in the middle of a group turns out wrong.

use std::collections::{HashMap, HashSet};

use hexcab_ledger::{
    Account, Action, Limits, Movement, Outcome, Refusal, Totals, Transfer, TransferId,
};
use hexcab_types::{Currency, Money, Timestamp};

type Key = (Account, Currency);

/// Debits posted, credits posted, debits promised, credits promised.
type Sums = [i128; 4];

#[derive(Debug, Default)]
pub struct Model {
    facts: HashMap<TransferId, Transfer>,
    /// Promises that ended: whether they came true.
    ended: HashMap<TransferId, bool>,
    /// Promises that did not, and run out.
    timed: HashMap<TransferId, Timestamp>,
    sums: HashMap<Key, Sums>,
    limits: HashMap<Key, (Option<i64>, Option<i64>)>,
}

enum Undo {
    Fact(TransferId),
    End(TransferId),
    Timed(TransferId),
    Untimed(TransferId, Timestamp),
    Sums(Key, Option<Sums>),
}

impl Model {
    pub fn state(&mut self, group: &[Transfer]) -> Result<Outcome, Refusal> {
        if group.is_empty() {
            return Err(Refusal::EmptyGroup);
        }
        if group.len() > 64 {
            return Err(Refusal::GroupTooLarge);
        }
        let mut seen = HashSet::new();
        for fact in group {
            if !seen.insert(fact.id) {
                return Err(Refusal::DuplicateId(fact.id));
            }
        }
        let known = group
            .iter()
            .filter(|fact| self.facts.contains_key(&fact.id));
        match known.count() {
            0 => {}
            n if n < group.len() => return Err(Refusal::PartlyThere),
            _ => {
                for fact in group {
                    let before = self.facts[&fact.id];
                    let timeless = Transfer {
                        at: fact.at,
                        ..before
                    };
                    if timeless != *fact {
                        return Err(Refusal::TransferExists(fact.id));
                    }
                }
                return Ok(Outcome::AlreadyThere);
            }
        }
        let mut undo = Vec::new();
        let mut result = Ok(());
        for fact in group {
            result = self.fact(fact, &mut undo);
            if result.is_err() {
                break;
            }
        }
        let result = result.and_then(|()| self.within_limits(&undo));
        if result.is_err() {
            while let Some(step) = undo.pop() {
                self.undo(step);
            }
        }
        result.map(|()| Outcome::Applied)
    }

    pub fn limit(&mut self, key: Key, limits: Limits) -> Result<(), Refusal> {
        let hot = ["processor", "platform:revenue", "platform:tax"];
        let any = limits.floor.is_some() || limits.ceiling.is_some();
        if any && hot.contains(&key.0.to_string().as_str()) {
            return Err(Refusal::HotAccount(key.0));
        }
        let before = self.limits.insert(key, (limits.floor, limits.ceiling));
        let held = self.holds(key);
        if held.is_err() {
            match before {
                Some(before) => self.limits.insert(key, before),
                None => self.limits.remove(&key),
            };
        }
        held
    }

    /// Ends promises that ran out, the longest over first.
    pub fn run_out(&mut self, now: Timestamp, most: usize) -> Vec<TransferId> {
        let mut over: Vec<(Timestamp, TransferId)> = self
            .timed
            .iter()
            .filter(|(_, end)| **end <= now)
            .map(|(id, end)| (*end, *id))
            .collect();
        over.sort();
        over.truncate(most);
        for (_, id) in &over {
            let reference = self.facts[id].reference;
            self.state(&[hexcab_ledger::expiry(*id, reference, now)])
                .expect("giving back is always possible");
        }
        over.into_iter().map(|(_, id)| id).collect()
    }

    pub fn totals(&self, key: Key) -> Totals {
        let [
            debits_posted,
            credits_posted,
            debits_pending,
            credits_pending,
        ] = self
            .sums
            .get(&key)
            .copied()
            .unwrap_or_default()
            .map(|sum| i64::try_from(sum).expect("within 64 bits"));
        Totals {
            debits_posted,
            credits_posted,
            debits_pending,
            credits_pending,
        }
    }

    pub fn accounts(&self) -> HashMap<Key, Totals> {
        self.sums
            .keys()
            .map(|key| (*key, self.totals(*key)))
            .filter(|(_, totals)| *totals != Totals::default())
            .collect()
    }

    pub fn facts(&self) -> usize {
        self.facts.len()
    }

    fn fact(&mut self, fact: &Transfer, undo: &mut Vec<Undo>) -> Result<(), Refusal> {
        let sane = |amount: Money| {
            if amount.minor >= 1 && amount.minor <= 1_000_000_000_000_000 {
                Ok(())
            } else {
                Err(Refusal::Amount(fact.id))
            }
        };
        let two = |movement: Movement| {
            if movement.debit == movement.credit {
                Err(Refusal::SameAccount(fact.id))
            } else {
                Ok(())
            }
        };
        match fact.action {
            Action::Post(movement) => {
                sane(movement.amount)?;
                two(movement)?;
                self.sum(movement, movement.amount.minor, 0, undo)?;
            }
            Action::Pend {
                movement,
                expires_after,
            } => {
                sane(movement.amount)?;
                two(movement)?;
                let end = match expires_after {
                    None => None,
                    Some(after) => {
                        let end = i128::from(fact.at.timestamp_micros())
                            + i128::try_from(after.as_micros()).unwrap();
                        let last = i128::from(Timestamp::MAX_UTC.timestamp_micros());
                        if after.as_nanos() == 0 || after.as_nanos() % 1_000 != 0 || end > last {
                            return Err(Refusal::Expiry(fact.id));
                        }
                        Timestamp::from_timestamp_micros(end.try_into().unwrap())
                    }
                };
                self.sum(movement, 0, movement.amount.minor, undo)?;
                if let Some(end) = end {
                    self.timed.insert(fact.id, end);
                    undo.push(Undo::Timed(fact.id));
                }
            }
            Action::PostPending { pending, amount } => {
                sane(amount)?;
                let movement = self.promised(pending)?;
                if amount.currency != movement.amount.currency {
                    return Err(Refusal::PendingCurrency(pending));
                }
                if amount.minor > movement.amount.minor {
                    return Err(Refusal::ExceedsPending(pending));
                }
                if self.timed.get(&pending).is_some_and(|end| fact.at >= *end) {
                    return Err(Refusal::PendingExpired(pending));
                }
                self.sum(movement, amount.minor, -movement.amount.minor, undo)?;
                self.end(pending, true, undo);
            }
            Action::VoidPending { pending } => {
                let movement = self.promised(pending)?;
                self.sum(movement, 0, -movement.amount.minor, undo)?;
                self.end(pending, false, undo);
            }
        }
        self.facts.insert(fact.id, *fact);
        undo.push(Undo::Fact(fact.id));
        Ok(())
    }

    fn promised(&self, id: TransferId) -> Result<Movement, Refusal> {
        match self.facts.get(&id).map(|fact| fact.action) {
            None => Err(Refusal::PendingNotFound(id)),
            Some(Action::Post(_) | Action::PostPending { .. } | Action::VoidPending { .. }) => {
                Err(Refusal::NotPending(id))
            }
            Some(Action::Pend { movement, .. }) => match self.ended.get(&id) {
                None => Ok(movement),
                Some(true) => Err(Refusal::AlreadyPosted(id)),
                Some(false) => Err(Refusal::AlreadyVoided(id)),
            },
        }
    }

    fn end(&mut self, id: TransferId, came_true: bool, undo: &mut Vec<Undo>) {
        self.ended.insert(id, came_true);
        undo.push(Undo::End(id));
        if let Some(end) = self.timed.remove(&id) {
            undo.push(Undo::Untimed(id, end));
        }
    }

    fn sum(
        &mut self,
        movement: Movement,
        posted: i64,
        promised: i64,
        undo: &mut Vec<Undo>,
    ) -> Result<(), Refusal> {
        let currency = movement.amount.currency;
        for (account, column) in [(movement.debit, 0), (movement.credit, 1)] {
            let key = (account, currency);
            undo.push(Undo::Sums(key, self.sums.get(&key).copied()));
            let sums = self.sums.entry(key).or_default();
            sums[column] += i128::from(posted);
            sums[column + 2] += i128::from(promised);
            if sums.iter().any(|sum| *sum > i128::from(i64::MAX)) {
                return Err(Refusal::Overflow(account, currency));
            }
        }
        Ok(())
    }

    fn within_limits(&self, undo: &[Undo]) -> Result<(), Refusal> {
        let mut touched: Vec<Key> = Vec::new();
        for step in undo {
            if let Undo::Sums(key, _) = step {
                touched.push(*key);
            }
        }
        touched.sort();
        touched.into_iter().try_for_each(|key| self.holds(key))
    }

    fn holds(&self, key: Key) -> Result<(), Refusal> {
        let Some((floor, ceiling)) = self.limits.get(&key) else {
            return Ok(());
        };
        let [debits, credits, debits_promised, credits_promised] =
            self.sums.get(&key).copied().unwrap_or_default();
        if floor.is_some_and(|floor| credits < debits + debits_promised + i128::from(floor)) {
            return Err(Refusal::BelowFloor(key.0, key.1));
        }
        if ceiling.is_some_and(|top| credits + credits_promised > debits + i128::from(top)) {
            return Err(Refusal::AboveCeiling(key.0, key.1));
        }
        Ok(())
    }

    fn undo(&mut self, step: Undo) {
        match step {
            Undo::Fact(id) => {
                self.facts.remove(&id);
            }
            Undo::End(id) => {
                self.ended.remove(&id);
            }
            Undo::Timed(id) => {
                self.timed.remove(&id);
            }
            Undo::Untimed(id, end) => {
                self.timed.insert(id, end);
            }
            Undo::Sums(key, Some(sums)) => {
                self.sums.insert(key, sums);
            }
            Undo::Sums(key, None) => {
                self.sums.remove(&key);
            }
        }
    }
}
