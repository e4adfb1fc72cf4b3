//! A tip after the ride: a charge of its own, all of it for the driver.
//!
//! The rule (docs/money.md): one tip a trip, within a time after its end, up to a multiple of what the trip cost. A tip that
//! the processor refused was none. Who owes for the trip cannot tip: his card was refused already.
//!
//! Does not: take it.

use std::time::Duration;

use hexcab_types::{BasisPoints, DriverId, Money, RiderId, Timestamp};

use super::{Ending, Extra, ExtraKind, Intent, State};

/// How late and how high a tip may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TipRules {
    /// After the end of the trip, city time.
    pub within: Duration,
    /// Of what the trip cost.
    pub at_most: BasisPoints,
}

/// Why there is no tip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TipRefusal {
    /// It is another rider's trip.
    #[error("the trip is another rider's")]
    NotYourTrip,
    /// Nobody was driven, or not yet.
    #[error("nobody was driven")]
    NotDriven,
    /// The trip's charge was refused.
    #[error("the rider owes for this trip")]
    RiderOwes,
    /// There is one.
    #[error("the trip has a tip already")]
    AlreadyTipped,
    /// The time for it has passed.
    #[error("the trip ended too long ago")]
    TooLate,
    /// It is a slip of the finger.
    #[error("the tip is too large for this trip")]
    TooLarge,
    /// Another currency, or nothing at all.
    #[error("the amount is not an amount of the trip's currency")]
    Amount,
}

/// Whom `rider` tips with this `amount`.
///
/// # Errors
/// When he cannot.
pub fn tip(
    intent: &Intent,
    extras: &[Extra],
    rider: RiderId,
    amount: Money,
    rules: TipRules,
    now: Timestamp,
) -> Result<DriverId, TipRefusal> {
    if intent.rider != rider {
        return Err(TipRefusal::NotYourTrip);
    }
    let driven = intent.ending.filter(Ending::is_driven);
    let (Some(ending), Some(pay)) = (driven, driven.and_then(|ending| ending.charge.driver)) else {
        return Err(TipRefusal::NotDriven);
    };
    match &intent.state {
        State::Captured { taken, .. } if taken.owed.minor == 0 => {}
        State::CashCollected => {}
        State::Captured { .. }
        | State::CaptureFailed { .. }
        | State::Declined { .. }
        | State::Owed { .. } => return Err(TipRefusal::RiderOwes),
        State::RequiresHold
        | State::Held(_)
        | State::Voided { .. }
        | State::Unknown(_)
        | State::AwaitsCash => return Err(TipRefusal::NotDriven),
    }
    let is_tip = |extra: &&Extra| matches!(extra.kind, ExtraKind::Tip { .. });
    if extras.iter().filter(is_tip).any(|tip| tip.answer.counts()) {
        return Err(TipRefusal::AlreadyTipped);
    }
    let age = now.signed_duration_since(ending.at);
    if age.to_std().is_ok_and(|age| age > rules.within) {
        return Err(TipRefusal::TooLate);
    }
    if amount.currency != intent.amount.currency || amount.minor <= 0 {
        return Err(TipRefusal::Amount);
    }
    let cap = ending.charge.amount.times(rules.at_most);
    if cap.is_ok_and(|cap| amount.minor > cap.minor) {
        return Err(TipRefusal::TooLarge);
    }
    Ok(pay.driver)
}

#[cfg(test)]
mod tests {
    use hexcab_types::Currency;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        Answer, Ending, Intent, Method, ProcessorId,
        samples::{captured, cash_collected, driver, ending, held, tip as sample, usd},
        settlement::EndingKind,
    };

    const RULES: TipRules = TipRules {
        within: Duration::from_secs(30 * 86_400),
        at_most: BasisPoints(20_000),
    };

    fn now() -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::from_secs(30 * 86_400)
    }

    fn ask(intent: &Intent, extras: &[Extra], minor: i64) -> Result<DriverId, TipRefusal> {
        tip(intent, extras, intent.rider, usd(minor), RULES, now())
    }

    #[test]
    fn a_rider_who_was_driven_and_paid_may_tip_his_driver() {
        for intent in [captured(), cash_collected()] {
            assert_eq!(ask(&intent, &[], 1), Ok(driver()));
            assert_eq!(ask(&intent, &[], 4_000), Ok(driver()), "twice the charge");
            assert_eq!(ask(&intent, &[], 4_001), Err(TipRefusal::TooLarge));
            assert_eq!(ask(&intent, &[], 0), Err(TipRefusal::Amount));
        }
    }

    #[test]
    fn a_tip_is_the_riders_own_in_time_and_in_the_trips_currency() {
        let intent = captured();
        let give = |rider, amount, now| tip(&intent, &[], rider, amount, RULES, now);
        let stranger = Uuid::from_u128(99).into();
        assert_eq!(give(stranger, usd(1), now()), Err(TipRefusal::NotYourTrip));
        let late = now() + Duration::from_micros(1);
        assert_eq!(give(intent.rider, usd(1), late), Err(TipRefusal::TooLate));
        let yen = Money::new(1, Currency::Jpy);
        assert_eq!(give(intent.rider, yen, now()), Err(TipRefusal::Amount));
    }

    #[test]
    fn a_trip_has_one_tip_and_a_refused_one_is_none() {
        let intent = captured();
        let with = |answer| {
            ask(
                &intent,
                &[Extra {
                    answer,
                    ..sample(1)
                }],
                1,
            )
        };
        let done = Answer::Done {
            processor_id: ProcessorId("pi_9".into()),
        };
        for counts in [Answer::Awaited, Answer::Unknown, done] {
            assert_eq!(with(counts), Err(TipRefusal::AlreadyTipped));
        }
        assert_eq!(with(Answer::Refused { code: "x".into() }), Ok(driver()));
        let rest = Extra {
            kind: ExtraKind::Rest,
            ..sample(1)
        };
        assert_eq!(ask(&intent, &[rest], 1), Ok(driver()));
    }

    #[test]
    fn who_was_not_driven_or_owes_cannot_tip() {
        assert_eq!(ask(&held(), &[], 1), Err(TipRefusal::NotDriven));
        let mut fee = captured();
        fee.ending = Some(Ending {
            kind: EndingKind::Cancelled,
            ..ending(2_000)
        });
        assert_eq!(ask(&fee, &[], 1), Err(TipRefusal::NotDriven));
        let mut owing = captured();
        owing.state = State::Declined {
            code: "x".into(),
            owed: Some(usd(2_000)),
        };
        assert_eq!(ask(&owing, &[], 1), Err(TipRefusal::RiderOwes));
        let mut partly = captured();
        if let State::Captured { taken, .. } = &mut partly.state {
            taken.owed = usd(1);
        }
        assert_eq!(ask(&partly, &[], 1), Err(TipRefusal::RiderOwes));
        assert_eq!(partly.method, Method::Card);
    }
}
