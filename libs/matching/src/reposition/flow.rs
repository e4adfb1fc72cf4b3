//! `flow`
use super::{Advice, Coming, Idle, Move, Outlook, Reposition};

/// What may be tuned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlowOptions {
    /// How far ahead requests are counted, in seconds.
    pub horizon_s: f32,
    /// How long a drive a sure rider is worth, in seconds.
    pub value_s: f32,
    /// A move must make a rider likelier by this much, its drive deducted.
    pub least_gain: f32,
    /// No drive is longer, in seconds.
    pub reach_s: f32,
    /// Drivers who come free within this time count, in seconds.
    pub coming_s: f32,
    /// Each second until a driver comes free counts this much.
    pub coming_weight: f32,
    /// Exponent
    pub gamma: f32,
}

impl Default for FlowOptions {
    fn default() -> Self {
        Self {
            horizon_s: 900.0,
            value_s: 1_500.0,
            least_gain: 0.05,
            reach_s: 1_800.0,
            coming_s: 600.0,
            coming_weight: 0.5,
            gamma: 1.0,
        }
    }
}

/// The policy.
#[derive(Debug, Clone)]
pub struct Flow {
    options: FlowOptions,
}

/// Most drivers that a zone can want.
const MOST: usize = 40;

struct Wants {
    now: Vec<f32>,
    filled: Vec<u16>,
    /// Probability that at least k+1 riders ask.
    tails: Vec<[f32; MOST]>,
}

impl Wants {
    fn value(&self, zone: usize) -> f32 {
        self.tails[zone][usize::from(self.filled[zone]).min(MOST - 1)]
    }
}

fn tails(mean: f32) -> [f32; MOST] {
    let mut tails = [0.0; MOST];
    let mut exactly = (-f64::from(mean)).exp();
    let mut up_to = exactly;
    for (k, tail) in tails.iter_mut().enumerate() {
        *tail = (1.0 - up_to).max(0.0) as f32;
        exactly *= f64::from(mean) / (k + 1) as f64;
        up_to += exactly;
    }
    tails
}

impl Flow {
    /// The name.
    pub const NAME: &'static str = "flow";

    /// With these options.
    pub fn new(options: FlowOptions) -> Self {
        Self { options }
    }
}

#[derive(Clone, Copy)]
struct Unit {
    zone: u32,
    late_s: f32,
    bound: Option<u32>,
    idle: Option<usize>,
}

impl Reposition for Flow {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn plan(&self, outlook: &Outlook<'_>) -> Advice {
        let options = &self.options;
        let zones = outlook.travel.zones();
        let mut wants = Wants {
            now: Vec::new(),
            filled: vec![0; zones],
            tails: outlook.rates.iter().map(|rate| tails((rate * options.horizon_s).powf(options.gamma))).collect(),
        };
        wants.now = (0..zones).map(|zone| wants.value(zone)).collect();
        let mut units = Vec::new();
        for (at, Idle { zone, bound_for, .. }) in outlook.idle.iter().enumerate() {
            units.push(Unit { zone: *zone, late_s: 0.0, bound: *bound_for, idle: Some(at) });
        }
        for Coming { zone, in_s } in outlook.coming {
            if *in_s <= options.coming_s {
                units.push(Unit { zone: *zone, late_s: in_s * options.coming_weight, bound: None, idle: None });
            }
        }
        let scale = outlook.factor / options.value_s;
        let best = |unit: &Unit, wants: &Wants| -> (f32, u32) {
            let row = outlook.travel.from(unit.zone);
            let goal = unit.bound.unwrap_or(unit.zone);
            let stay = wants.now[goal as usize] - row[goal as usize] * scale;
            let mut most = f32::NEG_INFINITY;
            for (value, seconds) in wants.now.iter().zip(row) {
                most = most.max(value - seconds * scale);
            }
            let late = unit.late_s / options.value_s;
            if most - options.least_gain <= stay {
                return (stay - late, goal);
            }
            let zone = wants.now.iter().zip(row).position(|(value, seconds)| value - seconds * scale >= most);
            let zone = zone.unwrap_or(goal as usize);
            if row[zone] * outlook.factor > options.reach_s {
                return (stay - late, goal);
            }
            (most - options.least_gain - late, zone as u32)
        };
        let mut heap: std::collections::BinaryHeap<(Key, usize, u32)> = units.iter().enumerate().map(|(at, unit)| {
            let (net, zone) = best(unit, &wants);
            (Key(net), at, zone)
        }).collect();
        let mut moves = Vec::new();
        while let Some((_, at, zone)) = heap.pop() {
            // still valid?
            let unit = units[at];
            let (net, now) = best(&unit, &wants);
            if now != zone || heap.peek().is_some_and(|top| top.0.0 > net + 1e-6) {
                heap.push((Key(net), at, now));
                continue;
            }
            wants.filled[zone as usize] += 1;
            wants.now[zone as usize] = wants.value(zone as usize);
            let goal = unit.bound.unwrap_or(unit.zone);
            if let Some(idle) = unit.idle && zone != goal {
                moves.push(Move { idle, zone });
            }
        }
        let worth: Vec<f32> = (0..zones as u32).map(|zone| {
            let row = outlook.travel.from(zone);
            wants.now.iter().zip(row).fold(f32::NEG_INFINITY, |most, (value, seconds)| most.max(value - seconds * scale))
        }).collect();
        let best = worth.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        Advice { moves, place_cost_s: worth.iter().map(|worth| (best - worth) * options.value_s).collect() }
    }
}

#[derive(PartialEq, PartialOrd)]
struct Key(f32);
impl Eq for Key {}
impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}
