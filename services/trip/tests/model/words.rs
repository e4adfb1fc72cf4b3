//! What can be said to trip, who says it, and how things must stand to give him reason to.
//!
//! Does not: say what trip makes of it.

use hexcab_trip::domain::{
    Canceller, Command, OfferRef, OfferTo, RiderReason, State, Trip, deadline,
};
use hexcab_types::{DriverId, OperatorId};
use uuid::Uuid;

use crate::keeper::Row;

/// Somebody who may crash. (The row does not: it is Postgres. An operator asks somebody.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    Rider(usize),
    Driver(u8),
    Dispatch,
    Sweeper,
}

/// Something to say to trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Word {
    /// Dispatch: ask him, if the trip is at the version that I saw.
    Offer {
        trip: usize,
        driver: u8,
        version: i64,
    },
    /// A driver: yes.
    Accept { trip: usize, driver: u8, epoch: i32 },
    /// A driver: no.
    Decline { trip: usize, driver: u8, epoch: i32 },
    /// A driver: I am there.
    Arrive { trip: usize, driver: u8 },
    /// A driver: the rider is in the car.
    Start { trip: usize, driver: u8 },
    /// A driver: nobody came.
    NoShow { trip: usize, driver: u8 },
    /// A driver: I cannot.
    Release { trip: usize, driver: u8 },
    /// A driver: the rider is where he wanted to be.
    Complete { trip: usize, driver: u8 },
    /// The rider: never mind.
    Cancel { trip: usize },
    /// An operator: somebody else, please.
    Reassign { trip: usize },
    /// The sweeper: this is due, I read.
    Due { trip: usize, order: Order },
}

/// What the sweeper orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Order {
    ExpireRequest,
    ExpireOffer { epoch: i32 },
    Stall { epoch: i32 },
}

impl Word {
    /// About which trip.
    pub const fn trip(self) -> usize {
        match self {
            Self::Offer { trip, .. }
            | Self::Accept { trip, .. }
            | Self::Decline { trip, .. }
            | Self::Arrive { trip, .. }
            | Self::Start { trip, .. }
            | Self::NoShow { trip, .. }
            | Self::Release { trip, .. }
            | Self::Complete { trip, .. }
            | Self::Cancel { trip }
            | Self::Reassign { trip }
            | Self::Due { trip, .. } => trip,
        }
    }

    /// In whose head it is.
    pub const fn whose(self) -> Option<Who> {
        match self {
            Self::Offer { .. } => Some(Who::Dispatch),
            Self::Accept { driver, .. }
            | Self::Decline { driver, .. }
            | Self::Arrive { driver, .. }
            | Self::Start { driver, .. }
            | Self::NoShow { driver, .. }
            | Self::Release { driver, .. }
            | Self::Complete { driver, .. } => Some(Who::Driver(driver)),
            Self::Cancel { trip } => Some(Who::Rider(trip)),
            Self::Due { .. } => Some(Who::Sweeper),
            Self::Reassign { .. } => None,
        }
    }

    /// Whether it has no other reason than that somebody wants it.
    pub const fn is_a_wish(self) -> bool {
        matches!(self, Self::Cancel { .. } | Self::Reassign { .. })
    }

    /// What it orders. The rider's code and the place of the pickup are right.
    pub fn command(self, trip: &Trip) -> Command {
        match self {
            Self::Offer {
                driver, version, ..
            } => Command::Offer(OfferTo {
                driver: id_of(driver),
                version: Some(version),
                decision: None,
                pickup_eta_s: 0,
                pickup_distance_m: 0,
            }),
            Self::Accept { driver, epoch, .. } => Command::Accept(OfferRef {
                driver: id_of(driver),
                epoch,
            }),
            Self::Decline { driver, epoch, .. } => Command::Decline(OfferRef {
                driver: id_of(driver),
                epoch,
            }),
            Self::Arrive { driver, .. } => Command::Arrive {
                driver: id_of(driver),
                position: trip.order.pickup,
            },
            Self::Start { driver, .. } => Command::Start {
                driver: id_of(driver),
                code: trip.order.start_code.clone(),
            },
            Self::NoShow { driver, .. } => Command::NoShow {
                driver: id_of(driver),
            },
            Self::Release { driver, .. } => Command::Release {
                driver: id_of(driver),
            },
            Self::Complete { driver, .. } => Command::Complete {
                driver: id_of(driver),
            },
            Self::Cancel { .. } => Command::Cancel(Canceller::Rider {
                rider: trip.order.rider,
                reason: RiderReason::ChangedMind,
            }),
            Self::Reassign { .. } => Command::Reassign {
                operator: OperatorId::from(Uuid::from_u128(0xf000)),
                note: String::from("why"),
            },
            Self::Due { order, .. } => match order {
                Order::ExpireRequest => Command::ExpireRequest,
                Order::ExpireOffer { epoch } => Command::ExpireOffer { epoch },
                Order::Stall { epoch } => Command::Stall { epoch },
            },
        }
    }
}

/// What dispatch and the drivers have reason to say once they know how the trip stands. (A rider and an operator need no
/// reason, and the sweeper looks for one.)
pub fn reasons(trip: usize, row: &Trip, drivers: u8) -> Vec<Word> {
    match &row.state {
        State::Requested => (0..drivers)
            .map(|driver| Word::Offer {
                trip,
                driver,
                version: row.version,
            })
            .collect(),
        State::Offered(open) => {
            let (driver, epoch) = (number_of(open.driver), open.epoch);
            vec![
                Word::Accept {
                    trip,
                    driver,
                    epoch,
                },
                Word::Decline {
                    trip,
                    driver,
                    epoch,
                },
            ]
        }
        State::EnRoute(by) => {
            let driver = number_of(by.driver);
            vec![
                Word::Arrive { trip, driver },
                Word::Release { trip, driver },
            ]
        }
        State::Arrived(there) => {
            let driver = number_of(there.acceptance.driver);
            vec![
                Word::Start { trip, driver },
                Word::NoShow { trip, driver },
                Word::Release { trip, driver },
            ]
        }
        State::InProgress(ride) => {
            let driver = number_of(ride.arrival.acceptance.driver);
            vec![Word::Complete { trip, driver }]
        }
        State::Scheduled
        | State::Completed { .. }
        | State::Cancelled { .. }
        | State::Expired { .. } => Vec::new(),
    }
}

/// What is due.
pub fn the_sweeper_reads(trip: usize, row: &Row) -> Option<Word> {
    let order = match deadline(&row.0)?.order {
        Command::ExpireRequest => Order::ExpireRequest,
        Command::ExpireOffer { epoch } => Order::ExpireOffer { epoch },
        Command::Stall { epoch } => Order::Stall { epoch },
        Command::Activate
        | Command::Offer(_)
        | Command::Accept(_)
        | Command::Decline(_)
        | Command::Arrive { .. }
        | Command::Start { .. }
        | Command::Complete { .. }
        | Command::NoShow { .. }
        | Command::Cancel(_)
        | Command::Release { .. }
        | Command::Reassign { .. }
        | Command::ForceEnd { .. } => return None,
    };
    Some(Word::Due { trip, order })
}

pub fn id_of(driver: u8) -> DriverId {
    Uuid::from_u128(0xd000 + u128::from(driver)).into()
}

fn number_of(driver: DriverId) -> u8 {
    (driver.uuid().as_u128() - 0xd000) as u8
}
