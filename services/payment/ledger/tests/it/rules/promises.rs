//! Promises: in time, within their amount, ended once.

use std::time::Duration;

use hexcab_ledger::{Account, Action, Book, Refusal, Transfer, TransferId};
use hexcab_types::{Currency, Money};

use super::{applied, refused, usd_of};
use crate::rig::{at, driver, movement, pend, pend_for, post, post_pending, rider, transfer, void};

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
