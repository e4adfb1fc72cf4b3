//! Two policies side by side on the same requests and the same cabs: how much better is one, and how sure is that?
//!
//! A day falls into blocks of three hours. Each block of each day and seed has its difference; drawing blocks again and
//! again, with replacement, says how far the whole could have come out otherwise (bootstrap, 95 % between the 2.5th and the
//! 97.5th of a hundred). Waits are compared on riders whom both served: else a policy that serves the far ones looks slow.
//! Does not: claim more than the days it saw.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{scene::Trip, sim::Fate};

/// How long a block is.
const BLOCK_MS: i64 = 3 * 3_600_000;

/// How often blocks are drawn.
const DRAWS: usize = 2_000;

/// A difference with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// The second less the first.
    pub mean: f64,
    /// 95 % of draws are above this,
    pub low: f64,
    /// and below this, a fortieth left out at either end.
    pub high: f64,
}

/// What a policy gains over another.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gain {
    /// Share of requests served.
    pub served_share: Difference,
    /// Share of requests picked up within five minutes.
    pub within_5_min_share: Difference,
    /// Mean wait of riders whom both served, in seconds.
    pub wait_both_s: Difference,
    /// Riders whom both served.
    pub both: u64,
}

/// What is counted of a block.
#[derive(Debug, Clone, Copy, Default)]
pub struct Block {
    requests: f64,
    served: f64,
    within: f64,
    wait_s: f64,
    both: f64,
}

/// The blocks of one day and seed: the second policy's fates against the first's.
pub fn blocks(trips: &[Trip], first: &[Fate], second: &[Fate]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for (trip, (first, second)) in trips.iter().zip(first.iter().zip(second)) {
        let at = usize::try_from(trip.request_ms / BLOCK_MS).unwrap_or(0);
        if blocks.len() <= at {
            blocks.resize(at + 1, Block::default());
        }
        let block = &mut blocks[at];
        let soon = |fate: &Fate| fate.wait_ms.is_some_and(|wait_ms| wait_ms <= 300_000);
        let one = |yes: bool| f64::from(u8::from(yes));
        block.requests += 1.0;
        block.served += one(second.wait_ms.is_some()) - one(first.wait_ms.is_some());
        block.within += one(soon(second)) - one(soon(first));
        if let (Some(first), Some(second)) = (first.wait_ms, second.wait_ms) {
            block.wait_s += (second - first) as f64 / 1_000.0;
            block.both += 1.0;
        }
    }
    blocks.retain(|block| block.requests > 0.0);
    blocks
}

/// The differences of all blocks, with their intervals. The seed decides the draws.
pub fn gain(blocks: &[Block], seed: u64) -> Gain {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let whole = Gain3::of(blocks.iter());
    let mut draws: Vec<Gain3> = Vec::with_capacity(DRAWS);
    if !blocks.is_empty() {
        for _ in 0..DRAWS {
            let drawn = (0..blocks.len()).map(|_| &blocks[random.random_range(0..blocks.len())]);
            draws.push(Gain3::of(drawn));
        }
    }
    let interval = |value: fn(&Gain3) -> f64| {
        let mut values: Vec<f64> = draws.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| values.get((values.len() as f64 * share) as usize).copied();
        Difference {
            mean: value(&whole),
            low: at(0.025).unwrap_or(0.0),
            high: at(0.975).unwrap_or(0.0),
        }
    };
    Gain {
        served_share: interval(|it| it.served),
        within_5_min_share: interval(|it| it.within),
        wait_both_s: interval(|it| it.wait_s),
        both: blocks.iter().map(|block| block.both).sum::<f64>() as u64,
    }
}

struct Gain3 {
    served: f64,
    within: f64,
    wait_s: f64,
}

impl Gain3 {
    fn of<'a>(blocks: impl Iterator<Item = &'a Block>) -> Self {
        let mut sum = Block::default();
        for block in blocks {
            sum.requests += block.requests;
            sum.served += block.served;
            sum.within += block.within;
            sum.wait_s += block.wait_s;
            sum.both += block.both;
        }
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        Self {
            served: share(sum.served, sum.requests),
            within: share(sum.within, sum.requests),
            wait_s: share(sum.wait_s, sum.both),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(served: f64, wait_s: f64) -> Block {
        Block {
            requests: 100.0,
            served,
            within: 0.0,
            wait_s: wait_s * 50.0,
            both: 50.0,
        }
    }

    #[test]
    fn a_gain_in_every_block_is_sure() {
        let blocks: Vec<Block> = (0..20)
            .map(|at| block(5.0 + f64::from(at % 3), -20.0))
            .collect();
        let gain = gain(&blocks, 1);
        assert!(
            gain.served_share.low > 0.04 && gain.served_share.high < 0.08,
            "{gain:?}"
        );
        assert!((gain.wait_both_s.mean + 20.0).abs() < 1e-9 && gain.both == 1_000);
    }

    #[test]
    fn a_gain_in_half_the_blocks_is_not() {
        let blocks: Vec<Block> = (0..20)
            .map(|at| block(if at % 2 == 0 { 5.0 } else { -5.0 }, 0.0))
            .collect();
        let gain = gain(&blocks, 1);
        assert!(
            gain.served_share.low < 0.0 && gain.served_share.high > 0.0,
            "{gain:?}"
        );
    }

    #[test]
    fn a_seed_gives_the_same_interval_and_nothing_gives_nothing() {
        let blocks: Vec<Block> = (0..9).map(|at| block(f64::from(at), 1.0)).collect();
        assert_eq!(gain(&blocks, 3), gain(&blocks, 3));
        assert_eq!(gain(&[], 3).served_share, Difference::default());
    }
}
