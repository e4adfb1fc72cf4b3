//! Entries that belong together: `Journal` collects them, `Balanced` sums to zero per currency and can be posted.

use hexcab_types::{Currency, Money, MoneyError};

use super::Account;

/// One line of a journal: credit positive, debit negative, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Whose balance changes.
    pub account: Account,
    /// By how much.
    pub amount: Money,
}

/// Entries being collected.
#[derive(Debug, Default)]
#[must_use]
pub struct Journal {
    entries: Vec<Entry>,
}

/// Entries that sum to zero per currency: all that can be posted.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Balanced {
    entries: Vec<Entry>,
}

/// Why entries cannot be posted. A bug of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unbalanced {
    /// The entries of a currency do not sum to zero.
    #[error("the entries sum to {0}, not to zero")]
    Sum(Money),
    /// There is no entry.
    #[error("the journal is empty")]
    Empty,
    /// An amount does not fit.
    #[error("an amount cannot be entered")]
    Amount(#[from] MoneyError),
}

impl Journal {
    /// No entries yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the account's balance. Nothing is entered for an amount of zero.
    ///
    /// # Errors
    /// Never for amounts that can be negated; the same signature as [`Self::debit`] keeps chains readable.
    pub fn credit(mut self, account: Account, amount: Money) -> Result<Self, Unbalanced> {
        if amount.minor != 0 {
            self.entries.push(Entry { account, amount });
        }
        Ok(self)
    }

    /// Lowers the account's balance. Nothing is entered for an amount of zero.
    ///
    /// # Errors
    /// When the amount cannot be negated.
    pub fn debit(self, account: Account, amount: Money) -> Result<Self, Unbalanced> {
        let negated = Money::zero(amount.currency).minus(amount)?;
        self.credit(account, negated)
    }

    /// Checks that the entries sum to zero per currency.
    ///
    /// # Errors
    /// When they do not, or there are none.
    pub fn balance(self) -> Result<Balanced, Unbalanced> {
        let mut sums: Vec<(Currency, Money)> = Vec::new();
        for Entry { amount, .. } in &self.entries {
            match sums
                .iter_mut()
                .find(|(currency, _)| *currency == amount.currency)
            {
                Some((_, sum)) => *sum = sum.plus(*amount)?,
                None => sums.push((amount.currency, *amount)),
            }
        }
        match sums.iter().find(|(_, sum)| sum.minor != 0) {
            Some((_, sum)) => Err(Unbalanced::Sum(*sum)),
            None if self.entries.is_empty() => Err(Unbalanced::Empty),
            None => Ok(Balanced {
                entries: self.entries,
            }),
        }
    }
}

impl Balanced {
    /// The entries, in the order they were made.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}
