//! The comparison as tables, written out by hand.

use hexcab_types::Timestamp;
use uuid::Uuid;

use super::*;
use crate::{domain::ProcessorId, processor::Label};

fn intent() -> IntentId {
    Uuid::from_u128(7).into()
}

fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::Usd)
}

fn label() -> Option<Label> {
    Some(Label {
        intent: intent(),
        key: "k-hold".into(),
    })
}

fn theirs(status: PaymentStatus) -> Payment {
    Payment {
        id: ProcessorId("pi_1".into()),
        status,
        amount: usd(2_000),
        raisable: false,
        label: label(),
        created_at: Timestamp::UNIX_EPOCH,
    }
}

fn ours(is: Is) -> Ours {
    Ours {
        intent: intent(),
        currency: Currency::Usd,
        busy: false,
        payments: vec![OurPayment {
            id: Some("pi_1".into()),
            key: "k-hold".into(),
            is,
        }],
        refunds: Vec::new(),
        disputes: Vec::new(),
    }
}

#[test]
fn every_belief_against_every_answer_is_what_the_table_says() {
    use Kind::{AmountDiffers as A, MissingHere as H, StateDiffers as S};
    let answers = [
        PaymentStatus::Held,
        PaymentStatus::Captured {
            amount_minor: 1_500,
        },
        PaymentStatus::Canceled,
        PaymentStatus::Declined { code: "x".into() },
        PaymentStatus::Open {
            status: "processing".into(),
        },
    ];
    #[rustfmt::skip]
    let table = [
        //                 held     taken 1500  canceled  declined  open
        (Is::Held(2_000),  [None,    Some(S),    Some(S),  Some(S),  Some(S)]),
        (Is::Held(1_999),  [Some(A), Some(S),    Some(S),  Some(S),  Some(S)]),
        (Is::Taken(1_500), [Some(S), None,       Some(S),  Some(S),  Some(S)]),
        (Is::Taken(1_501), [Some(S), Some(A),    Some(S),  Some(S),  Some(S)]),
        (Is::GivenBack,    [Some(S), Some(S),    None,     Some(S),  Some(S)]),
        (Is::Refused,      [Some(S), Some(S),    None,     None,     Some(S)]),
        (Is::Nothing,      [Some(H), Some(H),    None,     None,     None]),
        (Is::Open,         [None,    None,       None,     None,     None]),
    ];
    for (is, row) in table {
        for (answer, expected) in answers.iter().zip(row) {
            let found = payment(Some(&ours(is)), &theirs(answer.clone()));
            assert_eq!(
                found.map(|finding| finding.kind),
                expected,
                "{is:?} × {answer:?}"
            );
        }
    }
}

#[test]
fn money_of_ours_that_no_intent_knows_is_missing_here_and_others_money_is_not_ours() {
    let kind =
        |ours: Option<&Ours>, theirs: &Payment| payment(ours, theirs).map(|found| found.kind);
    let held = theirs(PaymentStatus::Held);
    assert_eq!(kind(None, &held), Some(Kind::MissingHere));
    let foreign = Payment {
        label: None,
        ..held.clone()
    };
    assert_eq!(kind(None, &foreign), None);
    // A second payment of a step that has one: held twice.
    let second = Payment {
        id: ProcessorId("pi_2".into()),
        ..held.clone()
    };
    assert_eq!(
        kind(Some(&ours(Is::Held(2_000))), &second),
        Some(Kind::MissingHere)
    );
    // The step ended without an id: what its key made is it.
    let mut declined = ours(Is::Refused);
    declined.payments[0].id = None;
    assert_eq!(kind(Some(&declined), &held), Some(Kind::StateDiffers));
    let refused = theirs(PaymentStatus::Declined { code: "x".into() });
    assert_eq!(kind(Some(&declined), &refused), None);
}

#[test]
fn the_same_number_in_another_currency_is_another_amount() {
    let yen = Payment {
        amount: Money::new(2_000, Currency::Jpy),
        ..theirs(PaymentStatus::Held)
    };
    let found = payment(Some(&ours(Is::Held(2_000))), &yen).unwrap();
    assert_eq!(found.kind, Kind::AmountDiffers);
}

fn refund(id: &str, key: Option<&str>, minor: i64, status: RefundStatus) -> Refund {
    Refund {
        id: id.into(),
        payment: Some(ProcessorId("pi_1".into())),
        amount: usd(minor),
        status,
        label: key.map(|key| Label {
            intent: intent(),
            key: key.into(),
        }),
        created_at: Timestamp::UNIX_EPOCH,
    }
}

fn with_refund(id: Option<&str>, done: Option<bool>) -> Ours {
    let mut ours = ours(Is::Taken(1_500));
    ours.refunds.push(OurRefund {
        id: id.map(Into::into),
        payment: "pi_1".into(),
        key: "k-refund".into(),
        amount: 300,
        done,
    });
    ours
}

#[test]
fn refunds_are_compared_by_id_or_key_and_amount_and_state() {
    let taken = theirs(PaymentStatus::Captured {
        amount_minor: 1_500,
    });
    let kinds = |ours: &Ours, refund: Option<Refund>| -> Vec<Kind> {
        let all: Vec<Refund> = refund.into_iter().collect();
        let found = refunds(Some(ours), &taken, &all);
        found.into_iter().map(|finding| finding.kind).collect()
    };
    let failed = || RefundStatus::Failed { reason: "x".into() };
    let made = |minor, status| Some(refund("re_1", Some("k-refund"), minor, status));
    let done = with_refund(Some("re_1"), Some(true));
    assert_eq!(kinds(&done, made(300, RefundStatus::Succeeded)), []);
    assert_eq!(kinds(&done, made(300, RefundStatus::Pending)), []);
    assert_eq!(
        kinds(&done, made(299, RefundStatus::Succeeded)),
        [Kind::AmountDiffers]
    );
    assert_eq!(kinds(&done, made(300, failed())), [Kind::StateDiffers]);
    assert_eq!(kinds(&done, None), [Kind::MissingThere]);

    let refused = with_refund(None, Some(false));
    assert_eq!(
        kinds(&refused, made(300, RefundStatus::Succeeded)),
        [Kind::StateDiffers]
    );
    assert_eq!(kinds(&refused, made(300, failed())), []);
    assert_eq!(kinds(&refused, None), []);

    let open = with_refund(None, None);
    assert_eq!(kinds(&open, made(300, RefundStatus::Succeeded)), []);
    assert_eq!(kinds(&open, None), []);

    let none = ours(Is::Taken(1_500));
    let by_hand = |minor| Some(refund("re_9", None, minor, RefundStatus::Succeeded));
    assert_eq!(kinds(&none, by_hand(400)), [Kind::MissingHere]);
    assert_eq!(
        kinds(&none, by_hand(500)),
        [],
        "the rest of the hold, let go"
    );
    assert_eq!(
        kinds(&none, made(500, RefundStatus::Succeeded)),
        [Kind::MissingHere]
    );
}

#[test]
fn refunds_of_others_payments_are_none_of_ours() {
    let foreign = Payment {
        label: None,
        ..theirs(PaymentStatus::Captured {
            amount_minor: 2_000,
        })
    };
    let made = refund("re_1", None, 5, RefundStatus::Succeeded);
    assert_eq!(refunds(None, &foreign, &[made]), []);
}

#[test]
fn disputes_are_compared_by_id_amount_and_state() {
    use DisputeStatus as D;
    let said = |status, minor| Dispute {
        id: "dp_1".into(),
        payment: Some(ProcessorId("pi_1".into())),
        amount: usd(minor),
        status,
        reason: "fraudulent".into(),
        created_at: Timestamp::UNIX_EPOCH,
    };
    let mut known = ours(Is::Taken(1_500));
    known.disputes.push(OurDispute {
        id: "dp_1".into(),
        amount: 1_500,
        status: D::Open,
    });
    let unknown = ours(Is::Taken(1_500));
    let kind = |ours: Option<&Ours>, theirs: Option<Dispute>| {
        dispute(ours, "dp_1", theirs.as_ref()).map(|finding| finding.kind)
    };
    assert_eq!(kind(Some(&known), Some(said(D::Open, 1_500))), None);
    assert_eq!(
        kind(Some(&known), Some(said(D::Lost, 1_500))),
        Some(Kind::StateDiffers)
    );
    assert_eq!(
        kind(Some(&known), Some(said(D::Open, 1_400))),
        Some(Kind::AmountDiffers)
    );
    assert_eq!(kind(Some(&known), None), Some(Kind::MissingThere));
    assert_eq!(
        kind(Some(&unknown), Some(said(D::Open, 1_500))),
        Some(Kind::MissingHere)
    );
    assert_eq!(kind(Some(&unknown), Some(said(D::Inquiry, 1_500))), None);
    assert_eq!(kind(None, Some(said(D::Open, 1_500))), None, "none of ours");
}
