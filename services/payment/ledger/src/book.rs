//! The rules of the ledger, pure: which groups of transfers are accepted, and what they do.
//!
//! - [`Book`] knows accounts, transfers and promises: all of them (in memory), or those that a group touches (the keeper
//!   in Postgres fills one from the rows it has locked)
//! - [`Book::decide`] may refuse and changes nothing; [`Book::apply`] may not refuse
//!
//! Invariants: a group is applied as a whole; a promise ends once; limits hold on what a group leaves, so the order of
//! transfers inside of a group does not matter to them; both sides of a transfer move by the same amount.
//! Does not: know the time (transfers bring theirs), Postgres, or chance.

use std::collections::{BTreeMap, HashMap};

use hexcab_types::{Currency, Timestamp};

use crate::{
    Account, Action, Code, GROUP_MAX, Limits, Movement, Outcome, Refusal, Totals, Transfer,
    TransferId,
};

mod stage;

use stage::Stage;

/// An account in one currency.
pub type AccountKey = (Account, Currency);

/// What is known of a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// What was promised.
    pub movement: Movement,
    /// From then on it can only be voided.
    pub expires_at: Option<Timestamp>,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing yet.
    Open,
    /// It came true, wholly or partly.
    Posted,
    /// It was given back.
    Voided,
}

/// The ledger, or the part of it that matters.
#[derive(Debug, Clone, Default)]
pub struct Book {
    totals: HashMap<AccountKey, Totals>,
    limits: HashMap<AccountKey, Limits>,
    transfers: HashMap<TransferId, Transfer>,
    pendings: HashMap<TransferId, Pending>,
}

/// What a book says to a group that it does not refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// All of it is there already and says the same.
    AlreadyThere,
    /// This is to be done.
    Apply(Decision),
}

/// What an accepted group does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// The group, in its order.
    pub lines: Vec<Line>,
    totals: BTreeMap<AccountKey, Totals>,
    pendings: HashMap<TransferId, Pending>,
}

/// An accepted transfer with what follows from the promise it makes or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// As it was given.
    pub transfer: Transfer,
    /// Between whom, and how much is posted or promised (zero for a void).
    pub movement: Movement,
    /// What had been promised, when it ends a promise; minor units.
    pub released_minor: Option<i64>,
    /// When the promise it makes expires.
    pub expires_at: Option<Timestamp>,
}

impl Book {
    /// Decides and applies.
    ///
    /// # Errors
    /// See [`Refusal`]; nothing is changed then.
    pub fn submit(&mut self, group: &[Transfer]) -> Result<Outcome, Refusal> {
        match self.decide(group)? {
            Verdict::AlreadyThere => Ok(Outcome::AlreadyThere),
            Verdict::Apply(decision) => {
                self.apply(decision);
                Ok(Outcome::Applied)
            }
        }
    }

    /// What a group would do.
    ///
    /// # Errors
    /// The first reason, in the order of [`Refusal`].
    pub fn decide(&self, group: &[Transfer]) -> Result<Verdict, Refusal> {
        Self::check_shape(group)?;
        if self.is_there(group)? {
            return Ok(Verdict::AlreadyThere);
        }
        let mut stage = Stage::over(self);
        for transfer in group {
            stage.add(transfer)?;
        }
        Ok(Verdict::Apply(stage.finish()?))
    }

    /// Whether this can be a group at all, whatever the ledger holds.
    ///
    /// # Errors
    /// [`Refusal::EmptyGroup`], [`Refusal::GroupTooLarge`], [`Refusal::DuplicateId`].
    pub fn check_shape(group: &[Transfer]) -> Result<(), Refusal> {
        if group.is_empty() {
            return Err(Refusal::EmptyGroup);
        }
        if group.len() > GROUP_MAX {
            return Err(Refusal::GroupTooLarge);
        }
        let twice = group
            .iter()
            .enumerate()
            .find(|(n, transfer)| group[..*n].iter().any(|other| other.id == transfer.id));
        twice.map_or(Ok(()), |(_, transfer)| {
            Err(Refusal::DuplicateId(transfer.id))
        })
    }

    /// Carries out what was decided on this book.
    pub fn apply(&mut self, decision: Decision) {
        let Decision {
            lines,
            totals,
            pendings,
        } = decision;
        self.totals.extend(totals);
        self.pendings.extend(pendings);
        self.transfers
            .extend(lines.iter().map(|line| (line.transfer.id, line.transfer)));
    }

    /// Sets or lifts an account's limits.
    ///
    /// # Errors
    /// [`Refusal::HotAccount`]; [`Refusal::BelowFloor`] or [`Refusal::AboveCeiling`] when it is beyond them already.
    pub fn set_limits(&mut self, key: AccountKey, limits: Limits) -> Result<(), Refusal> {
        if key.0.is_hot() && limits != Limits::NONE {
            return Err(Refusal::HotAccount(key.0));
        }
        stage::within(key, limits, self.totals(key))?;
        self.limits.insert(key, limits);
        Ok(())
    }

    /// Promises whose time is over and when that was, the longest over first, at most this many.
    pub fn due(&self, now: Timestamp, most: usize) -> Vec<(TransferId, Timestamp)> {
        let mut due: Vec<_> = self
            .pendings
            .iter()
            .filter(|(_, pending)| pending.fate == Fate::Open)
            .filter_map(|(id, pending)| Some((*id, pending.expires_at?)))
            .filter(|(_, expires_at)| *expires_at <= now)
            .collect();
        due.sort_by_key(|(id, expires_at)| (*expires_at, *id));
        due.truncate(most);
        due
    }

    /// The sums of an account; zeros when it was never used.
    pub fn totals(&self, key: AccountKey) -> Totals {
        self.totals.get(&key).copied().unwrap_or_default()
    }

    /// The sums of every account that was used.
    pub fn accounts(&self) -> impl Iterator<Item = (AccountKey, Totals)> + '_ {
        self.totals.iter().map(|(key, totals)| (*key, *totals))
    }

    /// Between whom a transfer moves money, as far as that is known.
    pub(crate) fn movement_of(&self, transfer: &Transfer) -> Option<Movement> {
        match transfer.action {
            Action::Post(movement) | Action::Pend { movement, .. } => Some(movement),
            Action::PostPending { pending, .. } | Action::VoidPending { pending } => {
                self.pendings.get(&pending).map(|known| known.movement)
            }
        }
    }

    pub(crate) fn know_account(&mut self, key: AccountKey, totals: Totals, limits: Limits) {
        self.totals.insert(key, totals);
        self.limits.insert(key, limits);
    }

    pub(crate) fn know_pending(&mut self, id: TransferId, pending: Pending) {
        self.pendings.insert(id, pending);
    }

    pub(crate) fn know_transfer(&mut self, transfer: Transfer) {
        self.transfers.insert(transfer.id, transfer);
    }

    /// Whether all of the group is there; some of it, or something else under one of its ids, is refused.
    fn is_there(&self, group: &[Transfer]) -> Result<bool, Refusal> {
        let there: Vec<_> = group
            .iter()
            .filter_map(|transfer| Some((transfer, self.transfers.get(&transfer.id)?)))
            .collect();
        if there.is_empty() {
            return Ok(false);
        }
        if there.len() < group.len() {
            return Err(Refusal::PartlyThere);
        }
        let other = there
            .iter()
            .find(|(given, known)| !given.says_the_same(known));
        other.map_or(Ok(true), |(given, _)| {
            Err(Refusal::TransferExists(given.id))
        })
    }
}

/// The transfer that voids a promise whose time is over: the same for whoever finds it first.
pub fn expiry(pending: TransferId, reference: uuid::Uuid, now: Timestamp) -> Transfer {
    Transfer {
        id: TransferId::derive(pending.uuid(), "expiry"),
        action: Action::VoidPending { pending },
        code: Code::Expiry,
        reference,
        at: now,
    }
}
