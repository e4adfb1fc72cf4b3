//! What can be asked of the ledger, and the keeper's answers that are not about one rule.

use hexcab_ledger::{
    Account, Balance, Code, Cursor, LedgerError, Limits, Page, Period, Refusal, Statement, Totals,
    Transfer, TransferId,
};
use hexcab_types::{Currency, Money};
use rand::RngExt as _;
use uuid::Uuid;

use crate::rig::{
    Rig, at, driver, movement, pend, pend_for, post, post_pending, rider, transfer, usd, void,
};

async fn statement(rig: &Rig, account: Account, seconds: [i64; 2], page: Page) -> Statement {
    let mut conn = rig.pg.pool().acquire().await.unwrap();
    let period = Period {
        from: at(seconds[0]),
        to: at(seconds[1]),
    };
    hexcab_ledger::statement(&mut conn, (account, Currency::Usd), period, page)
        .await
        .unwrap()
}

const ALL: Page = Page {
    after: None,
    limit: 1_000,
};

#[tokio::test]
async fn a_statement_runs_from_its_opening_to_its_closing_balance() {
    let rig = Rig::start("statement").await;
    let on = |second, transfer: Transfer| Transfer {
        at: at(second),
        ..transfer
    };
    let ride = |second, minor| on(second, post(rider(1), driver(1), minor));
    let hold = on(15, pend(rider(1), driver(1), 99));
    for fact in [
        ride(5, 1_000),
        ride(20, 300),
        on(20, post(driver(1), Account::Payouts, 700)),
        hold,
        ride(10, 200), // heard of later, and earlier
        on(25, post_pending(&hold, 40)),
        ride(30, 5_000),
    ] {
        rig.submit(&[fact]).await.unwrap();
    }
    let all = statement(&rig, driver(1), [10, 30], ALL).await;
    assert_eq!((all.opening, all.closing), (usd(1_000), usd(840)));
    let lines: Vec<(i64, i64, i64)> = all
        .lines
        .iter()
        .map(|line| {
            let second = (line.at - at(0)).num_seconds();
            (second, line.amount.minor, line.balance.minor)
        })
        .collect();
    assert_eq!(
        lines,
        [
            (10, 200, 1_200),
            (20, 300, 1_500),
            (20, -700, 800),
            (25, 40, 840)
        ]
    );
    assert_eq!(all.lines[2].other, Account::Payouts);
    assert_eq!(all.lines[0].other, rider(1));
    assert_eq!(all.lines[0].code, Code::Adjustment);
    assert_eq!(all.next, None);
    let nothing = statement(&rig, driver(2), [0, 99], ALL).await;
    assert_eq!((nothing.opening, nothing.closing), (usd(0), usd(0)));
    assert_eq!(nothing.lines, []);
}

#[tokio::test]
async fn pages_of_a_statement_make_the_whole() {
    let rig = Rig::start("pages").await;
    let (_, mut chance) = hexcab_testkit::seeded("pages of a statement");
    for _ in 0..20 {
        let group: Vec<Transfer> = (0..chance.random_range(1..8))
            .map(|_| {
                let minor = chance.random_range(1..999);
                let second = chance.random_range(0..10);
                let ride = if chance.random_bool(0.3) {
                    post(driver(1), Account::Payouts, minor)
                } else {
                    post(rider(1), driver(1), minor)
                };
                Transfer {
                    at: at(second),
                    ..ride
                }
            })
            .collect();
        rig.submit(&group).await.unwrap();
    }
    let whole = statement(&rig, driver(1), [2, 9], ALL).await;
    assert!(whole.lines.len() > 10);
    let mut before = whole.opening;
    for line in &whole.lines {
        assert_eq!(before.plus(line.amount), Ok(line.balance));
        before = line.balance;
    }
    assert_eq!(before, whole.closing);
    for limit in [1, 3, 7] {
        let (mut lines, mut after) = (Vec::new(), None::<Cursor>);
        loop {
            let page = statement(&rig, driver(1), [2, 9], Page { after, limit }).await;
            assert_eq!((page.opening, page.closing), (whole.opening, whole.closing));
            lines.extend(page.lines);
            let Some(next) = page.next else { break };
            after = Some(next.to_string().parse().expect("a token reads back"));
        }
        assert_eq!(lines, whole.lines, "{limit} a page");
    }
    assert!("yesterday".parse::<Cursor>().is_err());
}

#[tokio::test]
async fn a_trial_balance_sums_to_zero_in_every_currency() {
    let rig = Rig::start("trial").await;
    let yen = transfer(hexcab_ledger::Action::Post(hexcab_ledger::Movement {
        amount: Money::new(700, Currency::Jpy),
        ..movement(rider(1), Account::Tax, 0)
    }));
    rig.submit(&[post(rider(1), Account::Revenue, 500), yen])
        .await
        .unwrap();
    rig.submit(&[post(rider(1), Account::Revenue, 20)])
        .await
        .unwrap();
    rig.submit(&[pend(Account::Processor, rider(1), 900)])
        .await
        .unwrap();
    let mut conn = rig.pg.pool().acquire().await.unwrap();
    let trial = hexcab_ledger::trial_balance(&mut conn).await.unwrap();
    let row = |account, currency, sums: [i64; 4]| Balance {
        account,
        currency,
        totals: Totals {
            debits_posted: sums[0],
            credits_posted: sums[1],
            debits_pending: sums[2],
            credits_pending: sums[3],
        },
    };
    assert_eq!(
        trial.accounts,
        [
            row(Account::Revenue, Currency::Usd, [0, 520, 0, 0]),
            row(Account::Tax, Currency::Jpy, [0, 700, 0, 0]),
            row(Account::Processor, Currency::Usd, [0, 0, 900, 0]),
            row(rider(1), Currency::Jpy, [700, 0, 0, 0]),
            row(rider(1), Currency::Usd, [520, 0, 0, 900]),
        ]
    );
    let totals: Vec<(Currency, [i64; 4])> = trial
        .totals
        .iter()
        .map(|(currency, t)| {
            let sums = [
                t.debits_posted,
                t.credits_posted,
                t.debits_pending,
                t.credits_pending,
            ];
            (*currency, sums)
        })
        .collect();
    assert_eq!(
        totals,
        [
            (Currency::Usd, [520, 520, 900, 900]),
            (Currency::Jpy, [700, 700, 0, 0])
        ]
    );
}

#[tokio::test]
async fn transfers_read_back_as_they_were_stated() {
    let rig = Rig::start("back").await;
    let mut conn = rig.pg.pool().acquire().await.unwrap();
    let of = Uuid::from_u128(77);
    let stated = |transfer: Transfer, second| Transfer {
        reference: of,
        at: at(second),
        ..transfer
    };
    let posted = stated(post(rider(1), driver(1), 5), 1);
    let hold = stated(pend_for(Account::Processor, rider(1), 9, 60), 1);
    let open = stated(pend(Account::Processor, rider(1), 8), 2);
    let ends = [stated(post_pending(&hold, 4), 3)];
    rig.submit(&[posted, hold]).await.unwrap();
    rig.submit(&[open]).await.unwrap();
    rig.submit(&ends).await.unwrap();
    let all = hexcab_ledger::of_reference(&mut conn, of).await.unwrap();
    let facts: Vec<Transfer> = all.iter().map(|recorded| recorded.transfer).collect();
    assert_eq!(facts, [posted, hold, open, ends[0]]);
    assert_eq!(all[1].group, posted.id);
    assert_eq!(all[1].expires_at, Some(at(61)));
    assert_eq!(all[3].movement, movement(Account::Processor, rider(1), 4));
    let end = hexcab_ledger::resolution(&mut conn, hold.id).await.unwrap();
    assert_eq!(end.map(|end| end.transfer), Some(ends[0]));
    assert_eq!(
        hexcab_ledger::resolution(&mut conn, open.id).await.unwrap(),
        None
    );
    let one = hexcab_ledger::fetch(&mut conn, hold.id).await.unwrap();
    assert_eq!(one.map(|one| one.transfer), Some(hold));
    let nobody = TransferId::from(Uuid::from_u128(5));
    assert_eq!(hexcab_ledger::fetch(&mut conn, nobody).await.unwrap(), None);
}

#[tokio::test]
async fn promises_whose_time_is_over_are_given_back() {
    let rig = Rig::start("expiry").await;
    let holds = [30, 10, 20].map(|after| pend_for(Account::Processor, rider(1), 100, after));
    let forever = pend(Account::Processor, rider(1), 7);
    let ended = pend_for(Account::Processor, rider(1), 100, 1);
    for hold in holds.into_iter().chain([forever, ended]) {
        rig.submit(&[hold]).await.unwrap();
    }
    rig.submit(&[void(&ended)]).await.unwrap();
    assert_eq!(rig.expire(at(9), 10).await, []);
    assert_eq!(rig.expire(at(20), 1).await, [holds[1].id]);
    assert_eq!(rig.expire(at(20), 10).await, [holds[2].id]);
    assert_eq!(rig.expire(at(20), 10).await, []);
    assert_eq!(rig.usd(rider(1)).await, [0, 0, 107]);
    let mut conn = rig.pg.pool().acquire().await.unwrap();
    let end = hexcab_ledger::resolution(&mut conn, holds[1].id)
        .await
        .unwrap();
    let end = end.expect("a row of its own").transfer;
    assert_eq!((end.code, end.at), (Code::Expiry, at(20)));
    assert_eq!(end.reference, holds[1].reference);
    assert_eq!(
        rig.refused(&[post_pending(&holds[1], 5)]).await,
        Refusal::AlreadyVoided(holds[1].id)
    );
    assert_eq!(rig.violations().await, []);
}

#[tokio::test]
async fn limits_are_kept_in_postgres_too() {
    let rig = Rig::start("limits_kept").await;
    rig.set_limits(driver(1), Limits::DEBITS_MUST_NOT_EXCEED_CREDITS)
        .await
        .unwrap();
    let out = |minor| post(driver(1), Account::Payouts, minor);
    let below = Refusal::BelowFloor(driver(1), Currency::Usd);
    assert_eq!(rig.refused(&[out(1)]).await, below);
    rig.submit(&[out(5), post(rider(1), driver(1), 5)])
        .await
        .unwrap();
    assert_eq!(rig.refused(&[out(1)]).await, below);
    rig.set_limits(driver(1), Limits::NONE).await.unwrap();
    rig.submit(&[out(1)]).await.unwrap();
    for (account, refusal) in [
        (driver(1), below),
        (Account::Tax, Refusal::HotAccount(Account::Tax)),
    ] {
        let error = rig
            .set_limits(account, Limits::DEBITS_MUST_NOT_EXCEED_CREDITS)
            .await;
        assert!(
            matches!(error, Err(LedgerError::Refused(given)) if given == refusal),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn sums_that_do_not_fit_are_refused_in_postgres_too() {
    let rig = Rig::start("overflow").await;
    let most = hexcab_ledger::AMOUNT_MAX_MINOR;
    let fits = usize::try_from(i64::MAX / most).unwrap();
    let full: Vec<Transfer> = (0..fits).map(|_| post(rider(1), driver(1), most)).collect();
    for group in full.chunks(hexcab_ledger::GROUP_MAX) {
        rig.submit(group).await.unwrap();
    }
    assert_eq!(
        rig.refused(&[post(rider(1), driver(1), most)]).await,
        Refusal::Overflow(rider(1), Currency::Usd)
    );
}

#[tokio::test]
async fn a_promise_that_is_there_is_not_made_again_to_be_ended_again() {
    let rig = Rig::start("again").await;
    let [open, posted, voided] =
        [10, 20, 30].map(|minor| pend(Account::Processor, rider(1), minor));
    for hold in [open, posted, voided] {
        rig.submit(&[hold]).await.unwrap();
    }
    rig.submit(&[post_pending(&posted, 5)]).await.unwrap();
    rig.submit(&[void(&voided)]).await.unwrap();
    for hold in [open, posted, voided] {
        for end in [post_pending(&hold, 5), void(&hold)] {
            assert_eq!(rig.refused(&[hold, end]).await, Refusal::PartlyThere);
            assert_eq!(rig.refused(&[end, hold]).await, Refusal::PartlyThere);
        }
    }
    assert_eq!(rig.usd(rider(1)).await, [5, 0, 10]);
}
