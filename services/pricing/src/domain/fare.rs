//! What a ride costs, line by line, and how the price is shared out.
//!
//! price = (base + distance + time) × surge, at least the minimum, + booking fee, + tax on all of that.
//! driver_pay = the driver's share of price − tax − booking fee: so of everything the ride itself brings in.
//!
//! Invariants: the lines sum exactly to the price; each line is rounded once, half to even, and nothing is rounded
//! twice; `driver_pay + tax <= price`; amounts are integers, rates basis points.
//! Does not: know where a ride goes, whether it surges, or what waiting and cancelling come to later.

use hexcab_cities::FarePolicy;
use hexcab_types::{BasisPoints, Currency, Money, MoneyError};

/// Metres in the distance that `per_km_minor` is for.
const METRES_PER_KM: i64 = 1_000;
/// Seconds in the time that `per_minute_minor` is for.
const SECONDS_PER_MINUTE: i64 = 60;

/// What a fare is made of; its name on a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// For getting in.
    Base,
    /// For the way.
    Distance,
    /// For the time.
    Time,
    /// What surge adds to those three; negative where a city lets prices fall below 1.
    Surge,
    /// What is missing to the least fare.
    Minimum,
    /// The platform's own fee.
    Booking,
    /// Tax on all of the above.
    Tax,
}

impl Label {
    /// As on the wire and in the store; contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Distance => "distance",
            Self::Time => "time",
            Self::Surge => "surge",
            Self::Minimum => "minimum",
            Self::Booking => "booking",
            Self::Tax => "tax",
        }
    }
}

/// A line of a fare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What for; one of [`Label`]'s names.
    pub label: String,
    /// How much.
    pub amount: Money,
}

/// What is charged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ride {
    /// Length, metres.
    pub distance_m: i32,
    /// Time, boarding included, seconds.
    pub duration_s: i32,
    /// The multiplier of the pickup's cell.
    pub surge: BasisPoints,
}

/// The price of a ride and how it comes about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fare {
    /// What the rider pays.
    pub price: Money,
    /// The driver's share of it.
    pub driver_pay: Money,
    /// The tax inside it.
    pub tax: Money,
    /// What a cancellation after the free time costs.
    pub cancellation_fee: Money,
    /// They sum to `price`; lines of nothing are left out.
    pub lines: Vec<Line>,
}

/// The fare of a ride.
///
/// # Errors
/// When an amount does not fit 64 bits.
pub fn fare(policy: &FarePolicy, currency: Currency, ride: &Ride) -> Result<Fare, MoneyError> {
    let money = |minor| Money::new(minor, currency);
    let mut bill = Bill {
        lines: Vec::new(),
        sum: Money::zero(currency),
    };
    bill.add(Label::Base, money(policy.base_minor))?;
    bill.add(
        Label::Distance,
        money(policy.per_km_minor).per(ride.distance_m.into(), METRES_PER_KM)?,
    )?;
    bill.add(
        Label::Time,
        money(policy.per_minute_minor).per(ride.duration_s.into(), SECONDS_PER_MINUTE)?,
    )?;
    bill.add(Label::Surge, bill.sum.times(ride.surge)?.minus(bill.sum)?)?;
    let missing = money(policy.minimum_minor).minus(bill.sum)?;
    if missing.minor > 0 {
        bill.add(Label::Minimum, missing)?;
    }
    let shared = bill.sum;
    bill.add(Label::Booking, money(policy.booking_fee_minor))?;
    let tax = bill.sum.times(policy.tax)?;
    bill.add(Label::Tax, tax)?;
    Ok(Fare {
        price: bill.sum,
        driver_pay: shared.times(policy.driver_share)?,
        tax,
        cancellation_fee: money(policy.cancellation_minor),
        lines: bill.lines,
    })
}

struct Bill {
    lines: Vec<Line>,
    sum: Money,
}

impl Bill {
    fn add(&mut self, label: Label, amount: Money) -> Result<(), MoneyError> {
        self.sum = self.sum.plus(amount)?;
        if amount.minor != 0 {
            self.lines.push(Line {
                label: label.as_str().to_owned(),
                amount,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy() -> FarePolicy {
        FarePolicy {
            base_minor: 220,
            per_km_minor: 95,
            per_minute_minor: 39,
            minimum_minor: 850,
            booking_fee_minor: 295,
            cancellation_minor: 500,
            free_cancellation_s: 120,
            waiting_free_s: 120,
            waiting_per_minute_minor: 45,
            driver_share: BasisPoints(7_500),
            tax: BasisPoints(325),
        }
    }

    fn ride(distance_m: i32, duration_s: i32, surge_bp: u32) -> Ride {
        Ride {
            distance_m,
            duration_s,
            surge: BasisPoints(surge_bp),
        }
    }

    /// (distance, duration, surge) → lines, price, driver_pay; computed by hand.
    #[test]
    fn fares_come_to_what_a_calculator_says() {
        type Row<'a> = (Ride, &'a [(&'a str, i64)], i64, i64);
        let table: [Row<'_>; 4] = [
            // 5 km in 15 min: 220 + 475 + 585 = 1280; + 295 = 1575; 3.25 % = 51.1875 → 51; 75 % of 1280 = 960.
            (
                ride(5_000, 900, 10_000),
                &[
                    ("base", 220),
                    ("distance", 475),
                    ("time", 585),
                    ("booking", 295),
                    ("tax", 51),
                ],
                1_626,
                960,
            ),
            // × 1.5: 1920; + 295 = 2215; tax 71.9875 → 72; 75 % of 1920 = 1440.
            (
                ride(5_000, 900, 15_000),
                &[
                    ("base", 220),
                    ("distance", 475),
                    ("time", 585),
                    ("surge", 640),
                    ("booking", 295),
                    ("tax", 72),
                ],
                2_287,
                1_440,
            ),
            // 500 m in 2 min: 220 + 47.5 → 48 (to even) + 78 = 346, minimum 850: + 504; + 295 = 1145; tax 37.2 → 37;
            // 75 % of 850 = 637.5 → 638 (to even).
            (
                ride(500, 120, 10_000),
                &[
                    ("base", 220),
                    ("distance", 48),
                    ("time", 78),
                    ("minimum", 504),
                    ("booking", 295),
                    ("tax", 37),
                ],
                1_182,
                638,
            ),
            // Nothing at all costs the minimum.
            (
                ride(0, 0, 10_000),
                &[
                    ("base", 220),
                    ("minimum", 630),
                    ("booking", 295),
                    ("tax", 37),
                ],
                1_182,
                638,
            ),
        ];
        for (ride, lines, price, driver_pay) in table {
            let fare = fare(&policy(), Currency::Usd, &ride).unwrap();
            let found: Vec<(&str, i64)> = fare
                .lines
                .iter()
                .map(|line| (line.label.as_str(), line.amount.minor))
                .collect();
            assert_eq!(found, lines, "{ride:?}");
            assert_eq!(
                (fare.price.minor, fare.driver_pay.minor),
                (price, driver_pay),
                "{ride:?}"
            );
            assert_eq!(fare.cancellation_fee, Money::new(500, Currency::Usd));
        }
    }

    #[test]
    fn an_amount_out_of_range_is_an_error_not_a_wrap() {
        let greedy = FarePolicy {
            per_km_minor: i64::MAX,
            ..policy()
        };
        assert_eq!(
            fare(&greedy, Currency::Usd, &ride(i32::MAX, 0, 10_000)),
            Err(MoneyError::Overflow)
        );
    }

    fn policies() -> impl Strategy<Value = FarePolicy> {
        let amounts = (
            0..5_000_i64,
            0..1_000_i64,
            0..500_i64,
            0..5_000_i64,
            0..1_000_i64,
        );
        (amounts, 0..=10_000_u32, 0..=3_000_u32).prop_map(
            |((base, km, minute, minimum, booking), share, tax)| FarePolicy {
                base_minor: base,
                per_km_minor: km,
                per_minute_minor: minute,
                minimum_minor: minimum,
                booking_fee_minor: booking,
                driver_share: BasisPoints(share),
                tax: BasisPoints(tax),
                ..policy()
            },
        )
    }

    proptest! {
        #[test]
        fn the_lines_sum_to_the_price(
            policy in policies(), metres in 0..200_000_i32, seconds in 0..20_000_i32, surge in 5_000..50_000_u32,
        ) {
            let fare = fare(&policy, Currency::Usd, &ride(metres, seconds, surge)).unwrap();
            prop_assert_eq!(fare.lines.iter().map(|line| line.amount.minor).sum::<i64>(), fare.price.minor);
            prop_assert!(fare.driver_pay.minor >= 0 && fare.tax.minor >= 0);
            prop_assert!(fare.driver_pay.minor + fare.tax.minor <= fare.price.minor);
            prop_assert!(fare.price.minor >= policy.minimum_minor + policy.booking_fee_minor);
        }

        #[test]
        fn a_longer_ride_or_a_higher_surge_is_never_cheaper(
            policy in policies(), metres in 0..100_000_i32, seconds in 0..10_000_i32, surge in 10_000..30_000_u32,
            more in 0..1_000_i32,
        ) {
            let price = |ride| fare(&policy, Currency::Usd, &ride).unwrap().price.minor;
            let usual = price(ride(metres, seconds, surge));
            prop_assert!(price(ride(metres + more, seconds, surge)) >= usual);
            prop_assert!(price(ride(metres, seconds + more, surge)) >= usual);
            prop_assert!(price(ride(metres, seconds, surge + more as u32)) >= usual);
        }
    }
}
