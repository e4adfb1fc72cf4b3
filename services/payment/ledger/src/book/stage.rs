//! A group being tried on a book: what it would change stands beside the book until all of it is accepted.

use std::collections::{BTreeMap, HashMap};

use chrono::TimeDelta;
use hexcab_types::{Money, Timestamp};

use super::{AccountKey, Book, Decision, Fate, Line, Pending};
use crate::{
    AMOUNT_MAX_MINOR, Action, Limits, Movement, Refusal, Side, Totals, Transfer, TransferId,
    balance::{Broken, Effect},
};

pub(super) struct Stage<'a> {
    book: &'a Book,
    lines: Vec<Line>,
    totals: BTreeMap<AccountKey, Totals>,
    pendings: HashMap<TransferId, Pending>,
}

impl<'a> Stage<'a> {
    pub(super) fn over(book: &'a Book) -> Self {
        Self {
            book,
            lines: Vec::new(),
            totals: BTreeMap::new(),
            pendings: HashMap::new(),
        }
    }

    pub(super) fn add(&mut self, transfer: &Transfer) -> Result<(), Refusal> {
        let line = match transfer.action {
            Action::Post(movement) => self.post(transfer, movement)?,
            Action::Pend {
                movement,
                expires_after,
            } => {
                check_movement(transfer.id, movement)?;
                let expires_at = expires_after
                    .map(|after| expires_at(transfer, after))
                    .transpose()?;
                self.pend(transfer, movement, expires_at)?
            }
            Action::PostPending { pending, amount } => {
                check_amount(transfer.id, amount)?;
                self.post_pending(transfer, pending, amount)?
            }
            Action::VoidPending { pending } => self.void_pending(transfer, pending)?,
        };
        self.lines.push(line);
        Ok(())
    }

    /// All of the group was added: the limits hold on what it leaves, or it is refused.
    pub(super) fn finish(self) -> Result<Decision, Refusal> {
        for (key, totals) in &self.totals {
            let limits = self.book.limits.get(key).copied().unwrap_or_default();
            within(*key, limits, *totals)?;
        }
        Ok(Decision {
            lines: self.lines,
            totals: self.totals,
            pendings: self.pendings,
        })
    }

    fn post(&mut self, transfer: &Transfer, movement: Movement) -> Result<Line, Refusal> {
        check_movement(transfer.id, movement)?;
        let effect = Effect {
            posted: movement.amount.minor,
            pending: 0,
        };
        self.enter(movement, effect)?;
        Ok(line(transfer, movement))
    }

    fn pend(
        &mut self,
        transfer: &Transfer,
        movement: Movement,
        expires_at: Option<Timestamp>,
    ) -> Result<Line, Refusal> {
        let effect = Effect {
            posted: 0,
            pending: movement.amount.minor,
        };
        self.enter(movement, effect)?;
        let pending = Pending {
            movement,
            expires_at,
            fate: Fate::Open,
        };
        self.pendings.insert(transfer.id, pending);
        Ok(Line {
            expires_at,
            ..line(transfer, movement)
        })
    }

    fn post_pending(
        &mut self,
        transfer: &Transfer,
        id: TransferId,
        amount: Money,
    ) -> Result<Line, Refusal> {
        let promised = self.open(id)?;
        if amount.currency != promised.movement.amount.currency {
            return Err(Refusal::PendingCurrency(id));
        }
        if amount.minor > promised.movement.amount.minor {
            return Err(Refusal::ExceedsPending(id));
        }
        if promised.expires_at.is_some_and(|end| transfer.at >= end) {
            return Err(Refusal::PendingExpired(id));
        }
        self.resolve(transfer, id, promised, amount, Fate::Posted)
    }

    fn void_pending(&mut self, transfer: &Transfer, id: TransferId) -> Result<Line, Refusal> {
        let promised = self.open(id)?;
        let nothing = Money::zero(promised.movement.amount.currency);
        self.resolve(transfer, id, promised, nothing, Fate::Voided)
    }

    fn resolve(
        &mut self,
        transfer: &Transfer,
        id: TransferId,
        promised: Pending,
        amount: Money,
        fate: Fate,
    ) -> Result<Line, Refusal> {
        let released = promised.movement.amount.minor;
        let effect = Effect {
            posted: amount.minor,
            pending: -released,
        };
        self.enter(promised.movement, effect)?;
        self.pendings.insert(id, Pending { fate, ..promised });
        let movement = Movement {
            amount,
            ..promised.movement
        };
        Ok(Line {
            released_minor: Some(released),
            ..line(transfer, movement)
        })
    }

    /// The promise, if it can still be resolved.
    fn open(&self, id: TransferId) -> Result<Pending, Refusal> {
        let known = self
            .pendings
            .get(&id)
            .or_else(|| self.book.pendings.get(&id));
        let Some(pending) = known else {
            let is_other = self.book.transfers.contains_key(&id)
                || self.lines.iter().any(|line| line.transfer.id == id);
            return Err(if is_other {
                Refusal::NotPending(id)
            } else {
                Refusal::PendingNotFound(id)
            });
        };
        match pending.fate {
            Fate::Open => Ok(*pending),
            Fate::Posted => Err(Refusal::AlreadyPosted(id)),
            Fate::Voided => Err(Refusal::AlreadyVoided(id)),
        }
    }

    /// Both sides by the same effect.
    fn enter(&mut self, movement: Movement, effect: Effect) -> Result<(), Refusal> {
        let currency = movement.amount.currency;
        for (account, side) in [
            (movement.debit, Side::Debit),
            (movement.credit, Side::Credit),
        ] {
            let key = (account, currency);
            let before = self.totals.get(&key).copied();
            let before = before.unwrap_or_else(|| self.book.totals(key));
            let after = before
                .after(side, effect)
                .ok_or(Refusal::Overflow(account, currency))?;
            self.totals.insert(key, after);
        }
        Ok(())
    }
}

/// Refuses sums beyond the limits.
pub(super) fn within(key: AccountKey, limits: Limits, totals: Totals) -> Result<(), Refusal> {
    match limits.broken_by(totals) {
        None => Ok(()),
        Some(Broken::Floor) => Err(Refusal::BelowFloor(key.0, key.1)),
        Some(Broken::Ceiling) => Err(Refusal::AboveCeiling(key.0, key.1)),
    }
}

fn line(transfer: &Transfer, movement: Movement) -> Line {
    Line {
        transfer: *transfer,
        movement,
        released_minor: None,
        expires_at: None,
    }
}

fn check_movement(id: TransferId, movement: Movement) -> Result<(), Refusal> {
    check_amount(id, movement.amount)?;
    if movement.debit == movement.credit {
        return Err(Refusal::SameAccount(id));
    }
    Ok(())
}

fn check_amount(id: TransferId, amount: Money) -> Result<(), Refusal> {
    if (1..=AMOUNT_MAX_MINOR).contains(&amount.minor) {
        Ok(())
    } else {
        Err(Refusal::Amount(id))
    }
}

fn expires_at(transfer: &Transfer, after: std::time::Duration) -> Result<Timestamp, Refusal> {
    TimeDelta::from_std(after)
        .ok()
        .filter(|after| *after > TimeDelta::zero() && after.subsec_nanos() % 1_000 == 0)
        .and_then(|after| transfer.at.checked_add_signed(after))
        .ok_or(Refusal::Expiry(transfer.id))
}
