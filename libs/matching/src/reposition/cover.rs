//! `cover`: idle drivers wait where they shorten the expected way to the next riders the most.
//!
//! What is minimised is the expected time from a request to the nearest driver still free, summed over zones by the rate
//! of their requests. Whether the nearest is still free is not known: with probability `taken` he is not, then it is the
//! second, and so on; with nobody near a rider is as good as lost, at `lost_s`. A driver is told to move where that gains
//! more, over the `horizon_s` that a place is worth having, than the drive costs.
use super::{Advice, Coming, Idle, Move, Outlook, Reposition};

/// What may be tuned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CoverOptions {
    /// Probability that a driver is taken before the next rider nearby asks.
    pub taken: f32,
    /// What a rider counts for whom nobody is near, in seconds.
    pub lost_s: f32,
    /// For how long a better place is worth having, in seconds.
    pub horizon_s: f32,
    /// What a second of driving costs, in seconds of riders' waiting.
    pub drive_weight: f32,
    /// A move must gain this much more than it costs, in seconds of riders' waiting.
    pub least_gain_s: f32,
    /// No drive is longer, in seconds.
    pub reach_s: f32,
    /// Drivers who come free within this time count, in seconds.
    pub coming_s: f32,
    /// Each second until a driver comes free counts this much.
    pub coming_weight: f32,
    /// Most moves of one plan.
    pub moves: usize,
}

impl Default for CoverOptions {
    fn default() -> Self {
        Self {
            taken: 0.5,
            lost_s: 900.0,
            horizon_s: 600.0,
            drive_weight: 0.3,
            least_gain_s: 5.0,
            reach_s: 1_800.0,
            coming_s: 600.0,
            coming_weight: 1.0,
            moves: 40,
        }
    }
}

/// The policy.
#[derive(Debug, Clone)]
pub struct Cover {
    options: CoverOptions,
}

/// How many drivers may stand before a rider's.
const DEPTH: usize = 6;

/// The nearest drivers of a zone.
#[derive(Clone, Copy)]
struct Nearest {
    s: [f32; DEPTH],
    who: [u32; DEPTH],
}

impl Nearest {
    fn none(lost_s: f32) -> Self {
        Self {
            s: [lost_s; DEPTH],
            who: [u32::MAX; DEPTH],
        }
    }

    fn insert(&mut self, s: f32, who: u32) {
        if s >= self.s[DEPTH - 1] {
            return;
        }
        let mut at = DEPTH - 1;
        while at > 0 && self.s[at - 1] > s {
            self.s[at] = self.s[at - 1];
            self.who[at] = self.who[at - 1];
            at -= 1;
        }
        self.s[at] = s;
        self.who[at] = who;
    }
}

impl Cover {
    /// The name.
    pub const NAME: &'static str = "cover";

    /// With these options.
    pub fn new(options: CoverOptions) -> Self {
        Self { options }
    }

    fn weights(&self) -> [f32; DEPTH] {
        let mut weights = [0.0; DEPTH];
        let mut left = 1.0;
        for weight in &mut weights {
            *weight = left * (1.0 - self.options.taken);
            left *= self.options.taken;
        }
        weights[DEPTH - 1] += left;
        weights
    }
}

impl Reposition for Cover {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn plan(&self, outlook: &Outlook<'_>) -> Advice {
        let options = &self.options;
        let zones = outlook.travel.zones();
        let lost_s = options.lost_s;
        let mut nearest = vec![Nearest::none(lost_s); zones];
        let add = |nearest: &mut [Nearest], zone: u32, more_s: f32, who: u32| {
            for (at, seconds) in outlook.travel.from(zone).iter().enumerate() {
                nearest[at].insert(seconds * outlook.factor + more_s, who);
            }
        };
        for (who, Idle { zone, bound_for, .. }) in outlook.idle.iter().enumerate() {
            match bound_for {
                Some(bound) => {
                    let left_s = outlook.travel.seconds(*zone, *bound) * outlook.factor;
                    add(&mut nearest, *bound, left_s * 0.5, who as u32);
                }
                None => add(&mut nearest, *zone, 0.0, who as u32),
            }
        }
        for (at, Coming { zone, in_s }) in outlook.coming.iter().enumerate() {
            if *in_s <= options.coming_s {
                let who = (outlook.idle.len() + at) as u32;
                add(&mut nearest, *zone, in_s * options.coming_weight, who);
            }
        }
        let weights = self.weights();
        // What a further driver at a zone would gain, and what each one's leaving would lose.
        let mut gains = vec![0.0_f32; zones];
        for (x, near) in nearest.iter().enumerate() {
            let rate = outlook.rates[x];
            if rate <= 0.0 {
                continue;
            }
            // after[k]: what it gains that all from the k-th on move one back, the last one falling off.
            let mut after = [0.0_f32; DEPTH + 1];
            for k in (0..DEPTH).rev() {
                let before = if k > 0 { near.s[k - 1] } else { 0.0 };
                after[k] = after[k + 1] + weights[k] * (near.s[k] - before);
            }
            for (zone, gain) in gains.iter_mut().enumerate() {
                let s = outlook.travel.seconds(zone as u32, x as u32) * outlook.factor;
                if s >= near.s[DEPTH - 1] {
                    continue;
                }
                let k = near.s.iter().take_while(|&&known| known <= s).count();
                *gain += rate * (weights[k] * (near.s[k] - s) + after[k + 1]);
            }
        }
        let mut losses = vec![0.0_f32; outlook.idle.len()];
        for (x, near) in nearest.iter().enumerate() {
            let rate = outlook.rates[x];
            for k in 0..DEPTH {
                let who = near.who[k] as usize;
                if who >= losses.len() {
                    continue;
                }
                let mut loss = 0.0;
                for j in k..DEPTH {
                    let next = if j + 1 < DEPTH { near.s[j + 1] } else { lost_s };
                    loss += weights[j] * (next - near.s[j]);
                }
                losses[who] += rate * loss;
            }
        }
        let mut wanted: Vec<(f32, usize, u32)> = Vec::new();
        for (who, idle) in outlook.idle.iter().enumerate() {
            if idle.bound_for.is_some() {
                continue;
            }
            let mut best: Option<(f32, u32)> = None;
            for (zone, gain) in gains.iter().enumerate() {
                let drive_s = outlook.travel.seconds(idle.zone, zone as u32) * outlook.factor;
                if zone as u32 == idle.zone || drive_s > options.reach_s {
                    continue;
                }
                let net = (gain - losses[who]) * options.horizon_s
                    - drive_s * options.drive_weight
                    - options.least_gain_s;
                if net > 0.0 && best.is_none_or(|(most, _)| net > most) {
                    best = Some((net, zone as u32));
                }
            }
            if let Some((net, zone)) = best {
                wanted.push((net, who, zone));
            }
        }
        wanted.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut moves: Vec<Move> = Vec::new();
        let mut left: Vec<u32> = Vec::new();
        for (_, who, zone) in wanted {
            if moves.len() >= options.moves {
                break;
            }
            let close = |a: u32, b: u32| outlook.travel.seconds(a, b).min(outlook.travel.seconds(b, a)) < 150.0;
            let from = outlook.idle[who].zone;
            if moves.iter().any(|other| close(other.zone, zone)) || left.iter().any(|&other| close(other, from)) {
                continue;
            }
            left.push(from);
            moves.push(Move { idle: who, zone });
        }
        Advice { moves, place_cost_s: vec![0.0; zones] }
    }
}
