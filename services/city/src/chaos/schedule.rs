//! Which fault strikes what and when: a pure function of the seed, the length and what there is to strike.
//!
//! Three kinds of things go on at once, each one after the other: something happens to processes ([`processes`]), to what is
//! between them ([`network`]), and each service is sent through its crash points ([`inside`]). A short run has a part of
//! every kind before it has all of one. The end of a run is left to crash points that were not reached ([`rest`]).
//!
//! Invariants: the same arguments give the same schedule, whatever the machine; no fault begins before [`LEAD`] or lasts
//! into the rest; no service is sent to a point before rides can have come to it; a schedule that is written and read is the same. Does not: do anything.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use serde::{Deserialize, Serialize};

use super::{
    fault::Fault,
    points::{Needs, Point},
};
use crate::stack::{
    node::{Link, Node},
    services::Service,
};

/// The load begins alone.
const LEAD: Duration = Duration::from_secs(5);
/// No fault lasts longer than this share of a run.
const SHARE_MAX: u32 = 4;
/// Between the end of one fault and the next of its kind of thing, milliseconds.
const GAP_MS: std::ops::Range<u64> = 1_000..4_000;
/// What is killed takes this long to come back, before the gap.
const REVIVAL: Duration = Duration::from_secs(2);
/// Time that a service is given for one crash point: it is started anew, reaches it, dies, is started again, and gets back
/// the partitions that its dead consumer kept for a session's six seconds and a rebalance.
const POINT_SLOT: Duration = Duration::from_secs(17);
/// When the first rides have ended, at the city's usual speed.
const FIRST_RIDES: Duration = Duration::from_secs(35);
/// The share of a run at its end in which nothing is planned, …
const REST_SHARE: u32 = 6;
/// … and how long that is at most.
const REST_MAX: Duration = Duration::from_secs(20);
/// The latest arrival that is waited for at a point that is passed all the time.
const ARRIVAL_MAX: u32 = 4;
/// The step of a clock, seconds.
const CLOCK_STEP_S: i64 = 300;

/// What there is to strike.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// Processes that can be killed and paused.
    pub nodes: Vec<Node>,
    /// Connections that can be cut, slowed and held.
    pub links: Vec<Link>,
    /// Processes whose clocks can be stepped.
    pub clocks: Vec<Service>,
    /// What the processor's sandbox can do wrong.
    pub processor: Vec<&'static str>,
    /// Crash points.
    pub points: Vec<Point>,
}

/// A fault with its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// When it begins, since the load began; seconds of the machine.
    #[serde(rename = "at_s", with = "seconds")]
    pub at: Duration,
    /// How long it lasts at most; seconds of the machine.
    #[serde(rename = "lasts_s", with = "seconds")]
    pub lasts: Duration,
    /// What it is.
    #[serde(flatten)]
    pub fault: Fault,
}

impl Planned {
    /// When it is over at the latest.
    pub fn until(&self) -> Duration {
        self.at + self.lasts
    }
}

/// Everything that is to happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// What it was made from; decides the load too.
    pub seed: u64,
    /// How long faults may be; seconds of the machine.
    #[serde(rename = "for_s", with = "seconds")]
    pub length: Duration,
    /// In the order of their beginnings.
    pub faults: Vec<Planned>,
    /// Crash points for which this length has no time.
    pub left_out: Vec<String>,
}

impl Schedule {
    /// The schedule of a seed.
    pub fn new(seed: u64, length: Duration, targets: &Targets) -> Self {
        // Streams of their own: more crash points in the code leave the other faults where they are.
        let chance = |stream: u64| StdRng::seed_from_u64(seed.wrapping_mul(3).wrapping_add(stream));
        let busy = length - rest(length);
        let mut faults = deal(processes(targets), busy, &mut chance(0));
        faults.extend(deal(network(targets), busy, &mut chance(1)));
        let mut left_out = Vec::new();
        faults.extend(inside(seed, targets, busy, &mut chance(2), &mut left_out));
        faults.sort_by_key(|planned| planned.at);
        Self {
            seed,
            length,
            faults,
            left_out,
        }
    }

    /// Writes it, to be read again.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        std::fs::write(file, serde_json::to_string_pretty(self)?)
            .with_context(|| format!("--plan {}", file.display()))
    }

    /// Reads one, perhaps edited by hand.
    ///
    /// # Errors
    /// When it cannot be read, or a fault lasts beyond the end.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("--schedule {}", file.display()))?;
        let mut read: Self = serde_json::from_str(&text)
            .with_context(|| format!("--schedule {}", file.display()))?;
        read.faults.sort_by_key(|planned| planned.at);
        for planned in &read.faults {
            ensure!(
                planned.until() <= read.length,
                "--schedule {}: {} lasts beyond the {} s of the run",
                file.display(),
                planned.fault,
                read.length.as_secs_f64()
            );
        }
        Ok(read)
    }
}

/// The time at the end of a run of this length in which nothing is planned: what was not reached is tried again, in peace.
pub fn rest(length: Duration) -> Duration {
    (length / REST_SHARE).min(REST_MAX)
}

/// Faults of one sort, dealt out all before any comes again.
struct Deck {
    all: Vec<Fault>,
    left: Vec<Fault>,
}

impl Deck {
    fn new(all: Vec<Fault>) -> Option<Self> {
        (!all.is_empty()).then(|| Self {
            all,
            left: Vec::new(),
        })
    }

    fn draw(&mut self, chance: &mut StdRng) -> Fault {
        if self.left.is_empty() {
            self.left.clone_from(&self.all);
            self.left.shuffle(chance);
        }
        let drawn = self.left.pop();
        drawn.expect("a deck has faults: it is refilled from those it was made with")
    }
}

fn decks(sorts: impl IntoIterator<Item = Vec<Fault>>) -> Vec<Deck> {
    sorts.into_iter().filter_map(Deck::new).collect()
}

/// What happens to processes.
fn processes(targets: &Targets) -> Vec<Deck> {
    let nodes = || targets.nodes.iter().copied();
    let clocks = targets.clocks.iter().flat_map(|service| {
        [CLOCK_STEP_S, -CLOCK_STEP_S].map(|seconds| Fault::ClockStep {
            service: *service,
            seconds,
        })
    });
    decks([
        nodes().map(|node| Fault::Kill { node }).collect(),
        nodes().map(|node| Fault::Pause { node }).collect(),
        clocks.collect(),
    ])
}

/// What happens between them.
fn network(targets: &Targets) -> Vec<Deck> {
    let links = || targets.links.iter().copied();
    let slow = |link| [20, 100, 400].map(|latency_ms| Fault::Slow { link, latency_ms });
    let half_open = |link| [false, true].map(|forgotten| Fault::HalfOpen { link, forgotten });
    let commits = links().filter(|link| link.to == Node::Postgres);
    let processor = targets.processor.iter().flat_map(|kind| {
        [0.2, 1.0].map(|rate| Fault::Processor {
            kind: (*kind).to_owned(),
            rate,
        })
    });
    decks([
        links().map(|link| Fault::Cut { link }).collect(),
        links().flat_map(slow).collect(),
        links().flat_map(half_open).collect(),
        commits.map(|link| Fault::LostCommit { link }).collect(),
        processor.collect(),
        vec![
            Fault::Echo { newest: 200 },
            Fault::Echo { newest: 20 },
            Fault::Republish { since_s: 10 },
            Fault::Republish { since_s: 60 },
            Fault::Poison,
        ],
    ])
}

/// One after the other, a fault of each sort in turn, until the time is over.
fn deal(mut decks: Vec<Deck>, length: Duration, chance: &mut StdRng) -> Vec<Planned> {
    let mut dealt = Vec::new();
    let mut at = LEAD + millis(chance.random_range(GAP_MS));
    if decks.is_empty() {
        return dealt;
    }
    loop {
        decks.shuffle(chance);
        for deck in &mut decks {
            let fault = deck.draw(chance);
            let lasts = lasts(&fault, length, chance);
            if at + lasts > length {
                return dealt;
            }
            let killed = matches!(fault, Fault::Kill { .. });
            dealt.push(Planned { at, lasts, fault });
            at += lasts + millis(chance.random_range(GAP_MS));
            if killed {
                at += REVIVAL;
            }
        }
    }
}

/// How long a fault lasts: short ones are more frequent than long ones.
fn lasts(fault: &Fault, length: Duration, chance: &mut StdRng) -> Duration {
    let (low_s, high_s) = match fault {
        Fault::Kill { .. } | Fault::Echo { .. } | Fault::Republish { .. } | Fault::Poison => {
            return Duration::ZERO;
        }
        Fault::Pause { .. } => (2.0, 20.0),
        Fault::Cut { .. } => (0.5, 8.0),
        Fault::Slow { .. } | Fault::HalfOpen { .. } => (2.0, 15.0),
        Fault::LostCommit { .. } => (5.0, 5.0),
        Fault::ClockStep { .. } | Fault::Processor { .. } => (5.0, 20.0),
        Fault::CrashPoint { .. } => return POINT_SLOT,
    };
    let high_s = (length / SHARE_MAX).as_secs_f64().clamp(low_s, high_s);
    let chosen: f64 = chance.random();
    let seconds = low_s + (high_s - low_s) * chosen * chosen;
    millis((seconds * 1_000.0) as u64)
}

/// Each service through its crash points, spread over the run.
fn inside(
    seed: u64,
    targets: &Targets,
    length: Duration,
    chance: &mut StdRng,
    left_out: &mut Vec<String>,
) -> Vec<Planned> {
    let mut by_service: BTreeMap<Service, Vec<Point>> = BTreeMap::new();
    for point in &targets.points {
        by_service.entry(point.service).or_default().push(*point);
    }
    let mut planned = Vec::new();
    let time = length.saturating_sub(LEAD);
    let room = usize::try_from(time.as_millis() / POINT_SLOT.as_millis()).unwrap_or(usize::MAX);
    for points in by_service.into_values() {
        let fit = room.clamp(1, points.len());
        let slot = time / u32::try_from(fit).unwrap_or(u32::MAX);
        let begins: Vec<Duration> = (0..).map(|nth| LEAD + slot * nth).take(fit).collect();
        let (early, after) = begins.split_at(begins.partition_point(|at| *at < FIRST_RIDES));
        let (first, rest) = choose(seed, points, (early.len(), after.len()), chance, left_out);
        let (first, rest) = (first.into_iter().zip(early), rest.into_iter().zip(after));
        for (point, begin) in first.chain(rest) {
            let late = millis(chance.random_range(0..=slot.as_millis() as u64 / 8));
            let arrivals = if point.rare { 1 } else { ARRIVAL_MAX };
            planned.push(Planned {
                at: whole_millis(*begin + late),
                lasts: whole_millis(slot - late),
                fault: Fault::CrashPoint {
                    service: point.service,
                    point: point.name.to_owned(),
                    nth: chance.random_range(1..=arrivals),
                },
            });
        }
    }
    planned
}

/// A service's points whose turn it is, for times before and after the first rides. Seeds in a row take turns, so that a
/// few short runs have all of them.
fn choose(
    seed: u64,
    points: Vec<Point>,
    (before, after): (usize, usize),
    chance: &mut StdRng,
    left_out: &mut Vec<String>,
) -> (Vec<Point>, Vec<Point>) {
    let needs_rides = |point: &Point| point.needs == Needs::Rides;
    let (of_rides, others): (Vec<Point>, Vec<Point>) = points.into_iter().partition(needs_rides);
    let mut take = |mut points: Vec<Point>, fit: usize| {
        let fit = fit.min(points.len());
        let turn = seed.wrapping_mul(fit as u64) % points.len().max(1) as u64;
        points.rotate_left(usize::try_from(turn).unwrap_or(0));
        left_out.extend(points.drain(fit..).map(|point| point.to_string()));
        points.shuffle(chance);
        points
    };
    let mut last = take(of_rides, after);
    let mut first = take(others, before + after - last.len());
    last.extend(first.split_off(before.min(first.len())));
    last.shuffle(chance);
    (first, last)
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// So that a time that is written and read is the same.
fn whole_millis(time: Duration) -> Duration {
    millis(time.as_millis() as u64)
}

/// Durations as seconds, for people who edit a schedule.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(time.as_secs_f64())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
