//! Transfers: facts about money between two accounts, as the caller states them.
//!
//! - [`TransferId`] is chosen by the caller, so that stating a fact twice is stating it once
//! - [`Action`] posts, promises, or ends a promise
//! - [`Transfer::says_the_same`] is what "the same body" means: everything but the time
//!
//! Does not: check anything; that is [`crate::Book`].

use std::{fmt, time::Duration};

use hexcab_types::{Money, Timestamp};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{Account, Code};

/// The most that one transfer moves, minor units: a bound far above any ride that keeps sums far from overflowing.
pub const AMOUNT_MAX_MINOR: i64 = 1_000_000_000_000_000;
/// The most transfers in a linked group.
pub const GROUP_MAX: usize = 64;

/// The id of a transfer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId(Uuid);

/// Money between two accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Movement {
    /// Whose balance falls.
    pub debit: Account,
    /// Whose balance rises.
    pub credit: Account,
    /// More than zero, at most [`AMOUNT_MAX_MINOR`].
    pub amount: Money,
}

/// What a transfer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Moves money at once.
    Post(Movement),
    /// Promises money: it counts against limits, and is posted or voided later, once.
    Pend {
        /// What is promised.
        movement: Movement,
        /// After this time it can only be voided, and [`crate::expire_due`] does so. From the transfer's own `at`, whole
        /// microseconds, more than zero. Never when `None`.
        expires_after: Option<Duration>,
    },
    /// Makes a promise true, wholly or partly; the rest of it is released.
    PostPending {
        /// The pending transfer.
        pending: TransferId,
        /// More than zero, at most what was promised, in its currency.
        amount: Money,
    },
    /// Gives a promise back.
    VoidPending {
        /// The pending transfer.
        pending: TransferId,
    },
}

/// One fact. It is never changed; what turns out wrong is answered by another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Chosen by the caller: a function of what is done (see [`TransferId::derive`]), never of the attempt.
    pub id: TransferId,
    /// What it does.
    pub action: Action,
    /// What it is for.
    pub code: Code,
    /// The trip, intent or batch it is about.
    pub reference: Uuid,
    /// When, by the city's clock.
    pub at: Timestamp,
}

impl TransferId {
    /// The UUID itself.
    pub const fn uuid(self) -> Uuid {
        self.0
    }

    /// The id of a step of something: the same for every attempt. `step` is a word of the caller's, such as `capture`,
    /// `refund/3` or `drivers/…`.
    pub fn derive(of: Uuid, step: &str) -> Self {
        let hash = Sha256::new()
            .chain_update(of.as_bytes())
            .chain_update(step.as_bytes())
            .finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

impl From<Uuid> for TransferId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl fmt::Display for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransferId({})", self.0)
    }
}

impl Transfer {
    /// Whether both state the same fact. The time is not part of it: an attempt that is made again is made later.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.id == other.id
            && self.action == other.action
            && self.code == other.code
            && self.reference == other.reference
    }

    /// The promise that this one ends, if it ends one.
    pub const fn resolves(&self) -> Option<TransferId> {
        match self.action {
            Action::PostPending { pending, .. } | Action::VoidPending { pending } => Some(pending),
            Action::Post(_) | Action::Pend { .. } => None,
        }
    }
}
