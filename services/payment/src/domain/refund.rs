//! Money given back to a rider: how much at most, of which payment, and who bears it.
//!
//! The rule (docs/money.md): the tax inside the refunded part is no longer due and comes out of what was set aside. Of the
//! rest, without `clawback` the platform bears all: the driver did his work. With `clawback` the driver gives back his
//! share in proportion, and the platform the remainder. A refund comes out of what was captured first, then out of what
//! was charged beside the hold.
//!
//! Invariants: never more is given back than was taken, less what was given back or disputed before; the three parts of
//! a refund make it up to the cent; over any number of refunds nobody gives back more than he got, and when everything is
//! given back each has given back exactly his share.
//! Does not: give back tips, which are the driver's.

use hexcab_types::{ChargeId, Money, MoneyError, OperatorId, RefundId, Timestamp};

use super::{Answer, Charge, Extra, ExtraKind, Intent, ProcessorId, State, dispute::Dispute};

/// Money given back out of one payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Its own.
    pub id: RefundId,
    /// Out of what.
    pub of: Of,
    /// More than zero.
    pub amount: Money,
    /// What of it the driver bears, zero or more.
    pub driver_part: Money,
    /// What of it is no longer due as tax, zero or more.
    pub tax_part: Money,
    /// Whether the driver bears his share.
    pub clawback: bool,
    /// For people to read.
    pub reason: String,
    /// Who ordered it.
    pub operator: OperatorId,
    /// What the processor said.
    pub answer: Answer,
    /// City clock.
    pub created_at: Timestamp,
}

impl Refund {
    /// What the platform bears: the remainder. Below zero where a ride was sold below what its driver is owed.
    ///
    /// # Errors
    /// When the parts do not fit the amount's currency.
    pub fn platform_part(&self) -> Result<Money, MoneyError> {
        self.amount.minus(self.driver_part)?.minus(self.tax_part)
    }
}

/// Out of what a refund is paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// Out of what was captured from the hold.
    Capture,
    /// Out of the rest.
    Rest {
        /// Which charge.
        charge: ChargeId,
        /// The payment at the processor.
        processor_id: ProcessorId,
    },
}

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// More than zero; all that is left when absent.
    pub amount: Option<Money>,
    /// Whether the driver bears his share.
    pub clawback: bool,
    /// For people to read.
    pub reason: String,
    /// Who asks.
    pub operator: OperatorId,
}

/// What became of the money that was taken for a trip, so far.
#[derive(Debug, Clone, Copy)]
pub struct Before<'a> {
    /// Charges beside the hold.
    pub extras: &'a [Extra],
    /// Refunds, refused ones included.
    pub refunds: &'a [Refund],
    /// Disputes, closed ones included.
    pub disputes: &'a [Dispute],
}

/// Why nothing is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefundRefusal {
    /// Nothing was taken, or nothing is left of it.
    #[error("nothing was taken that could be given back")]
    NothingTaken,
    /// More was asked for than is left.
    #[error("more was asked for than is left of what was taken")]
    MoreThanTaken,
    /// Another currency, or nothing at all, was asked for.
    #[error("the amount is not an amount of what was taken")]
    Amount,
    /// The rider's bank has taken a payment back and not decided.
    #[error("a payment of this trip is disputed")]
    Disputed,
    /// The rest of what the trip cost has not been answered.
    #[error("the trip's charge is not settled yet")]
    Unsettled,
}

/// A refund out of one payment, before it has an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// See [`Refund::of`].
    pub of: Of,
    /// See [`Refund::amount`].
    pub amount: Money,
    /// See [`Refund::driver_part`].
    pub driver_part: Money,
    /// See [`Refund::tax_part`].
    pub tax_part: Money,
}

/// What is given back when this is asked for: one part, or two when it takes more than the capture has left.
///
/// # Errors
/// When there is not as much to give back.
pub fn parts(intent: &Intent, before: Before<'_>, ask: &Ask) -> Result<Vec<Part>, RefundRefusal> {
    let (State::Captured { hold, taken }, Some(ending)) = (&intent.state, &intent.ending) else {
        return Err(RefundRefusal::NothingTaken);
    };
    if before.disputes.iter().any(Dispute::is_open) {
        return Err(RefundRefusal::Disputed);
    }
    let rest = before
        .extras
        .iter()
        .find(|extra| extra.kind == ExtraKind::Rest);
    if rest.is_some_and(|rest| rest.answer.is_outstanding()) {
        return Err(RefundRefusal::Unsettled);
    }
    let mut payments = vec![(Of::Capture, &hold.id, taken.captured)];
    if let Some((charge, Answer::Done { processor_id })) = rest.map(|rest| (rest.id, &rest.answer))
    {
        let of = Of::Rest {
            charge,
            processor_id: processor_id.clone(),
        };
        payments.push((of, processor_id, taken.rest));
    }
    let left: Vec<(Of, i64)> = payments
        .into_iter()
        .map(|(of, id, taken)| {
            let gone = given_back(before.refunds, &of) + lost(before.disputes, id);
            (of, taken.minor.saturating_sub(gone).max(0))
        })
        .collect();
    let all = left.iter().map(|(_, minor)| minor).sum();
    if all == 0 {
        return Err(RefundRefusal::NothingTaken);
    }
    let asked = match ask.amount {
        None => all,
        Some(amount) if amount.currency != taken.captured.currency || amount.minor <= 0 => {
            return Err(RefundRefusal::Amount);
        }
        Some(amount) if amount.minor > all => return Err(RefundRefusal::MoreThanTaken),
        Some(amount) => amount.minor,
    };
    let mut shares = Shares::of(&ending.charge, before.refunds, ask.clawback);
    let (mut parts, mut to_give) = (Vec::new(), asked);
    for (of, left) in left {
        let minor = left.min(to_give);
        to_give -= minor;
        if minor > 0 {
            parts.push(shares.next(of, minor).map_err(|_| RefundRefusal::Amount)?);
        }
    }
    Ok(parts)
}

/// What was given back out of this payment, or may still be.
fn given_back(refunds: &[Refund], of: &Of) -> i64 {
    let counted = refunds
        .iter()
        .filter(|refund| refund.of == *of && refund.answer.counts());
    counted.map(|refund| refund.amount.minor).sum()
}

/// What the rider's bank took back out of this payment and keeps.
fn lost(disputes: &[Dispute], payment: &ProcessorId) -> i64 {
    let counted = disputes
        .iter()
        .filter(|dispute| dispute.payment == *payment && dispute.counts());
    counted.map(|dispute| dispute.amount.minor).sum()
}

/// Who bears what, counted over all refunds of a trip: rounding is done on the sums, so that no cent is lost or made.
struct Shares<'a> {
    charge: &'a Charge,
    clawback: bool,
    /// Given back so far, and what of it was tax.
    all: (i64, i64),
    /// The same with clawback, and what of it was the driver's.
    clawed: (i64, i64),
}

impl<'a> Shares<'a> {
    fn of(charge: &'a Charge, refunds: &[Refund], clawback: bool) -> Self {
        let mut shares = Self {
            charge,
            clawback,
            all: (0, 0),
            clawed: (0, 0),
        };
        for refund in refunds.iter().filter(|refund| refund.answer.counts()) {
            shares.all.0 += refund.amount.minor;
            shares.all.1 += refund.tax_part.minor;
            if refund.clawback {
                shares.clawed.0 += refund.amount.minor;
                shares.clawed.1 += refund.driver_part.minor;
            }
        }
        shares
    }

    fn next(&mut self, of: Of, minor: i64) -> Result<Part, MoneyError> {
        let money = |minor| Money::new(minor, self.charge.amount.currency);
        let tax = Self::share(self.charge.tax, &mut self.all, minor, self.charge.amount)?;
        let driver = if self.clawback {
            let due = self.charge.driver_due();
            Self::share(due, &mut self.clawed, minor, self.charge.amount)?
        } else {
            0
        };
        Ok(Part {
            of,
            amount: money(minor),
            driver_part: money(driver),
            tax_part: money(tax),
        })
    }

    /// What of `whole` goes with the next `minor` of `charge`.
    fn share(
        whole: Money,
        (given_back, shared): &mut (i64, i64),
        minor: i64,
        charge: Money,
    ) -> Result<i64, MoneyError> {
        *given_back = given_back.checked_add(minor).ok_or(MoneyError::Overflow)?;
        let due_by_now = whole.per(*given_back, charge.minor)?.minor.min(whole.minor);
        let share = (due_by_now - *shared).max(0);
        *shared += share;
        Ok(share)
    }
}

#[cfg(test)]
mod tests;
