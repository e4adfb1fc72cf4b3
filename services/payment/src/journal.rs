//! Which transfers of the ledger each thing that happens to money is: groups, all of which are written or none.
//!
//! - phase A promises: [`hold`], [`raise`], [`extra`], [`refund`]
//! - phase C makes promises true or gives them back: [`of_event`]
//! - [`payout`] and [`paid`] for a batch's lines
//!
//! A rider's account is a clearing account: a charge is shared out of it whole at the moment it is known, whoever pays it,
//! and what he pays comes into it. So what he owes is what is missing there, and a rest that is taken later, or a debt that
//! is paid, needs no second sharing.
//!
//! Invariants: ids are functions of (intent, fact), so that a fact is stated once; nothing moves that the rows of the
//! intent do not say (the trigger `intent_agrees_with_ledger` recomputes it at commit).
//! Does not: decide anything; know Postgres.

use hexcab_ledger::{Account, Action, Code, Movement, Transfer, TransferId};
use hexcab_types::{IntentId, Money, MoneyError, PayoutId, Timestamp};

use crate::domain::{
    Charge, Ending, Extra, ExtraKind, Intent, Refund,
    decide::Event,
    dispute::{Dispute, DisputeState},
    payout::Line,
    settlement::EndingKind,
};

/// Facts about one intent at one time.
struct Facts {
    intent: IntentId,
    at: Timestamp,
    group: Vec<Transfer>,
}

impl Facts {
    const fn of(intent: &Intent, at: Timestamp) -> Self {
        Self {
            intent: intent.id,
            at,
            group: Vec::new(),
        }
    }

    fn add(mut self, fact: &str, code: Code, action: Action) -> Self {
        self.group.push(Transfer {
            id: id(self.intent, fact),
            action,
            code,
            reference: self.intent.uuid(),
            at: self.at,
        });
        self
    }

    /// Money from one account to another; below zero the other way round, nothing for nothing.
    fn post(self, fact: &str, code: Code, (from, to): (Account, Account), amount: Money) -> Self {
        let (debit, credit) = if amount.minor < 0 {
            (to, from)
        } else {
            (from, to)
        };
        if amount.minor == 0 {
            return self;
        }
        let amount = Money {
            minor: amount.minor.abs(),
            ..amount
        };
        let movement = Movement {
            debit,
            credit,
            amount,
        };
        self.add(fact, code, Action::Post(movement))
    }

    fn promise(
        self,
        fact: &str,
        code: Code,
        (from, to): (Account, Account),
        amount: Money,
    ) -> Self {
        let movement = Movement {
            debit: from,
            credit: to,
            amount,
        };
        let action = Action::Pend {
            movement,
            expires_after: None,
        };
        self.add(fact, code, action)
    }

    fn keep(self, promise: &str, code: Code, amount: Money) -> Self {
        let pending = id(self.intent, promise);
        let fact = format!("{promise}/kept");
        self.add(&fact, code, Action::PostPending { pending, amount })
    }

    fn release(self, promise: &str) -> Self {
        let pending = id(self.intent, promise);
        let fact = format!("{promise}/released");
        self.add(&fact, Code::Release, Action::VoidPending { pending })
    }
}

fn id(intent: IntentId, fact: &str) -> TransferId {
    TransferId::derive(intent.uuid(), fact)
}

/// What the processor will owe us because it took it from the rider.
const fn from_rider(intent: &Intent) -> (Account, Account) {
    (Account::Processor, Account::Rider(intent.rider))
}

/// The promise of a new intent's hold. Nothing when nothing will be held.
pub fn hold(intent: &Intent, at: Timestamp) -> Vec<Transfer> {
    if intent.amount.minor == 0 {
        return Vec::new();
    }
    let facts = Facts::of(intent, at);
    facts
        .promise("hold", Code::Hold, from_rider(intent), intent.amount)
        .group
}

/// The promise of what the intent's hold is to be raised by.
pub fn raise(intent: &Intent, at: Timestamp) -> Vec<Transfer> {
    let facts = Facts::of(intent, at);
    facts
        .promise("raise", Code::Hold, from_rider(intent), intent.raise)
        .group
}

/// The promise of a charge beside the hold.
pub fn extra(intent: &Intent, extra: &Extra, at: Timestamp) -> Vec<Transfer> {
    let code = match extra.kind {
        ExtraKind::Rest => Code::Capture,
        ExtraKind::Tip { .. } => Code::Tip,
    };
    let facts = Facts::of(intent, at);
    facts
        .promise(&of_extra(extra), code, from_rider(intent), extra.amount)
        .group
}

/// The promise of a refund.
pub fn refund(intent: &Intent, refund: &Refund, at: Timestamp) -> Vec<Transfer> {
    let (processor, rider) = from_rider(intent);
    let facts = Facts::of(intent, at);
    facts
        .promise(
            &of_refund(refund),
            Code::Refund,
            (rider, processor),
            refund.amount,
        )
        .group
}

fn of_extra(extra: &Extra) -> String {
    match extra.kind {
        ExtraKind::Rest => "rest".to_owned(),
        ExtraKind::Tip { .. } => format!("tip/{}", extra.id),
    }
}

fn of_refund(refund: &Refund) -> String {
    format!("refund/{}", refund.id)
}

/// What `event` does to the ledger, given the intent `before` it.
///
/// # Errors
/// When amounts do not fit together: a bug of ours.
pub fn of_event(
    before: &Intent,
    event: &Event,
    at: Timestamp,
) -> Result<Vec<Transfer>, MoneyError> {
    let facts = Facts::of(before, at);
    let facts = match event {
        Event::HoldPlaced { .. } | Event::HoldRaised { .. } | Event::AnswerLost(_) => facts,
        Event::HoldDeclined { .. } => give_back(facts, before),
        Event::RaiseDeclined { .. } => facts.release("raise"),
        Event::Captured { amount, .. } => {
            let facts = capture(facts, before, *amount)?;
            share(facts, before, before.ending.as_ref())?
        }
        Event::CaptureFailed { .. } | Event::Voided => {
            let facts = give_back(facts, before);
            share(facts, before, before.ending.as_ref())?
        }
        // The promise of a declined hold was given back when it was declined.
        Event::DebtIncurred { .. } => share(facts, before, before.ending.as_ref())?,
        Event::CashCollected { amount } => {
            let facts = share(facts, before, before.ending.as_ref())?;
            match before.ending.and_then(|ending| ending.charge.driver) {
                Some(pay) => {
                    let to_rider = (Account::Driver(pay.driver), Account::Rider(before.rider));
                    facts.post("cash", Code::CashCollected, to_rider, *amount)
                }
                None => facts,
            }
        }
        Event::RestCharged { amount } => facts.keep("rest", Code::Capture, *amount),
        Event::RestDeclined { .. } => facts.release("rest"),
        Event::TipCharged(tip) => tipped(facts, before, tip),
        Event::TipDeclined(tip, _) => facts.release(&of_extra(tip)),
        Event::Refunded(refund) => refunded(facts, before, refund)?,
        Event::RefundFailed(refund, _) => facts.release(&of_refund(refund)),
        Event::ChargebackOpened(dispute) => {
            let fact = format!("dispute/{}/opened", dispute.id);
            let to = (Account::Disputes, Account::Processor);
            facts.post(&fact, Code::Chargeback, to, dispute.amount)
        }
        Event::ChargebackClosed(dispute) => closed(facts, dispute),
    };
    Ok(facts.group)
}

/// Takes the amount out of the hold, and out of what it was raised by when that is not enough.
fn capture(facts: Facts, intent: &Intent, amount: Money) -> Result<Facts, MoneyError> {
    let of_hold = Money {
        minor: amount.minor.min(intent.amount.minor),
        ..amount
    };
    let facts = facts.keep("hold", Code::Capture, of_hold);
    let of_raise = amount.minus(of_hold)?;
    Ok(if of_raise.minor > 0 {
        facts.keep("raise", Code::Capture, of_raise)
    } else if intent.raise.minor > 0 {
        facts.release("raise")
    } else {
        facts
    })
}

/// Gives back what was promised to be held, if anything was.
fn give_back(mut facts: Facts, intent: &Intent) -> Facts {
    let by_card = intent.method == crate::domain::Method::Card;
    if by_card && intent.amount.minor > 0 {
        facts = facts.release("hold");
    }
    if by_card && intent.raise.minor > 0 {
        facts = facts.release("raise");
    }
    facts
}

/// Whose the charge of a trip is: the driver's, the tax office's, and the platform's what remains.
fn share(facts: Facts, intent: &Intent, ending: Option<&Ending>) -> Result<Facts, MoneyError> {
    let Some(Ending { charge, kind, .. }) = ending else {
        return Ok(facts);
    };
    let rider = Account::Rider(intent.rider);
    let revenue = platforms(charge)?;
    let code = match kind {
        EndingKind::Driven => Code::PlatformFee,
        EndingKind::Cancelled => Code::CancellationFee,
        EndingKind::NoShow => Code::NoShowFee,
    };
    let facts = match charge.driver {
        Some(pay) => {
            let to_driver = (rider, Account::Driver(pay.driver));
            facts.post("driver_share", Code::DriverShare, to_driver, pay.amount)
        }
        None => facts,
    };
    Ok(facts
        .post("tax", Code::Tax, (rider, Account::Tax), charge.tax)
        .post("revenue", code, (rider, Account::Revenue), revenue))
}

/// What remains for the platform; below zero where a ride is sold below what its driver is owed.
fn platforms(charge: &Charge) -> Result<Money, MoneyError> {
    charge.amount.minus(charge.driver_due())?.minus(charge.tax)
}

fn tipped(facts: Facts, intent: &Intent, tip: &Extra) -> Facts {
    let promise = of_extra(tip);
    let facts = facts.keep(&promise, Code::Tip, tip.amount);
    match tip.kind {
        ExtraKind::Rest => facts,
        ExtraKind::Tip { driver } => {
            let to_driver = (Account::Rider(intent.rider), Account::Driver(driver));
            let fact = format!("{promise}/driver");
            facts.post(&fact, Code::Tip, to_driver, tip.amount)
        }
    }
}

/// The rider gets it from whoever bears it, and the processor sends it to him.
fn refunded(facts: Facts, intent: &Intent, refund: &Refund) -> Result<Facts, MoneyError> {
    let (promise, rider) = (of_refund(refund), Account::Rider(intent.rider));
    let fact = |who: &str| format!("{promise}/{who}");
    let platform = refund.platform_part()?;
    let mut facts = facts
        .post(
            &fact("revenue"),
            Code::Refund,
            (Account::Revenue, rider),
            platform,
        )
        .post(
            &fact("tax"),
            Code::Refund,
            (Account::Tax, rider),
            refund.tax_part,
        );
    if let Some(pay) = intent.ending.and_then(|ending| ending.charge.driver) {
        let from_driver = (Account::Driver(pay.driver), rider);
        facts = facts.post(
            &fact("driver"),
            Code::Refund,
            from_driver,
            refund.driver_part,
        );
    }
    Ok(facts.keep(&promise, Code::Refund, refund.amount))
}

fn closed(facts: Facts, dispute: &Dispute) -> Facts {
    let fact = format!("dispute/{}/closed", dispute.id);
    match dispute.state {
        DisputeState::Open => facts,
        DisputeState::Won => {
            let back = (Account::Processor, Account::Disputes);
            facts.post(&fact, Code::ChargebackReversal, back, dispute.amount)
        }
        DisputeState::Lost => {
            let lost = (Account::Losses, Account::Disputes);
            facts.post(&fact, Code::Chargeback, lost, dispute.amount)
        }
    }
}

/// The promise of a driver's payout.
pub fn payout(batch: PayoutId, line: &Line, at: Timestamp) -> Transfer {
    let movement = Movement {
        debit: Account::Driver(line.driver),
        credit: Account::Payouts,
        amount: line.amount,
    };
    Transfer {
        id: payout_id(batch, line),
        action: Action::Pend {
            movement,
            expires_after: None,
        },
        code: Code::Payout,
        reference: batch.uuid(),
        at,
    }
}

/// The id of the promise of a driver's payout.
pub fn payout_id(batch: PayoutId, line: &Line) -> TransferId {
    TransferId::derive(batch.uuid(), &line.driver.name())
}

/// A payout that the bank made, or did not.
pub fn paid(batch: PayoutId, line: &Line, made: bool, at: Timestamp) -> Transfer {
    let pending = payout_id(batch, line);
    let action = if made {
        let amount = line.amount;
        Action::PostPending { pending, amount }
    } else {
        Action::VoidPending { pending }
    };
    Transfer {
        id: TransferId::derive(batch.uuid(), &format!("{}/ended", line.driver.name())),
        action,
        code: Code::Payout,
        reference: batch.uuid(),
        at,
    }
}

/// What the bank paid of a batch: it leaves our account there.
pub fn sent(batch: PayoutId, amount: Money, at: Timestamp) -> Transfer {
    let movement = Movement {
        debit: Account::Payouts,
        credit: Account::Bank,
        amount,
    };
    Transfer {
        id: TransferId::derive(batch.uuid(), "sent"),
        action: Action::Post(movement),
        code: Code::Payout,
        reference: batch.uuid(),
        at,
    }
}

#[cfg(test)]
mod tests;
