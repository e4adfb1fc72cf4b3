//! What a driver is told of his account, and the trial balance.

use hexcab_ledger::Code;
use hexcab_payment::store::{About, PayoutAsk};
use hexcab_types::{Currency, Money, Timestamp};

use crate::rig::{Ride, Rig, give_back, key};

#[tokio::test]
async fn a_statement_has_every_line_with_its_balance_and_what_it_is_about() {
    let rig = Rig::start().await;
    let ride = rig.driven(2_000).await;
    let tip = Money::new(200, Currency::Usd);
    rig.store
        .tip(&key(), ride.trip, ride.rider, tip)
        .await
        .unwrap();
    rig.store
        .refund(&key(), ride.trip, &give_back(Some(1_000), true))
        .await
        .unwrap();
    rig.work().await;
    let cash = Ride {
        driver: ride.driver,
        ..Ride::new()
    };
    for event in [cash.requested(), cash.completed(2_000)] {
        rig.tell(&Ride::in_cash(&event)).await;
    }
    let ask = PayoutAsk {
        currency: Currency::Usd,
        as_of: None,
        minimum: None,
    };
    let batch = rig.store.pay_out(&key(), ask).await.unwrap();
    rig.store.confirm(&key(), batch.id, &[]).await.unwrap();

    let all = rig
        .store
        .statements(ride.driver, Timestamp::UNIX_EPOCH, None)
        .await
        .unwrap();
    assert_eq!(all.len(), 1);
    let statement = &all[0];
    assert_eq!((statement.opening.minor, statement.closing.minor), (0, 0));
    let lines = statement.lines.as_deref().unwrap();
    let said: Vec<_> = lines
        .iter()
        .map(|line| (line.code, line.amount.minor, line.about))
        .collect();
    let (first, second) = (About::Trip(ride.trip), About::Trip(cash.trip));
    assert_eq!(
        said,
        [
            (Code::DriverShare, 1_400, first),
            (Code::Tip, 200, first),
            (Code::Refund, -700, first),
            (Code::DriverShare, 1_400, second),
            (Code::CashCollected, -2_000, second),
            (Code::Payout, -300, About::Payout(batch.id)),
        ]
    );
    let mut balance = 0;
    for line in lines {
        balance += line.amount.minor;
        assert_eq!(line.balance.minor, balance, "{line:?}");
    }

    let (middle, end) = (lines[2].at, lines[4].at);
    let part = rig
        .store
        .statements(ride.driver, middle, Some(end))
        .await
        .unwrap();
    let part = &part[0];
    assert_eq!(
        (part.opening.minor, part.closing.minor),
        (1_600, lines[2].balance.minor)
    );
    assert_eq!(part.lines.as_deref(), Some(&lines[2..3]));
    rig.at_rest().await;
}

#[tokio::test]
async fn who_never_drove_has_no_statement() {
    let rig = Rig::start().await;
    let nobody = Ride::new().driver;
    let none = rig
        .store
        .statements(nobody, Timestamp::UNIX_EPOCH, None)
        .await
        .unwrap();
    assert_eq!(none, []);
}

#[tokio::test]
async fn a_statement_is_read_over_many_pages_up_to_its_bound() {
    let rig = Rig::start().await;
    let ride = Ride::new();
    let earn = async |count: i64| {
        sqlx::query(
            "INSERT INTO ledger.transfers (id, kind, debit, credit, currency, amount_minor, code, reference, at, group_id, group_line, group_size)
             SELECT id, 'posted', 'platform:losses', $2, 'USD', 1, 'adjustment', id, now(), id, 1, 1
             FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, $1::bigint)) AS made",
        )
        .bind(count)
        .bind(ride.driver.name())
        .execute(rig.pg.pool())
        .await
        .unwrap();
    };
    let read = async || {
        let mut all = rig
            .store
            .statements(ride.driver, Timestamp::UNIX_EPOCH, None)
            .await
            .unwrap();
        all.remove(0)
    };
    earn(2_500).await;
    let statement = read().await;
    let lines = statement.lines.unwrap();
    assert_eq!((lines.len(), statement.closing.minor), (2_500, 2_500));
    assert!(lines.is_sorted_by(|one, next| one.balance.minor + 1 == next.balance.minor));
    earn(7_600).await;
    assert_eq!(read().await.lines, None, "too much to tell");
}
