//! What every door shares: the peers, who is connected, what is remembered.

use std::sync::Arc;

use hexcab_chassis::{Clock, Readiness, Tasks, token::Verifier};
use hexcab_types::{DriverId, RiderId};

use crate::{
    Config,
    limits::RateLimits,
    peers::Peers,
    pings::PingLanes,
    positions::Positions,
    rides::Rides,
    session::Sessions,
    views::message::{DriverMessage, RiderMessage},
};

/// Shared by the HTTP routes, both WebSockets, the gRPC service and the consumer of trip events.
pub struct Gateway {
    /// What was configured.
    pub config: Config,
    /// The city's clock.
    pub clock: Clock,
    /// Checks user tokens.
    pub verifier: Verifier,
    /// The services behind the door.
    pub peers: Peers,
    /// How fast users may call.
    pub limits: RateLimits,
    /// Connected riders.
    pub riders: Arc<Sessions<RiderId, RiderMessage>>,
    /// Connected drivers.
    pub drivers: Arc<Sessions<DriverId, DriverMessage>>,
    /// What is remembered of trips.
    pub rides: Rides,
    /// Whose position is wanted.
    pub positions: Positions,
    /// Pings on their way to location.
    pub pings: PingLanes,
    /// Whether this process can do its work.
    pub readiness: Readiness,
    /// Its background work.
    pub tasks: Tasks,
}
