//! What the tests of the domain begin with: a ride for 20.00, of which the driver is owed 14.00 and 1.50 is tax.

use hexcab_types::{Currency, DriverId, Money, Timestamp};
use uuid::Uuid;

use super::{
    Answer, Charge, DriverPay, Ending, Extra, ExtraKind, Hold, Intent, Method, ProcessorId, Refund,
    State, Taken, refund::Of, settlement::EndingKind,
};

pub const fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::Usd)
}

pub fn driver() -> DriverId {
    Uuid::from_u128(9).into()
}

pub fn pi() -> ProcessorId {
    ProcessorId("pi_1".into())
}

pub fn hold() -> Hold {
    Hold {
        id: pi(),
        amount: usd(2_000),
    }
}

/// An ending that charges this much: of a ride when it is more than nothing.
pub fn ending(charge: i64) -> Ending {
    let driver = DriverPay {
        driver: driver(),
        amount: usd(1_400),
    };
    Ending {
        charge: Charge {
            amount: usd(charge),
            driver: (charge > 0).then_some(driver),
            tax: usd(charge.min(150)),
        },
        kind: if charge > 0 {
            EndingKind::Driven
        } else {
            EndingKind::Cancelled
        },
        at: Timestamp::UNIX_EPOCH,
    }
}

/// An intent in this state, whose trip ended with this charge if at all.
pub fn intent(state: State, charge: Option<i64>) -> Intent {
    Intent {
        id: Uuid::from_u128(1).into(),
        trip: Uuid::from_u128(2).into(),
        rider: Uuid::from_u128(3).into(),
        method: Method::Card,
        amount: usd(2_000),
        raise: usd(0),
        state,
        ending: charge.map(ending),
        version: 0,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
    }
}

pub fn held() -> Intent {
    intent(State::Held(hold()), None)
}

pub fn captured() -> Intent {
    let taken = Taken::captured(usd(2_000));
    intent(
        State::Captured {
            hold: hold(),
            taken,
        },
        Some(2_000),
    )
}

pub fn cash_collected() -> Intent {
    Intent {
        method: Method::Cash,
        ..intent(State::CashCollected, Some(2_000))
    }
}

/// A tip of 2.00.
pub fn tip(id: u128) -> Extra {
    Extra {
        id: Uuid::from_u128(id).into(),
        kind: ExtraKind::Tip { driver: driver() },
        amount: usd(200),
        answer: Answer::Awaited,
        created_at: Timestamp::UNIX_EPOCH,
    }
}

/// A rest of 5.00.
pub fn rest(id: u128) -> Extra {
    Extra {
        kind: ExtraKind::Rest,
        amount: usd(500),
        ..tip(id)
    }
}

/// A refund of 1.00, of which the driver bears 0.70.
pub fn refund(id: u128) -> Refund {
    Refund {
        id: Uuid::from_u128(id).into(),
        of: Of::Capture,
        amount: usd(100),
        driver_part: usd(70),
        tax_part: usd(8),
        clawback: true,
        reason: "late".into(),
        operator: Uuid::from_u128(7).into(),
        answer: Answer::Awaited,
        created_at: Timestamp::UNIX_EPOCH,
    }
}
