//! The row of a trip, which all share: commands are decided and kept one at a time, as the service does it, or with one
//! of the mistakes it could make.
//!
//! Invariant: without a mistake nothing is decided here; a mistake changes what `decide` is asked, never `decide`.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use chrono::TimeDelta;
use hexcab_trip::domain::{
    ACCEPTANCE_GRACE, Acceptance, Arrival, Command, Event, Offer, OfferRef, Refusal, Rules, State,
    Trip, decide,
};
use hexcab_types::{BasisPoints, DriverId, Timestamp};

/// Which guard of the protocol is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// None is.
    None,
    /// An acceptance counts for the open offer, whoever it is of and whichever it was for.
    AcceptsWhateverIsOpen,
    /// An acceptance counts for the open offer of its driver, whichever it was for.
    AcceptsWithoutEpoch,
    /// Who was asked in vain is asked again.
    AsksAgain,
    /// Both.
    AsksAgainAndAcceptsWithoutEpoch,
    /// The sweeper's word that an offer is over is taken for the one that is open.
    ExpiresWhateverIsOpen,
    /// The sweeper's word that a driver stalled is taken for the one who drives.
    StallsWhoeverDrives,
    /// The sweeper reads, decides, and writes later over whatever is there.
    SweepsWithoutVersion,
    /// The sweeper is away for ever.
    NeverSweeps,
    /// The unique index of engaged drivers is missing.
    NoIndex,
}

/// The times of the model: an offer lasts a tick, a search two, the way to the pickup one.
pub fn rules() -> Rules {
    Rules {
        offer_ttl: tick(1) - ACCEPTANCE_GRACE,
        request_ttl: tick(2),
        stall_min: tick(1),
        pickup_geofence_m: 150.0,
        free_cancellation: TimeDelta::zero(),
        schedule_lead: TimeDelta::zero(),
        schedule_ahead: TimeDelta::zero(),
        no_show_after: TimeDelta::zero(),
        waiting_free: TimeDelta::zero(),
        waiting_per_minute_minor: 0,
        driver_share: BasisPoints(0),
        cash: false,
    }
}

fn tick(n: i64) -> TimeDelta {
    TimeDelta::seconds(10 * n)
}

/// The instant of a tick.
pub fn at(now: u8) -> Timestamp {
    Timestamp::UNIX_EPOCH + tick(now.into())
}

/// Decides as the service does, or with a mistake.
pub fn decided(mistake: Mistake, row: &Trip, command: &Command, now: u8) -> Result<Event, Refusal> {
    let as_it_is = || decide(row, command, &rules(), at(now));
    let accepts_any_epoch = matches!(
        mistake,
        Mistake::AcceptsWithoutEpoch | Mistake::AsksAgainAndAcceptsWithoutEpoch
    );
    let asks_again = matches!(
        mistake,
        Mistake::AsksAgain | Mistake::AsksAgainAndAcceptsWithoutEpoch
    );
    let overdue = row.updated_at + tick(100);
    match (&row.state, command) {
        (State::Offered(open), Command::Accept(_)) if mistake == Mistake::AcceptsWhateverIsOpen => {
            decide(row, &accept(open.driver, open.epoch), &rules(), at(now))
        }
        (State::Offered(open), Command::Accept(answer)) if accepts_any_epoch => {
            decide(row, &accept(answer.driver, open.epoch), &rules(), at(now))
        }
        (State::Requested, Command::Offer(_)) if asks_again => {
            let forgetful = Trip {
                excluded: Vec::new(),
                ..row.clone()
            };
            decide(&forgetful, command, &rules(), at(now))
        }
        (State::Offered(open), Command::ExpireOffer { .. })
            if mistake == Mistake::ExpiresWhateverIsOpen =>
        {
            let order = Command::ExpireOffer { epoch: open.epoch };
            decide(row, &order, &rules(), overdue)
        }
        (State::EnRoute(by), Command::Stall { .. }) if mistake == Mistake::StallsWhoeverDrives => {
            let order = Command::Stall { epoch: by.epoch };
            decide(row, &order, &rules(), overdue)
        }
        _ => as_it_is(),
    }
}

pub const fn accept(driver: DriverId, epoch: i32) -> Command {
    Command::Accept(OfferRef { driver, epoch })
}

/// A row of the table. Two are the same if `decide` cannot tell them apart (when it was last changed is not asked).
#[derive(Debug, Clone)]
pub struct Row(pub Arc<Trip>);

/// What `decide` reads of a living trip, in the order of [`State`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Digest {
    Open,
    Offered(DriverId, i32, Timestamp),
    EnRoute(DriverId, i32, Timestamp, Timestamp),
    Arrived(DriverId, i32, Timestamp),
    Over(&'static str),
}

impl Row {
    fn digest(&self) -> Digest {
        match &self.0.state {
            State::Scheduled | State::Requested => Digest::Open,
            State::Offered(Offer {
                driver,
                epoch,
                expires_at,
                ..
            }) => Digest::Offered(*driver, *epoch, *expires_at),
            State::EnRoute(Acceptance {
                driver,
                epoch,
                at,
                stalls_at,
            }) => Digest::EnRoute(*driver, *epoch, *at, *stalls_at),
            State::Arrived(Arrival { acceptance, at, .. }) => {
                Digest::Arrived(acceptance.driver, acceptance.epoch, *at)
            }
            State::InProgress(_)
            | State::Completed { .. }
            | State::Cancelled { .. }
            | State::Expired { .. } => Digest::Over(self.0.state.name()),
        }
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        let (one, two) = (&self.0, &other.0);
        one.id == two.id
            && one.version == two.version
            && one.epoch == two.epoch
            && one.excluded == two.excluded
            && one.request_expires_at == two.request_expires_at
            && self.digest() == other.digest()
    }
}

impl Eq for Row {}

impl Hash for Row {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let trip = &self.0;
        (trip.version, trip.epoch, trip.request_expires_at).hash(hasher);
        for ended in &trip.excluded {
            (ended.driver, ended.epoch, ended.reason as u8).hash(hasher);
        }
        self.digest().hash(hasher);
    }
}
