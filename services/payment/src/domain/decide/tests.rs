//! Every state × command a second time, by hand; and random histories against the invariants.

use hexcab_types::{Currency, IntentId, RiderId, Timestamp, TripId};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const HELD: Money = Money::new(2_000, Currency::Usd);

fn id() -> ProcessorId {
    ProcessorId("pi_1".into())
}

fn states() -> [(&'static str, State); 8] {
    [
        ("requires hold", State::RequiresHold),
        ("unknown hold", State::Unknown(Unanswered::Hold)),
        ("held", State::Held { processor_id: id() }),
        (
            "unknown capture",
            State::Unknown(Unanswered::Capture { processor_id: id() }),
        ),
        (
            "unknown void",
            State::Unknown(Unanswered::Void { processor_id: id() }),
        ),
        (
            "captured",
            State::Captured {
                processor_id: id(),
                amount: HELD,
            },
        ),
        (
            "voided",
            State::Voided {
                processor_id: Some(id()),
            },
        ),
        (
            "declined",
            State::Declined {
                code: "card_declined".into(),
            },
        ),
    ]
}

fn commands() -> [(&'static str, Command); 7] {
    [
        ("place", Command::PlaceHold { processor_id: id() }),
        (
            "decline",
            Command::DeclineHold {
                code: "card_declined".into(),
            },
        ),
        ("capture", Command::Capture { amount: HELD }),
        ("void", Command::Void),
        ("lose hold", Command::LoseAnswer(Step::Hold)),
        ("lose capture", Command::LoseAnswer(Step::Capture)),
        ("lose void", Command::LoseAnswer(Step::Void)),
    ]
}

fn word(result: &Result<Event, Refusal>) -> &'static str {
    match result {
        Ok(Event::HoldPlaced { .. }) => "placed",
        Ok(Event::HoldDeclined { .. }) => "declined",
        Ok(Event::Captured { .. }) => "captured",
        Ok(Event::Voided) => "voided",
        Ok(Event::AnswerLost(_)) => "lost",
        Err(Refusal::Finished) => "finished",
        Err(Refusal::AlreadyHeld) => "already",
        Err(Refusal::NotHeld) => "not held",
        Err(Refusal::AnswerOutstanding) => "ask",
        Err(Refusal::NotWithinHold) => "not within",
    }
}

#[test]
fn every_state_answers_every_command_as_the_table_says() {
    #[rustfmt::skip]
    let table = [
        //                    place      decline     capture     void        lose hold   lose capture lose void
        ("requires hold",   ["placed",   "declined", "not held", "voided",   "lost",     "not held", "not held"]),
        ("unknown hold",    ["placed",   "declined", "ask",      "ask",      "lost",     "ask",      "ask"]),
        ("held",            ["already",  "already",  "captured", "voided",   "already",  "lost",     "lost"]),
        ("unknown capture", ["already",  "already",  "captured", "ask",      "already",  "lost",     "ask"]),
        ("unknown void",    ["already",  "already",  "ask",      "voided",   "already",  "ask",      "lost"]),
        ("captured",        ["finished", "finished", "finished", "finished", "finished", "finished", "finished"]),
        ("voided",          ["finished", "finished", "finished", "finished", "finished", "finished", "finished"]),
        ("declined",        ["finished", "finished", "finished", "finished", "finished", "finished", "finished"]),
    ];
    for ((name, state), (row, expected)) in states().into_iter().zip(table) {
        assert_eq!(name, row);
        for ((command_name, command), expected) in commands().into_iter().zip(expected) {
            assert_eq!(
                word(&decide(&state, HELD, command)),
                expected,
                "{name} × {command_name}"
            );
        }
    }
}

#[test]
fn never_more_than_the_hold_is_captured() {
    let held = State::Held { processor_id: id() };
    for amount in [
        Money::new(2_001, Currency::Usd),
        Money::new(0, Currency::Usd),
        Money::new(-1, Currency::Usd),
        Money::new(1, Currency::Eur),
    ] {
        assert_eq!(
            decide(&held, HELD, Command::Capture { amount }),
            Err(Refusal::NotWithinHold),
            "{amount}"
        );
    }
}

#[test]
fn a_key_depends_on_intent_and_step_only() {
    let (one, two) = (
        IntentId::from(Uuid::from_u128(1)),
        IntentId::from(Uuid::from_u128(2)),
    );
    assert_eq!(Step::Hold.key(one), Step::Hold.key(one));
    assert_ne!(Step::Hold.key(one), Step::Capture.key(one));
    assert_ne!(Step::Hold.key(one), Step::Hold.key(two));
}

fn fresh() -> Intent {
    Intent {
        id: IntentId::from(Uuid::from_u128(1)),
        trip: TripId::from(Uuid::from_u128(2)),
        rider: RiderId::from(Uuid::from_u128(3)),
        amount: HELD,
        state: State::RequiresHold,
        version: 0,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
    }
}

proptest! {
    #[test]
    fn any_history_ends_at_most_once_and_captures_within_the_hold(choices in prop::collection::vec(0_usize..7, 0..40)) {
        let (mut intent, mut published, mut endings) = (fresh(), 0, 0);
        for choice in choices {
            let was_terminal = intent.state.is_terminal();
            let Ok(event) = decide(&intent.state, intent.amount, commands()[choice].1.clone()) else { continue };
            prop_assert!(!was_terminal, "a finished intent changed");
            published += i64::from(event.is_published());
            intent = intent.apply(&event);
            endings += i32::from(intent.state.is_terminal());
        }
        prop_assert!(endings <= 1);
        prop_assert_eq!(intent.version, published);
        prop_assert!(intent.version <= 2, "hold answered, then settled");
    }
}
