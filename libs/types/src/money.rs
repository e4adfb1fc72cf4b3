//! Money: integer minor units with a currency. One rounding, half to even; no floats; checked arithmetic.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What cannot be done with money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Two currencies in one sum.
    #[error("{0} and {1} do not add up")]
    CurrencyMismatch(Currency, Currency),
    /// The sum does not fit 64 bits.
    #[error("amount out of range")]
    Overflow,
    /// Not one of the currencies this build knows.
    #[error("unknown currency; known are USD, EUR, GBP, JPY and KWD")]
    UnknownCurrency,
}

/// A currency by its ISO 4217 code, with that standard's number of minor digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Currency {
    /// US dollar, cents.
    Usd,
    /// Euro, cents.
    Eur,
    /// Pound sterling, pence.
    Gbp,
    /// Yen, no minor unit.
    Jpy,
    /// Kuwaiti dinar, fils (three digits).
    Kwd,
}

impl Currency {
    /// The ISO 4217 code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Usd => "USD",
            Self::Eur => "EUR",
            Self::Gbp => "GBP",
            Self::Jpy => "JPY",
            Self::Kwd => "KWD",
        }
    }

    /// Digits after the point (ISO 4217 exponent).
    pub const fn minor_digits(self) -> u32 {
        match self {
            Self::Usd | Self::Eur | Self::Gbp => 2,
            Self::Jpy => 0,
            Self::Kwd => 3,
        }
    }
}

impl FromStr for Currency {
    type Err = MoneyError;
    fn from_str(code: &str) -> Result<Self, MoneyError> {
        match code {
            "USD" => Ok(Self::Usd),
            "EUR" => Ok(Self::Eur),
            "GBP" => Ok(Self::Gbp),
            "JPY" => Ok(Self::Jpy),
            "KWD" => Ok(Self::Kwd),
            _ => Err(MoneyError::UnknownCurrency),
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = MoneyError;
    fn try_from(code: String) -> Result<Self, MoneyError> {
        code.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> String {
        currency.code().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A rate in hundredths of a percent: 10 000 is the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BasisPoints(pub u32);

impl BasisPoints {
    /// The whole: 100 %, a multiplier of 1.
    pub const ONE: Self = Self(10_000);
}

/// An amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// In the currency's minor unit.
    pub minor: i64,
    /// ISO 4217.
    pub currency: Currency,
}

impl Money {
    /// An amount in minor units.
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Nothing, in a currency.
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// The sum.
    ///
    /// # Errors
    /// When the currencies differ or the sum overflows.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let minor = self
            .minor
            .checked_add(other.minor)
            .ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// The difference.
    ///
    /// # Errors
    /// When the currencies differ or the difference overflows.
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let minor = self
            .minor
            .checked_sub(other.minor)
            .ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// This much of the amount, rounded half to even.
    ///
    /// # Errors
    /// When the result overflows.
    pub fn times(self, rate: BasisPoints) -> Result<Self, MoneyError> {
        let minor =
            mul_div_half_even(self.minor, i64::from(rate.0), i64::from(BasisPoints::ONE.0))?;
        Ok(Self { minor, ..self })
    }

    /// `self * quantity / per`, rounded half to even: a price per kilometre times metres, per minute times seconds.
    ///
    /// # Errors
    /// When the result overflows or `per` is not positive.
    pub fn per(self, quantity: i64, per: i64) -> Result<Self, MoneyError> {
        Ok(Self {
            minor: mul_div_half_even(self.minor, quantity, per)?,
            ..self
        })
    }

    /// This much of the amount, rounded half to even, and the rest: together exactly the amount.
    ///
    /// # Errors
    /// When one of them overflows.
    pub fn split(self, rate: BasisPoints) -> Result<[Self; 2], MoneyError> {
        let part = self.times(rate)?;
        Ok([part, self.minus(part)?])
    }

    /// The amount shared out in proportion to `parts`, to the last minor unit: a refund over those who were paid, a toll
    /// over those who rode.
    ///
    /// The shares sum to exactly the amount, none is below zero, and an amount that the parts hold takes from none more
    /// than there is. So refunds taken one after the other from what the last one left end at exactly nothing. More to
    /// share never means less for anybody.
    ///
    /// # Errors
    /// When currencies differ; when the amount or a part is below zero, the parts sum to nothing while there is something
    /// to share, or they overflow.
    pub fn prorate(self, parts: &[Self]) -> Result<Vec<Self>, MoneyError> {
        let mut whole = Self::zero(self.currency);
        for part in parts {
            if part.minor < 0 {
                return Err(MoneyError::Overflow);
            }
            whole = whole.plus(*part)?;
        }
        if self.minor < 0 || (whole.minor == 0 && self.minor != 0) {
            return Err(MoneyError::Overflow);
        }
        let mut left = self;
        let mut shares = Vec::with_capacity(parts.len());
        for part in parts {
            // Of what is left, in proportion to the parts that are left: the last part takes all of it.
            let share = match whole.minor {
                0 => Self::zero(self.currency),
                _ => left.per(part.minor, whole.minor)?,
            };
            left = left.minus(share)?;
            whole = whole.minus(*part)?;
            shares.push(share);
        }
        Ok(shares)
    }

    fn same_currency(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            Ok(())
        } else {
            Err(MoneyError::CurrencyMismatch(self.currency, other.currency))
        }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.currency.minor_digits() as usize;
        let scale = 10_u64.pow(self.currency.minor_digits());
        let sign = if self.minor < 0 { "-" } else { "" };
        let (major, minor) = (
            self.minor.unsigned_abs() / scale,
            self.minor.unsigned_abs() % scale,
        );
        if digits == 0 {
            write!(f, "{sign}{major} {}", self.currency)
        } else {
            write!(f, "{sign}{major}.{minor:0digits$} {}", self.currency)
        }
    }
}

/// `a * b / c` in 128 bits, rounded half to even (IEEE 754 roundTiesToEven, "banker's rounding").
fn mul_div_half_even(a: i64, b: i64, c: i64) -> Result<i64, MoneyError> {
    if c <= 0 {
        return Err(MoneyError::Overflow);
    }
    let (product, divisor) = (i128::from(a) * i128::from(b), i128::from(c));
    let (floor, rest) = (product.div_euclid(divisor), product.rem_euclid(divisor));
    let up = match (rest * 2).cmp(&divisor) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => floor % 2 != 0,
        std::cmp::Ordering::Greater => true,
    };
    i64::try_from(floor + i128::from(up)).map_err(|_| MoneyError::Overflow)
}

#[cfg(test)]
mod tests;
