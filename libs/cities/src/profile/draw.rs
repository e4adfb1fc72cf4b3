//! Drawing by weight, with chance that the caller gives: the same seed draws the same.

use rand::{Rng, RngExt};

/// Items with weights; items of weight 0 are never drawn.
pub(super) struct Weighted<T> {
    items: Vec<T>,
    /// Sum of the weights up to and with each item.
    sums: Vec<f64>,
}

impl<T: PartialEq> Weighted<T> {
    pub(super) fn new(weighted: impl IntoIterator<Item = (T, f64)>) -> Self {
        let (mut items, mut sums, mut sum) = (Vec::new(), Vec::new(), 0.0);
        for (item, weight) in weighted.into_iter().filter(|(_, weight)| *weight > 0.0) {
            sum += weight;
            items.push(item);
            sums.push(sum);
        }
        Self { items, sums }
    }

    /// The sum of all weights.
    pub(super) fn total(&self) -> f64 {
        self.sums.last().copied().unwrap_or(0.0)
    }

    /// An item's part of the whole, 0 when it is none.
    pub(super) fn share(&self, item: &T) -> f64 {
        let Some(at) = self.items.iter().position(|other| other == item) else {
            return 0.0;
        };
        let before = at.checked_sub(1).map_or(0.0, |before| self.sums[before]);
        (self.sums[at] - before) / self.total()
    }

    /// One item, or none when there are none.
    pub(super) fn draw(&self, rng: &mut impl Rng) -> Option<&T> {
        if self.items.is_empty() {
            return None;
        }
        let aim = rng.random::<f64>() * self.total();
        let at = self.sums.partition_point(|&sum| sum <= aim);
        self.items.get(at).or(self.items.last())
    }
}

/// One of several, all alike.
pub(super) fn one_of<'a, T>(items: &'a [T], rng: &mut impl Rng) -> Option<&'a T> {
    if items.is_empty() {
        None
    } else {
        items.get(rng.random_range(0..items.len()))
    }
}
