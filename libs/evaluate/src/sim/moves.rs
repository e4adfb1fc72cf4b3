//! Suggestions to idle cabs: what a repositioning policy is told, and what becomes of its answer.

use std::cmp::Reverse;

use hexcab_matching::reposition::{Coming, Idle, Outlook};
use rand::RngExt as _;

use super::{Event, Sim, State, drive::Target, window::driver_id};

impl Sim<'_> {
    pub(super) fn suggest_moves(&mut self) {
        let Some(moves) = self.setup.moves else { return };
        if self.now + moves.every_ms < self.scene.length_ms {
            self.queue.push(Reverse((self.now + moves.every_ms, Event::Moves)));
        }
        let forecast = moves.forecast;
        let factor = self.scene.factor(self.now);
        let zone_of = |node: u32| forecast.zone_of_node[node as usize];
        let (mut idle, mut who, mut coming) = (Vec::new(), Vec::new(), Vec::new());
        for (at, cab) in self.cabs.iter_mut().enumerate() {
            let from = match &mut cab.state {
                State::Standing(target) => target.whereabouts(self.world),
                State::Moving(drive) => drive.whereabouts(self.world, self.now, factor),
                State::Fetching(trip, drive) => {
                    let ride = &self.trips[*trip];
                    let left_ms = (drive.arrive_ms - self.now).max(0) as f64 + f64::from(ride.drive_ms) * factor;
                    coming.push(Coming {
                        zone: zone_of(ride.dropoff.place.leave.iter().flatten().next().map_or(0, |end| end.node)),
                        in_s: left_ms as f32 / 1_000.0 + 60.0,
                    });
                    continue;
                }
                State::Riding(trip) => {
                    if cab.next.is_none() {
                        let end = self.trips[*trip].dropoff.place.leave.iter().flatten().next();
                        coming.push(Coming {
                            zone: zone_of(end.map_or(0, |end| end.node)),
                            in_s: ((cab.free_at_ms - self.now) as f32 / 1_000.0).max(30.0),
                        });
                    }
                    continue;
                }
                State::Off => continue,
            };
            idle.push(Idle {
                driver: driver_id(at),
                zone: zone_of(from.starts()[0].node),
                bound_for: cab.bound_for,
                idle_s: (self.now - cab.free_since_ms) as f32 / 1_000.0,
            });
            who.push(at);
        }
        let outlook = Outlook {
            travel: &forecast.travel,
            factor: factor as f32,
            rates: forecast.rates(self.now),
            idle: &idle,
            coming: &coming,
        };
        let advice = moves.policy.plan(&outlook);
        self.place_cost_s = advice.place_cost_s;
        for suggested in advice.moves {
            if self.rules.follow < 1.0 && !self.random.random_bool(self.rules.follow) {
                continue;
            }
            let cab = who[suggested.idle];
            let from = self.pull(cab);
            self.cabs[cab].bound_for = Some(suggested.zone);
            self.go(cab, &from, Target::Node(forecast.nodes[suggested.zone as usize]));
            self.outcome.moves += 1;
        }
    }
}
