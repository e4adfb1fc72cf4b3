//! What the database refuses by itself, whatever the code does. Each test goes red without its constraint.

use hexcab_payment::domain::State;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

use crate::rig::{Ride, Rig};

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

async fn run(connection: &mut PgConnection, statements: &[String]) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    for statement in statements {
        sqlx::query(AssertSqlSafe(statement.clone()))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

/// A trip whose money is held, and one whose money is captured.
async fn held_and_captured() -> (Rig, Uuid, Uuid) {
    let (rig, held, captured) = (Rig::start().await, Ride::new(), Ride::new());
    rig.tell(&held.requested()).await;
    rig.tell(&captured.requested()).await;
    rig.tell(&captured.completed(2_000)).await;
    rig.work().await;
    let (one, two) = (rig.intent(&held).await, rig.intent(&captured).await);
    assert!(matches!(
        (&one.state, &two.state),
        (State::Held { .. }, State::Captured { .. })
    ));
    (rig, one.id.uuid(), two.id.uuid())
}

fn post(intent: Uuid, posted: i64) -> String {
    format!(
        "UPDATE transfers SET state = 'posted', posted_minor = {posted}, resolved_at = now() WHERE intent = '{intent}'"
    )
}

fn capture(intent: Uuid, captured: i64) -> String {
    format!(
        "UPDATE intents SET state = 'CAPTURED', captured_minor = {captured} WHERE id = '{intent}'"
    )
}

fn journal(id: Uuid, intent: Uuid) -> String {
    format!(
        "INSERT INTO journals (id, transfer, created_at) SELECT '{id}', id, now() FROM transfers WHERE intent = '{intent}'"
    )
}

fn entry(journal: Uuid, line: i32, account: &str, currency: &str, amount: i64) -> String {
    format!("INSERT INTO entries VALUES ('{journal}', {line}, '{account}', '{currency}', {amount})")
}

#[tokio::test]
async fn a_journal_that_does_not_sum_to_zero_is_refused_at_commit() {
    let (rig, held, _) = held_and_captured().await;
    let id = Uuid::now_v7();
    let begin = [
        capture(held, 100),
        post(held, 100),
        journal(id, held),
        entry(id, 1, "processor", "USD", -100),
    ];
    let with = |more: &[String]| [&begin[..], more].concat();
    let short = with(&[entry(id, 2, "platform:revenue", "USD", 99)]);
    assert_eq!(refused_by(&rig, &short).await, "journal_balanced");
    let other = with(&[entry(id, 2, "platform:revenue", "EUR", 100)]);
    assert_eq!(
        refused_by(&rig, &other).await,
        "journal_balanced",
        "currencies sum each on their own"
    );
    assert_eq!(
        refused_by(&rig, &begin[..3]).await,
        "journal_balanced",
        "an empty journal is none"
    );
    let balanced = with(&[entry(id, 2, "platform:revenue", "USD", 100)]);
    run(&mut rig.pg.pool().acquire().await.unwrap(), &balanced)
        .await
        .expect("a balanced journal is taken");
}

#[tokio::test]
async fn a_journal_says_what_its_transfer_posted() {
    let (rig, held, _) = held_and_captured().await;
    let id = Uuid::now_v7();
    let lines = [
        entry(id, 1, "processor", "USD", -90),
        entry(id, 2, "platform:revenue", "USD", 90),
    ];
    let statements = [
        &[capture(held, 100), post(held, 100), journal(id, held)][..],
        &lines,
    ]
    .concat();
    assert_eq!(
        refused_by(&rig, &statements).await,
        "journal_matches_transfer"
    );
}

#[tokio::test]
async fn what_was_entered_is_never_changed() {
    let (rig, _, captured) = held_and_captured().await;
    let of = format!(
        "WHERE journal IN (SELECT j.id FROM journals j JOIN transfers t ON t.id = j.transfer WHERE t.intent = '{captured}')"
    );
    for statement in [
        format!("UPDATE entries SET amount_minor = amount_minor + 1 {of}"),
        format!("DELETE FROM entries {of}"),
        "UPDATE journals SET created_at = now()".to_owned(),
        "TRUNCATE entries".to_owned(),
    ] {
        assert_eq!(
            refused_by(&rig, std::slice::from_ref(&statement)).await,
            "ledger_append_only",
            "{statement}"
        );
    }
    let id: Uuid = sqlx::query_scalar("SELECT id FROM journals")
        .fetch_one(rig.pg.pool())
        .await
        .unwrap();
    let late = [
        entry(id, 90, "processor", "USD", -1),
        entry(id, 91, "platform:tax", "USD", 1),
    ];
    assert_eq!(
        refused_by(&rig, &late).await,
        "journal_sealed",
        "balanced, but too late"
    );
}

#[tokio::test]
async fn a_transfer_ends_once() {
    let (rig, held, captured) = held_and_captured().await;
    assert_eq!(
        refused_by(&rig, &[post(captured, 2_000)]).await,
        "transfer_resolved_once",
        "a double post"
    );
    let void = format!(
        "UPDATE transfers SET state = 'voided', posted_minor = NULL WHERE intent = '{captured}'"
    );
    assert_eq!(refused_by(&rig, &[void]).await, "transfer_resolved_once");
    let grow =
        format!("UPDATE transfers SET amount_minor = amount_minor + 1 WHERE intent = '{held}'");
    assert_eq!(refused_by(&rig, &[grow]).await, "transfer_resolved_once");
    let delete = format!("DELETE FROM transfers WHERE intent = '{held}'");
    assert_eq!(refused_by(&rig, &[delete]).await, "transfer_resolved_once");
    assert_eq!(
        refused_by(&rig, &[post(held, 2_001)]).await,
        "transfer_posted_within"
    );
    assert_eq!(
        refused_by(&rig, &[journal(Uuid::now_v7(), captured)]).await,
        "one_journal_per_transfer"
    );
}

/// An intent whose hold was declined and whose completed trip is still to be settled.
async fn declined_and_due() -> (Rig, Ride, Uuid) {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.sandbox
        .fault(serde_json::json!({"kind": "decline", "rider": ride.rider.to_string()}))
        .await;
    rig.tell(&ride.requested()).await;
    rig.work().await;
    rig.tell(&ride.completed(2_000)).await;
    let id = rig.intent(&ride).await.id.uuid();
    (rig, ride, id)
}

fn debt(id: Uuid, intent: Uuid) -> String {
    format!("INSERT INTO journals (id, debt_of, created_at) VALUES ('{id}', '{intent}', now())")
}

#[tokio::test]
async fn a_charge_on_a_declined_hold_does_not_end_without_its_debt() {
    let (rig, ..) = declined_and_due().await;
    let finish = "UPDATE work SET finished_at = now() WHERE step = 'capture'".to_owned();
    assert_eq!(refused_by(&rig, &[finish]).await, "declined_charge_is_owed");
}

#[tokio::test]
async fn a_debt_is_what_its_declined_intent_charges() {
    let (rig, ride, intent) = declined_and_due().await;
    let (rider, driver) = (ride.rider.name(), ride.driver.name());
    let journal = |owed: i64, pay: i64, from: &str| {
        let id = Uuid::now_v7();
        vec![
            debt(id, intent),
            entry(id, 1, from, "USD", -owed),
            entry(id, 2, &driver, "USD", pay),
            entry(id, 3, "platform:revenue", "USD", owed - pay),
        ]
    };
    for (why, statements) in [
        ("too little", journal(1_999, 1_400, &rider)),
        ("the driver short", journal(2_000, 1_399, &rider)),
        ("of the processor", journal(2_000, 1_400, "processor")),
        ("of nobody", journal(2_000, 1_400, "platform:tax")),
    ] {
        assert_eq!(
            refused_by(&rig, &statements).await,
            "journal_matches_debt",
            "{why}"
        );
    }
    let mut both = journal(2_000, 1_400, &rider);
    both[0] = both[0]
        .replace("debt_of,", "debt_of, transfer,")
        .replace(", now()", ", (SELECT id FROM transfers), now()");
    assert_eq!(refused_by(&rig, &both).await, "journal_of_transfer_or_debt");
    run(
        &mut rig.pg.pool().acquire().await.unwrap(),
        &journal(2_000, 1_400, &rider),
    )
    .await
    .expect("the debt is taken");
    assert_eq!(
        refused_by(&rig, &journal(2_000, 1_400, &rider)).await,
        "one_debt_per_intent"
    );
}

#[tokio::test]
async fn only_a_declined_intent_has_a_debt() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.requested()).await;
    rig.tell(&ride.completed(2_000)).await;
    rig.work().await;
    let (id, intent) = (Uuid::now_v7(), rig.intent(&ride).await);
    assert!(matches!(intent.state, State::Captured { .. }));
    let statements = [
        debt(id, intent.id.uuid()),
        entry(id, 1, &ride.rider.name(), "USD", -2_000),
        entry(id, 2, &ride.driver.name(), "USD", 1_400),
        entry(id, 3, "platform:revenue", "USD", 600),
    ];
    assert_eq!(refused_by(&rig, &statements).await, "journal_matches_debt");
}

#[tokio::test]
async fn an_intent_and_its_transfer_tell_the_same_story() {
    let (rig, held, _) = held_and_captured().await;
    assert_eq!(
        refused_by(&rig, &[capture(held, 100)]).await,
        "intent_agrees_with_ledger",
        "captured, not posted"
    );
    let posted = [capture(held, 100), post(held, 100)];
    assert_eq!(
        refused_by(&rig, &posted).await,
        "intent_agrees_with_ledger",
        "posted, no journal"
    );
    let void = format!(
        "UPDATE transfers SET state = 'voided', resolved_at = now() WHERE intent = '{held}'"
    );
    assert_eq!(
        refused_by(&rig, &[void]).await,
        "intent_agrees_with_ledger",
        "voided, still held"
    );
    let alone = "INSERT INTO intents (id, trip, rider, state, currency, held_minor, created_at, updated_at) VALUES \
                 (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'REQUIRES_HOLD', 'USD', 1, now(), now())";
    assert_eq!(
        refused_by(&rig, &[alone.to_owned()]).await,
        "intent_agrees_with_ledger",
        "an intent without a transfer"
    );
}

#[tokio::test]
async fn an_intent_goes_only_where_the_table_says() {
    let (rig, held, captured) = held_and_captured().await;
    let set = |id: Uuid, what: &str| format!("UPDATE intents SET {what} WHERE id = '{id}'");
    for (statement, guard) in [
        (
            set(held, "state = 'REQUIRES_HOLD', processor_id = NULL"),
            "intent_identity_fixed",
        ),
        (
            set(held, "state = 'UNKNOWN', asked = 'hold'"),
            "intent_transition_allowed",
        ),
        (set(held, "decline_code = 'x'"), "intent_declined_has_code"),
        (
            set(
                held,
                "state = 'UNKNOWN', asked = 'capture', processor_id = ''",
            ),
            "intent_identity_fixed",
        ),
        (
            set(captured, "state = 'VOIDED', captured_minor = 0"),
            "intent_transition_allowed",
        ),
        (
            set(captured, "state = 'HELD', captured_minor = 0"),
            "intent_transition_allowed",
        ),
        (
            set(held, "held_minor = held_minor + 1"),
            "intent_identity_fixed",
        ),
        (
            set(held, "state = 'DECLINED', decline_code = 'x'"),
            "intent_transition_allowed",
        ),
        (
            set(captured, "captured_minor = 5000"),
            "intent_captured_within_hold",
        ),
        (set(held, "state = 'LOST'"), "intent_transition_allowed"),
        (
            format!("DELETE FROM intents WHERE id = '{held}'"),
            "intents_kept",
        ),
    ] {
        assert_eq!(
            refused_by(&rig, std::slice::from_ref(&statement)).await,
            guard,
            "{statement}"
        );
    }
}

#[tokio::test]
async fn a_trip_has_one_intent_one_hold_and_one_settlement() {
    let (rig, held, captured) = held_and_captured().await;
    let twin = format!(
        "INSERT INTO intents (id, trip, rider, state, currency, held_minor, created_at, updated_at)
         SELECT gen_random_uuid(), trip, rider, 'REQUIRES_HOLD', currency, held_minor, now(), now() FROM intents WHERE id = '{held}'"
    );
    assert_eq!(
        refused_by(&rig, std::slice::from_ref(&twin)).await,
        "one_intent_per_trip"
    );
    let born_held = twin.replace("'REQUIRES_HOLD'", "'HELD'");
    assert_eq!(refused_by(&rig, &[born_held]).await, "intent_begins_unheld");
    let second = format!("INSERT INTO work (intent, step) VALUES ('{captured}', 'void')");
    assert_eq!(
        refused_by(&rig, &[second]).await,
        "one_hold_and_one_settlement"
    );
    let transfer = format!(
        "INSERT INTO transfers (id, intent, debit, credit, currency, amount_minor, state, created_at)
         VALUES (gen_random_uuid(), '{held}', 'processor', 'platform:tax', 'USD', 1, 'pending', now())"
    );
    assert_eq!(
        refused_by(&rig, &[transfer]).await,
        "one_transfer_per_intent"
    );
}

#[tokio::test]
async fn the_transition_table_is_the_domains() {
    use hexcab_payment::domain::{
        Intent, ProcessorId, Step, Unanswered,
        decide::{Command, decide},
    };
    use hexcab_types::{Currency, Money};

    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.requested()).await;
    let fresh = rig.intent(&ride).await;
    let id = || ProcessorId("pi".into());
    let amount = Money::new(1, Currency::Usd);
    let states = [
        State::RequiresHold,
        State::Held { processor_id: id() },
        State::Captured {
            processor_id: id(),
            amount,
        },
        State::Voided { processor_id: None },
        State::Declined { code: "x".into() },
        State::Unknown(Unanswered::Hold),
        State::Unknown(Unanswered::Capture { processor_id: id() }),
        State::Unknown(Unanswered::Void { processor_id: id() }),
    ];
    let commands = [
        Command::PlaceHold { processor_id: id() },
        Command::DeclineHold { code: "x".into() },
        Command::Capture { amount },
        Command::Void,
        Command::LoseAnswer(Step::Hold),
        Command::LoseAnswer(Step::Capture),
        Command::LoseAnswer(Step::Void),
    ];
    let mut expected = std::collections::BTreeSet::new();
    for state in states {
        for command in commands.clone() {
            let Ok(event) = decide(&state, fresh.amount, command) else {
                continue;
            };
            let after = Intent {
                state: state.clone(),
                ..fresh.clone()
            }
            .apply(&event);
            if name(&state) != name(&after.state) {
                expected.insert((name(&state), name(&after.state)));
            }
        }
    }
    let table: Vec<(String, String)> =
        sqlx::query_as("SELECT from_state, to_state FROM intent_transitions")
            .fetch_all(rig.pg.pool())
            .await
            .unwrap();
    assert_eq!(
        table.into_iter().collect::<std::collections::BTreeSet<_>>(),
        expected
    );
}

fn name(state: &State) -> String {
    use hexcab_payment::domain::Unanswered;
    match state {
        State::RequiresHold => "REQUIRES_HOLD",
        State::Held { .. } => "HELD",
        State::Captured { .. } => "CAPTURED",
        State::Voided { .. } => "VOIDED",
        State::Declined { .. } => "DECLINED",
        State::Unknown(Unanswered::Hold) => "UNKNOWN:hold",
        State::Unknown(Unanswered::Capture { .. }) => "UNKNOWN:capture",
        State::Unknown(Unanswered::Void { .. }) => "UNKNOWN:void",
    }
    .to_owned()
}
