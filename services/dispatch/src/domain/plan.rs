//! Requests and the drivers found for them → road ETAs → the policy's costs and its plan.
//!
//! Invariants: a busy or excluded driver is never chosen; a driver is chosen once in a window; nobody is chosen at a
//! cost that is not among those recorded. Does not: search, offer.

use std::{collections::HashSet, num::NonZero, sync::Arc, thread};

use hexcab_matching::{Candidate, OpenRequest, Policy, Window};
use hexcab_road::{HourOfWeek, RoadTimes};
use hexcab_types::{DriverId, Point, Timestamp};

use super::{decision::Considered, seen::Request};

/// Requests whose ETAs one thread takes on; more are shared out.
const REQUESTS_PER_THREAD: usize = 64;

/// A driver near a pickup.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nearby {
    /// The driver.
    pub driver: DriverId,
    /// Where he is.
    pub position: Point,
    /// Great-circle distance to the pickup, metres.
    pub distance_m: f64,
    /// Age of the position, milliseconds.
    pub age_ms: i32,
}

/// A request and the drivers near it, nearest first.
#[derive(Debug, Clone)]
pub struct Found {
    /// The request.
    pub request: Arc<Request>,
    /// The drivers.
    pub nearby: Vec<Nearby>,
    /// The span that searched, if it was in another ride's trace.
    pub searched_in: Option<String>,
}

/// A request, who was considered for it, and who is to be asked.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The request.
    pub request: Arc<Request>,
    /// Cheapest first.
    pub considered: Vec<Considered>,
    /// Who is to be asked, if anybody.
    pub chosen: Option<Chosen>,
    /// See [`Found::searched_in`].
    pub searched_in: Option<String>,
}

/// Who is to be asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chosen {
    /// The driver.
    pub driver: DriverId,
    /// Road ETA to the pickup, seconds.
    pub eta_s: f64,
    /// Great-circle distance, metres.
    pub distance_m: f64,
}

/// Leaves out whoever must not be asked, and whoever is one too many.
pub fn narrow(found: &mut Found, busy: &HashSet<DriverId>, most: usize) {
    let excluded = &found.request.excluded;
    found
        .nearby
        .retain(|near| !busy.contains(&near.driver) && !excluded.contains(&near.driver));
    found.nearby.truncate(most);
}

/// Makes the plan of a window. Takes processor time: not for an async thread.
pub fn plan(
    found: Vec<Found>,
    policy: &dyn Policy,
    road: &dyn RoadTimes,
    hour: HourOfWeek,
    now: Timestamp,
) -> Vec<Planned> {
    let window = Window {
        requests: candidates(&found, road, hour, now),
    };
    let mut chosen: Vec<_> = policy.plan(&window).pairs;
    chosen.sort_unstable_by_key(|pair| pair.trip);
    let rows = found.into_iter().zip(&window.requests);
    rows.map(|(found, (request, candidates))| {
        let considered = considered(policy, request, candidates);
        let pair = chosen
            .binary_search_by_key(&request.trip, |pair| pair.trip)
            .ok()
            .and_then(|at| chosen.get(at));
        let chosen = pair
            .and_then(|pair| {
                considered
                    .iter()
                    .find(|considered| considered.driver == pair.driver)
            })
            .map(|it| Chosen {
                driver: it.driver,
                eta_s: it.eta_s,
                distance_m: it.distance_m,
            });
        Planned {
            request: found.request,
            considered,
            chosen,
            searched_in: found.searched_in,
        }
    })
    .collect()
}

fn considered(
    policy: &dyn Policy,
    request: &OpenRequest,
    candidates: &[Candidate],
) -> Vec<Considered> {
    let priced = candidates.iter().filter_map(|candidate| {
        Some(Considered {
            driver: candidate.driver,
            eta_s: candidate.eta_s,
            distance_m: candidate.distance_m,
            position_age_ms: (candidate.position_age_s * 1_000.0) as i32,
            cost_ms: policy.cost_ms(request, candidate)?,
        })
    });
    let mut considered: Vec<_> = priced.collect();
    considered.sort_unstable_by_key(|it| (it.cost_ms, it.driver));
    considered
}

fn candidates(
    found: &[Found],
    road: &dyn RoadTimes,
    hour: HourOfWeek,
    now: Timestamp,
) -> Vec<(OpenRequest, Vec<Candidate>)> {
    let row = |found: &Found| (open_request(&found.request, now), etas(found, road, hour));
    if found.len() <= REQUESTS_PER_THREAD {
        return found.iter().map(row).collect();
    }
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let share = found.len().div_ceil(threads);
    thread::scope(|scope| {
        let parts: Vec<_> = found
            .chunks(share)
            .map(|part| scope.spawn(move || part.iter().map(row).collect::<Vec<_>>()))
            .collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().expect("road times do not panic"))
            .collect()
    })
}

fn open_request(request: &Request, now: Timestamp) -> OpenRequest {
    OpenRequest {
        trip: request.trip,
        pickup: request.pickup,
        waiting_s: (now - request.created_at).as_seconds_f64(),
        excluded: request.excluded.clone(),
        held: None,
        leaves_in_s: f64::INFINITY,
        end_cost_s: 0.0,
    }
}

fn etas(found: &Found, road: &dyn RoadTimes, hour: HourOfWeek) -> Vec<Candidate> {
    let from: Vec<Point> = found.nearby.iter().map(|near| near.position).collect();
    let legs = road.legs_to(&from, found.request.pickup, hour);
    let candidate = |(near, leg): (&Nearby, Option<hexcab_road::Leg>)| Candidate {
        driver: near.driver,
        eta_s: leg.map_or(f64::INFINITY, |leg| leg.seconds),
        distance_m: near.distance_m,
        position_age_s: f64::from(near.age_ms) / 1_000.0,
        free_in_s: 0.0,
        here_cost_s: 0.0,
    };
    found.nearby.iter().zip(legs).map(candidate).collect()
}

#[cfg(test)]
mod tests;
