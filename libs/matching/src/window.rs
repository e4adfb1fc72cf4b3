//! What a policy is given and what it answers: plain values, made by dispatch or by an evaluation.
//!
//! Invariants: none on the way in. Duplicates, numbers that are none, and excluded candidates are allowed; policies
//! deal with them. On the way out, see the crate's invariants.
//! Does not: compute ETAs, or say how candidates were found.

use std::collections::BTreeSet;

use hexcab_types::{DriverId, Point, TripId};

/// A trip that waits for a driver.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenRequest {
    /// The trip.
    pub trip: TripId,
    /// Where the rider is to be picked up.
    pub pickup: Point,
    /// How long the rider has waited, in seconds. Negative or not a number counts as 0.
    pub waiting_s: f64,
    /// Drivers who declined, timed out or cancelled on this trip: never offered it again.
    pub excluded: BTreeSet<DriverId>,
    /// The driver who is on his way to this rider already. Such a trip is never left without one; only a policy that
    /// swaps may give it another.
    pub held: Option<DriverId>,
    /// The rider is gone if not picked up within this many seconds from now. Infinite: waits for ever.
    pub leaves_in_s: f64,
    /// What it costs to come free where the ride ends and not in the best place, in seconds; as
    /// [`Candidate::here_cost_s`].
    pub end_cost_s: f64,
}

/// A driver who could pick up a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The driver.
    pub driver: DriverId,
    /// Time to the pickup in seconds: driving by road, after the rest of the present ride (`free_in_s`) if there is one.
    /// Infinite, negative or not a number: no way there.
    pub eta_s: f64,
    /// The rest of the ride that the driver is on, in seconds; 0 for one without a rider. Only a policy that chains
    /// takes drivers who are not free.
    pub free_in_s: f64,
    /// What it costs to be free where the driver is and not in the best place, in seconds, as repositioning sees it
    /// ([`Advice::place_cost_s`](crate::reposition::Advice)); 0 where it is not known. Not a finite number counts as 0.
    pub here_cost_s: f64,
    /// Great-circle distance to the pickup, in metres: recorded with the decision, never a cost.
    pub distance_m: f64,
    /// Age of the position that the ETA starts from, in seconds. Not a finite number: not a candidate.
    pub position_age_s: f64,
}

/// All that is decided at once: every open request of a city with its candidates.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Window {
    /// The requests. A trip listed twice counts once: the longer wait, all candidates, all exclusions. A driver
    /// listed twice for a trip counts at his lowest cost.
    pub requests: Vec<(OpenRequest, Vec<Candidate>)>,
}

/// A trip, the driver it should be offered to, and what that costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The trip.
    pub trip: TripId,
    /// The driver.
    pub driver: DriverId,
    /// What the policy was charged for this pair, in milliseconds. Negative when the rider's wait outweighs the rest.
    pub cost_ms: i64,
}

/// What to do with a window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// One offer each, in order of trip ids.
    pub pairs: Vec<Pair>,
    /// Trips of the window that get no offer now, in order of ids.
    pub unassigned: Vec<TripId>,
}
