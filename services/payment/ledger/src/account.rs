//! Accounts by name, and which side of each is the normal one.
//!
//! A balance is credits minus debits: what we owe somebody is positive, what somebody owes us negative. An account whose
//! normal side is [`Side::Debit`] is therefore negative on an ordinary day: the processor owes us.
//! Invariant: [`Account::is_hot`] is `ledger.is_hot` of the schema; a test compares them.
//! Does not: hold a balance.

use std::fmt;

use hexcab_types::{DriverId, RiderId};

/// The two sides of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Lowers the balance: the account owes, or has received, more.
    Debit,
    /// Raises the balance: the account is owed, or has given, more.
    Credit,
}

/// An account of the ledger. There is one of each per currency; it comes to be when it is first used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// `processor`: what the card processor took for us and has not settled to our bank. Normal side: debit (it owes
    /// us). Hot. Captured money is a debit; refunds, chargebacks and settlements are credits.
    Processor,
    /// `processor:disputes`: what the processor took back for disputes that are not decided. Normal side: debit.
    Disputes,
    /// `platform:revenue`: what the platform keeps of rides: its part and its fees. Normal side: credit. Hot.
    Revenue,
    /// `platform:tax`: what is set aside for the tax office. Normal side: credit. Hot.
    Tax,
    /// `platform:fees`: what the processor keeps for its services, disputes included. Normal side: debit (an expense).
    Fees,
    /// `platform:losses`: debts given up, disputes lost, goodwill. Normal side: debit (an expense).
    Losses,
    /// `platform:payouts`: paid out in a batch, not yet confirmed by the bank. Normal side: credit.
    Payouts,
    /// `bank`: our account at the bank. Normal side: debit (the bank owes us).
    Bank,
    /// `riders/{rider}`: a clearing account. A charge is a debit, what he pays a credit, so it is zero when all is paid;
    /// below zero he owes us (his debt), above zero we owe him (a refund not sent yet). Normal side: debit.
    Rider(RiderId),
    /// `drivers/{driver}`: what the driver is owed. His share and tips are credits, payouts and cash that he collected
    /// debits; below zero he owes us (commission of cash rides). Normal side: credit.
    Driver(DriverId),
}

/// Not the name of an account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of an account")]
pub struct AccountError(pub String);

impl Account {
    /// The accounts that there is one of.
    pub const FIXED: [Self; 8] = [
        Self::Processor,
        Self::Disputes,
        Self::Revenue,
        Self::Tax,
        Self::Fees,
        Self::Losses,
        Self::Payouts,
        Self::Bank,
    ];

    /// The side on which the account grows on an ordinary day.
    pub const fn normal_side(self) -> Side {
        match self {
            Self::Processor
            | Self::Disputes
            | Self::Fees
            | Self::Losses
            | Self::Bank
            | Self::Rider(_) => Side::Debit,
            Self::Revenue | Self::Tax | Self::Payouts | Self::Driver(_) => Side::Credit,
        }
    }

    /// Whether every ride touches it. Hot accounts are kept in shards and cannot have limits.
    pub const fn is_hot(self) -> bool {
        match self {
            Self::Processor | Self::Revenue | Self::Tax => true,
            Self::Disputes
            | Self::Fees
            | Self::Losses
            | Self::Payouts
            | Self::Bank
            | Self::Rider(_)
            | Self::Driver(_) => false,
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Processor => f.write_str("processor"),
            Self::Disputes => f.write_str("processor:disputes"),
            Self::Revenue => f.write_str("platform:revenue"),
            Self::Tax => f.write_str("platform:tax"),
            Self::Fees => f.write_str("platform:fees"),
            Self::Losses => f.write_str("platform:losses"),
            Self::Payouts => f.write_str("platform:payouts"),
            Self::Bank => f.write_str("bank"),
            Self::Rider(rider) => f.write_str(&rider.name()),
            Self::Driver(driver) => f.write_str(&driver.name()),
        }
    }
}

impl std::str::FromStr for Account {
    type Err = AccountError;
    fn from_str(text: &str) -> Result<Self, AccountError> {
        if let Some(fixed) = Self::FIXED
            .into_iter()
            .find(|account| account.to_string() == text)
        {
            return Ok(fixed);
        }
        let rider = RiderId::from_name(text).map(Self::Rider);
        rider
            .or_else(|_| DriverId::from_name(text).map(Self::Driver))
            .map_err(|_| AccountError(text.to_owned()))
    }
}
