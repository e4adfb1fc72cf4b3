//! What the schema refuses by itself, whatever the code does. Each test goes red without its constraint.

use std::collections::BTreeSet;

use hexcab_ledger::{Account, Code};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

use crate::rig::{Rig, at, driver, pend_for, post, rider};

/// A row of `ledger.transfers`, as somebody might write it by hand.
#[derive(Clone)]
struct Row {
    id: Uuid,
    kind: &'static str,
    debit: String,
    credit: String,
    currency: &'static str,
    amount: i64,
    pending: Option<(Uuid, i64)>,
    expires: Option<i64>,
    code: &'static str,
    at: i64,
    group: [i64; 2],
}

impl Row {
    fn posted() -> Self {
        Self {
            id: Uuid::now_v7(),
            kind: "posted",
            debit: rider(1).to_string(),
            credit: driver(1).to_string(),
            currency: "USD",
            amount: 500,
            pending: None,
            expires: None,
            code: "adjustment",
            at: 0,
            group: [1, 1],
        }
    }

    fn pending() -> Self {
        Self {
            kind: "pending",
            ..Self::posted()
        }
    }

    fn ending(promise: &Self, kind: &'static str, amount: i64) -> Self {
        Self {
            kind,
            amount,
            pending: Some((promise.id, promise.amount)),
            ..Self::posted()
        }
    }

    fn values(&self, group: Uuid) -> String {
        let time = |second| format!("'{}'", at(second).to_rfc3339());
        let null = || "NULL".to_owned();
        format!(
            "('{}', '{}', '{}', '{}', '{}', {}, {}, {}, {}, '{}', '{}', {}, '{group}', {}, {})",
            self.id,
            self.kind,
            self.debit,
            self.credit,
            self.currency,
            self.amount,
            self.pending.map_or_else(null, |(id, _)| format!("'{id}'")),
            self.pending
                .map_or_else(null, |(_, minor)| minor.to_string()),
            self.expires.map_or_else(null, time),
            self.code,
            Uuid::from_u128(7),
            time(self.at),
            self.group[0],
            self.group[1],
        )
    }
}

/// The statement that adds these rows as one group.
fn insert(rows: &[Row]) -> String {
    let group = rows.first().map_or_else(Uuid::nil, |row| row.id);
    let values: Vec<String> = rows.iter().map(|row| row.values(group)).collect();
    format!(
        "INSERT INTO ledger.transfers (id, kind, debit, credit, currency, amount_minor, pending_id, pending_minor,
             expires_at, code, reference, at, group_id, group_line, group_size) VALUES {}",
        values.join(", ")
    )
}

async fn run(connection: &mut PgConnection, statements: &[String]) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    for statement in statements {
        sqlx::query(AssertSqlSafe(statement.clone()))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

/// Runs the statements in one transaction and commits; the name of the constraint that refused.
async fn refused_by(rig: &Rig, statements: &[String]) -> String {
    let mut connection = rig.pg.pool().acquire().await.unwrap();
    match run(&mut connection, statements).await {
        Ok(()) => panic!("nobody refused {statements:?}"),
        Err(error) => {
            let error = error.into_database_error().expect("the server refused");
            error
                .constraint()
                .unwrap_or_else(|| panic!("no name: {error}"))
                .to_owned()
        }
    }
}

async fn accepted(rig: &Rig, statements: &[String]) {
    let mut connection = rig.pg.pool().acquire().await.unwrap();
    run(&mut connection, statements).await.expect("accepted");
}

async fn row_refused_by(rig: &Rig, row: Row) -> String {
    refused_by(rig, &[insert(&[row])]).await
}

#[tokio::test]
async fn the_schema_knows_accounts_currencies_codes_and_kinds() {
    let rig = Rig::start("words").await;
    for (row, guard) in [
        (
            Row {
                debit: "platform:pocket".into(),
                ..Row::posted()
            },
            "account_known",
        ),
        (
            Row {
                credit: "riders/1".into(),
                ..Row::posted()
            },
            "account_known",
        ),
        (
            Row {
                currency: "usd",
                ..Row::posted()
            },
            "currency_iso",
        ),
        (
            Row {
                code: "gift",
                ..Row::posted()
            },
            "code_known",
        ),
        (
            Row {
                kind: "lost",
                ..Row::posted()
            },
            "transfer_kind_known",
        ),
    ] {
        assert_eq!(row_refused_by(&rig, row).await, guard);
    }
    accepted(&rig, &[insert(&[Row::posted()])]).await;
}

#[tokio::test]
async fn the_schemas_words_are_the_codes() {
    let rig = Rig::start("codes").await;
    let definition: String = sqlx::query_scalar(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'code_known'",
    )
    .fetch_one(rig.pg.pool())
    .await
    .unwrap();
    let there: BTreeSet<&str> = definition.split('\'').skip(1).step_by(2).collect();
    let ours: BTreeSet<&str> = Code::ALL.iter().map(|code| code.word()).collect();
    assert_eq!(there, ours);
}

#[tokio::test]
async fn the_schema_knows_every_account_and_which_are_hot() {
    let rig = Rig::start("accounts").await;
    for account in Account::FIXED.into_iter().chain([rider(1), driver(1)]) {
        let name = account.to_string();
        assert_eq!(name.parse(), Ok(account), "reads back");
        let hot: bool = sqlx::query_scalar("SELECT ledger.is_hot($1::text::ledger.account_name)")
            .bind(&name)
            .fetch_one(rig.pg.pool())
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(hot, account.is_hot(), "{name}");
    }
}

#[tokio::test]
async fn an_id_is_used_once() {
    let rig = Rig::start("once").await;
    let row = Row::posted();
    accepted(&rig, &[insert(std::slice::from_ref(&row))]).await;
    assert_eq!(row_refused_by(&rig, row).await, "transfer_once");
}

#[tokio::test]
async fn a_transfer_is_between_two_accounts() {
    let rig = Rig::start("two").await;
    let row = Row {
        credit: rider(1).to_string(),
        ..Row::posted()
    };
    assert_eq!(row_refused_by(&rig, row).await, "transfer_between_two");
}

#[tokio::test]
async fn an_amount_is_within_its_bounds() {
    let rig = Rig::start("amount").await;
    let promise = Row::pending();
    accepted(&rig, &[insert(std::slice::from_ref(&promise))]).await;
    for amount in [0, -1, 1_000_000_000_000_001] {
        for row in [Row::posted(), Row::pending()] {
            let row = Row { amount, ..row };
            assert_eq!(row_refused_by(&rig, row).await, "transfer_amount_within");
        }
    }
    for row in [
        Row::ending(&promise, "void_pending", 1),
        Row::ending(&promise, "post_pending", 0),
    ] {
        assert_eq!(row_refused_by(&rig, row).await, "transfer_amount_within");
    }
}

#[tokio::test]
async fn what_ends_a_promise_names_it_and_nothing_else_does() {
    let rig = Rig::start("names").await;
    let promise = Row::pending();
    accepted(&rig, &[insert(std::slice::from_ref(&promise))]).await;
    for row in [
        Row {
            pending: Some((promise.id, 500)),
            ..Row::posted()
        },
        Row {
            kind: "post_pending",
            ..Row::posted()
        },
        Row {
            kind: "void_pending",
            amount: 0,
            ..Row::posted()
        },
    ] {
        assert_eq!(row_refused_by(&rig, row).await, "transfer_resolves");
    }
}

#[tokio::test]
async fn no_more_is_posted_than_was_promised() {
    let rig = Rig::start("within").await;
    let promise = Row::pending();
    accepted(&rig, &[insert(std::slice::from_ref(&promise))]).await;
    let more = Row::ending(&promise, "post_pending", 501);
    assert_eq!(
        row_refused_by(&rig, more.clone()).await,
        "transfer_posts_within_pending"
    );
    let lie = Row {
        pending: Some((promise.id, 501)),
        ..more
    };
    assert_eq!(
        row_refused_by(&rig, lie).await,
        "resolution_matches_pending",
        "nor by saying that more was promised"
    );
}

#[tokio::test]
async fn a_promise_is_ended_as_it_was_made() {
    let rig = Rig::start("as_made").await;
    let promise = Row::pending();
    accepted(&rig, &[insert(std::slice::from_ref(&promise))]).await;
    let end = Row::ending(&promise, "post_pending", 400);
    for row in [
        Row {
            debit: rider(2).to_string(),
            ..end.clone()
        },
        Row {
            credit: driver(2).to_string(),
            ..end.clone()
        },
        Row {
            currency: "EUR",
            ..end.clone()
        },
        Row {
            pending: Some((promise.id, 450)),
            ..end.clone()
        },
    ] {
        assert_eq!(
            row_refused_by(&rig, row).await,
            "resolution_matches_pending"
        );
    }
    accepted(&rig, &[insert(&[end])]).await;
    assert_eq!(rig.violations().await, []);
}

#[tokio::test]
async fn a_promise_is_ended_once() {
    let rig = Rig::start("ended").await;
    let promise = Row::pending();
    accepted(&rig, &[insert(std::slice::from_ref(&promise))]).await;
    accepted(
        &rig,
        &[insert(&[Row::ending(&promise, "post_pending", 400)])],
    )
    .await;
    for again in [
        Row::ending(&promise, "post_pending", 100),
        Row::ending(&promise, "void_pending", 0),
    ] {
        assert_eq!(row_refused_by(&rig, again).await, "pending_resolved_once");
    }
}

#[tokio::test]
async fn only_an_open_promise_is_ended() {
    let rig = Rig::start("open").await;
    let posted = Row::posted();
    accepted(&rig, &[insert(std::slice::from_ref(&posted))]).await;
    for of in [posted, Row::pending()] {
        let end = Row::ending(&of, "void_pending", 0);
        assert_eq!(row_refused_by(&rig, end).await, "pending_open");
    }
}

#[tokio::test]
async fn a_promise_whose_time_is_over_is_not_posted() {
    let rig = Rig::start("time").await;
    let promise = Row {
        expires: Some(10),
        ..Row::pending()
    };
    accepted(&rig, &[insert(std::slice::from_ref(&promise))]).await;
    let late = Row {
        at: 10,
        ..Row::ending(&promise, "post_pending", 400)
    };
    assert_eq!(row_refused_by(&rig, late.clone()).await, "pending_in_time");
    accepted(&rig, &[insert(&[Row { at: 9, ..late }])]).await;
}

#[tokio::test]
async fn only_a_promise_expires_and_only_later() {
    let rig = Rig::start("later").await;
    for row in [
        Row {
            expires: Some(10),
            ..Row::posted()
        },
        Row {
            expires: Some(0),
            ..Row::pending()
        },
    ] {
        assert_eq!(row_refused_by(&rig, row).await, "transfer_expires_later");
    }
}

#[tokio::test]
async fn a_group_is_written_as_a_whole() {
    let rig = Rig::start("whole").await;
    let line = |line, size| Row {
        group: [line, size],
        ..Row::posted()
    };
    for rows in [
        vec![line(1, 2)],
        vec![line(1, 2), line(2, 3)],
        vec![line(1, 2), line(1, 2)],
    ] {
        assert_eq!(refused_by(&rig, &[insert(&rows)]).await, "group_complete");
    }
    for row in [line(0, 1), line(2, 1), line(1, 65)] {
        assert_eq!(row_refused_by(&rig, row).await, "transfer_in_group");
    }
    accepted(&rig, &[insert(&[line(1, 2), line(2, 2)])]).await;
}

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
}

#[tokio::test]
async fn the_code_refuses_before_the_schema_has_to() {
    use hexcab_ledger::Refusal;
    let rig = Rig::start("before").await;
    let one = post(rider(1), driver(1), 5);
    let hold = pend_for(rider(1), driver(1), 5, 10);
    rig.submit(&[one]).await.unwrap();
    rig.submit(&[hold]).await.unwrap();
    let partly = [one, post(rider(1), driver(1), 6)];
    assert_eq!(rig.refused(&partly).await, Refusal::PartlyThere);
    let other = hexcab_ledger::Transfer {
        code: Code::Tip,
        ..one
    };
    assert_eq!(rig.refused(&[other]).await, Refusal::TransferExists(one.id));
    assert_eq!(
        rig.refused(&[crate::rig::post_pending(&hold, 6)]).await,
        Refusal::ExceedsPending(hold.id)
    );
    assert_eq!(
        rig.refused(&[crate::rig::void(&one)]).await,
        Refusal::NotPending(one.id)
    );
    rig.submit(&[crate::rig::void(&hold)]).await.unwrap();
    assert_eq!(
        rig.refused(&[crate::rig::post_pending(&hold, 5)]).await,
        Refusal::AlreadyVoided(hold.id)
    );
    assert_eq!(
        rig.usd(driver(1)).await,
        [5, 0, 0],
        "nothing of it was applied"
    );
    assert_eq!(rig.violations().await, []);
}
