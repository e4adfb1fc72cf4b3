//! How far an account may go, and how far a sum can.

use hexcab_ledger::{
    AMOUNT_MAX_MINOR, Account, Action, Book, Limits, Refusal, Transfer, TransferId,
};
use hexcab_types::{Currency, Money};
use uuid::Uuid;

use super::{applied, refused};
use crate::rig::{driver, movement, pend, post, rider, transfer};

#[test]
fn debits_do_not_exceed_credits_where_they_must_not() {
    let mut book = Book::default();
    let key = (driver(1), Currency::Usd);
    book.set_limits(key, Limits::DEBITS_MUST_NOT_EXCEED_CREDITS)
        .unwrap();
    let below = Refusal::BelowFloor(driver(1), Currency::Usd);
    let out = |minor| post(driver(1), Account::Payouts, minor);
    assert_eq!(refused(&mut book, &[out(1)]), below);
    applied(&mut book, &[pend(rider(1), driver(1), 100)]);
    assert_eq!(refused(&mut book, &[out(1)]), below, "promised is not paid");
    applied(&mut book, &[post(rider(1), driver(1), 100)]);
    applied(&mut book, &[pend(driver(1), Account::Payouts, 60)]);
    assert_eq!(refused(&mut book, &[out(41)]), below, "promises out count");
    applied(&mut book, &[out(40)]);
    // What the group leaves is what counts, whatever its order.
    applied(&mut book, &[out(5), post(rider(1), driver(1), 5)]);
    // In another currency nothing was limited.
    let euros = transfer(Action::Post(hexcab_ledger::Movement {
        amount: Money::new(9, Currency::Eur),
        ..movement(driver(1), Account::Payouts, 9)
    }));
    applied(&mut book, &[euros]);
}

#[test]
fn credits_do_not_exceed_debits_where_they_must_not() {
    let mut book = Book::default();
    let key = (rider(1), Currency::Usd);
    book.set_limits(key, Limits::CREDITS_MUST_NOT_EXCEED_DEBITS)
        .unwrap();
    let above = Refusal::AboveCeiling(rider(1), Currency::Usd);
    let paid = |minor| post(Account::Processor, rider(1), minor);
    assert_eq!(refused(&mut book, &[paid(1)]), above);
    applied(&mut book, &[post(rider(1), driver(1), 100)]);
    applied(&mut book, &[pend(Account::Processor, rider(1), 60)]);
    assert_eq!(refused(&mut book, &[paid(41)]), above, "promises in count");
    applied(&mut book, &[paid(40)]);
}

#[test]
fn a_floor_and_a_ceiling_may_be_anywhere() {
    let mut book = Book::default();
    let key = (driver(1), Currency::Usd);
    let limits = Limits {
        floor: Some(-50),
        ceiling: Some(70),
    };
    book.set_limits(key, limits).unwrap();
    applied(&mut book, &[post(driver(1), rider(1), 50)]);
    assert_eq!(
        refused(&mut book, &[post(driver(1), rider(1), 1)]),
        Refusal::BelowFloor(driver(1), Currency::Usd)
    );
    applied(&mut book, &[post(rider(1), driver(1), 120)]);
    assert_eq!(
        refused(&mut book, &[post(rider(1), driver(1), 1)]),
        Refusal::AboveCeiling(driver(1), Currency::Usd)
    );
    assert_eq!(
        book.set_limits(key, Limits::CREDITS_MUST_NOT_EXCEED_DEBITS),
        Err(Refusal::AboveCeiling(driver(1), Currency::Usd)),
        "beyond it already"
    );
    book.set_limits(key, Limits::NONE).unwrap();
    applied(&mut book, &[post(rider(1), driver(1), 1)]);
}

#[test]
fn hot_accounts_have_no_limits() {
    let mut book = Book::default();
    for account in [Account::Processor, Account::Revenue, Account::Tax] {
        assert_eq!(
            book.set_limits(
                (account, Currency::Usd),
                Limits::DEBITS_MUST_NOT_EXCEED_CREDITS
            ),
            Err(Refusal::HotAccount(account))
        );
        assert_eq!(
            book.set_limits((account, Currency::Usd), Limits::NONE),
            Ok(())
        );
    }
}

#[test]
fn sums_that_do_not_fit_are_refused() {
    let mut book = Book::default();
    let full = post(rider(1), driver(1), AMOUNT_MAX_MINOR);
    let fits = i64::MAX / AMOUNT_MAX_MINOR;
    for _ in 0..fits {
        let again = Transfer {
            id: TransferId::from(Uuid::now_v7()),
            ..full
        };
        applied(&mut book, &[again]);
    }
    let one_more = Transfer {
        id: TransferId::from(Uuid::now_v7()),
        ..full
    };
    assert_eq!(
        refused(&mut book, &[one_more]),
        Refusal::Overflow(rider(1), Currency::Usd)
    );
    applied(&mut book, &[post(driver(1), rider(1), AMOUNT_MAX_MINOR)]);
}
