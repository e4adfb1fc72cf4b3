//! What follows from transfers: entries that sum to zero and stay, balances within limits, nothing by hand.

use super::{Row, accepted, insert, refused_by, row_refused_by};
use crate::rig::{Rig, driver, rider};

/// Lets entries be written by hand, as the migrations' author might by mistake.
const BY_HAND: &str = "ALTER TABLE ledger.entries DISABLE TRIGGER entries_follow_transfers";

fn entry(side: &str, currency: &str, posted: i64, pending: i64) -> String {
    format!(
        "INSERT INTO ledger.entries (transfer, side, account, currency, posted_minor, pending_minor, at)
         VALUES (gen_random_uuid(), '{side}', '{}', '{currency}', {posted}, {pending}, now())",
        rider(1)
    )
}

#[tokio::test]
async fn what_is_entered_sums_to_zero_at_commit() {
    let rig = Rig::start("zero").await;
    let by_hand = |entries: &[String]| [&[BY_HAND.to_owned()], entries].concat();
    for (why, entries) in [
        ("one side", vec![entry("debit", "USD", 5, 0)]),
        (
            "too little",
            vec![entry("debit", "USD", 5, 0), entry("credit", "USD", 4, 0)],
        ),
        (
            "another currency",
            vec![entry("debit", "USD", 5, 0), entry("credit", "EUR", 5, 0)],
        ),
        ("one side promised", vec![entry("credit", "USD", 0, 5)]),
        (
            "posted against promised",
            vec![entry("debit", "USD", 5, 0), entry("credit", "USD", 0, 5)],
        ),
    ] {
        assert_eq!(
            refused_by(&rig, &by_hand(&entries)).await,
            "entries_sum_to_zero",
            "{why}"
        );
    }
    accepted(
        &rig,
        &by_hand(&[
            entry("debit", "USD", 5, 0),
            entry("credit", "EUR", 7, 0),
            entry("credit", "USD", 5, 0),
            entry("debit", "EUR", 7, 0),
        ]),
    )
    .await;
}

#[tokio::test]
async fn a_transfer_has_one_entry_a_side_and_none_below_zero() {
    let rig = Rig::start("entries").await;
    let row = Row::posted();
    let again = |side: &str| {
        entry(side, "USD", 5, 0).replace("gen_random_uuid()", &format!("'{}'", row.id))
    };
    accepted(&rig, &[insert(std::slice::from_ref(&row))]).await;
    for (entry, guard) in [
        (again("debit"), "entry_once_per_side"),
        (again("credit"), "entry_once_per_side"),
        (entry("left", "USD", 5, 0), "entry_side_known"),
        (entry("debit", "USD", -5, 0), "entry_posted_not_negative"),
    ] {
        assert_eq!(refused_by(&rig, &[BY_HAND.to_owned(), entry]).await, guard);
    }
}

#[tokio::test]
async fn entries_that_were_taken_back_do_not_count() {
    let rig = Rig::start("savepoint").await;
    let statements = [
        BY_HAND,
        "SAVEPOINT before",
        &entry("debit", "USD", 5, 0),
        "ROLLBACK TO before",
        &entry("debit", "USD", 3, 0),
        &entry("credit", "USD", 3, 0),
    ];
    accepted(&rig, &statements.map(str::to_owned)).await;
}

#[tokio::test]
async fn what_was_entered_is_never_changed() {
    let rig = Rig::start("append").await;
    accepted(&rig, &[insert(&[Row::posted()])]).await;
    for statement in [
        "UPDATE ledger.transfers SET amount_minor = amount_minor + 1",
        "DELETE FROM ledger.transfers",
        "TRUNCATE ledger.transfers",
        "UPDATE ledger.entries SET posted_minor = posted_minor + 1",
        "DELETE FROM ledger.entries",
        "TRUNCATE ledger.entries",
    ] {
        assert_eq!(
            refused_by(&rig, &[statement.to_owned()]).await,
            "ledger_append_only",
            "{statement}"
        );
    }
}

#[tokio::test]
async fn what_is_derived_is_not_written_by_hand() {
    let rig = Rig::start("derived").await;
    accepted(&rig, &[insert(&[Row::posted()]), insert(&[Row::pending()])]).await;
    let promise = format!(
        "INSERT INTO ledger.pendings VALUES (gen_random_uuid(), 'bank', '{}', 'USD', 5, NULL, gen_random_uuid())",
        rider(1)
    );
    for (statement, guard) in [
        (
            entry("debit", "USD", 5, 0).as_str(),
            "entries_follow_transfers",
        ),
        (&promise, "pendings_follow_transfers"),
        (
            "UPDATE ledger.pendings SET amount_minor = 9",
            "pendings_follow_transfers",
        ),
        ("DELETE FROM ledger.pendings", "pendings_follow_transfers"),
        ("TRUNCATE ledger.pendings", "pendings_follow_transfers"),
        (
            "INSERT INTO ledger.balances (account, currency, credits_posted) VALUES ('bank', 'USD', 5)",
            "balances_follow_transfers",
        ),
        (
            "UPDATE ledger.balances SET credits_posted = credits_posted + 1",
            "balances_follow_transfers",
        ),
        (
            "UPDATE ledger.balances SET account = 'bank' WHERE account LIKE 'riders/%'",
            "balances_follow_transfers",
        ),
        ("DELETE FROM ledger.balances", "balances_follow_transfers"),
        ("TRUNCATE ledger.balances", "balances_follow_transfers"),
    ] {
        assert_eq!(
            refused_by(&rig, &[statement.to_owned()]).await,
            guard,
            "{statement}"
        );
    }
}

#[tokio::test]
async fn a_balance_stays_within_its_limits() {
    let rig = Rig::start("limits").await;
    let limit = |floor: &str, ceiling: &str| {
        format!(
            "SELECT ledger.set_limits('{}', 'USD', {floor}, {ceiling})",
            driver(1)
        )
    };
    let out = |kind| Row {
        debit: driver(1).to_string(),
        credit: "platform:payouts".into(),
        kind,
        ..Row::posted()
    };
    accepted(&rig, &[limit("-499", "499")]).await;
    for kind in ["posted", "pending"] {
        assert_eq!(
            row_refused_by(&rig, out(kind)).await,
            "balance_above_floor",
            "{kind}"
        );
        let paid = Row {
            kind,
            ..Row::posted()
        };
        assert_eq!(
            row_refused_by(&rig, paid).await,
            "balance_below_ceiling",
            "{kind}"
        );
    }
    accepted(&rig, &[limit("NULL", "NULL"), insert(&[Row::posted()])]).await;
    assert_eq!(
        refused_by(&rig, &[limit("501", "NULL")]).await,
        "balance_above_floor",
        "beyond it already"
    );
    assert_eq!(
        refused_by(&rig, &[limit("NULL", "499")]).await,
        "balance_below_ceiling",
        "beyond it already"
    );
}

#[tokio::test]
async fn only_hot_accounts_have_shards_and_they_have_no_limits() {
    let rig = Rig::start("hot").await;
    let shard = "INSERT INTO ledger.balances (account, currency, shard) VALUES ('bank', 'USD', 1)";
    assert_eq!(
        refused_by(&rig, &[shard.to_owned()]).await,
        "balance_sharded_when_hot"
    );
    for limits in ["0, NULL", "NULL, 0"] {
        let limit = format!("SELECT ledger.set_limits('platform:tax', 'USD', {limits})");
        assert_eq!(
            refused_by(&rig, &[limit]).await,
            "balance_unlimited_when_hot"
        );
    }
    for shards in [0, 16_385] {
        let set = format!("UPDATE ledger.settings SET hot_shards = {shards}");
        assert_eq!(refused_by(&rig, &[set]).await, "hot_shards_within");
    }
    let second = "INSERT INTO ledger.settings (one) VALUES (false)".to_owned();
    assert_eq!(refused_by(&rig, &[second]).await, "settings_one");
}
