//! A window: open requests, given pairs that may be exchanged, and the cabs for them, to the policy and back.
//!
//! Given pairs are shown to the policy where something near them has changed: their driver is a candidate of an open
//! request, or a cab has come free that would be there sooner. Candidates are the nearest by road, found by straight line
//! and the fastest street's speed, which no drive beats; the list grows with what the window asks for, so that riders in
//! thin places are not left without one when their neighbours take the nearest.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap, HashSet},
};

use hexcab_matching::{Candidate, OpenRequest, Window};
use hexcab_types::{DriverId, TripId};
use rand::RngExt as _;
use uuid::Uuid;

use super::{Event, Sim, State, drive::Whereabouts};
use crate::scene::apart_m;

/// Candidates of a trip that has a cab already.
const SWAP_CANDIDATES: usize = 10;

/// A cab that the window may use.
struct Near {
    cab: usize,
    from: Whereabouts,
    /// The rider it is on the way to.
    holds: Option<usize>,
    /// Milliseconds until it is free, for one that has a rider.
    free_in_ms: i64,
}

/// A candidate: its place in the list of cabs, and real milliseconds to the pickup.
type Eta = (usize, f64);

pub(super) fn driver_id(cab: usize) -> DriverId {
    DriverId::from(Uuid::from_u128(cab as u128 + 1))
}

fn trip_id(trip: usize) -> TripId {
    TripId::from(Uuid::from_u128(trip as u128 + 1))
}

fn index_of(id: Uuid) -> usize {
    usize::try_from(id.as_u128()).unwrap_or(usize::MAX) - 1
}

impl Sim<'_> {
    pub(super) fn plan_window(&mut self) {
        let factor = self.scene.factor(self.now);
        let near = self.near(factor);
        let fresh = std::mem::take(&mut self.fresh);
        let limit = self.setup.candidates.max(self.open.len());
        let mut rows: Vec<(usize, Vec<Eta>)> = Vec::new();
        for at in 0..self.open.len() {
            let trip = self.open[at];
            let left_ms = self.trips[trip].request_ms + self.rules.patience_ms - self.now;
            let etas = self.etas(trip, left_ms as f64, limit, &near, factor, |_| true);
            if !etas.is_empty() {
                rows.push((trip, etas));
            }
        }
        if self.setup.swaps {
            self.add_held(&mut rows, &near, &fresh, factor);
        }
        if rows.is_empty() {
            return;
        }
        let window = Window {
            requests: rows
                .iter()
                .map(|(trip, etas)| self.request_row(*trip, etas, &near))
                .collect(),
        };
        let plan = self.setup.matching.plan(&window);
        let by_cab: HashMap<usize, &Near> = near.iter().map(|near| (near.cab, near)).collect();
        let changed = plan.pairs.iter().filter_map(|pair| {
            let (trip, cab) = (index_of(pair.trip.uuid()), index_of(pair.driver.uuid()));
            (self.trips_now[trip].cab != Some(cab)).then_some((trip, cab))
        });
        let changed = self.answered(changed.collect(), &by_cab);
        let mut released = Vec::new();
        for &(trip, _) in &changed {
            if let Some(before) = self.trips_now[trip].cab.take() {
                released.push(before);
                self.trips_now[trip].asked.push(before);
                self.trips_now[trip].swaps += 1;
            }
        }
        for &(trip, cab) in &changed {
            self.give(trip, cab);
        }
        released.retain(|&cab| !changed.iter().any(|&(_, taker)| taker == cab));
        for cab in released {
            match self.cabs[cab].state {
                State::Fetching(..) => self.turn_off(cab),
                State::Riding(_) => self.cabs[cab].next = None,
                State::Off | State::Standing(_) | State::Moving(_) => {}
            }
        }
        let trips_now = &self.trips_now;
        self.open
            .retain(|&trip| trips_now[trip].cab.is_none() && !trips_now[trip].asking);
    }

    /// The cabs that a window may use.
    fn near(&mut self, factor: f64) -> Vec<Near> {
        let (now, world) = (self.now, self.world);
        let (swaps, swap_until_ms, chain_ms) = (
            self.setup.swaps,
            self.setup.swap_until_ms,
            self.setup.chain_ms,
        );
        let mut near = Vec::new();
        for (at, cab) in self.cabs.iter_mut().enumerate() {
            if cab.thinking_until_ms > now {
                continue;
            }
            let (from, holds, free_in_ms) = match &mut cab.state {
                State::Standing(target) => (target.whereabouts(world), None, 0),
                State::Moving(drive) => (drive.whereabouts(world, now, factor), None, 0),
                State::Fetching(trip, drive) => {
                    if !swaps || drive.arrive_ms - now < swap_until_ms || cab.shift_over {
                        continue;
                    }
                    (drive.whereabouts(world, now, factor), Some(*trip), 0)
                }
                State::Riding(trip) => {
                    let left_ms = (cab.free_at_ms - now).max(0);
                    if chain_ms.is_none_or(|most| left_ms > most) || cab.shift_over {
                        continue;
                    }
                    (
                        Whereabouts::standing(&self.trips[*trip].dropoff),
                        cab.next,
                        left_ms,
                    )
                }
                State::Off => continue,
            };
            near.push(Near {
                cab: at,
                from,
                holds,
                free_in_ms,
            });
        }
        near
    }

    /// The nearest cabs of a trip by road that are there within `limit_ms`, nearest first.
    fn etas(
        &mut self,
        trip: usize,
        limit_ms: f64,
        most: usize,
        near: &[Near],
        factor: f64,
        wanted: impl Fn(&Near) -> bool,
    ) -> Vec<Eta> {
        let pickup = &self.trips[trip].pickup;
        let pace = factor / f64::from(self.world.fastest_m_ms);
        let asked = &self.trips_now[trip].asked;
        let mut bounds: Vec<(f32, usize)> = Vec::new();
        for (at, candidate) in near.iter().enumerate() {
            let straight_ms = f64::from(apart_m(candidate.from.flat, pickup.flat)) * pace;
            let least_ms = straight_ms + candidate.free_in_ms as f64;
            if least_ms <= limit_ms && wanted(candidate) && !asked.contains(&candidate.cab) {
                bounds.push((least_ms as f32, at));
            }
        }
        bounds.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let ends = pickup.place.enter.iter().flatten();
        self.spread.toward(ends.map(|end| (end.node, end.ms)));
        let mut etas: Vec<Eta> = Vec::new();
        for (least_ms, at) in bounds {
            if etas.len() >= most && f64::from(least_ms) >= etas[most - 1].1 {
                break;
            }
            let from = &near[at].from;
            let mut ms = f32::INFINITY;
            for start in from.starts() {
                let drive = self.spread.ms(start.node);
                if drive != hexcab_road::labels::NO_WAY {
                    ms = ms.min(start.ms + drive as f32);
                }
            }
            if let Some((along, _)) = from
                .place
                .and_then(|place| place.along_street(&pickup.place))
            {
                ms = ms.min(along as f32);
            }
            let eta_ms = f64::from(ms) * factor + near[at].free_in_ms as f64;
            if eta_ms <= limit_ms {
                let place = etas.partition_point(|&(_, other)| other <= eta_ms);
                if place < most {
                    etas.insert(place, (at, eta_ms));
                    etas.truncate(most);
                }
            }
        }
        etas
    }

    /// Adds the rows of given pairs that this window may change, and takes out the cabs of those that it may not.
    fn add_held(
        &mut self,
        rows: &mut Vec<(usize, Vec<Eta>)>,
        near: &[Near],
        fresh: &[usize],
        factor: f64,
    ) {
        let mut holders: HashMap<usize, usize> = HashMap::new();
        for (at, candidate) in near.iter().enumerate() {
            if let Some(trip) = candidate.holds {
                holders.insert(trip, at);
            }
        }
        let mut chosen: Vec<usize> = Vec::new();
        let mut seen: HashSet<usize> = HashSet::new();
        for (_, etas) in rows.iter() {
            for &(at, _) in etas {
                if let Some(trip) = near[at].holds
                    && seen.insert(trip)
                {
                    chosen.push(trip);
                }
            }
        }
        self.near_fresh(near, fresh, &holders, &mut seen, &mut chosen, factor);
        for trip in chosen {
            let own = holders[&trip];
            let patience_ms = self.trips[trip].request_ms + self.rules.patience_ms - self.now;
            let is_in_play =
                |candidate: &Near| candidate.holds.is_none_or(|held| seen.contains(&held));
            let mut etas = self.etas(
                trip,
                patience_ms as f64,
                SWAP_CANDIDATES,
                near,
                factor,
                is_in_play,
            );
            if !etas.iter().any(|&(at, _)| at == own) {
                let arrive_ms = match &self.cabs[near[own].cab].state {
                    State::Fetching(_, drive) => drive.arrive_ms,
                    State::Off | State::Standing(_) | State::Moving(_) | State::Riding(_) => {
                        self.cabs[near[own].cab].free_at_ms
                    }
                };
                etas.push((own, (arrive_ms - self.now).max(0) as f64));
            }
            rows.push((trip, etas));
        }
    }

    /// Given pairs whose rider a cab that has just come free would reach sooner.
    fn near_fresh(
        &self,
        near: &[Near],
        fresh: &[usize],
        holders: &HashMap<usize, usize>,
        seen: &mut HashSet<usize>,
        chosen: &mut Vec<usize>,
        factor: f64,
    ) {
        let pace = factor / f64::from(self.world.fastest_m_ms);
        for candidate in near.iter().filter(|near| fresh.contains(&near.cab)) {
            let mut trips: Vec<usize> = holders
                .iter()
                .filter(|&(trip, &holder)| {
                    let State::Fetching(_, drive) = &self.cabs[near[holder].cab].state else {
                        return false;
                    };
                    let pickup = self.trips[*trip].pickup.flat;
                    let least_ms = f64::from(apart_m(candidate.from.flat, pickup)) * pace;
                    least_ms * 1.3 < (drive.arrive_ms - self.now) as f64
                })
                .map(|(&trip, _)| trip)
                .collect();
            trips.sort_unstable();
            chosen.extend(trips.into_iter().filter(|trip| seen.insert(*trip)));
        }
    }

    fn request_row(
        &self,
        trip: usize,
        etas: &[Eta],
        near: &[Near],
    ) -> (OpenRequest, Vec<Candidate>) {
        let ride = &self.trips[trip];
        let waited_ms = self.now - ride.request_ms;
        let request = OpenRequest {
            trip: trip_id(trip),
            pickup: ride.pickup.place.at,
            waiting_s: waited_ms as f64 / 1_000.0,
            excluded: BTreeSet::new(),
            held: self.trips_now[trip].cab.map(driver_id),
            end_cost_s: self.place_cost_s(ride.end_node()),
            leaves_in_s: (self.rules.patience_ms - waited_ms) as f64 / 1_000.0,
        };
        let candidate = |&(at, eta_ms): &Eta| Candidate {
            driver: driver_id(near[at].cab),
            eta_s: eta_ms / 1_000.0,
            free_in_s: near[at].free_in_ms as f64 / 1_000.0,
            distance_m: f64::from(apart_m(near[at].from.flat, ride.pickup.flat)),
            position_age_s: 0.0,
            here_cost_s: self.place_cost_s(near[at].from.starts()[0].node),
        };
        (request, etas.iter().map(candidate).collect())
    }

    /// What it costs to be free at a junction, as repositioning saw it last; nothing where it is switched off.
    fn place_cost_s(&self, node: u32) -> f64 {
        let Some(moves) = self.setup.moves else {
            return 0.0;
        };
        let zone = moves.forecast.zone_of_node[node as usize] as usize;
        self.place_cost_s
            .get(zone)
            .map_or(0.0, |&cost_s| f64::from(cost_s))
    }

    /// Asks the drivers of new pairs, and leaves those that agree. A free driver who refuses an open trip leaves it to be
    /// planned again; where one refuses who is part of an exchange, nothing is exchanged.
    fn answered(
        &mut self,
        mut pairs: Vec<(usize, usize)>,
        by_cab: &HashMap<usize, &Near>,
    ) -> Vec<(usize, usize)> {
        if self.rules.refusals <= 0.0 {
            return pairs;
        }
        let mut broken = false;
        let mut refused = HashSet::new();
        for &(trip, cab) in &pairs {
            if !self.random.random_bool(self.rules.refusals) {
                continue;
            }
            refused.insert(trip);
            self.trips_now[trip].asked.push(cab);
            let is_exchange = self.trips_now[trip].cab.is_some() || by_cab[&cab].holds.is_some();
            broken |= is_exchange;
            if !is_exchange {
                self.trips_now[trip].asking = true;
                let answer_ms = self.now + self.rules.refusal_ms;
                self.cabs[cab].thinking_until_ms = answer_ms;
                self.queue
                    .push(Reverse((answer_ms, Event::Refused { cab, trip })));
            }
        }
        let holds = |trip: usize, cab: usize| {
            self.trips_now[trip].cab.is_some() || by_cab[&cab].holds.is_some()
        };
        pairs.retain(|&(trip, cab)| !(refused.contains(&trip) || broken && holds(trip, cab)));
        pairs
    }

    /// Carries out one pair of a plan.
    fn give(&mut self, trip: usize, cab: usize) {
        self.cabs[cab].bound_for = None;
        if matches!(self.cabs[cab].state, State::Riding(_)) {
            self.cabs[cab].next = Some(trip);
            self.trips_now[trip].cab = Some(cab);
            return;
        }
        let from = self.pull(cab);
        self.fetch(cab, trip, &from);
    }
}
