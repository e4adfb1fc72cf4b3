//! What is heard of a trip, in every order, and what is asked for it.

use uuid::Uuid;

use super::*;
use crate::domain::{
    DriverPay, State,
    samples::{driver, ending, held, intent, usd},
};

fn notice(method: Method, news: News) -> Notice {
    Notice {
        trip: Uuid::from_u128(2).into(),
        rider: Uuid::from_u128(3).into(),
        method,
        fare: usd(2_000),
        news,
    }
}

fn card(known: Option<&Intent>, news: News) -> Asked {
    asked(known, &notice(Method::Card, news)).unwrap()
}

fn cash(known: Option<&Intent>, news: News) -> Asked {
    asked(known, &notice(Method::Cash, news)).unwrap()
}

fn ended(charge: i64) -> News {
    News::Ended(ending(charge))
}

const fn waited(fee: i64) -> News {
    News::Waited { fee: usd(fee) }
}

fn orders(orders: &[Order], open: Option<i64>) -> Asked {
    Asked {
        open: open.map(usd),
        orders: orders.to_vec(),
        ..Asked::default()
    }
}

fn settled(charge: i64, orders: &[Order], open: Option<i64>) -> Asked {
    Asked {
        open: open.map(usd),
        ending: Some(ending(charge)),
        orders: orders.to_vec(),
        command: None,
    }
}

#[test]
fn a_ride_by_card_is_held_raised_and_captured() {
    assert_eq!(card(None, News::Begun), orders(&[Order::Hold], Some(2_000)));
    let held = held();
    assert_eq!(card(Some(&held), waited(0)), Asked::default());
    let to = usd(2_300);
    assert_eq!(
        card(Some(&held), waited(300)),
        orders(&[Order::Raise { to }], None)
    );
    for charge in [1, 2_000, 2_300] {
        assert_eq!(
            card(Some(&held), ended(charge)),
            settled(charge, &[Order::Capture], None)
        );
    }
    assert_eq!(
        card(Some(&held), ended(0)),
        settled(0, &[Order::Void], None)
    );
}

#[test]
fn of_a_hold_that_was_refused_nothing_is_raised() {
    let code = "insufficient_funds".to_owned();
    let declined = intent(State::Declined { code, owed: None }, None);
    assert_eq!(card(Some(&declined), waited(300)), Asked::default());
    assert_eq!(
        card(Some(&declined), ended(2_300)),
        settled(2_300, &[Order::Capture], None)
    );
}

#[test]
fn what_is_heard_late_asks_for_what_is_left_to_do() {
    assert_eq!(
        card(None, waited(300)),
        orders(&[Order::Hold], Some(2_300)),
        "the request was overtaken by the start"
    );
    assert_eq!(
        card(None, ended(2_300)),
        settled(2_300, &[Order::Hold, Order::Capture], Some(2_300)),
        "everything was overtaken by the end: what it costs is held"
    );
    assert_eq!(
        card(None, ended(0)),
        settled(0, &[Order::Void], Some(2_000))
    );
    let over = intent(State::RequiresHold, Some(2_000));
    for news in [News::Begun, waited(300), ended(1_000), ended(0)] {
        assert_eq!(card(Some(&over), news), Asked::default(), "{news:?}");
    }
}

#[test]
fn a_ride_in_cash_never_asks_the_processor() {
    assert_eq!(cash(None, News::Begun), orders(&[], Some(2_000)));
    let begun = Intent {
        method: Method::Cash,
        ..intent(State::AwaitsCash, None)
    };
    assert_eq!(cash(Some(&begun), waited(300)), Asked::default());
    let fee = News::Ended(Ending {
        kind: EndingKind::NoShow,
        ..ending(500)
    });
    for known in [None, Some(&begun)] {
        for (news, command) in [
            (ended(2_300), Command::CollectCash),
            (ended(0), Command::Void),
            (fee, Command::Owe),
        ] {
            let asked = cash(known, news);
            assert_eq!(asked.command, Some(command));
            assert_eq!(asked.orders, []);
            assert!(asked.ending.is_some());
            assert_eq!(asked.open.is_some(), known.is_none());
        }
    }
}

#[test]
fn a_free_ride_asks_for_nothing_unless_somebody_is_owed_something() {
    let free = |news| {
        let notice = Notice {
            fare: usd(0),
            ..notice(Method::Card, news)
        };
        asked(None, &notice).unwrap()
    };
    assert_eq!(free(News::Begun), Asked::default());
    assert_eq!(free(waited(0)), Asked::default());
    assert_eq!(free(waited(300)).open, Some(usd(300)));
    assert_eq!(free(ended(0)), Asked::default());
    assert_eq!(free(ended(300)).open, Some(usd(300)));
    let mut paid = ending(0);
    paid.kind = EndingKind::Driven;
    paid.charge.driver = Some(DriverPay {
        driver: driver(),
        amount: usd(1_400),
    });
    let asked = free(News::Ended(paid));
    assert_eq!(
        (asked.open, asked.orders),
        (Some(usd(0)), vec![Order::Void]),
        "nothing is held, and the driver is paid"
    );
}

#[test]
fn nonsense_is_refused() {
    let euro = Money::new(1, Currency::Eur);
    let with = |change: fn(&mut Ending)| {
        let mut ending = ending(2_000);
        change(&mut ending);
        News::Ended(ending)
    };
    for (news, error) in [
        (waited(-1), SettlementError::Negative),
        (News::Waited { fee: euro }, SettlementError::Currency),
        (waited(i64::MAX), SettlementError::Range),
        (
            with(|e| e.charge.amount = usd(-1)),
            SettlementError::Negative,
        ),
        (with(|e| e.charge.tax = usd(-1)), SettlementError::Negative),
        (with(|e| e.charge.tax = usd(2_001)), SettlementError::Tax),
        (with(|e| e.charge.driver = None), SettlementError::NoDriver),
        (
            with(|e| e.charge.amount = Money::new(1, Currency::Eur)),
            SettlementError::Currency,
        ),
    ] {
        for known in [None, Some(&held())] {
            assert_eq!(
                asked(known, &notice(Method::Card, news)),
                Err(error),
                "{news:?}"
            );
        }
    }
    let negative = Notice {
        fare: usd(-1),
        ..notice(Method::Card, News::Begun)
    };
    assert_eq!(asked(None, &negative), Err(SettlementError::Negative));
}
