//! A ledger that is wrong is found: every rule of `ledger.violations` has its damage.

use hexcab_ledger::{Account, Limits};
use sqlx::AssertSqlSafe;

use crate::rig::{Rig, driver, pend, pend_for, post, post_pending, rider, void};

/// A ledger of every kind of row, all right.
async fn furnished(subject: &str) -> Rig {
    let rig = Rig::start(subject).await;
    let (first, second) = (
        pend_for(Account::Processor, rider(1), 900, 60),
        pend(Account::Processor, rider(2), 800),
    );
    rig.submit(&[first, second]).await.unwrap();
    rig.submit(&[pend(Account::Processor, rider(3), 700)])
        .await
        .unwrap();
    rig.submit(&[post_pending(&first, 500), post(rider(1), driver(1), 500)])
        .await
        .unwrap();
    rig.submit(&[void(&second)]).await.unwrap();
    rig.set_limits(driver(1), Limits::DEBITS_MUST_NOT_EXCEED_CREDITS)
        .await
        .unwrap();
    assert_eq!(rig.violations().await, []);
    rig
}

#[tokio::test]
async fn whatever_is_wrong_is_found() {
    let rig = furnished("wrong").await;
    let posted = "WHERE kind = 'post_pending'";
    for (rule, damage) in [
        ("entries sum to zero", "DELETE FROM ledger.entries WHERE side = 'debit'".to_owned()),
        (
            "balances sum to zero",
            "UPDATE ledger.balances SET credits_posted = credits_posted + 1 WHERE account LIKE 'drivers/%'".to_owned(),
        ),
        (
            "an entry is of a transfer",
            "UPDATE ledger.entries SET transfer = gen_random_uuid()".to_owned(),
        ),
        (
            "a transfer has the two entries it says",
            "UPDATE ledger.entries SET posted_minor = posted_minor + 1".to_owned(),
        ),
        (
            "a balance is the sum of its entries",
            "UPDATE ledger.balances SET debits_pending = debits_pending + 1 WHERE account LIKE 'drivers/%'".to_owned(),
        ),
        (
            "promises are not below zero",
            "UPDATE ledger.balances SET credits_pending = -1 WHERE account LIKE 'drivers/%'".to_owned(),
        ),
        (
            "a pending transfer is resolved at most once",
            format!("DROP INDEX ledger.pending_resolved_once; UPDATE ledger.transfers SET (pending_id, pending_minor) =
                     (SELECT pending_id, pending_minor FROM ledger.transfers {posted}) WHERE kind = 'void_pending'"),
        ),
        (
            "a resolution is of what was promised",
            format!("UPDATE ledger.transfers SET pending_minor = 950 {posted}"),
        ),
        (
            "no more is posted than was promised",
            format!("UPDATE ledger.transfers SET amount_minor = 901, pending_minor = 901 {posted}"),
        ),
        (
            "what has expired is not posted",
            format!("UPDATE ledger.transfers SET at = at + interval '1 minute' {posted}"),
        ),
        ("what is open is what is not resolved", "DELETE FROM ledger.pendings".to_owned()),
        (
            "what is open is what is not resolved",
            "UPDATE ledger.pendings SET amount_minor = 1".to_owned(),
        ),
        (
            "a balance is within its limits",
            "ALTER TABLE ledger.balances DROP CONSTRAINT balance_above_floor;
             UPDATE ledger.balances SET floor_minor = 501 WHERE account LIKE 'drivers/%'".to_owned(),
        ),
        (
            "a balance is within its limits",
            "ALTER TABLE ledger.balances DROP CONSTRAINT balance_below_ceiling;
             UPDATE ledger.balances SET ceiling_minor = 499 WHERE account LIKE 'drivers/%'".to_owned(),
        ),
        ("a group is whole", format!("DELETE FROM ledger.transfers {posted}")),
    ] {
        assert!(found_after(&rig, &damage).await.contains(&rule.to_owned()), "{rule}: {damage}");
    }
    assert_eq!(rig.violations().await, [], "the damage was taken back");
}

/// The rules that are broken after the damage, which is done with all triggers off and taken back.
async fn found_after(rig: &Rig, damage: &str) -> Vec<String> {
    let mut tx = rig.pg.pool().begin_with("BEGIN").await.unwrap();
    let damage = format!("SET LOCAL session_replication_role = replica; {damage}");
    sqlx::raw_sql(AssertSqlSafe(damage))
        .execute(&mut *tx)
        .await
        .unwrap();
    let found = hexcab_ledger::violations(&mut tx).await.unwrap();
    tx.rollback().await.unwrap();
    found.into_iter().map(|violation| violation.rule).collect()
}
