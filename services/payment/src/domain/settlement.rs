//! What the end of a trip asks for: a capture of what the rider owes, or a void of the hold.
//!
//! Invariant: a charge is within the hold; above it the hold is the limit, because nothing else was promised to us, and
//! [`excess`] says what is given up.
//! Does not: know whether the hold was placed; steps are ordered, so that is known when the order is carried out.

use hexcab_types::{DriverId, Money};

use super::{Charge, DriverPay, Order};

/// How a trip ended, as far as money is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The rider was driven.
    Driven {
        /// Who drove.
        driver: DriverId,
        /// What the rider owes, zero or more.
        charge: Money,
        /// What the driver is owed of it, zero or more.
        driver_pay: Money,
        /// The tax inside `charge`, zero or more.
        tax: Money,
    },
    /// Cancelled or expired.
    NotDriven {
        /// The cancellation fee, zero or more.
        fee: Money,
    },
}

/// Why an ending cannot be settled. The event that said it is nonsense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SettlementError {
    /// An amount is below zero.
    #[error("an amount of the ending is below zero")]
    Negative,
    /// An amount is in another currency than the hold.
    #[error("an amount of the ending is in another currency than the hold")]
    Currency,
}

/// What to ask for when a trip ended with `held` on hold.
///
/// # Errors
/// When an amount is negative or of another currency.
pub fn order(ending: Ending, held: Money) -> Result<Order, SettlementError> {
    let (owed, driver, tax) = match ending {
        Ending::Driven {
            driver,
            charge,
            driver_pay,
            tax,
        } => (
            charge,
            Some(DriverPay {
                driver,
                amount: driver_pay,
            }),
            tax,
        ),
        Ending::NotDriven { fee } => (fee, None, Money::zero(held.currency)),
    };
    for amount in [Some(owed), driver.map(|pay| pay.amount), Some(tax)]
        .into_iter()
        .flatten()
    {
        if amount.currency != held.currency {
            return Err(SettlementError::Currency);
        }
        if amount.minor < 0 {
            return Err(SettlementError::Negative);
        }
    }
    if owed.minor == 0 {
        return Ok(Order::Void);
    }
    let amount = Money {
        minor: owed.minor.min(held.minor),
        ..owed
    };
    Ok(Order::Capture(Charge {
        amount,
        driver: driver.filter(|pay| pay.amount.minor > 0),
        tax,
    }))
}

/// The charge of an ending and what of it is above the hold; none when it is within.
pub fn excess(ending: Ending, held: Money) -> Option<(Money, Money)> {
    let charge = match ending {
        Ending::Driven { charge, .. } => charge,
        Ending::NotDriven { fee } => fee,
    };
    let excess = charge.minus(held).ok()?;
    (excess.minor > 0).then_some((charge, excess))
}

/// The orders to carry out when a trip is heard of. `known` says whether its intent was there before: events come late
/// and out of order, so the end of a trip may be the first that is heard of it.
pub fn outstanding(known: bool, settlement: Option<Order>) -> Vec<Order> {
    match (known, settlement) {
        (false, None) => vec![Order::Hold],
        // Nothing was held, so nothing has to be: the intent is voided without asking anybody.
        (false, Some(Order::Void)) => vec![Order::Void],
        (false, Some(settlement @ (Order::Capture(_) | Order::Hold))) => {
            vec![Order::Hold, settlement]
        }
        // A request that comes after its trip's end was overtaken.
        (true, None) => Vec::new(),
        (true, Some(settlement)) => vec![settlement],
    }
}

#[cfg(test)]
mod tests {
    use hexcab_types::Currency;
    use uuid::Uuid;

    use super::*;

    const fn usd(minor: i64) -> Money {
        Money::new(minor, Currency::Usd)
    }

    fn driven(charge: i64) -> Ending {
        let driver = DriverId::from(Uuid::from_u128(9));
        Ending::Driven {
            driver,
            charge: usd(charge),
            driver_pay: usd(1_400),
            tax: usd(100),
        }
    }

    #[test]
    fn a_driven_trip_is_captured_and_pays_its_driver() {
        let driver = DriverPay {
            driver: DriverId::from(Uuid::from_u128(9)),
            amount: usd(1_400),
        };
        let expected = Charge {
            amount: usd(1_900),
            driver: Some(driver),
            tax: usd(100),
        };
        assert_eq!(
            order(driven(1_900), usd(2_000)),
            Ok(Order::Capture(expected))
        );
    }

    #[test]
    fn a_fee_is_captured_without_a_driver() {
        let expected = Charge {
            amount: usd(500),
            driver: None,
            tax: usd(0),
        };
        assert_eq!(
            order(Ending::NotDriven { fee: usd(500) }, usd(2_000)),
            Ok(Order::Capture(expected))
        );
    }

    #[test]
    fn an_ending_without_a_charge_is_voided() {
        assert_eq!(
            order(Ending::NotDriven { fee: usd(0) }, usd(2_000)),
            Ok(Order::Void)
        );
    }

    #[test]
    fn a_charge_above_the_hold_takes_the_hold() {
        let Ok(Order::Capture(charge)) = order(driven(2_500), usd(2_000)) else {
            panic!("not a capture")
        };
        assert_eq!(charge.amount, usd(2_000));
    }

    #[test]
    fn what_is_above_the_hold_is_known() {
        for ending in [driven(2_500), Ending::NotDriven { fee: usd(2_500) }] {
            assert_eq!(excess(ending, usd(2_000)), Some((usd(2_500), usd(500))));
            assert_eq!(excess(ending, usd(2_500)), None);
        }
    }

    #[test]
    fn the_end_may_be_heard_of_before_the_request() {
        let capture = order(driven(1_900), usd(2_000)).unwrap();
        assert_eq!(
            outstanding(false, Some(capture.clone())),
            [Order::Hold, capture.clone()]
        );
        assert_eq!(outstanding(false, Some(Order::Void)), [Order::Void]);
        assert_eq!(outstanding(true, None), []);
        assert_eq!(outstanding(true, Some(capture.clone())), [capture]);
        assert_eq!(outstanding(false, None), [Order::Hold]);
    }

    #[test]
    fn nonsense_amounts_are_refused() {
        assert_eq!(
            order(driven(-1), usd(2_000)),
            Err(SettlementError::Negative)
        );
        let fee = Money::new(1, Currency::Eur);
        assert_eq!(
            order(Ending::NotDriven { fee }, usd(2_000)),
            Err(SettlementError::Currency)
        );
    }
}
