//! The columns of an intent fit its state, and its state machine is the domain's.

use std::collections::BTreeSet;

use hexcab_payment::domain::{
    Answer, Extra, ExtraKind, Hold, HoldStep, Intent, ProcessorId, Said, State, Taken, Unanswered,
    decide::{Command, decide},
};
use hexcab_types::{Currency, Money, Timestamp};
use uuid::Uuid;

use super::{ENDED, check, held_and_captured, refused_by, set};
use crate::rig::{Ride, Rig};

/// Lets an intent go from one state to another that the table does not know, so that only its columns can refuse.
async fn allow(rig: &Rig, transitions: &[(&str, &str)]) {
    for (from, to) in transitions {
        sqlx::query("INSERT INTO intent_transitions VALUES ($1, $2)")
            .bind(from)
            .bind(to)
            .execute(rig.pg.pool())
            .await
            .unwrap();
    }
}

/// A trip that ended, driven unless said otherwise.
fn ended(charge: i64) -> String {
    format!("charge_minor = {charge}, {ENDED}")
}

#[tokio::test]
async fn an_intents_columns_fit_its_state() {
    let (rig, held, captured) = held_and_captured().await;
    let declined = "intent_declined_has_code";
    let (within, settled) = ("intent_captured_within_hold", "intent_settled_as_charged");
    let refunded = "intent_refunded_within_taken";
    let taken = |captured: i64, charge: i64, owed: i64| {
        let ended = ended(charge);
        format!("state = 'CAPTURED', captured_minor = {captured}, owed_minor = {owed}, {ended}")
    };
    let failed = |owed: i64| {
        let ended = ended(2_000);
        format!("state = 'CAPTURE_FAILED', decline_code = 'x', owed_minor = {owed}, {ended}")
    };
    let partly = "state = 'PARTLY_REFUNDED', refunded_minor";
    check(
        &rig,
        &[
            (set(held, "decline_code = 'x'"), declined),
            (set(held, &failed(2_000).replace("'x'", "NULL")), declined),
            (set(held, "captured_minor = 1"), within),
            (set(held, &taken(0, 0, 0)), within),
            (set(held, &taken(2_001, 2_001, 0)), within),
            (set(held, &taken(1_999, 2_000, 0)), settled),
            (set(held, &taken(2_000, 2_500, 499)), settled),
            (
                set(
                    held,
                    &format!("rest_minor = 500, {}", taken(2_000, 2_500, 500)),
                ),
                settled,
            ),
            (set(held, &failed(1_999)), settled),
            (set(held, "rest_minor = 1"), settled),
            (set(held, "owed_minor = 1"), settled),
            (
                set(held, &format!("state = 'VOIDED', {}", ended(1))),
                settled,
            ),
            (set(captured, "rest_minor = 1"), settled),
            (set(captured, "owed_minor = 1"), settled),
            (set(held, "refunded_minor = 1"), refunded),
            (set(captured, "refunded_minor = 1"), refunded),
            (
                set(captured, "state = 'REFUNDED', refunded_minor = 1999"),
                refunded,
            ),
            (set(captured, &format!("{partly} = 2000")), refunded),
            (set(captured, &format!("{partly} = 0")), refunded),
            (set(held, "raise_minor = -1"), "intent_raise_not_negative"),
        ],
    )
    .await;
}

#[tokio::test]
async fn how_a_trip_ended_is_told_whole() {
    let (rig, held, _) = held_and_captured().await;
    let (whole, ended) = ("intent_ending_whole", ended(5));
    check(
        &rig,
        &[
            (set(held, "charge_minor = 1"), whole),
            (set(held, "driver = gen_random_uuid()"), whole),
            (set(held, &ended.replace("= 5", "= -1")), whole),
            (
                set(held, &ended.replace("due_minor = 0", "due_minor = -1")),
                whole,
            ),
            (
                set(held, &ended.replace("tax_minor = 0", "tax_minor = 6")),
                whole,
            ),
            (
                set(held, &ended.replace("tax_minor = 0", "tax_minor = -1")),
                whole,
            ),
            (
                set(held, &ended.replace("gen_random_uuid()", "NULL")),
                whole,
            ),
            (
                set(held, &ended.replace("DRIVEN", "LOST")),
                "intent_ending_known",
            ),
        ],
    )
    .await;
}

/// An intent that nothing is held for yet.
async fn fresh() -> (Rig, Uuid) {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.requested()).await;
    let id = rig.intent(&ride).await.id.uuid();
    (rig, id)
}

#[tokio::test]
async fn an_intents_words_are_known_ones_and_what_is_unknown_has_a_name() {
    let (rig, fresh) = fresh().await;
    let begins = "REQUIRES_HOLD";
    let beyond = ["LOST", "UNKNOWN", "UNKNOWN:x", "REQUIRES_HOLD:hold"];
    allow(&rig, &beyond.map(|state| (begins, state))).await;
    let new = |method: &str, state: &str, currency: &str, amount: i64| {
        format!(
            "INSERT INTO intents (id, trip, rider, method, state, currency, amount_minor, created_at, updated_at) VALUES
             (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), '{method}', '{state}', '{currency}', {amount}, now(), now())"
        )
    };
    let says = "intent_unknown_says_what";
    check(
        &rig,
        &[
            (set(fresh, "state = 'LOST'"), "intent_state_known"),
            (set(fresh, "state = 'UNKNOWN'"), says),
            (set(fresh, "state = 'UNKNOWN', asked = 'x'"), says),
            (set(fresh, "asked = 'hold'"), says),
            (new("CARD", begins, "usd", 1), "intent_currency_iso"),
            (new("BARTER", begins, "USD", 1), "intent_method_known"),
            (new("CARD", begins, "USD", -1), "intent_amount_not_negative"),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_is_held_is_held_by_one_payment_of_the_processors() {
    let (rig, _, _) = held_and_captured().await;
    let last = Ride::new();
    rig.tell(&last.requested()).await;
    let last = rig.intent(&last).await.id.uuid();
    let held = "state = 'HELD', held_minor = 2000";
    let same = "processor_id = (SELECT max(processor_id) FROM intents)";
    check(
        &rig,
        &[
            (set(last, held), "intent_held_has_processor_id"),
            (
                set(last, "processor_id = 'pi'"),
                "intent_held_has_processor_id",
            ),
            (
                set(last, &format!("{held}, {same}")),
                "one_intent_per_processor_payment",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_intent_of_cash_asks_no_processor() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&Ride::in_cash(&ride.requested())).await;
    let id = rig.intent(&ride).await.id.uuid();
    for guard in [
        "state = 'HELD', processor_id = 'pi', held_minor = 2000",
        "state = 'REQUIRES_HOLD'",
    ] {
        let by = refused_by(&rig, &[set(id, guard)]).await;
        assert_eq!(by, "intent_transition_allowed");
    }
    let statements = [
        "INSERT INTO intent_transitions VALUES ('AWAITS_CASH', 'DECLINED')".to_owned(),
        set(id, "state = 'DECLINED', decline_code = 'x'"),
    ];
    assert_eq!(
        refused_by(&rig, &statements).await,
        "intent_state_fits_method"
    );
    let statements = [
        "INSERT INTO intent_transitions VALUES ('AWAITS_CASH', 'VOIDED')  ON CONFLICT DO NOTHING"
            .to_owned(),
        set(
            id,
            &format!("state = 'VOIDED', processor_id = 'pi', charge_minor = 0, {ENDED}"),
        ),
    ];
    assert_eq!(
        refused_by(&rig, &statements).await,
        "intent_held_has_processor_id"
    );
    // Collected from somebody who was not driven, and owed another amount than it cost.
    let collected = format!("state = 'CASH_COLLECTED', {}", ended(5)).replace("DRIVEN", "NO_SHOW");
    let owed = format!("state = 'OWED', owed_minor = 4, {}", ended(5));
    check(
        &rig,
        &[
            (set(id, &collected), "intent_settled_as_charged"),
            (set(id, &owed), "intent_settled_as_charged"),
        ],
    )
    .await;
}

#[tokio::test]
async fn the_transition_table_is_the_domains() {
    let (rig, ride) = (Rig::start().await, Ride::new());
    rig.tell(&ride.requested()).await;
    rig.tell(&ride.completed(2_000)).await;
    let fresh = rig.intent(&ride).await;
    let mut expected = BTreeSet::new();
    for state in states() {
        for command in commands() {
            for charge in [0, 2_000, 2_500] {
                let mut before = Intent {
                    state: state.clone(),
                    raise: Money::new(300, Currency::Usd),
                    ..fresh.clone()
                };
                if let Some(ending) = &mut before.ending {
                    ending.charge.amount.minor = charge;
                }
                let Ok(event) = decide(&before, command.clone()) else {
                    continue;
                };
                let after = before.apply(&event);
                if name(&state) != name(&after.state) {
                    expected.insert((name(&state), name(&after.state)));
                }
            }
        }
    }
    let table: Vec<(String, String)> =
        sqlx::query_as("SELECT from_state, to_state FROM intent_transitions")
            .fetch_all(rig.pg.pool())
            .await
            .unwrap();
    assert_eq!(table.into_iter().collect::<BTreeSet<_>>(), expected);
}

fn states() -> Vec<State> {
    let usd = |minor| Money::new(minor, Currency::Usd);
    let code = || "x".to_owned();
    let hold = || Hold {
        id: ProcessorId("pi".into()),
        amount: usd(2_000),
    };
    let captured = |refunded| State::Captured {
        hold: hold(),
        taken: Taken {
            refunded: usd(refunded),
            ..Taken::captured(usd(2_000))
        },
    };
    let owed = usd(2_000);
    vec![
        State::RequiresHold,
        State::Held(hold()),
        captured(0),
        captured(1),
        captured(2_000),
        State::CaptureFailed {
            hold: hold(),
            code: code(),
            owed,
        },
        State::Voided { hold: None },
        State::Declined {
            code: code(),
            owed: None,
        },
        State::Unknown(Unanswered::Hold),
        State::Unknown(Unanswered::Raise(hold())),
        State::Unknown(Unanswered::Capture(hold())),
        State::Unknown(Unanswered::Void(hold())),
        State::AwaitsCash,
        State::CashCollected,
        State::Owed { owed },
    ]
}

fn commands() -> Vec<Command> {
    let usd = |minor| Money::new(minor, Currency::Usd);
    let code = || "x".to_owned();
    let processor_id = || ProcessorId("pi".into());
    let done = || Said::Done {
        processor_id: processor_id(),
    };
    let extra = |kind| Extra {
        id: Uuid::from_u128(1).into(),
        kind,
        amount: usd(500),
        answer: Answer::Awaited,
        created_at: Timestamp::UNIX_EPOCH,
    };
    let refund = |minor| hexcab_payment::domain::Refund {
        id: Uuid::from_u128(1).into(),
        of: hexcab_payment::domain::refund::Of::Capture,
        amount: usd(minor),
        driver_part: usd(0),
        tax_part: usd(0),
        clawback: false,
        reason: "x".into(),
        operator: Uuid::from_u128(7).into(),
        answer: Answer::Awaited,
        created_at: Timestamp::UNIX_EPOCH,
    };
    let tip = ExtraKind::Tip {
        driver: Uuid::from_u128(9).into(),
    };
    let mut commands = vec![
        Command::PlaceHold {
            processor_id: processor_id(),
        },
        Command::DeclineHold { code: code() },
        Command::RaiseHold { to: usd(2_300) },
        Command::DeclineRaise { code: code() },
        Command::Capture { amount: usd(2_000) },
        Command::FailCapture { code: code() },
        Command::Void,
        Command::CollectCash,
        Command::Owe,
        Command::AnswerRest(extra(ExtraKind::Rest), done()),
        Command::AnswerTip(extra(tip), done()),
        Command::AnswerRefund(refund(1), done()),
        Command::AnswerRefund(refund(1_999), done()),
        Command::AnswerRefund(refund(2_000), done()),
    ];
    commands.extend(HoldStep::ALL.map(Command::LoseAnswer));
    commands
}

fn name(state: &State) -> String {
    match state {
        State::RequiresHold => "REQUIRES_HOLD",
        State::Held(_) => "HELD",
        State::Captured { taken, .. } if taken.refunded.minor == 0 => "CAPTURED",
        State::Captured { taken, .. } => {
            if taken.refunded.minor < taken.captured.minor + taken.rest.minor {
                "PARTLY_REFUNDED"
            } else {
                "REFUNDED"
            }
        }
        State::CaptureFailed { .. } => "CAPTURE_FAILED",
        State::Voided { .. } => "VOIDED",
        State::Declined { .. } => "DECLINED",
        State::Unknown(Unanswered::Hold) => "UNKNOWN:hold",
        State::Unknown(Unanswered::Raise(_)) => "UNKNOWN:raise",
        State::Unknown(Unanswered::Capture(_)) => "UNKNOWN:capture",
        State::Unknown(Unanswered::Void(_)) => "UNKNOWN:void",
        State::AwaitsCash => "AWAITS_CASH",
        State::CashCollected => "CASH_COLLECTED",
        State::Owed { .. } => "OWED",
    }
    .to_owned()
}
