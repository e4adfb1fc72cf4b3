//! Journals balance or are refused; transfers end once; a capture splits its charge exactly.

use std::collections::BTreeMap;

use hexcab_types::{Currency, DriverId};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::DriverPay;

const fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::Usd)
}

fn rider() -> RiderId {
    RiderId::from(Uuid::from_u128(1))
}

fn driver() -> DriverId {
    DriverId::from(Uuid::from_u128(2))
}

fn balances(journal: &Balanced) -> BTreeMap<Account, i64> {
    let mut balances = BTreeMap::new();
    for entry in journal.entries() {
        *balances.entry(entry.account).or_default() += entry.amount.minor;
    }
    balances
}

#[test]
fn an_unbalanced_journal_cannot_be_posted() {
    let journal = Journal::new()
        .debit(Account::Processor, usd(2))
        .unwrap()
        .credit(Account::Tax, usd(1))
        .unwrap();
    assert_eq!(journal.balance(), Err(Unbalanced::Sum(usd(-1))));
    assert_eq!(Journal::new().balance(), Err(Unbalanced::Empty));
}

#[test]
fn currencies_balance_each_on_their_own() {
    let euro = Money::new(2, Currency::Eur);
    let journal = Journal::new()
        .debit(Account::Processor, usd(2))
        .unwrap()
        .credit(Account::Tax, euro)
        .unwrap();
    assert!(matches!(journal.balance(), Err(Unbalanced::Sum(_))));
}

#[test]
fn a_capture_pays_driver_tax_and_platform() {
    let pay = DriverPay {
        driver: driver(),
        amount: usd(1_400),
    };
    let charge = Charge {
        amount: usd(2_000),
        driver: Some(pay),
        tax: usd(150),
    };
    let expected = [
        (Account::Processor, -2_000),
        (Account::Rider(rider()), 0),
        (Account::Driver(driver()), 1_400),
        (Account::Revenue, 450),
        (Account::Tax, 150),
    ];
    assert_eq!(
        balances(&capture(rider(), &charge).unwrap()),
        BTreeMap::from(expected)
    );
}

#[test]
fn a_fee_is_all_the_platforms() {
    let charge = Charge {
        amount: usd(500),
        driver: None,
        tax: usd(0),
    };
    let expected = [
        (Account::Processor, -500),
        (Account::Rider(rider()), 0),
        (Account::Revenue, 500),
    ];
    assert_eq!(
        balances(&capture(rider(), &charge).unwrap()),
        BTreeMap::from(expected)
    );
}

#[test]
fn a_debt_is_the_riders_and_pays_everybody_without_the_processor() {
    let pay = DriverPay {
        driver: driver(),
        amount: usd(1_400),
    };
    let charge = Charge {
        amount: usd(2_000),
        driver: Some(pay),
        tax: usd(150),
    };
    let expected = [
        (Account::Rider(rider()), -2_000),
        (Account::Driver(driver()), 1_400),
        (Account::Revenue, 450),
        (Account::Tax, 150),
    ];
    assert_eq!(
        balances(&debt(rider(), &charge).unwrap()),
        BTreeMap::from(expected)
    );
}

#[test]
fn a_transfer_ends_once_and_within_its_amount() {
    let pending = hold(rider(), usd(10));
    for amount in [usd(0), usd(-1), usd(11), Money::new(1, Currency::Eur)] {
        assert_eq!(
            pending.resolve(Resolution::Post(amount)),
            Err(TransferError::NotWithin),
            "{amount}"
        );
    }
    for ended in [
        pending.resolve(Resolution::Post(usd(7))).unwrap(),
        pending.resolve(Resolution::Void).unwrap(),
    ] {
        assert_eq!(
            ended.resolve(Resolution::Post(usd(7))),
            Err(TransferError::Resolved)
        );
        assert_eq!(
            ended.resolve(Resolution::Void),
            Err(TransferError::Resolved)
        );
    }
}

#[test]
fn an_accounts_name_reads_back() {
    for account in [
        Account::Processor,
        Account::Rider(rider()),
        Account::Driver(driver()),
        Account::Revenue,
        Account::Tax,
    ] {
        assert_eq!(account.to_string().parse(), Ok(account));
    }
    assert!("platform:slush".parse::<Account>().is_err());
}

proptest! {
    #[test]
    fn every_capture_balances_and_splits_its_whole_charge(
        amount in 1_i64..1_000_000, pay in 0_i64..1_000_000, tax in 0_i64..1_000_000, driven: bool,
    ) {
        let driver = driven.then(|| DriverPay { driver: driver(), amount: usd(pay) });
        let journal = capture(rider(), &Charge { amount: usd(amount), driver, tax: usd(tax) }).unwrap();
        let balances = balances(&journal);
        prop_assert_eq!(balances.values().sum::<i64>(), 0);
        prop_assert_eq!(balances[&Account::Processor], -amount);
        prop_assert!(journal.entries().iter().all(|entry| entry.amount.minor != 0));
    }
}
