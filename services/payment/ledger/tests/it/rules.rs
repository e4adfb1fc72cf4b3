//! The rules, one by one, on a book: what is refused, with which word, and that a refusal changes nothing.

mod limits;
mod promises;

use std::time::Duration;

use hexcab_ledger::{
    AMOUNT_MAX_MINOR, Account, Action, Book, Code, GROUP_MAX, Outcome, Refusal, Totals, Transfer,
    TransferId,
};
use hexcab_types::Currency;
use uuid::Uuid;

use crate::rig::{at, driver, movement, pend, pend_for, post, post_pending, rider, usd};

/// Submits what must be refused, and sees that nothing changed.
fn refused(book: &mut Book, group: &[Transfer]) -> Refusal {
    let before = accounts(book);
    let refusal = book.submit(group).expect_err("refused");
    assert_eq!(accounts(book), before, "{refusal}");
    refusal
}

fn accounts(book: &Book) -> Vec<(String, Totals)> {
    let mut all: Vec<_> = book
        .accounts()
        .map(|((account, currency), totals)| (format!("{account} {currency}"), totals))
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

fn applied(book: &mut Book, group: &[Transfer]) {
    assert_eq!(book.submit(group), Ok(Outcome::Applied));
}

fn usd_of(book: &Book, account: Account) -> [i64; 3] {
    let totals = book.totals((account, Currency::Usd));
    [totals.net(), totals.debits_pending, totals.credits_pending]
}

#[test]
fn a_group_has_members_and_not_too_many() {
    let mut book = Book::default();
    assert_eq!(refused(&mut book, &[]), Refusal::EmptyGroup);
    let many: Vec<Transfer> = (0..=GROUP_MAX)
        .map(|_| post(rider(1), driver(1), 1))
        .collect();
    assert_eq!(refused(&mut book, &many), Refusal::GroupTooLarge);
    applied(&mut book, &many[..GROUP_MAX]);
}

#[test]
fn an_id_stands_in_its_group_once() {
    let one = post(rider(1), driver(1), 1);
    let group = [one, post(rider(1), driver(1), 2), one];
    assert_eq!(
        refused(&mut Book::default(), &group),
        Refusal::DuplicateId(one.id)
    );
}

#[test]
fn a_group_stated_twice_is_there_already() {
    let mut book = Book::default();
    let group = [post(rider(1), driver(1), 5), pend(rider(1), driver(1), 7)];
    applied(&mut book, &group);
    let later = group.map(|transfer| Transfer {
        at: at(99),
        ..transfer
    });
    assert_eq!(
        book.submit(&later),
        Ok(Outcome::AlreadyThere),
        "an attempt that is made again is made later"
    );
    assert_eq!(usd_of(&book, driver(1)), [5, 0, 7]);
}

#[test]
fn another_body_under_the_same_id_is_refused() {
    let mut book = Book::default();
    let given = pend_for(rider(1), driver(1), 5, 10);
    applied(&mut book, &[given]);
    let pended = |debit, credit, minor, seconds| Action::Pend {
        movement: movement(debit, credit, minor),
        expires_after: Some(Duration::from_secs(seconds)),
    };
    for other in [
        Transfer {
            action: pended(rider(1), driver(1), 6, 10),
            ..given
        },
        Transfer {
            action: pended(rider(2), driver(1), 5, 10),
            ..given
        },
        Transfer {
            action: pended(rider(1), driver(2), 5, 10),
            ..given
        },
        Transfer {
            action: pended(rider(1), driver(1), 5, 11),
            ..given
        },
        Transfer {
            action: Action::Post(movement(rider(1), driver(1), 5)),
            ..given
        },
        Transfer {
            code: Code::Tip,
            ..given
        },
        Transfer {
            reference: Uuid::from_u128(8),
            ..given
        },
    ] {
        assert_eq!(
            refused(&mut book, &[other]),
            Refusal::TransferExists(given.id),
            "{other:?}"
        );
    }
}

#[test]
fn a_group_is_there_as_a_whole_or_not_at_all() {
    let mut book = Book::default();
    let one = post(rider(1), driver(1), 5);
    applied(&mut book, &[one]);
    let group = [one, post(rider(1), driver(1), 6)];
    assert_eq!(refused(&mut book, &group), Refusal::PartlyThere);
}

#[test]
fn a_group_with_one_bad_transfer_is_refused_as_a_whole() {
    let mut book = Book::default();
    let group = [
        post(rider(1), driver(1), 5),
        pend(rider(1), driver(1), 5),
        post(rider(1), driver(1), 0),
    ];
    assert_eq!(refused(&mut book, &group), Refusal::Amount(group[2].id));
    applied(&mut book, &group[..2]);
}

#[test]
fn an_amount_is_more_than_nothing_and_within_reason() {
    let mut book = Book::default();
    let hold = pend(Account::Processor, rider(1), AMOUNT_MAX_MINOR);
    applied(&mut book, &[hold]);
    for minor in [0, -1, i64::MIN, AMOUNT_MAX_MINOR + 1] {
        for bad in [
            post(rider(1), driver(1), minor),
            pend(rider(1), driver(1), minor),
            post_pending(&hold, minor),
        ] {
            assert_eq!(
                refused(&mut book, &[bad]),
                Refusal::Amount(bad.id),
                "{minor}"
            );
        }
    }
}

#[test]
fn money_moves_between_two_accounts() {
    for bad in [post(rider(1), rider(1), 5), pend(rider(1), rider(1), 5)] {
        assert_eq!(
            refused(&mut Book::default(), &[bad]),
            Refusal::SameAccount(bad.id)
        );
    }
}

#[test]
fn both_sides_move_by_the_same_amount() {
    let mut book = Book::default();
    applied(&mut book, &[post(rider(1), driver(1), 5)]);
    let debited = book.totals((rider(1), Currency::Usd));
    let credited = book.totals((driver(1), Currency::Usd));
    assert_eq!((debited.debits_posted, debited.credits_posted), (5, 0));
    assert_eq!((credited.debits_posted, credited.credits_posted), (0, 5));
    assert_eq!(usd(debited.net() + credited.net()), usd(0));
}

#[test]
fn an_id_of_a_step_is_the_same_for_every_attempt() {
    let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    assert_eq!(
        TransferId::derive(one, "hold"),
        TransferId::derive(one, "hold")
    );
    assert_ne!(
        TransferId::derive(one, "hold"),
        TransferId::derive(one, "capture")
    );
    assert_ne!(
        TransferId::derive(one, "hold"),
        TransferId::derive(other, "hold")
    );
}
