//! Who gets and bears what, by hand; and that no cent is lost or made, over random refunds.

use std::time::Duration;

use hexcab_types::Currency;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::{
    DriverPay, Ending, Hold, Taken,
    dispute::DisputeState,
    samples::{driver, ending, held, intent, pi, refund as sample, rest, usd},
};

/// A trip that cost `captured` and `rest`, both taken.
fn taken(captured: i64, rest_taken: i64) -> (Intent, Vec<Extra>) {
    let hold = Hold {
        id: pi(),
        amount: usd(captured),
    };
    let taken = Taken {
        rest: usd(rest_taken),
        ..Taken::captured(usd(captured))
    };
    let intent = intent(State::Captured { hold, taken }, Some(captured + rest_taken));
    let processor_id = ProcessorId("pi_rest".into());
    let extras = (rest_taken > 0).then(|| Extra {
        amount: usd(rest_taken),
        answer: Answer::Done { processor_id },
        ..rest(4)
    });
    (intent, extras.into_iter().collect())
}

fn ask(amount: Option<i64>, clawback: bool) -> Ask {
    Ask {
        amount: amount.map(usd),
        clawback,
        reason: "late".into(),
        operator: Uuid::from_u128(7).into(),
    }
}

fn made(id: u128, part: &Part, clawback: bool) -> Refund {
    Refund {
        of: part.of.clone(),
        amount: part.amount,
        driver_part: part.driver_part,
        tax_part: part.tax_part,
        clawback,
        ..sample(id)
    }
}

fn split(parts: &[Part]) -> Vec<(i64, i64, i64)> {
    let minor = |part: &Part| {
        (
            part.amount.minor,
            part.driver_part.minor,
            part.tax_part.minor,
        )
    };
    parts.iter().map(minor).collect()
}

#[test]
fn without_clawback_the_platform_bears_all_but_the_tax() {
    let (intent, extras) = taken(2_000, 0);
    let before = Before {
        extras: &extras,
        refunds: &[],
        disputes: &[],
    };
    let whole = parts(&intent, before, &ask(None, false)).unwrap();
    assert_eq!(split(&whole), [(2_000, 0, 150)]);
    let half = parts(&intent, before, &ask(Some(1_000), false)).unwrap();
    assert_eq!(split(&half), [(1_000, 0, 75)]);
    assert_eq!(made(1, &half[0], false).platform_part(), Ok(usd(925)));
}

#[test]
fn with_clawback_driver_and_platform_bear_their_shares() {
    let (intent, extras) = taken(2_000, 0);
    let before = Before {
        extras: &extras,
        refunds: &[],
        disputes: &[],
    };
    let whole = parts(&intent, before, &ask(None, true)).unwrap();
    assert_eq!(split(&whole), [(2_000, 1_400, 150)]);
    let part = parts(&intent, before, &ask(Some(500), true)).unwrap();
    assert_eq!(split(&part), [(500, 350, 38)], "37.5 rounds to even");
    assert_eq!(made(1, &part[0], true).platform_part(), Ok(usd(112)));
}

#[test]
fn a_refund_of_more_than_was_captured_takes_the_rest_too() {
    let (intent, extras) = taken(2_000, 500);
    let before = Before {
        extras: &extras,
        refunds: &[],
        disputes: &[],
    };
    let of_rest = Of::Rest {
        charge: extras[0].id,
        processor_id: ProcessorId("pi_rest".into()),
    };
    let both = parts(&intent, before, &ask(Some(2_100), false)).unwrap();
    let of: Vec<_> = both
        .iter()
        .map(|part| (part.of.clone(), part.amount))
        .collect();
    assert_eq!(of, [(Of::Capture, usd(2_000)), (of_rest.clone(), usd(100))]);
    let earlier = [made(1, &both[0], false)];
    let before = Before {
        refunds: &earlier,
        ..before
    };
    let left = parts(&intent, before, &ask(None, false)).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].of.clone(), left[0].amount), (of_rest, usd(500)));
}

#[test]
fn never_more_is_asked_for_than_is_left() {
    let (intent, extras) = taken(2_000, 0);
    let refused = Refund {
        amount: usd(2_000),
        answer: Answer::Refused { code: "x".into() },
        ..sample(1)
    };
    let given = Refund {
        amount: usd(1_500),
        ..sample(2)
    };
    let refunds = [refused, given];
    let before = Before {
        extras: &extras,
        refunds: &refunds,
        disputes: &[],
    };
    let yen = Ask {
        amount: Some(Money::new(1, Currency::Jpy)),
        ..ask(None, false)
    };
    assert_eq!(parts(&intent, before, &yen), Err(RefundRefusal::Amount));
    let ask = |amount| parts(&intent, before, &ask(amount, false)).map(|parts| split(&parts));
    assert_eq!(ask(None).unwrap()[0].0, 500);
    assert_eq!(ask(Some(500)).unwrap()[0].0, 500);
    assert_eq!(ask(Some(501)), Err(RefundRefusal::MoreThanTaken));
    for nonsense in [0, -1] {
        assert_eq!(ask(Some(nonsense)), Err(RefundRefusal::Amount));
    }
}

#[test]
fn what_was_not_taken_is_not_given_back() {
    let before = Before {
        extras: &[],
        refunds: &[],
        disputes: &[],
    };
    let nothing = parts(&held(), before, &ask(None, false));
    assert_eq!(nothing, Err(RefundRefusal::NothingTaken));
    let (captured, _) = taken(2_000, 0);
    let all = [Refund {
        amount: usd(2_000),
        ..sample(1)
    }];
    let before = Before {
        refunds: &all,
        ..before
    };
    let again = parts(&captured, before, &ask(None, false));
    assert_eq!(again, Err(RefundRefusal::NothingTaken));
}

#[test]
fn a_rest_that_is_not_answered_is_waited_for() {
    let (intent, _) = taken(2_000, 0);
    let extras = [rest(4)];
    let before = Before {
        extras: &extras,
        refunds: &[],
        disputes: &[],
    };
    assert_eq!(
        parts(&intent, before, &ask(None, false)),
        Err(RefundRefusal::Unsettled)
    );
}

#[test]
fn what_the_bank_took_back_is_not_given_back_again() {
    let (intent, extras) = taken(2_000, 0);
    let dispute = |state| Dispute {
        id: "dp_1".into(),
        payment: pi(),
        amount: usd(1_200),
        reason: "fraudulent".into(),
        state,
        opened_at: Timestamp::UNIX_EPOCH,
        closed_at: Some(Timestamp::UNIX_EPOCH + Duration::from_secs(1)),
    };
    let left = |state| {
        let disputes = [dispute(state)];
        let before = Before {
            extras: &extras,
            refunds: &[],
            disputes: &disputes,
        };
        parts(&intent, before, &ask(None, false)).map(|parts| parts[0].amount.minor)
    };
    assert_eq!(left(DisputeState::Open), Err(RefundRefusal::Disputed));
    assert_eq!(left(DisputeState::Lost), Ok(800));
    assert_eq!(left(DisputeState::Won), Ok(2_000));
}

proptest! {
    #[test]
    fn refunds_lose_no_cent_make_none_and_bear_no_more_than_each_got(
        captured in 1_i64..5_000, rest in 0_i64..1_000, due in 0_i64..7_000, tax in 0_i64..5_000,
        asks in prop::collection::vec((1_i64..3_000, any::<bool>(), any::<bool>()), 1..25),
    ) {
        let (mut intent, extras) = taken(captured, rest);
        let driver = DriverPay { driver: driver(), amount: usd(due) };
        let charge = Charge { amount: usd(captured + rest), driver: Some(driver), tax: usd(tax.min(captured + rest)) };
        intent.ending = Some(Ending { charge, ..ending(1) });
        let mut refunds: Vec<Refund> = Vec::new();
        let give_back = |refunds: &mut Vec<Refund>, amount, clawback, is_refused| {
            let before = Before { extras: &extras, refunds, disputes: &[] };
            let made_now: Vec<Refund> = parts(&intent, before, &ask(amount, clawback)).unwrap_or_default().iter()
                .map(|part| made(refunds.len() as u128 + 10, part, clawback)).collect();
            for mut one in made_now {
                if is_refused {
                    one.answer = Answer::Refused { code: "x".into() };
                }
                refunds.push(one);
            }
        };
        for (minor, clawback, is_refused) in asks {
            give_back(&mut refunds, Some(minor), clawback, is_refused);
        }
        for refund in &refunds {
            let sum = refund.driver_part.plus(refund.tax_part).and_then(|sum| sum.plus(refund.platform_part().unwrap()));
            prop_assert_eq!(sum, Ok(refund.amount));
        }
        let all_clawed = refunds.iter().filter(|refund| refund.answer.counts()).all(|refund| refund.clawback);
        give_back(&mut refunds, None, true, false);
        let counted: Vec<&Refund> = refunds.iter().filter(|refund| refund.answer.counts()).collect();
        let sum = |of: fn(&Refund) -> i64| counted.iter().map(|refund| of(refund)).sum::<i64>();
        prop_assert_eq!(sum(|refund| refund.amount.minor), captured + rest, "all of it is given back in the end");
        prop_assert_eq!(sum(|refund| refund.tax_part.minor), charge.tax.minor, "and all of the tax");
        prop_assert!(sum(|refund| refund.driver_part.minor) <= due);
        if all_clawed {
            prop_assert_eq!(sum(|refund| refund.driver_part.minor), due);
        }
        prop_assert!(counted.iter().all(|refund| refund.driver_part.minor >= 0 && refund.tax_part.minor >= 0));
    }
}
