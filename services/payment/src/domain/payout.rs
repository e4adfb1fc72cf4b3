//! Payouts to drivers: who is in a batch, and the file for the bank.
//!
//! The file is CSV with record types, as banks' batch files have them: a header line naming the batch, a line a driver, and
//! a trailer with the control totals (count and sum). Amounts are integers in minor units.
//!
//! Invariants: one line a driver, in the order of their ids; the same batch has the same bytes for ever.
//! Does not: know a bank account; the bank's side maps drivers to accounts.

use std::fmt::Write as _;

use hexcab_types::{Currency, DriverId, Money, MoneyError, PayoutId, Timestamp};

/// Drivers to be paid, all in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its own.
    pub id: PayoutId,
    /// Of every line.
    pub currency: Currency,
    /// What was owed then, city clock.
    pub as_of: Timestamp,
    /// City clock.
    pub created_at: Timestamp,
    /// City clock; none while open.
    pub confirmed_at: Option<Timestamp>,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    /// By driver.
    pub lines: Vec<Line>,
}

/// One driver's payout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// From 1.
    pub number: i32,
    /// Who is paid.
    pub driver: DriverId,
    /// More than zero.
    pub amount: Money,
    /// What became of it.
    pub state: LineState,
}

/// What became of a payout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineState {
    /// The bank has not said.
    Pending,
    /// The driver has it.
    Paid,
    /// The money is on the driver's account again.
    Failed {
        /// As the bank said it.
        reason: String,
    },
}

impl LineState {
    /// As it stands in columns.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Paid => "PAID",
            Self::Failed { .. } => "FAILED",
        }
    }
}

/// Why there is no batch, or it is not confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayoutRefusal {
    /// No driver is owed as much.
    #[error("no driver is owed as much")]
    NothingToPayOut,
    /// Nobody can know what will be owed.
    #[error("the time as of which is paid out lies ahead")]
    AsOfInFuture,
    /// Nothing at all, or another currency.
    #[error("the minimum is not an amount of the batch's currency")]
    Minimum,
    /// The bank has said what it did.
    #[error("the batch is confirmed already")]
    Closed,
    /// A failed line is of a driver who is not in the batch, or named twice.
    #[error("a failed line is not in the batch, or named twice")]
    NoSuchLine,
}

/// A line for every driver who is owed `minimum` or more, given what each is owed.
pub fn lines(owed: impl IntoIterator<Item = (DriverId, Money)>, minimum: i64) -> Vec<Line> {
    let mut owed: Vec<(DriverId, Money)> = owed
        .into_iter()
        .filter(|(_, amount)| amount.minor > 0 && amount.minor >= minimum)
        .collect();
    owed.sort_by_key(|(driver, _)| *driver);
    (1..)
        .zip(owed)
        .map(|(number, (driver, amount))| Line {
            number,
            driver,
            amount,
            state: LineState::Pending,
        })
        .collect()
}

/// What `lines` come to.
///
/// # Errors
/// When that does not fit.
pub fn total(currency: Currency, lines: &[Line]) -> Result<Money, MoneyError> {
    lines
        .iter()
        .try_fold(Money::zero(currency), |sum, line| sum.plus(line.amount))
}

impl Batch {
    /// The file's name.
    pub fn filename(&self) -> String {
        format!("hexcab-payout-{}.csv", self.id)
    }

    /// The file for the bank.
    ///
    /// # Errors
    /// When the sum does not fit.
    pub fn file(&self) -> Result<String, MoneyError> {
        let (currency, total) = (self.currency, total(self.currency, &self.lines)?);
        let mut text =
            "record,batch,number,driver,amount_minor,currency,exponent,as_of\n".to_owned();
        let digits = currency.minor_digits();
        let as_of = self.as_of.format("%Y-%m-%dT%H:%M:%S%.6fZ");
        for line in &self.lines {
            let Line {
                number,
                driver,
                amount,
                state: _,
            } = line;
            let _ = writeln!(
                text,
                "payout,{},{number},{driver},{},{currency},{digits},{as_of}",
                self.id, amount.minor
            );
        }
        let _ = writeln!(
            text,
            "total,{},{},,{},{currency},{digits},{as_of}",
            self.id,
            self.lines.len(),
            total.minor
        );
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn driver(id: u128) -> DriverId {
        Uuid::from_u128(id).into()
    }

    fn yen(minor: i64) -> Money {
        Money::new(minor, Currency::Jpy)
    }

    fn batch(lines: Vec<Line>) -> Batch {
        Batch {
            id: Uuid::from_u128(5).into(),
            currency: Currency::Jpy,
            as_of: Timestamp::UNIX_EPOCH,
            created_at: Timestamp::UNIX_EPOCH,
            confirmed_at: None,
            sha256: [0; 32],
            lines,
        }
    }

    #[test]
    fn who_is_owed_enough_is_paid_in_the_order_of_ids() {
        let owed = [
            (driver(3), yen(500)),
            (driver(1), yen(499)),
            (driver(2), yen(700)),
            (driver(4), yen(-5)),
            (driver(5), yen(0)),
        ];
        let paid = |minimum| {
            let lines = lines(owed, minimum).into_iter();
            lines
                .map(|line| (line.number, line.driver))
                .collect::<Vec<_>>()
        };
        assert_eq!(paid(500), [(1, driver(2)), (2, driver(3))]);
        let everybody = [(1, driver(1)), (2, driver(2)), (3, driver(3))];
        assert_eq!(paid(1), everybody);
        assert_eq!(paid(0), everybody, "nothing is never paid out");
    }

    #[test]
    fn a_file_has_a_header_and_control_totals() {
        let made = batch(lines([(driver(2), yen(700)), (driver(1), yen(30))], 1));
        let id = "00000000-0000-0000-0000-00000000000";
        let expected = format!(
            "record,batch,number,driver,amount_minor,currency,exponent,as_of\n\
             payout,{id}5,1,{id}1,30,JPY,0,1970-01-01T00:00:00.000000Z\n\
             payout,{id}5,2,{id}2,700,JPY,0,1970-01-01T00:00:00.000000Z\n\
             total,{id}5,2,,730,JPY,0,1970-01-01T00:00:00.000000Z\n"
        );
        assert_eq!(made.file().unwrap(), expected);
    }

    #[test]
    fn a_file_does_not_depend_on_what_became_of_its_lines() {
        let made = batch(lines([(driver(1), yen(30))], 1));
        let mut later = made.clone();
        later.confirmed_at = Some(Timestamp::UNIX_EPOCH);
        later.lines[0].state = LineState::Failed { reason: "x".into() };
        assert_eq!(made.file(), later.file());
    }

    proptest! {
        #[test]
        fn a_batch_pays_what_is_owed_and_not_a_cent_else(
            owed in prop::collection::hash_map(1_u128..1_000, -5_000_i64..5_000, 0..50), minimum in 1_i64..3_000,
        ) {
            let made = lines(owed.iter().map(|(id, minor)| (driver(*id), yen(*minor))), minimum);
            let expected: i64 = owed.values().filter(|minor| **minor >= minimum).sum();
            prop_assert_eq!(total(Currency::Jpy, &made).unwrap().minor, expected);
            prop_assert!(made.iter().all(|line| owed.values().any(|minor| *minor == line.amount.minor)));
            prop_assert!(made.is_sorted_by(|a, b| a.driver < b.driver && a.number + 1 == b.number));
        }
    }
}
