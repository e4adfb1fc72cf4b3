//! Every state × command a second time, by hand; and random histories against the invariants.

use hexcab_types::Currency;
use proptest::prelude::*;

use super::*;
use crate::domain::{
    Method,
    samples::{ending, hold, intent, pi, refund, rest, tip, usd},
    settlement::EndingKind,
};

/// Every state of an intent whose trip ended with a charge of 20.00, or of nothing.
fn states() -> Vec<(&'static str, State)> {
    let code = || "card_declined".to_owned();
    vec![
        ("requires hold", State::RequiresHold),
        ("unknown hold", State::Unknown(Unanswered::Hold)),
        ("held", State::Held(hold())),
        ("unknown raise", State::Unknown(Unanswered::Raise(hold()))),
        (
            "unknown capture",
            State::Unknown(Unanswered::Capture(hold())),
        ),
        ("unknown void", State::Unknown(Unanswered::Void(hold()))),
        (
            "captured",
            State::Captured {
                hold: hold(),
                taken: Taken::captured(usd(2_000)),
            },
        ),
        (
            "capture failed",
            State::CaptureFailed {
                hold: hold(),
                code: code(),
                owed: usd(2_000),
            },
        ),
        ("voided", State::Voided { hold: Some(hold()) }),
        (
            "declined",
            State::Declined {
                code: code(),
                owed: None,
            },
        ),
        (
            "declined, owed",
            State::Declined {
                code: code(),
                owed: Some(usd(2_000)),
            },
        ),
        ("awaits cash", State::AwaitsCash),
        ("cash collected", State::CashCollected),
        ("owed", State::Owed { owed: usd(2_000) }),
    ]
}

fn commands() -> Vec<(&'static str, Command)> {
    let code = || "card_declined".to_owned();
    let done = || Said::Done {
        processor_id: ProcessorId("pi_2".into()),
    };
    vec![
        ("place", Command::PlaceHold { processor_id: pi() }),
        ("decline", Command::DeclineHold { code: code() }),
        ("raise", Command::RaiseHold { to: usd(2_300) }),
        ("decline raise", Command::DeclineRaise { code: code() }),
        ("capture", Command::Capture { amount: usd(2_000) }),
        ("fail capture", Command::FailCapture { code: code() }),
        ("void", Command::Void),
        ("lose hold", Command::LoseAnswer(HoldStep::Hold)),
        ("lose raise", Command::LoseAnswer(HoldStep::Raise)),
        ("lose capture", Command::LoseAnswer(HoldStep::Capture)),
        ("lose void", Command::LoseAnswer(HoldStep::Void)),
        ("collect", Command::CollectCash),
        ("owe", Command::Owe),
        ("rest", Command::AnswerRest(rest(1), done())),
        ("tip", Command::AnswerTip(tip(1), done())),
        ("refund", Command::AnswerRefund(refund(1), done())),
    ]
}

fn word(result: &Result<Event, Refusal>) -> &'static str {
    match result {
        Ok(Event::HoldPlaced { .. }) => "placed",
        Ok(Event::HoldDeclined { .. }) => "declined",
        Ok(Event::HoldRaised { .. }) => "raised",
        Ok(Event::RaiseDeclined { .. }) => "not raised",
        Ok(Event::Captured { .. }) => "captured",
        Ok(Event::CaptureFailed { .. }) => "failed",
        Ok(Event::Voided) => "voided",
        Ok(Event::AnswerLost(_)) => "lost",
        Ok(Event::CashCollected { .. }) => "collected",
        Ok(Event::DebtIncurred { .. }) => "owed",
        Ok(Event::RestCharged { .. }) => "rest",
        Ok(Event::RestDeclined { .. }) => "no rest",
        Ok(Event::Refunded(_)) => "refunded",
        Ok(Event::RefundFailed(..)) => "not refunded",
        Ok(Event::TipCharged(_)) => "tipped",
        Ok(Event::TipDeclined(..)) => "not tipped",
        Ok(Event::ChargebackOpened(_) | Event::ChargebackClosed(_)) => "disputed",
        Err(Refusal::Finished) => "fin",
        Err(Refusal::AlreadyHeld) => "already",
        Err(Refusal::NotHeld) => "unheld",
        Err(Refusal::AnswerOutstanding) => "ask",
        Err(Refusal::NotWithinHold) => "not within",
        Err(Refusal::NotRaised) => "no raise",
        Err(Refusal::NotTheCharge) => "charge",
        Err(Refusal::OtherMethod) => "method",
        Err(Refusal::NothingTaken) => "none",
        Err(Refusal::MoreThanTaken) => "more",
    }
}

#[rustfmt::skip]
const TABLE: [(&str, [&str; 16]); 14] = [
    //                   place     decline     raise     dec. raise    capture     fail      void     l. hold    l. raise   l. capt.   l. void    collect      owe       rest    tip       refund
    ("requires hold",   ["placed",  "declined", "unheld", "unheld",     "unheld",   "unheld", "charge", "lost",    "unheld",  "unheld",  "unheld",  "method",    "method", "none", "none",   "none"]),
    ("unknown hold",    ["placed",  "declined", "ask",    "ask",        "ask",      "ask",    "ask",    "lost",    "ask",     "ask",     "ask",     "method",    "method", "none", "none",   "none"]),
    ("held",            ["already", "already",  "raised", "not raised", "captured", "failed", "charge", "already", "lost",    "lost",    "lost",    "method",    "method", "none", "none",   "none"]),
    ("unknown raise",   ["already", "already",  "raised", "not raised", "ask",      "ask",    "ask",    "already", "lost",    "ask",     "ask",     "method",    "method", "none", "none",   "none"]),
    ("unknown capture", ["already", "already",  "ask",    "ask",        "captured", "failed", "ask",    "already", "ask",     "lost",    "ask",     "method",    "method", "none", "none",   "none"]),
    ("unknown void",    ["already", "already",  "ask",    "ask",        "ask",      "ask",    "charge", "already", "ask",     "ask",     "lost",    "method",    "method", "none", "none",   "none"]),
    ("captured",        ["fin",     "fin",      "fin",    "fin",        "fin",      "fin",    "fin",    "fin",     "fin",     "fin",     "fin",     "fin",       "fin",    "charge", "tipped", "refunded"]),
    ("capture failed",  ["fin",     "fin",      "fin",    "fin",        "fin",      "fin",    "fin",    "fin",     "fin",     "fin",     "fin",     "fin",       "fin",    "none", "none",   "none"]),
    ("voided",          ["fin",     "fin",      "fin",    "fin",        "fin",      "fin",    "fin",    "fin",     "fin",     "fin",     "fin",     "fin",       "fin",    "none", "none",   "none"]),
    ("declined",        ["fin",     "fin",      "fin",    "fin",        "fin",      "fin",    "fin",    "fin",     "fin",     "fin",     "fin",     "fin",       "owed",   "none", "none",   "none"]),
    ("declined, owed",  ["fin",     "fin",      "fin",    "fin",        "fin",      "fin",    "fin",    "fin",     "fin",     "fin",     "fin",     "fin",       "fin",    "none", "none",   "none"]),
    ("awaits cash",     ["method",  "method",   "method", "method",     "method",   "method", "charge", "method",  "method",  "method",  "method",  "collected", "owed",   "none", "none",   "none"]),
    ("cash collected",  ["fin",     "fin",      "fin",    "fin",        "fin",      "fin",    "fin",    "fin",     "fin",     "fin",     "fin",     "fin",       "fin",    "none", "tipped", "none"]),
    ("owed",            ["fin",     "fin",      "fin",    "fin",        "fin",      "fin",    "fin",    "fin",     "fin",     "fin",     "fin",     "fin",       "fin",    "none", "none",   "none"]),
];

#[test]
fn every_state_answers_every_command_as_the_table_says() {
    for ((name, state), (row, expected)) in states().into_iter().zip(TABLE) {
        assert_eq!(name, row);
        let mut intent = intent(state, Some(2_000));
        intent.raise = usd(300);
        for ((command_name, command), expected) in commands().into_iter().zip(expected) {
            assert_eq!(
                word(&decide(&intent, command)),
                expected,
                "{name} × {command_name}"
            );
        }
    }
    assert_eq!(states().len(), TABLE.len());
    assert_eq!(commands().len(), TABLE[0].1.len());
}

#[test]
fn what_costs_nothing_is_voided_and_never_captured_owed_or_collected() {
    #[rustfmt::skip]
    let table = [
        //                   void      capture   fail      collect   owe
        ("requires hold",   ["voided", "unheld", "unheld", "method", "method"]),
        ("unknown hold",    ["ask",    "ask",    "ask",    "method", "method"]),
        ("held",            ["voided", "charge", "charge", "method", "method"]),
        ("unknown raise",   ["ask",    "ask",    "ask",    "method", "method"]),
        ("unknown capture", ["ask",    "charge", "charge", "method", "method"]),
        ("unknown void",    ["voided", "ask",    "ask",    "method", "method"]),
        ("awaits cash",     ["voided", "method", "method", "charge", "charge"]),
    ];
    let commands = || {
        let code = "x".to_owned();
        [
            Command::Void,
            Command::Capture { amount: usd(2_000) },
            Command::FailCapture { code },
            Command::CollectCash,
            Command::Owe,
        ]
    };
    let all = states();
    for (row, expected) in table {
        let (_, state) = all.iter().find(|(name, _)| *name == row).unwrap();
        for (charge, expected) in [(Some(0), expected), (None, expected.map(unended))] {
            let intent = intent(state.clone(), charge);
            for (command, expected) in commands().into_iter().zip(expected) {
                let said = format!("{row}, {charge:?} × {command:?}");
                assert_eq!(word(&decide(&intent, command)), expected, "{said}");
            }
        }
    }
}

/// Before a trip has ended, nothing is settled.
const fn unended(word: &'static str) -> &'static str {
    match word.as_bytes() {
        b"voided" => "charge",
        _ => word,
    }
}

#[test]
fn never_more_than_the_hold_is_captured_nor_another_amount_than_the_charge() {
    let held = |charge| intent(State::Held(hold()), Some(charge));
    let capture = |charge, amount| decide(&held(charge), Command::Capture { amount });
    for amount in [usd(2_001), usd(0), usd(-1), Money::new(1, Currency::Eur)] {
        assert_eq!(
            capture(2_000, amount),
            Err(Refusal::NotWithinHold),
            "{amount}"
        );
    }
    assert_eq!(
        capture(1_800, usd(1_800)).map(|event| word(&Ok(event))),
        Ok("captured")
    );
    for amount in [1_799, 1_801, 2_000] {
        assert_eq!(capture(1_800, usd(amount)), Err(Refusal::NotTheCharge));
    }
    assert_eq!(
        capture(2_500, usd(2_000)),
        Ok(Event::Captured {
            amount: usd(2_000),
            rest: usd(500)
        })
    );
}

#[test]
fn nothing_is_no_hold() {
    for nothing in [0, -1] {
        let mut begun = intent(State::RequiresHold, None);
        begun.amount = usd(nothing);
        let placed = decide(&begun, Command::PlaceHold { processor_id: pi() });
        assert_eq!(placed, Err(Refusal::NotWithinHold));
    }
}

#[test]
fn a_hold_is_raised_by_what_was_asked_and_once() {
    let mut held = intent(State::Held(hold()), None);
    let raise = |held: &Intent, to| decide(held, Command::RaiseHold { to });
    let decline = |held: &Intent| decide(held, Command::DeclineRaise { code: "x".into() });
    assert_eq!(
        raise(&held, usd(2_300)),
        Err(Refusal::NotRaised),
        "nobody asked"
    );
    assert_eq!(decline(&held), Err(Refusal::NotRaised));
    held.raise = usd(300);
    for to in [
        usd(2_000),
        usd(1_999),
        usd(2_301),
        Money::new(2_300, Currency::Eur),
    ] {
        assert_eq!(raise(&held, to), Err(Refusal::NotRaised), "{to}");
    }
    let event = raise(&held, usd(2_300)).unwrap();
    let raised = held.clone().apply(&event);
    assert_eq!(
        raised.state.hold().map(|hold| hold.amount),
        Some(usd(2_300))
    );
    assert_eq!(raise(&raised, usd(2_300)), Err(Refusal::NotRaised), "once");
    assert_eq!(decline(&raised), Err(Refusal::NotRaised), "it was answered");
    let declined = held.clone().apply(&decline(&held).unwrap());
    assert_eq!((declined.raise, declined.state), (usd(0), held.state));
}

#[test]
fn never_more_is_given_back_than_was_taken() {
    let taken = Taken {
        rest: usd(500),
        refunded: usd(2_450),
        ..Taken::captured(usd(2_000))
    };
    let captured = intent(
        State::Captured {
            hold: hold(),
            taken,
        },
        Some(2_500),
    );
    let give_back = |minor| {
        let refund = Refund {
            amount: usd(minor),
            ..refund(1)
        };
        let processor_id = ProcessorId("re_1".into());
        let command = Command::AnswerRefund(refund, Said::Done { processor_id });
        word(&decide(&captured, command))
    };
    assert_eq!(give_back(50), "refunded");
    assert_eq!(give_back(51), "more");
}

#[test]
fn a_rest_is_answered_once() {
    let code = || "x".to_owned();
    let mut intent = intent(
        State::Captured {
            hold: hold(),
            taken: Taken::captured(usd(2_000)),
        },
        Some(2_500),
    );
    let refused = Command::AnswerRest(rest(1), Said::Refused { code: code() });
    let event = decide(&intent, refused.clone()).unwrap();
    assert_eq!(
        event,
        Event::RestDeclined {
            code: code(),
            owed: usd(500)
        }
    );
    intent = intent.apply(&event);
    assert_eq!(intent.state.owed(), Some(usd(500)));
    assert_eq!(decide(&intent, refused), Err(Refusal::Finished));
}

#[test]
fn a_rest_is_what_the_trip_cost_above_the_capture_and_answered_before_anything_is_given_back() {
    let answer = |charge, refunded| {
        let taken = Taken {
            refunded: usd(refunded),
            ..Taken::captured(usd(2_000))
        };
        let hold = hold();
        let captured = intent(State::Captured { hold, taken }, Some(charge));
        let processor_id = ProcessorId("pi_2".into());
        let said = Said::Done { processor_id };
        word(&decide(&captured, Command::AnswerRest(rest(1), said)))
    };
    assert_eq!(answer(2_500, 0), "rest");
    for charge in [2_000, 2_499, 2_501] {
        assert_eq!(answer(charge, 0), "charge", "{charge}");
    }
    for refunded in [1, 2_000] {
        assert_eq!(answer(2_500, refunded), "fin", "{refunded}");
    }
}

#[test]
fn cash_that_was_not_driven_for_is_not_collected() {
    let mut fee = intent(State::AwaitsCash, Some(500));
    fee.ending = Some(Ending {
        kind: EndingKind::NoShow,
        ..ending(500)
    });
    assert_eq!(
        decide(&fee, Command::CollectCash),
        Err(Refusal::NotTheCharge)
    );
}

proptest! {
    #[test]
    fn any_history_ends_at_most_once_captures_within_the_hold_and_gives_back_within_that(
        cash: bool, charge in prop::sample::select(vec![None, Some(0), Some(1_500), Some(2_000), Some(2_500)]),
        choices in prop::collection::vec(0_usize..16, 0..60),
    ) {
        let begin = if cash { State::AwaitsCash } else { State::RequiresHold };
        let (mut intent, mut published, mut endings) = (intent(begin, charge), 0, 0);
        intent.raise = usd(300);
        intent.method = if cash { Method::Cash } else { Method::Card };
        for choice in choices {
            let before = intent.clone();
            let Ok(event) = decide(&intent, commands()[choice].1.clone()) else { continue };
            published += i64::from(event.is_published());
            intent = intent.apply(&event);
            if before.state.is_terminal() {
                prop_assert!(intent.state.is_terminal());
                prop_assert_eq!(before.state.hold(), intent.state.hold());
                prop_assert_eq!(before.state.taken().map(|taken| taken.captured), intent.state.taken().map(|taken| taken.captured));
            }
            endings += i32::from(!before.state.is_terminal() && intent.state.is_terminal());
            if let Some(taken) = intent.state.taken() {
                let held = intent.state.hold().map_or(0, |hold| hold.amount.minor);
                prop_assert!(taken.captured.minor <= held);
                prop_assert!(taken.refunded.minor <= taken.captured.minor + taken.rest.minor);
                prop_assert!(taken.rest.minor == 0 || taken.owed.minor == 0);
            }
        }
        prop_assert!(endings <= 1);
        prop_assert_eq!(intent.version, published);
    }
}
