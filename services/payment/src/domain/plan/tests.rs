//! Every order in every state, and every answer to every call, by hand.

use hexcab_types::Timestamp;

use super::*;
use crate::{
    domain::{
        Said, Taken,
        samples::{captured, hold, intent, pi, refund, rest, tip, usd},
    },
    processor::{self, Failure, Payment, PaymentStatus, RefundStatus},
};

fn states() -> Vec<(&'static str, State)> {
    let code = || "x".to_owned();
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
        ("voided", State::Voided { hold: None }),
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

fn word(next: &Next) -> &'static str {
    match next {
        Next::Call(_) => "call",
        Next::Record(_) => "record",
        Next::Close => "close",
        Next::Stuck => "stuck",
    }
}

#[test]
fn every_state_asks_for_every_order_as_the_table_says() {
    #[rustfmt::skip]
    let table = [
        //                   hold     raise    capture   void      charge   tip      refund
        ("requires hold",   ["call",  "stuck", "stuck",  "record", "stuck", "stuck", "stuck"]),
        ("unknown hold",    ["call",  "stuck", "stuck",  "stuck",  "stuck", "stuck", "stuck"]),
        ("held",            ["close", "call",  "call",   "call",   "stuck", "stuck", "stuck"]),
        ("unknown raise",   ["close", "call",  "stuck",  "stuck",  "stuck", "stuck", "stuck"]),
        ("unknown capture", ["close", "stuck", "call",   "stuck",  "stuck", "stuck", "stuck"]),
        ("unknown void",    ["close", "stuck", "stuck",  "call",   "stuck", "stuck", "stuck"]),
        ("captured",        ["close", "close", "close",  "close",  "call",  "call",  "call"]),
        ("capture failed",  ["close", "close", "close",  "close",  "stuck", "stuck", "stuck"]),
        ("voided",          ["close", "close", "close",  "close",  "stuck", "stuck", "stuck"]),
        ("declined",        ["close", "close", "record", "record", "stuck", "stuck", "stuck"]),
        ("declined, owed",  ["close", "close", "close",  "close",  "stuck", "stuck", "stuck"]),
        ("awaits cash",     ["stuck", "stuck", "stuck",  "stuck",  "stuck", "stuck", "stuck"]),
        ("cash collected",  ["stuck", "stuck", "stuck",  "stuck",  "stuck", "call",  "stuck"]),
        ("owed",            ["stuck", "stuck", "stuck",  "stuck",  "stuck", "stuck", "stuck"]),
    ];
    let orders = [
        Order::Hold,
        Order::Raise { to: usd(2_300) },
        Order::Capture,
        Order::Void,
        Order::Charge(rest(1)),
        Order::Tip(tip(1)),
        Order::Refund(refund(1)),
    ];
    for ((name, state), (row, expected)) in states().into_iter().zip(table) {
        assert_eq!(name, row);
        let intent = intent(state, Some(2_000));
        for (order, expected) in orders.iter().zip(expected) {
            assert_eq!(word(&next(&intent, order)), expected, "{name} × {order:?}");
        }
    }
}

#[test]
fn a_charge_is_captured_as_far_as_it_is_held() {
    for (charge, captured) in [(1_800, 1_800), (2_000, 2_000), (2_500, 2_000)] {
        let intent = intent(State::Held(hold()), Some(charge));
        let (id, amount) = (pi(), usd(captured));
        assert_eq!(
            next(&intent, &Order::Capture),
            Next::Call(Call::Capture { id, amount })
        );
    }
    let open = intent(State::Held(hold()), None);
    for order in [Order::Capture, Order::Void] {
        assert_eq!(next(&open, &order), Next::Stuck, "the trip has not ended");
    }
}

#[test]
fn a_raise_that_is_held_already_asks_nobody() {
    let held = intent(State::Held(hold()), None);
    let raise = Order::Raise { to: usd(2_000) };
    assert_eq!(next(&held, &raise), Next::Close);
}

#[test]
fn a_declined_trip_that_costs_nothing_and_owes_nobody_anything_is_closed() {
    let declined = State::Declined {
        code: "x".into(),
        owed: None,
    };
    assert_eq!(next(&intent(declined, Some(0)), &Order::Void), Next::Close);
}

#[test]
fn what_is_answered_is_not_asked_again() {
    let done = || Answer::Done { processor_id: pi() };
    let refused = || Answer::Refused { code: "x".into() };
    for answer in [done(), refused()] {
        let (charge, tip, refund) = (
            Extra {
                answer: answer.clone(),
                ..rest(1)
            },
            Extra {
                answer: answer.clone(),
                ..tip(1)
            },
            Refund {
                answer,
                ..refund(1)
            },
        );
        for order in [
            Order::Charge(charge),
            Order::Tip(tip),
            Order::Refund(refund),
        ] {
            assert_eq!(next(&captured(), &order), Next::Close, "{order:?}");
        }
    }
}

fn calls() -> [(&'static str, Call); 6] {
    [
        ("hold", Call::Hold { amount: usd(2_000) }),
        (
            "raise",
            Call::Raise {
                id: pi(),
                to: usd(2_300),
            },
        ),
        (
            "capture",
            Call::Capture {
                id: pi(),
                amount: usd(1_800),
            },
        ),
        ("void", Call::Void { id: pi() }),
        ("charge", Call::Charge(rest(1))),
        ("tip", Call::Charge(tip(1))),
    ]
}

fn refund_call() -> Call {
    Call::Refund {
        refund: refund(1),
        payment: pi(),
    }
}

fn payment(status: PaymentStatus, minor: i64) -> Payment {
    Payment {
        id: pi(),
        status,
        amount: usd(minor),
        raisable: true,
        label: None,
        created_at: Timestamp::UNIX_EPOCH,
    }
}

fn meant(meaning: &Meaning) -> &'static str {
    match meaning {
        Meaning::Known(command) => match command {
            Command::PlaceHold { .. } => "placed",
            Command::DeclineHold { .. }
            | Command::DeclineRaise { .. }
            | Command::FailCapture { .. }
            | Command::AnswerRest(_, Said::Refused { .. })
            | Command::AnswerTip(_, Said::Refused { .. })
            | Command::AnswerRefund(_, Said::Refused { .. }) => "refused",
            Command::RaiseHold { .. } => "raised",
            Command::Capture { .. } => "captured",
            Command::Void => "voided",
            Command::AnswerRest(_, Said::Done { .. })
            | Command::AnswerTip(_, Said::Done { .. })
            | Command::AnswerRefund(_, Said::Done { .. }) => "done",
            Command::LoseAnswer(_) | Command::CollectCash | Command::Owe => "nonsense",
        },
        Meaning::NotYet => "not yet",
        Meaning::Lost(_) => "lost",
        Meaning::Pending(_) => "pending",
        Meaning::Spent(_) => "spent",
        Meaning::Wrong(_) => "wrong",
    }
}

#[test]
fn every_answer_to_every_call_means_what_the_table_says() {
    let declined = || PaymentStatus::Declined { code: "x".into() };
    let took = |amount_minor| PaymentStatus::Captured { amount_minor };
    let open = || PaymentStatus::Open {
        status: "processing".into(),
    };
    let statuses = [
        ("held as was", PaymentStatus::Held, 2_000),
        ("held for more", PaymentStatus::Held, 2_300),
        ("took 18.00", took(1_800), 2_000),
        ("took 5.00", took(500), 500),
        ("took 2.00", took(200), 200),
        ("canceled", PaymentStatus::Canceled, 2_000),
        ("declined", declined(), 2_000),
        ("open", open(), 2_000),
    ];
    #[rustfmt::skip]
    let table = [
        //                  hold      raise      capture     void       charge     tip
        ("held as was",   ["placed",  "not yet", "not yet",  "not yet", "wrong",   "wrong"]),
        ("held for more", ["wrong",   "raised",  "not yet",  "not yet", "wrong",   "wrong"]),
        ("took 18.00",    ["wrong",   "wrong",   "captured", "wrong",   "wrong",   "wrong"]),
        ("took 5.00",     ["wrong",   "wrong",   "wrong",    "wrong",   "done",    "wrong"]),
        ("took 2.00",     ["wrong",   "wrong",   "wrong",    "wrong",   "wrong",   "done"]),
        ("canceled",      ["refused", "refused", "refused",  "voided",  "refused", "refused"]),
        ("declined",      ["refused", "refused", "refused",  "wrong",   "refused", "refused"]),
        ("open",          ["lost",    "lost",    "lost",     "lost",    "lost",    "lost"]),
    ];
    for ((name, status, minor), (row, expected)) in statuses.into_iter().zip(table) {
        assert_eq!(name, row);
        for ((of, call), expected) in calls().into_iter().zip(expected) {
            let meaning = call.of_payment(Ok(payment(status.clone(), minor)));
            assert_eq!(meant(&meaning), expected, "{of}: {name}");
        }
    }
}

#[test]
fn every_failure_of_every_call_means_what_the_table_says() {
    let text = || "said".to_owned();
    let failures = [
        ("declined", Failure::Declined { code: text() }),
        ("unanswered", Failure::Unanswered(text())),
        ("in flight", Failure::InFlight),
        ("spent", Failure::Spent(text())),
        ("missing", Failure::Missing(text())),
        ("rejected", Failure::Rejected(text())),
    ];
    #[rustfmt::skip]
    let table = [
        //               hold       raise      capture    void     charge     tip        refund
        ("declined",   ["refused", "refused", "refused", "wrong", "refused", "refused", "refused"]),
        ("unanswered", ["lost",    "lost",    "lost",    "lost",  "lost",    "lost",    "lost"]),
        ("in flight",  ["lost",    "lost",    "lost",    "lost",  "lost",    "lost",    "lost"]),
        ("spent",      ["spent",   "spent",   "spent",   "wrong", "spent",   "spent",   "spent"]),
        ("missing",    ["wrong",   "wrong",   "wrong",   "wrong", "wrong",   "wrong",   "wrong"]),
        ("rejected",   ["wrong",   "wrong",   "wrong",   "wrong", "wrong",   "wrong",   "refused"]),
    ];
    for ((name, failure), (row, expected)) in failures.into_iter().zip(table) {
        assert_eq!(name, row);
        for ((of, call), expected) in calls().into_iter().zip(expected) {
            let meaning = call.of_payment(Err(failure.clone()));
            assert_eq!(meant(&meaning), expected, "{of}: {name}");
        }
        let meaning = refund_call().of_refund(Err(failure));
        assert_eq!(meant(&meaning), expected[6], "refund: {name}");
    }
}

#[test]
fn a_refund_is_done_pending_or_refused_as_the_processor_says() {
    let told = |minor, status| {
        refund_call().of_refund(Ok(processor::Refund {
            id: "re_1".into(),
            payment: Some(pi()),
            amount: usd(minor),
            status,
            label: None,
            created_at: Timestamp::UNIX_EPOCH,
        }))
    };
    let failed = || RefundStatus::Failed { reason: "x".into() };
    assert_eq!(meant(&told(100, RefundStatus::Succeeded)), "done");
    assert_eq!(meant(&told(100, RefundStatus::Pending)), "pending");
    assert_eq!(meant(&told(100, failed())), "refused");
    assert_eq!(meant(&told(99, RefundStatus::Succeeded)), "wrong");
}
