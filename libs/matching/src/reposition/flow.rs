//! `flow`: idle drivers go where riders are likelier to ask than where they are.
//!
//! Each zone wants drivers one after the other: the first for the chance that anybody asks there within the horizon, the
//! next for the chance that two do, and so on (requests as a Poisson process). Drivers are given to these wants greedily,
//! the best pair first, a pair being worth its chance less the time until the driver is there, as a share of `value_s`.
//! Drivers about to set a rider down take wants, too, and are told nothing. So a zone is left by as many drivers as it
//! has too many, and reached by as many as it lacks, from nearby where that will do and from half an hour away where it
//! will not.
//!
//! Invariants: those of [`reposition`](super); no driver moves for less than `least_gain`.
//! Does not: know how sure the forecast is, or where within a zone a driver should stand.

use std::{cmp::Ordering, collections::BinaryHeap};

use serde::{Deserialize, Serialize};

use super::{Advice, Coming, Idle, Move, Outlook, Reposition};
use crate::policy::PolicyError;

/// What a city may tune.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlowOptions {
    /// How far ahead requests are counted, in seconds.
    pub horizon_s: f32,
    /// How long a drive a sure rider is worth, in seconds.
    pub value_s: f32,
    /// A move must raise the chance of a rider by this much, its drive deducted.
    pub least_gain: f32,
    /// No suggested drive is longer, in seconds.
    pub reach_s: f32,
    /// Drivers who come free within this time take wants, in seconds.
    pub coming_s: f32,
    /// How much each second counts until a driver comes free, 1 being as much as a second of driving.
    pub coming_weight: f32,
}

impl Default for FlowOptions {
    fn default() -> Self {
        Self {
            horizon_s: 1_500.0,
            value_s: 6_000.0,
            least_gain: 0.2,
            reach_s: 1_800.0,
            coming_s: 600.0,
            coming_weight: 0.5,
        }
    }
}

impl FlowOptions {
    fn validate(&self) -> Result<(), PolicyError> {
        let options = [
            ("horizon_s", self.horizon_s),
            ("value_s", self.value_s),
            ("least_gain", self.least_gain),
            ("reach_s", self.reach_s),
            ("coming_s", self.coming_s),
            ("coming_weight", self.coming_weight),
        ];
        match options.into_iter().find(|(name, value)| {
            !value.is_finite() || *value < 0.0 || (*name == "value_s" && *value <= 0.0)
        }) {
            Some((option, value)) => Err(PolicyError::BadOption {
                option,
                value: f64::from(value),
            }),
            None => Ok(()),
        }
    }
}

/// The policy.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    options: FlowOptions,
}

impl Flow {
    /// Its name in configuration and decisions.
    pub const NAME: &'static str = "flow";

    /// The policy with these options.
    ///
    /// # Errors
    /// When an option is negative or no finite number, or `value_s` is 0.
    pub fn new(options: FlowOptions) -> Result<Self, PolicyError> {
        options.validate()?;
        Ok(Self { options })
    }
}

impl Reposition for Flow {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn plan(&self, outlook: &Outlook<'_>) -> Advice {
        let mut wants = Wants::new(outlook, &self.options);
        let units = self.units(outlook);
        let mut queue: BinaryHeap<Offer> = (0..units.len())
            .map(|unit| wants.best(&units[unit], unit))
            .collect();
        let mut moves = Vec::new();
        while let Some(offer) = queue.pop() {
            let unit = &units[offer.unit];
            // Others may have filled the zone since: then the unit offers again what is now best for it.
            let now = wants.best(unit, offer.unit);
            if now.zone != offer.zone || queue.peek().is_some_and(|next| *next > now) {
                queue.push(now);
                continue;
            }
            if let Some(idle) = unit.idle
                && now.zone != unit.goal
            {
                moves.push(Move {
                    idle,
                    zone: now.zone,
                    chance: now.net + self.options.least_gain,
                    chance_here: wants.net(unit, unit.goal),
                });
            }
            wants.fill(now.zone);
        }
        moves.sort_unstable_by_key(|suggested| suggested.idle);
        Advice {
            moves,
            place_cost_s: wants.place_cost_s(),
        }
    }
}

impl Flow {
    fn units(&self, outlook: &Outlook<'_>) -> Vec<Unit> {
        let FlowOptions {
            coming_s,
            coming_weight,
            ..
        } = self.options;
        let idle = |(at, idle): (usize, &Idle)| Unit {
            zone: idle.zone,
            goal: idle.bound_for.unwrap_or(idle.zone),
            late_s: 0.0,
            idle: Some(at),
        };
        let coming = |coming: &Coming| Unit {
            zone: coming.zone,
            goal: coming.zone,
            late_s: coming.in_s.max(0.0) * coming_weight,
            idle: None,
        };
        let soon = outlook
            .coming
            .iter()
            .filter(|coming| coming.in_s <= coming_s);
        outlook
            .idle
            .iter()
            .enumerate()
            .map(idle)
            .chain(soon.map(coming))
            .collect()
    }
}

/// A driver who takes a want.
struct Unit {
    zone: u32,
    /// Where he is bound for, or is: to go there takes no new suggestion.
    goal: u32,
    late_s: f32,
    idle: Option<usize>,
}

/// What is best for a unit: the chance of a rider, less what it costs to be there.
struct Offer {
    net: f32,
    unit: usize,
    zone: u32,
}

/// By worth; of two alike the unit listed first comes first.
impl Ord for Offer {
    fn cmp(&self, other: &Self) -> Ordering {
        self.net
            .total_cmp(&other.net)
            .then(other.unit.cmp(&self.unit))
    }
}

impl PartialOrd for Offer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Offer {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Offer {}

/// How many drivers each zone has been given, and the chance that one more would find a rider.
struct Wants<'a> {
    outlook: &'a Outlook<'a>,
    options: &'a FlowOptions,
    /// The share of `value_s` that a second at the factor 1 costs.
    scale: f32,
    chance: Vec<f32>,
    zones: Vec<Zone>,
}

/// A Poisson count's tail, term by term.
#[derive(Clone, Copy)]
struct Zone {
    mean: f64,
    given: u32,
    /// The probability of just `given` requests, and of at most so many.
    exactly: f64,
    up_to: f64,
}

impl<'a> Wants<'a> {
    fn new(outlook: &'a Outlook<'a>, options: &'a FlowOptions) -> Self {
        let zone = |rate: &f32| {
            let mean = f64::from((rate * options.horizon_s).max(0.0));
            Zone {
                mean,
                given: 0,
                exactly: (-mean).exp(),
                up_to: (-mean).exp(),
            }
        };
        let zones: Vec<Zone> = outlook.rates.iter().map(zone).collect();
        Self {
            outlook,
            options,
            scale: outlook.factor / options.value_s,
            chance: zones.iter().map(Zone::chance).collect(),
            zones,
        }
    }

    fn fill(&mut self, zone: u32) {
        let at = zone as usize;
        self.zones[at].fill();
        self.chance[at] = self.zones[at].chance();
    }

    /// What a zone is worth to a unit.
    fn net(&self, unit: &Unit, zone: u32) -> f32 {
        let drive = self.outlook.travel.seconds(unit.zone, zone) * self.scale;
        self.chance[zone as usize] - drive - unit.late_s / self.options.value_s
    }

    fn best(&self, unit: &Unit, number: usize) -> Offer {
        let stay = Offer {
            net: self.net(unit, unit.goal),
            unit: number,
            zone: unit.goal,
        };
        let row = self.outlook.travel.from(unit.zone);
        // Two plain passes, so that the compiler makes vectors of them: this is where the time goes.
        let nets = || {
            self.chance
                .iter()
                .zip(row)
                .map(|(chance, s)| chance - s * self.scale)
        };
        let most = nets().fold(f32::NEG_INFINITY, f32::max);
        let late = unit.late_s / self.options.value_s;
        let move_net = most - late - self.options.least_gain;
        if move_net <= stay.net {
            return stay;
        }
        let zone = nets().position(|net| net >= most).unwrap_or(0) as u32;
        if self.outlook.travel.seconds(unit.zone, zone) * self.outlook.factor > self.options.reach_s
        {
            return self.best_within_reach(unit, stay, late);
        }
        Offer {
            net: move_net,
            unit: number,
            zone,
        }
    }

    /// As [`Self::best`], where the very best is too far.
    fn best_within_reach(&self, unit: &Unit, stay: Offer, late: f32) -> Offer {
        let row = self.outlook.travel.from(unit.zone);
        let mut best = stay;
        for (zone, (chance, s)) in self.chance.iter().zip(row).enumerate() {
            let net = chance - s * self.scale - late - self.options.least_gain;
            if net > best.net && s * self.outlook.factor <= self.options.reach_s {
                best = Offer {
                    net,
                    zone: zone as u32,
                    ..best
                };
            }
        }
        best
    }

    /// See [`Advice::place_cost_s`]: by what is still wanted.
    fn place_cost_s(&self) -> Vec<f32> {
        let worth = |zone: usize| {
            let row = self.outlook.travel.from(zone as u32);
            let nets = self
                .chance
                .iter()
                .zip(row)
                .map(|(chance, s)| chance - s * self.scale);
            nets.fold(f32::NEG_INFINITY, f32::max)
        };
        let worths: Vec<f32> = (0..self.zones.len()).map(worth).collect();
        let best = worths.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        worths
            .iter()
            .map(|worth| (best - worth) * self.options.value_s)
            .collect()
    }
}

impl Zone {
    /// The probability of more requests than drivers were given.
    fn chance(&self) -> f32 {
        (1.0 - self.up_to).max(0.0) as f32
    }

    fn fill(&mut self) {
        self.given += 1;
        self.exactly *= self.mean / f64::from(self.given);
        self.up_to += self.exactly;
    }
}

#[cfg(test)]
mod tests;
