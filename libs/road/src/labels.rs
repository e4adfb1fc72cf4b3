//! Drives between junctions by hub labels: each junction knows a few hundred others, *hubs*, with the time to and from
//! them, such that every fastest drive passes a hub that both its ends know. A question is then one pass over two short
//! lists (well under a microsecond), and a pickup's candidates are one pass each.
//!
//! Hubs are taken in the order of the contraction hierarchy, most important first, and a label that an earlier hub makes
//! needless is left out (pruned landmark labelling, Akiba, Iwata and Yoshida 2013): the smallest labels of that order.
//! Invariants: times are exact, whole milliseconds, free of the hour's factor; metres are those of one fastest drive, the
//! one that [`HubLabels::path`] gives. Does not: snap, know streets or hours; [`RoadGraph::place`] and the caller do.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::graph::RoadGraph;

/// Of a drive that there is not.
pub const NO_WAY: u32 = u32::MAX;

/// Half of the largest time, so that two of them add up.
const FAR: u32 = u32::MAX / 2;

/// A directed edge: its end, milliseconds, metres.
pub(crate) type Arc = (u32, u32, f32);

/// A hub as a junction knows it.
#[derive(Debug, Clone, Copy)]
struct Hub {
    rank: u32,
    ms: u32,
}

/// How to get on toward (or back from) a hub.
#[derive(Debug, Clone, Copy)]
struct Way {
    next: u32,
    metres: f32,
}

/// All labels of one direction.
#[derive(Debug, Default)]
struct Side {
    first: Vec<u32>,
    hubs: Vec<Hub>,
    ways: Vec<Way>,
}

impl Side {
    fn of(labels: Vec<Vec<(Hub, Way)>>) -> Self {
        let mut side = Self::default();
        side.first.push(0);
        for label in labels {
            for (hub, way) in label {
                side.hubs.push(hub);
                side.ways.push(way);
            }
            side.first.push(side.hubs.len() as u32);
        }
        side
    }

    fn range(&self, node: u32) -> std::ops::Range<usize> {
        self.first[node as usize] as usize..self.first[node as usize + 1] as usize
    }

    fn hubs(&self, node: u32) -> &[Hub] {
        &self.hubs[self.range(node)]
    }

    fn way(&self, node: u32, rank: u32) -> Option<Way> {
        let range = self.range(node);
        let at = self.hubs[range.clone()]
            .binary_search_by_key(&rank, |hub| hub.rank)
            .ok()?;
        Some(self.ways[range.start + at])
    }
}

/// The labels of a graph.
pub struct HubLabels {
    /// From a junction to hubs.
    out: Side,
    /// From hubs to a junction.
    into: Side,
    /// The junction of each rank.
    hub_nodes: Vec<u32>,
}

/// A step of a drive: a junction, with time and way from the start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The junction.
    pub node: u32,
    /// Milliseconds from the start.
    pub ms: u32,
    /// Metres from the start.
    pub metres: f32,
}

impl HubLabels {
    /// The labels of a street graph: a second or so for a city.
    pub fn of(graph: &RoadGraph) -> Self {
        let (order, out) = graph.arcs();
        Self::build(&order, &out)
    }

    /// `order`: junctions, most important first. `out`: the edges that leave each.
    fn build(order: &[u32], out: &[Vec<Arc>]) -> Self {
        let mut into: Vec<Vec<Arc>> = vec![Vec::new(); out.len()];
        for (from, arcs) in out.iter().enumerate() {
            for &(to, ms, metres) in arcs {
                into[to as usize].push((from as u32, ms, metres));
            }
        }
        let mut out_labels = vec![Vec::new(); out.len()];
        let mut in_labels = vec![Vec::new(); out.len()];
        let mut search = Search::new(out.len());
        for (rank, &hub) in order.iter().enumerate() {
            search.label(
                rank as u32,
                hub,
                out,
                &out_labels[hub as usize],
                &mut in_labels,
            );
            // The forward search has labelled the hub itself; without it the backward one would be cut off at once.
            let own = in_labels[hub as usize].pop();
            search.label(
                rank as u32,
                hub,
                &into,
                &in_labels[hub as usize],
                &mut out_labels,
            );
            in_labels[hub as usize].extend(own);
        }
        Self {
            out: Side::of(out_labels),
            into: Side::of(in_labels),
            hub_nodes: order.to_vec(),
        }
    }

    /// How many junctions.
    pub fn node_count(&self) -> usize {
        self.hub_nodes.len()
    }

    /// Mean number of hubs that a junction knows, either way.
    pub fn mean_size(&self) -> f64 {
        (self.out.hubs.len() + self.into.hubs.len()) as f64 / (2 * self.node_count().max(1)) as f64
    }

    /// The time from one junction to another at the factor 1, or [`NO_WAY`].
    pub fn ms(&self, from: u32, to: u32) -> u32 {
        self.meeting(from, to).map_or(NO_WAY, |(ms, _)| ms)
    }

    /// Time and metres from one junction to another.
    pub fn leg(&self, from: u32, to: u32) -> Option<(u32, f32)> {
        let (ms, rank) = self.meeting(from, to)?;
        let (there, back) = (self.out.way(from, rank)?, self.into.way(to, rank)?);
        Some((ms, there.metres + back.metres))
    }

    /// The junctions of the fastest drive, the first being `from`.
    pub fn path(&self, from: u32, to: u32) -> Option<Vec<Step>> {
        let (total, rank) = self.meeting(from, to)?;
        let hub = self.hub_nodes[rank as usize];
        let mut steps = Vec::new();
        let up = self.out.way(from, rank)?.metres;
        let up_ms = self.left_ms(&self.out, from, rank)?;
        let mut node = from;
        while node != hub {
            let way = self.out.way(node, rank)?;
            let left = self.left_ms(&self.out, node, rank)?;
            steps.push(Step {
                node,
                ms: up_ms - left,
                metres: up - way.metres,
            });
            node = way.next;
        }
        let turn = steps.len();
        node = to;
        while node != hub {
            let way = self.into.way(node, rank)?;
            let passed = self.left_ms(&self.into, node, rank)?;
            steps.push(Step {
                node,
                ms: up_ms + passed,
                metres: up + way.metres,
            });
            node = way.next;
        }
        steps.push(Step {
            node: hub,
            ms: up_ms,
            metres: up,
        });
        steps[turn..].reverse();
        debug_assert_eq!(steps.last().map(|step| step.ms), Some(total));
        Some(steps)
    }

    fn left_ms(&self, side: &Side, node: u32, rank: u32) -> Option<u32> {
        let hubs = side.hubs(node);
        let at = hubs.binary_search_by_key(&rank, |hub| hub.rank).ok()?;
        Some(hubs[at].ms)
    }

    /// The best hub for a drive: its time and rank.
    fn meeting(&self, from: u32, to: u32) -> Option<(u32, u32)> {
        let (mut a, mut b) = (self.out.hubs(from).iter(), self.into.hubs(to).iter());
        let (mut left, mut right) = (a.next(), b.next());
        let mut best: Option<(u32, u32)> = None;
        while let (Some(l), Some(r)) = (left, right) {
            if l.rank == r.rank {
                let ms = l.ms + r.ms;
                if best.is_none_or(|(least, _)| ms < least) {
                    best = Some((ms, l.rank));
                }
                (left, right) = (a.next(), b.next());
            } else if l.rank < r.rank {
                left = a.next();
            } else {
                right = b.next();
            }
        }
        best
    }
}

/// Times from many junctions to one place, or from one place to many: the place's labels spread out by hub.
pub struct Spread<'a> {
    labels: &'a HubLabels,
    by_rank: Vec<u32>,
    touched: Vec<u32>,
    toward: bool,
}

impl<'a> Spread<'a> {
    /// Nothing spread yet: every question is answered [`NO_WAY`].
    pub fn new(labels: &'a HubLabels) -> Self {
        Self {
            labels,
            by_rank: vec![FAR; labels.node_count()],
            touched: Vec::new(),
            toward: true,
        }
    }

    /// Asks from now on for drives to a place: through these junctions, with the milliseconds from each to the place.
    pub fn toward(&mut self, ends: impl IntoIterator<Item = (u32, u32)>) {
        self.toward = true;
        self.clear();
        for (node, after) in ends {
            self.add(self.labels.into.range(node), after);
        }
    }

    /// Asks from now on for drives from a place: through these junctions, with the milliseconds from the place to each.
    pub fn away(&mut self, starts: impl IntoIterator<Item = (u32, u32)>) {
        self.toward = false;
        self.clear();
        for (node, before) in starts {
            self.add(self.labels.out.range(node), before);
        }
    }

    /// The time between a junction and the place, or [`NO_WAY`].
    pub fn ms(&self, node: u32) -> u32 {
        let side = if self.toward {
            &self.labels.out
        } else {
            &self.labels.into
        };
        let mut best = FAR;
        for hub in side.hubs(node) {
            best = best.min(hub.ms + self.by_rank[hub.rank as usize]);
        }
        if best >= FAR { NO_WAY } else { best }
    }

    fn clear(&mut self) {
        for rank in self.touched.drain(..) {
            self.by_rank[rank as usize] = FAR;
        }
    }

    fn add(&mut self, range: std::ops::Range<usize>, more: u32) {
        let side = if self.toward {
            &self.labels.into
        } else {
            &self.labels.out
        };
        for hub in &side.hubs[range] {
            let known = &mut self.by_rank[hub.rank as usize];
            if *known == FAR {
                self.touched.push(hub.rank);
            }
            *known = (*known).min(hub.ms + more);
        }
    }
}

/// Working memory of the labelling.
struct Search {
    ms: Vec<u32>,
    ways: Vec<Way>,
    reached: Vec<u32>,
    /// The hub's own label by rank.
    own: Vec<u32>,
    queue: BinaryHeap<Reverse<(u32, u32)>>,
}

impl Search {
    fn new(nodes: usize) -> Self {
        let nowhere = Way {
            next: 0,
            metres: 0.0,
        };
        Self {
            ms: vec![NO_WAY; nodes],
            ways: vec![nowhere; nodes],
            reached: Vec::new(),
            own: vec![FAR; nodes],
            queue: BinaryHeap::new(),
        }
    }

    /// Adds the hub to the labels of all junctions it reaches over `arcs` that no earlier hub answers for.
    fn label(
        &mut self,
        rank: u32,
        hub: u32,
        arcs: &[Vec<Arc>],
        own: &[(Hub, Way)],
        labels: &mut [Vec<(Hub, Way)>],
    ) {
        for (known, _) in own {
            self.own[known.rank as usize] = known.ms;
        }
        self.reach(hub, 0, hub, 0.0);
        while let Some(Reverse((ms, node))) = self.queue.pop() {
            let label = &labels[node as usize];
            if ms > self.ms[node as usize]
                || label
                    .iter()
                    .any(|(at, _)| at.ms + self.own[at.rank as usize] <= ms)
            {
                continue;
            }
            let way = self.ways[node as usize];
            labels[node as usize].push((Hub { rank, ms }, way));
            for &(to, more, metres) in &arcs[node as usize] {
                if ms + more < self.ms[to as usize] {
                    self.reach(to, ms + more, node, way.metres + metres);
                }
            }
        }
        for node in self.reached.drain(..) {
            self.ms[node as usize] = NO_WAY;
        }
        for (known, _) in own {
            self.own[known.rank as usize] = FAR;
        }
    }

    fn reach(&mut self, node: u32, ms: u32, next: u32, metres: f32) {
        if self.ms[node as usize] == NO_WAY {
            self.reached.push(node);
        }
        self.ms[node as usize] = ms;
        self.ways[node as usize] = Way { next, metres };
        self.queue.push(Reverse((ms, node)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bellman and Ford's times from one junction.
    fn plainly(out: &[Vec<Arc>], from: usize) -> Vec<u32> {
        let mut ms = vec![NO_WAY; out.len()];
        ms[from] = 0;
        for _ in 0..out.len() {
            for (node, arcs) in out.iter().enumerate() {
                for &(to, more, _) in arcs {
                    if ms[node] != NO_WAY {
                        ms[to as usize] = ms[to as usize].min(ms[node] + more);
                    }
                }
            }
        }
        ms
    }

    fn graph(nodes: usize, edges: &[(u8, u8, u16)]) -> Vec<Vec<Arc>> {
        let mut out = vec![Vec::new(); nodes];
        for &(from, to, ms) in edges {
            let (from, to) = (from as usize % nodes, to as usize % nodes);
            if from != to {
                out[from].push((to as u32, u32::from(ms) + 1, f32::from(ms)));
            }
        }
        out
    }

    proptest! {
        #[test]
        fn times_are_those_of_a_plain_search_and_paths_have_them(
            nodes in 2_usize..14,
            edges in prop::collection::vec((any::<u8>(), any::<u8>(), 0_u16..300), 1..60),
        ) {
            let out = graph(nodes, &edges);
            let order: Vec<u32> = (0..nodes as u32).rev().collect();
            let labels = HubLabels::build(&order, &out);
            let mut spread = Spread::new(&labels);
            for from in 0..nodes {
                let expected = plainly(&out, from);
                spread.away([(from as u32, 5)]);
                for (to, &expected_ms) in expected.iter().enumerate() {
                    let ms = labels.ms(from as u32, to as u32);
                    prop_assert_eq!(ms, expected_ms);
                    prop_assert_eq!(spread.ms(to as u32), if ms == NO_WAY { NO_WAY } else { ms + 5 });
                    let path = labels.path(from as u32, to as u32);
                    prop_assert_eq!(path.is_some(), ms != NO_WAY);
                    let Some(path) = path else { continue };
                    prop_assert_eq!((path[0].node, path[0].ms), (from as u32, 0));
                    let last = path.last().unwrap();
                    prop_assert_eq!((last.node, last.ms), (to as u32, ms));
                    prop_assert_eq!(labels.leg(from as u32, to as u32).unwrap(), (ms, last.metres));
                    for pair in path.windows(2) {
                        let took = pair[1].ms - pair[0].ms;
                        prop_assert!(out[pair[0].node as usize].iter().any(|arc| arc.0 == pair[1].node && arc.1 == took));
                    }
                }
            }
        }

        #[test]
        fn many_to_one_is_as_one_to_one(
            edges in prop::collection::vec((any::<u8>(), any::<u8>(), 0_u16..300), 20..60),
        ) {
            let out = graph(9, &edges);
            let order: Vec<u32> = (0..9).collect();
            let labels = HubLabels::build(&order, &out);
            let mut spread = Spread::new(&labels);
            spread.toward([(3, 7), (4, 0)]);
            for from in 0..9 {
                let ways = [(3, 7), (4, 0)].map(|(end, after)| labels.ms(from, end).saturating_add(after));
                prop_assert_eq!(spread.ms(from), ways[0].min(ways[1]));
            }
        }
    }
}
