//! The rules, one by one, on a book: what is refused, with which word, and that a refusal changes nothing.

use std::time::Duration;

use hexcab_ledger::{
    AMOUNT_MAX_MINOR, Account, Action, Book, Code, GROUP_MAX, Limits, Outcome, Refusal, Totals,
    Transfer, TransferId,
};
use hexcab_types::{Currency, Money};
use uuid::Uuid;

use crate::rig::{
    at, driver, movement, pend, pend_for, post, post_pending, rider, transfer, usd, void,
};

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
fn a_promise_expires_after_it_is_made() {
    let with = |expires_after| {
        transfer(Action::Pend {
            movement: movement(rider(1), driver(1), 5),
            expires_after: Some(expires_after),
        })
    };
    for bad in [
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::from_nanos(1_500),
        Duration::MAX,
    ] {
        let bad = with(bad);
        assert_eq!(
            refused(&mut Book::default(), &[bad]),
            Refusal::Expiry(bad.id)
        );
    }
    applied(&mut Book::default(), &[with(Duration::from_micros(1))]);
}

#[test]
fn only_a_promise_can_be_resolved() {
    let mut book = Book::default();
    let posted = post(rider(1), driver(1), 5);
    let nobody = pend(rider(1), driver(1), 5);
    applied(&mut book, &[posted]);
    for (end, word) in [
        (post_pending(&posted, 5), Refusal::NotPending(posted.id)),
        (void(&posted), Refusal::NotPending(posted.id)),
        (
            post_pending(&nobody, 5),
            Refusal::PendingNotFound(nobody.id),
        ),
        (void(&nobody), Refusal::PendingNotFound(nobody.id)),
    ] {
        assert_eq!(refused(&mut book, &[end]), word);
    }
    let group = [post(rider(1), driver(1), 5), nobody];
    let inside = [group[0], void(&group[0])];
    assert_eq!(
        refused(&mut book, &inside),
        Refusal::NotPending(group[0].id)
    );
}

#[test]
fn a_promise_is_resolved_once() {
    for first_posts in [true, false] {
        let mut book = Book::default();
        let hold = pend(Account::Processor, rider(1), 5);
        applied(&mut book, &[hold]);
        let (first, word) = if first_posts {
            (post_pending(&hold, 3), Refusal::AlreadyPosted(hold.id))
        } else {
            (void(&hold), Refusal::AlreadyVoided(hold.id))
        };
        applied(&mut book, &[first]);
        for second in [post_pending(&hold, 2), void(&hold)] {
            assert_eq!(refused(&mut book, &[second]), word);
        }
    }
}

#[test]
fn a_promise_is_resolved_once_within_a_group_too() {
    let mut book = Book::default();
    let hold = pend(Account::Processor, rider(1), 5);
    applied(&mut book, &[hold]);
    let twice = [post_pending(&hold, 3), void(&hold)];
    assert_eq!(refused(&mut book, &twice), Refusal::AlreadyPosted(hold.id));
    let made_and_kept = pend(Account::Processor, rider(1), 5);
    applied(&mut book, &[made_and_kept, post_pending(&made_and_kept, 5)]);
}

#[test]
fn no_more_is_posted_than_was_promised_and_the_rest_is_released() {
    let mut book = Book::default();
    let hold = pend(Account::Processor, rider(1), 5);
    applied(&mut book, &[hold]);
    assert_eq!(
        refused(&mut book, &[post_pending(&hold, 6)]),
        Refusal::ExceedsPending(hold.id)
    );
    let euros = transfer(Action::PostPending {
        pending: hold.id,
        amount: Money::new(5, Currency::Eur),
    });
    assert_eq!(
        refused(&mut book, &[euros]),
        Refusal::PendingCurrency(hold.id)
    );
    applied(&mut book, &[post_pending(&hold, 3)]);
    assert_eq!(usd_of(&book, Account::Processor), [-3, 0, 0]);
    assert_eq!(usd_of(&book, rider(1)), [3, 0, 0]);
}

#[test]
fn a_promise_whose_time_is_over_can_only_be_voided() {
    let mut book = Book::default();
    let hold = pend_for(Account::Processor, rider(1), 5, 10);
    applied(&mut book, &[hold]);
    let at_second = |transfer: Transfer, second| Transfer {
        at: at(second),
        ..transfer
    };
    assert_eq!(
        refused(&mut book, &[at_second(post_pending(&hold, 5), 10)]),
        Refusal::PendingExpired(hold.id)
    );
    let mut in_time = book.clone();
    applied(&mut in_time, &[at_second(post_pending(&hold, 5), 9)]);
    assert_eq!(book.due(at(9), 9), []);
    assert_eq!(book.due(at(10), 9), [(hold.id, at(10))]);
    let swept = hexcab_ledger::expiry(hold.id, hold.reference, at(10));
    applied(&mut book, &[swept]);
    assert_eq!(usd_of(&book, rider(1)), [0, 0, 0]);
    assert_eq!(book.due(at(99), 9), []);
}

#[test]
fn promises_expire_the_longest_over_first() {
    let mut book = Book::default();
    let holds = [30, 10, 20].map(|seconds| pend_for(Account::Processor, rider(1), 5, seconds));
    for hold in holds {
        applied(&mut book, &[hold]);
    }
    let due: Vec<TransferId> = book.due(at(30), 2).iter().map(|(id, _)| *id).collect();
    assert_eq!(due, [holds[1].id, holds[2].id]);
}

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
