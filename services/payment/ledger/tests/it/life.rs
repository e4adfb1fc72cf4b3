//! Rides through the ledger: what each flow leaves on each account.

use hexcab_ledger::{Account, Outcome, Transfer};

use crate::rig::{Rig, driver, pend, post, post_pending, rider, void};

/// A capture of 20.00 out of a hold: 14.00 the driver's, 1.50 tax, 4.50 ours.
fn capture(hold: &Transfer, rider: Account, driver: Account) -> [Transfer; 4] {
    [
        post_pending(hold, 2_000),
        post(rider, driver, 1_400),
        post(rider, Account::Tax, 150),
        post(rider, Account::Revenue, 450),
    ]
}

#[tokio::test]
async fn a_captured_ride_leaves_everybody_his_part() {
    let (rig, rider, driver) = (Rig::start("ride").await, rider(1), driver(1));
    let hold = pend(Account::Processor, rider, 2_500);
    assert_eq!(rig.submit(&[hold]).await.unwrap(), Outcome::Applied);
    assert_eq!(rig.usd(Account::Processor).await, [0, 2_500, 0]);
    assert_eq!(rig.usd(rider).await, [0, 0, 2_500]);

    let group = capture(&hold, rider, driver);
    assert_eq!(rig.submit(&group).await.unwrap(), Outcome::Applied);
    assert_eq!(rig.submit(&group).await.unwrap(), Outcome::AlreadyThere);
    assert_eq!(rig.submit(&[hold]).await.unwrap(), Outcome::AlreadyThere);
    for (account, net) in [
        (Account::Processor, -2_000),
        (rider, 0),
        (driver, 1_400),
        (Account::Tax, 150),
        (Account::Revenue, 450),
    ] {
        assert_eq!(rig.usd(account).await, [net, 0, 0], "{account}");
    }
    assert_eq!(rig.violations().await, []);
}

#[tokio::test]
async fn a_declined_charge_is_the_riders_debt_until_he_pays() {
    let (rig, rider, driver) = (Rig::start("debt").await, rider(1), driver(1));
    let hold = pend(Account::Processor, rider, 2_500);
    rig.submit(&[hold]).await.unwrap();
    let [_, share, tax, fee] = capture(&hold, rider, driver);
    rig.submit(&[void(&hold), share, tax, fee]).await.unwrap();
    assert_eq!(rig.usd(rider).await, [-2_000, 0, 0], "he owes us");
    assert_eq!(rig.usd(driver).await, [1_400, 0, 0], "paid all the same");
    assert_eq!(rig.usd(Account::Processor).await, [0, 0, 0]);
    rig.submit(&[post(Account::Processor, rider, 2_000)])
        .await
        .unwrap();
    assert_eq!(rig.usd(rider).await, [0, 0, 0]);
    assert_eq!(rig.violations().await, []);
}
