//! What the schema refuses by itself, whatever the code does. Each test goes red without its constraint.

mod derived;
mod promises;

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
