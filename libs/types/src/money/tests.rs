//! Money is neither lost nor made, and rounding is what it says.

use proptest::prelude::*;

use super::*;

const fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::Usd)
}

fn sum(parts: &[Money]) -> Money {
    parts
        .iter()
        .try_fold(usd(0), |sum, part| sum.plus(*part))
        .unwrap()
}

#[test]
fn halves_round_to_even() {
    for (minor, expected) in [(1, 0), (3, 2), (5, 2), (7, 4), (-1, 0), (-3, -2), (-5, -2)] {
        assert_eq!(
            usd(minor).times(BasisPoints(5_000)),
            Ok(usd(expected)),
            "half of {minor}"
        );
    }
}

#[test]
fn two_currencies_do_not_add_up() {
    let euro = Money::new(1, Currency::Eur);
    let mismatch = MoneyError::CurrencyMismatch(Currency::Usd, Currency::Eur);
    assert_eq!(usd(1).plus(euro), Err(mismatch));
    assert_eq!(usd(1).minus(euro), Err(mismatch));
    assert_eq!(usd(1).prorate(&[usd(1), euro]), Err(mismatch));
}

#[test]
fn sums_out_of_range_are_refused() {
    assert_eq!(usd(i64::MAX).plus(usd(1)), Err(MoneyError::Overflow));
    assert_eq!(usd(i64::MIN).minus(usd(1)), Err(MoneyError::Overflow));
    assert_eq!(
        usd(i64::MAX).times(BasisPoints(10_001)),
        Err(MoneyError::Overflow)
    );
    assert_eq!(usd(1).per(1, 0), Err(MoneyError::Overflow));
    let halves = [usd(i64::MAX), usd(1)];
    assert_eq!(usd(1).prorate(&halves), Err(MoneyError::Overflow));
}

#[test]
fn printing_follows_iso_4217() {
    assert_eq!(usd(-1205).to_string(), "-12.05 USD");
    assert_eq!(Money::new(1205, Currency::Jpy).to_string(), "1205 JPY");
    assert_eq!(Money::new(1205, Currency::Kwd).to_string(), "1.205 KWD");
    assert_eq!(usd(i64::MIN).to_string(), "-92233720368547758.08 USD");
}

#[test]
fn a_cent_goes_to_somebody() {
    let thirds = usd(100).prorate(&[usd(1), usd(1), usd(1)]).unwrap();
    assert_eq!(thirds, [usd(33), usd(34), usd(33)]);
    let one = usd(1).prorate(&[usd(50), usd(50)]).unwrap();
    assert_eq!(one, [usd(0), usd(1)]);
    assert_eq!(usd(0).prorate(&[]), Ok(vec![]));
    assert_eq!(usd(0).prorate(&[usd(0), usd(0)]), Ok(vec![usd(0); 2]));
}

#[test]
fn nothing_is_shared_over_nobody() {
    for parts in [&[][..], &[usd(0)], &[usd(2), usd(-1)]] {
        assert_eq!(
            usd(1).prorate(parts),
            Err(MoneyError::Overflow),
            "{parts:?}"
        );
    }
    assert_eq!(usd(-1).prorate(&[usd(1)]), Err(MoneyError::Overflow));
}

/// Whether `rounded` is `a * b / c` to the nearest, and to the even one of two that are as near: said in whole numbers
/// and without a division.
fn is_half_even(rounded: i64, [a, b, c]: [i64; 3]) -> bool {
    let twice_off = 2 * (i128::from(a) * i128::from(b) - i128::from(rounded) * i128::from(c)).abs();
    twice_off < i128::from(c) || (twice_off == i128::from(c) && rounded % 2 == 0)
}

/// Amounts as they are, as they might be, and at the ends of the range.
fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => 0_i64..1_000_000,
        4 => -1_000_000_i64..0,
        2 => any::<i64>(),
        1 => prop_oneof![Just(i64::MAX), Just(i64::MIN), Just(0)],
    ]
}

fn parts(most: usize) -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(prop_oneof![Just(0_i64), 0_i64..50, 0_i64..100_000], 1..most)
}

fn monies(minors: &[i64]) -> Vec<Money> {
    minors.iter().map(|minor| usd(*minor)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn rounding_is_to_the_nearest_and_halves_to_even(
        a in amount(),
        b in prop_oneof![0_i64..20_000, any::<i64>()],
        c in prop_oneof![1_i64..10, Just(10_000), 1_i64..i64::MAX],
    ) {
        match usd(a).per(b, c) {
            Ok(rounded) => prop_assert!(is_half_even(rounded.minor, [a, b, c]), "{a} * {b} / {c} = {rounded}"),
            Err(_) => {
                let (product, c) = (i128::from(a) * i128::from(b), i128::from(c));
                let fits = product <= i128::from(i64::MAX) * c && product >= i128::from(i64::MIN) * c;
                prop_assert!(!fits, "{a} * {b} / {c} fits");
            }
        }
    }

    #[test]
    fn a_share_and_its_rest_make_the_whole(minor in amount(), rate in 0_u32..=10_000) {
        let [share, rest] = usd(minor).split(BasisPoints(rate)).unwrap();
        prop_assert_eq!(share.plus(rest), Ok(usd(minor)));
        prop_assert!(is_half_even(share.minor, [minor, rate.into(), 10_000]));
    }

    #[test]
    fn a_larger_amount_or_rate_has_no_smaller_share(
        [one, other] in [0_i64..1_000_000_000, 0_i64..1_000_000_000],
        [rate, higher] in [0_u32..30_000, 0_u32..30_000],
    ) {
        let (small, large) = (one.min(other), one.max(other));
        let (low, high) = (rate.min(higher), rate.max(higher));
        let share = |minor, rate| usd(minor).times(BasisPoints(rate)).unwrap().minor;
        prop_assert!(share(small, low) <= share(large, low));
        prop_assert!(share(small, low) <= share(small, high));
    }

    #[test]
    fn a_price_is_its_drivers_share_its_tax_and_the_platforms_rest(
        price in 0_i64..10_000_000,
        tax in 0_u32..=3_000,
        driver in 0_u32..=10_000,
    ) {
        let price = usd(price);
        let [tax, rest] = price.split(BasisPoints(tax)).unwrap();
        let [driver, platform] = rest.split(BasisPoints(driver)).unwrap();
        prop_assert_eq!(sum(&[tax, driver, platform]), price);
        prop_assert!([tax, driver, platform].iter().all(|part| part.minor >= 0));
    }

    #[test]
    fn shares_make_the_whole_and_nobodys_is_below_zero(amount in 0_i64..10_000_000, parts in parts(9)) {
        prop_assume!(parts.iter().any(|part| *part > 0));
        let whole: i64 = parts.iter().sum();
        let shares = usd(amount).prorate(&monies(&parts)).unwrap();
        prop_assert_eq!(sum(&shares), usd(amount));
        for (share, part) in shares.iter().zip(&parts) {
            prop_assert!(share.minor >= 0);
            prop_assert!(*part > 0 || share.minor == 0, "nothing for a part of nothing");
            prop_assert!(amount > whole || share.minor <= *part, "{share} of {part}");
            prop_assert!(amount != whole || share.minor == *part);
        }
    }

    #[test]
    fn of_more_nobody_gets_less([one, other] in [0_i64..100_000, 0_i64..100_000], parts in parts(9)) {
        prop_assume!(parts.iter().any(|part| *part > 0));
        let shares = |minor| usd(minor).prorate(&monies(&parts)).unwrap();
        for (less, more) in shares(one.min(other)).iter().zip(shares(one.max(other))) {
            prop_assert!(less.minor <= more.minor);
        }
    }

    #[test]
    fn two_shares_are_each_rounded_half_to_even(amount in 0_i64..10_000_000, part in 0_i64..1_000, other in 1_i64..1_000) {
        let shares = usd(amount).prorate(&[usd(part), usd(other)]).unwrap();
        prop_assert!(is_half_even(shares[0].minor, [amount, part, part + other]));
    }

    #[test]
    fn refunds_in_parts_give_back_exactly_what_was_taken(
        parts in parts(5),
        steps in prop::collection::vec(0_u32..=10_000, 0..12),
    ) {
        let paid = monies(&parts);
        let (mut left, mut back) = (paid.clone(), vec![usd(0); paid.len()]);
        // Some parts of what is left, then all of it.
        for step in steps.into_iter().chain([10_000]) {
            let refund = sum(&left).times(BasisPoints(step)).unwrap();
            let shares = refund.prorate(&left).unwrap();
            prop_assert_eq!(sum(&shares), refund);
            for ((left, back), share) in left.iter_mut().zip(&mut back).zip(shares) {
                prop_assert!(share.minor >= 0 && share.minor <= left.minor);
                *left = left.minus(share).unwrap();
                *back = back.plus(share).unwrap();
            }
        }
        prop_assert_eq!(back, paid);
        prop_assert!(left.iter().all(|part| part.minor == 0));
    }

    #[test]
    fn what_is_printed_is_all_of_it(minor in amount(), n in 0_usize..5) {
        let currency = [Currency::Usd, Currency::Eur, Currency::Gbp, Currency::Jpy, Currency::Kwd][n];
        let text = Money::new(minor, currency).to_string();
        let (number, code) = text.split_once(' ').unwrap();
        prop_assert_eq!(code.parse(), Ok(currency));
        let digits = number.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        prop_assert_eq!(digits, currency.minor_digits() as usize);
        prop_assert_eq!(number.replace('.', "").parse(), Ok(minor));
    }
}
