//! What trip events ask for: a hold when a ride begins, a higher one when its rider let the driver wait, and at its end a
//! capture of what the rider owes, a void of the hold, or the driver's cash on his account.
//!
//! Invariants: a trip is settled once, by its first ending; what happened earlier and is heard of later asks for nothing;
//! a cash ride never asks the processor.
//! Does not: know whether the hold was placed; steps are ordered, so that is known when an order is carried out.

use hexcab_types::{Currency, Money, RiderId, Timestamp, TripId};

use super::{Charge, Intent, Method, Order, State, decide::Command};

/// What a trip event tells about money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// Which trip.
    pub trip: TripId,
    /// Who pays.
    pub rider: RiderId,
    /// How.
    pub method: Method,
    /// The upfront price, zero or more.
    pub fare: Money,
    /// What happened.
    pub news: News,
}

/// What happened to a trip, as far as money is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// A driver is looked for.
    Begun,
    /// The ride began, after the rider let the driver wait.
    Waited {
        /// The fee for it, zero or more.
        fee: Money,
    },
    /// It is over.
    Ended(Ending),
}

/// How a trip ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// What it costs in the end, and whose that is.
    pub charge: Charge,
    /// Whether the rider was driven; otherwise the charge is a fee.
    pub kind: EndingKind,
    /// City clock.
    pub at: Timestamp,
}

/// In what way a trip ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndingKind {
    /// The rider was driven.
    Driven,
    /// It was called off, or nobody was found.
    Cancelled,
    /// The driver waited and nobody came.
    NoShow,
}

/// Why a notice cannot be followed. The event that said it is nonsense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SettlementError {
    /// An amount is below zero.
    #[error("an amount is below zero")]
    Negative,
    /// Amounts are of several currencies.
    #[error("an amount is in another currency than the fare")]
    Currency,
    /// There is more tax than charge.
    #[error("the tax is more than the charge")]
    Tax,
    /// Amounts do not add up to anything that fits.
    #[error("an amount is out of range")]
    Range,
    /// Somebody was driven by nobody.
    #[error("the trip was driven, and no driver is named")]
    NoDriver,
}

/// What a notice asks for, of an intent that may have to be made first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// A new intent, for this much.
    pub open: Option<Money>,
    /// The ending is to be kept.
    pub ending: Option<Ending>,
    /// What is to be asked of the processor, in this order.
    pub orders: Vec<Order>,
    /// What is known at once, because nobody has to be asked.
    pub command: Option<Command>,
}

impl Ending {
    /// Whether the rider was driven.
    pub const fn is_driven(&self) -> bool {
        match self.kind {
            EndingKind::Driven => true,
            EndingKind::Cancelled | EndingKind::NoShow => false,
        }
    }

    /// Whether somebody owes somebody something.
    fn costs(&self) -> bool {
        self.charge.amount.minor > 0 || self.charge.driver_due().minor > 0
    }

    fn check(&self, currency: Currency) -> Result<(), SettlementError> {
        let Charge { amount, tax, .. } = self.charge;
        for amount in [amount, tax, self.charge.driver_due()] {
            check(amount, currency)?;
        }
        if tax.minor > amount.minor {
            return Err(SettlementError::Tax);
        }
        if self.is_driven() && self.charge.driver.is_none() {
            return Err(SettlementError::NoDriver);
        }
        Ok(())
    }
}

/// What `notice` asks for when the intent of its trip is `known`, or not yet: events come late and out of order, so the
/// end of a trip may be the first that is heard of it.
///
/// # Errors
/// When the notice is nonsense.
pub fn asked(known: Option<&Intent>, notice: &Notice) -> Result<Asked, SettlementError> {
    let currency = known.map_or(notice.fare.currency, |intent| intent.amount.currency);
    check(notice.fare, currency)?;
    match notice.news {
        News::Begun => Ok(begun(known, notice.method, notice.fare)),
        News::Waited { fee } => {
            check(fee, currency)?;
            let total = notice.fare.plus(fee).map_err(|_| SettlementError::Range)?;
            Ok(match known {
                None => begun(known, notice.method, total),
                Some(intent) => waited(intent, total),
            })
        }
        News::Ended(ending) => {
            ending.check(currency)?;
            Ok(ended(known, notice, ending))
        }
    }
}

fn begun(known: Option<&Intent>, method: Method, amount: Money) -> Asked {
    // A request that comes after its trip's end was overtaken; a free ride has nothing to hold.
    if known.is_some() || amount.minor == 0 {
        return Asked::default();
    }
    let orders = match method {
        Method::Card => vec![Order::Hold],
        Method::Cash => Vec::new(),
    };
    Asked {
        open: Some(amount),
        orders,
        ..Asked::default()
    }
}

fn waited(intent: &Intent, total: Money) -> Asked {
    // Of a hold that was refused nothing can be raised: what the trip costs is owed at its end.
    let refused = matches!(intent.state, State::Declined { .. });
    let overtaken = refused || intent.ending.is_some() || total.minor <= intent.amount.minor;
    let orders = match intent.method {
        Method::Card if !overtaken => vec![Order::Raise { to: total }],
        Method::Card | Method::Cash => Vec::new(),
    };
    Asked {
        orders,
        ..Asked::default()
    }
}

fn ended(known: Option<&Intent>, notice: &Notice, ending: Ending) -> Asked {
    let settled = known.is_some_and(|intent| intent.ending.is_some());
    let free = known.is_none() && notice.fare.minor == 0 && !ending.costs();
    if settled || free {
        return Asked::default();
    }
    let charge = ending.charge.amount;
    // What the trip costs is known: that much has to be held, whatever the fare was.
    let open = known.is_none().then_some(if charge.minor > 0 {
        charge
    } else {
        notice.fare
    });
    let (orders, command) = match known.map_or(notice.method, |intent| intent.method) {
        Method::Card if charge.minor == 0 => (vec![Order::Void], None),
        Method::Card if known.is_none() => (vec![Order::Hold, Order::Capture], None),
        Method::Card => (vec![Order::Capture], None),
        Method::Cash => (Vec::new(), Some(in_cash(&ending))),
    };
    Asked {
        open,
        ending: Some(ending),
        orders,
        command,
    }
}

/// Who was driven pays the driver; who was not, and is to pay a fee, is gone.
const fn in_cash(ending: &Ending) -> Command {
    if ending.charge.amount.minor == 0 {
        Command::Void
    } else if ending.is_driven() {
        Command::CollectCash
    } else {
        Command::Owe
    }
}

fn check(amount: Money, currency: Currency) -> Result<(), SettlementError> {
    if amount.currency != currency {
        return Err(SettlementError::Currency);
    }
    if amount.minor < 0 {
        return Err(SettlementError::Negative);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
