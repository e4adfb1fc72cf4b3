//! Suggestions to idle cabs: what a repositioning policy is told, and what becomes of its answer.

use std::cmp::Reverse;

use hexcab_matching::reposition::{Coming, Idle, Outlook};
use rand::RngExt as _;

use super::{Event, Moves, Sim, State, drive::Target, window::driver_id};
use crate::scene::BOARDING_MS;

/// A ride that takes longer than it should is expected to end in so many seconds, again and again.
const OVERDUE_S: f32 = 30.0;

/// What a policy is told of the fleet.
#[derive(Default)]
struct Fleet {
    idle: Vec<Idle>,
    /// The cab of each idle driver.
    cabs: Vec<usize>,
    coming: Vec<Coming>,
}

impl Sim<'_> {
    pub(super) fn suggest_moves(&mut self) {
        let Some(moves) = self.setup.moves else {
            return;
        };
        let next = self.now + moves.every_ms;
        if next < self.scene.length_ms {
            self.queue.push(Reverse((next, Event::Moves)));
        }
        let fleet = self.fleet(&moves);
        let outlook = Outlook {
            travel: &moves.forecast.travel,
            factor: self.scene.factor(self.now) as f32,
            rates: moves.forecast.rates(self.now),
            idle: &fleet.idle,
            coming: &fleet.coming,
        };
        let advice = moves.policy.plan(&outlook);
        self.place_cost_s = advice.place_cost_s;
        for suggested in advice.moves {
            if self.rules.follow < 1.0 && !self.random.random_bool(self.rules.follow) {
                continue;
            }
            let cab = fleet.cabs[suggested.idle];
            let from = self.pull(cab);
            self.cabs[cab].bound_for = Some(suggested.zone);
            let node = moves.forecast.nodes[suggested.zone as usize];
            self.go(cab, &from, Target::Node(node));
            self.outcome.moves += 1;
        }
    }

    fn fleet(&mut self, moves: &Moves<'_>) -> Fleet {
        let (now, trips) = (self.now, self.trips);
        let factor = self.scene.factor(now);
        let zone_of = |node: u32| moves.forecast.zone_of_node[node as usize];
        let mut fleet = Fleet::default();
        for (at, cab) in self.cabs.iter_mut().enumerate() {
            let from = match &mut cab.state {
                State::Standing(target) => target.whereabouts(self.world),
                State::Moving(drive) => drive.whereabouts(self.world, now, factor),
                State::Fetching(trip, drive) => {
                    let ride = &trips[*trip];
                    let ride_ms = f64::from(ride.drive_ms) * factor + f64::from(BOARDING_MS);
                    let left_ms = (drive.arrive_ms - now).max(0) as f64 + ride_ms;
                    fleet.coming.push(Coming {
                        zone: zone_of(ride.end_node()),
                        in_s: left_ms as f32 / 1_000.0,
                    });
                    continue;
                }
                State::Riding(trip) if cab.next.is_none() => {
                    let left_s = (cab.free_at_ms - now) as f32 / 1_000.0;
                    fleet.coming.push(Coming {
                        zone: zone_of(trips[*trip].end_node()),
                        in_s: left_s.max(OVERDUE_S),
                    });
                    continue;
                }
                State::Riding(_) | State::Off => continue,
            };
            fleet.idle.push(Idle {
                driver: driver_id(at),
                zone: zone_of(from.starts()[0].node),
                bound_for: cab.bound_for,
            });
            fleet.cabs.push(at);
        }
        fleet
    }
}
