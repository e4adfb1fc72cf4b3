//! Sums of an account, its limits, and the four numbers of double entry with promises.
//!
//! Invariant: checked arithmetic; a sum that does not fit is refused, never wrapped.
//! Does not: know where sums are kept.

use crate::Side;

/// What was entered on an account in one currency, minor units. Each is zero or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Came true against the account.
    pub debits_posted: i64,
    /// Came true in its favour.
    pub credits_posted: i64,
    /// Promised against it.
    pub debits_pending: i64,
    /// Promised in its favour.
    pub credits_pending: i64,
}

/// How far an account may go, minor units of its currency. Promises count when they bring it nearer to the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// `credits_posted - debits_posted - debits_pending` is never below.
    pub floor: Option<i64>,
    /// `credits_posted + credits_pending - debits_posted` is never above.
    pub ceiling: Option<i64>,
}

/// What a transfer does to each of its two accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effect {
    pub posted: i64,
    /// Below zero when a promise ends.
    pub pending: i64,
}

/// A limit that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    Floor,
    Ceiling,
}

impl Limits {
    /// No limits.
    pub const NONE: Self = Self {
        floor: None,
        ceiling: None,
    };
    /// The account never owes: what goes out, promises included, has come in before.
    pub const DEBITS_MUST_NOT_EXCEED_CREDITS: Self = Self {
        floor: Some(0),
        ceiling: None,
    };
    /// The account is never owed: what comes in, promises included, has gone out before.
    pub const CREDITS_MUST_NOT_EXCEED_DEBITS: Self = Self {
        floor: None,
        ceiling: Some(0),
    };

    pub(crate) fn broken_by(self, totals: Totals) -> Option<Broken> {
        let wide = |minor: i64| i128::from(minor);
        let net = wide(totals.credits_posted) - wide(totals.debits_posted);
        if self
            .floor
            .is_some_and(|floor| net - wide(totals.debits_pending) < wide(floor))
        {
            return Some(Broken::Floor);
        }
        self.ceiling
            .is_some_and(|ceiling| net + wide(totals.credits_pending) > wide(ceiling))
            .then_some(Broken::Ceiling)
    }
}

impl Totals {
    /// Credits minus debits of what came true: positive, the account is owed; negative, it owes.
    pub const fn net(self) -> i64 {
        self.credits_posted - self.debits_posted
    }

    /// [`Self::net`] less what is promised against it: what may still go out.
    pub const fn available(self) -> i64 {
        self.net() - self.debits_pending
    }

    /// Both together, or `None` when a sum does not fit.
    pub fn plus(self, other: Self) -> Option<Self> {
        Some(Self {
            debits_posted: self.debits_posted.checked_add(other.debits_posted)?,
            credits_posted: self.credits_posted.checked_add(other.credits_posted)?,
            debits_pending: self.debits_pending.checked_add(other.debits_pending)?,
            credits_pending: self.credits_pending.checked_add(other.credits_pending)?,
        })
    }

    /// The sums after an effect on one side, or `None` when one does not fit.
    pub(crate) fn after(mut self, side: Side, effect: Effect) -> Option<Self> {
        let (posted, pending) = match side {
            Side::Debit => (&mut self.debits_posted, &mut self.debits_pending),
            Side::Credit => (&mut self.credits_posted, &mut self.credits_pending),
        };
        *posted = posted.checked_add(effect.posted)?;
        *pending = pending.checked_add(effect.pending)?;
        Some(self)
    }
}
