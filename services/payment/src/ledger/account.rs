//! Accounts by name. Balances are credits minus debits: what is owed is positive, what is owed to us negative.

use std::fmt;

use hexcab_types::{DriverId, RiderId};

/// An account of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// What the processor took for us and has not paid out: `processor`.
    Processor,
    /// What a rider paid less what a rider owes: `riders/{rider}`.
    Rider(RiderId),
    /// What a driver is owed: `drivers/{driver}`.
    Driver(DriverId),
    /// What the platform keeps: `platform:revenue`.
    Revenue,
    /// What is set aside for the tax office: `platform:tax`.
    Tax,
}

/// Not the name of an account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of an account")]
pub struct AccountError(pub String);

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Processor => f.write_str("processor"),
            Self::Rider(rider) => f.write_str(&rider.name()),
            Self::Driver(driver) => f.write_str(&driver.name()),
            Self::Revenue => f.write_str("platform:revenue"),
            Self::Tax => f.write_str("platform:tax"),
        }
    }
}

impl std::str::FromStr for Account {
    type Err = AccountError;
    fn from_str(text: &str) -> Result<Self, AccountError> {
        match text {
            "processor" => return Ok(Self::Processor),
            "platform:revenue" => return Ok(Self::Revenue),
            "platform:tax" => return Ok(Self::Tax),
            _ => {}
        }
        let rider = RiderId::from_name(text).map(Self::Rider);
        rider
            .or_else(|_| DriverId::from_name(text).map(Self::Driver))
            .map_err(|_| AccountError(text.to_owned()))
    }
}
