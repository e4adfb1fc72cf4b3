//! A street graph that answers how long a drive takes, by contraction hierarchies.
//!
//! A point is put on the nearest street (not the nearest junction: a bridge or a long block has none for hundreds of
//! metres), the drive goes from there in the street's directions, and the way between point and street is straight.
//! Invariants: [`RoadTimes::leg`] and [`RoadTimes::route`] agree; times are the edges' own, times the hour's factor.
//! Does not: know turn restrictions (its data has none), or the price of a U-turn.

mod read;
mod streets;

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use fast_paths::{FastGraph, InputGraph, PathCalculator};
use hexcab_types::Point;

use crate::{
    hours::{HourFactors, HourOfWeek},
    labels::Arc,
    route::{Leg, RoadTimes, Route, RouteLine},
    rows::ReadError,
};
use streets::Streets;

pub use streets::Snapped;

/// How far from a street a point may lie, in metres. Beyond, it is not on this map.
pub const SNAP_RADIUS_M: f64 = 150.0;

/// Speed between a point and its street, in metres a second: a driveway, not a street.
pub const ACCESS_SPEED_M_S: f64 = 5.0;

/// The files of a graph in its folder.
pub const NODES_FILE: &str = "road-nodes.csv.gz";
/// The directed edges, `from,to,length_m,time_s[,class][,shape]`.
pub const EDGES_FILE: &str = "road-edges.csv.gz";
/// The factors by hour, `hour_of_week,time_factor`; without it all hours are alike.
pub const SPEED_FILE: &str = "speed-profile.csv";

/// Times within the hierarchy are whole milliseconds.
const MILLIS: f64 = 1_000.0;

/// Why a graph cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// One of its files.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is nothing to drive on.
    #[error("{0} has no edges")]
    Empty(String),
}

/// A directed edge between two junctions.
#[derive(Debug, Clone, Copy)]
struct Edge {
    from: u32,
    to: u32,
    seconds: f64,
    metres: f64,
    street: u32,
    /// Whether it runs as its street's line does.
    along: bool,
}

/// A stretch of one edge; fractions 0 to 1 in the edge's direction.
#[derive(Debug, Clone, Copy)]
struct Piece {
    edge: u32,
    from: f64,
    to: f64,
}

/// A place on a street, as labels want it: how it is left for junctions and reached from them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// On the street.
    pub at: Point,
    /// The ends one may drive to from here, one for each direction of the street.
    pub leave: [Option<End>; 2],
    /// The ends one may come from.
    pub enter: [Option<End>; 2],
    street: u32,
    /// How far along each direction.
    fractions: [Option<f32>; 2],
}

/// A junction at an end of a place's street, and the drive between the two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct End {
    /// The junction.
    pub node: u32,
    /// Milliseconds at the factor 1.
    pub ms: u32,
    /// Metres.
    pub metres: f32,
}

impl Place {
    /// The drive to a place further on along the same street, without passing a junction: milliseconds and metres.
    pub fn along_street(&self, to: &Self) -> Option<(u32, f32)> {
        if self.street != to.street {
            return None;
        }
        let ways = (0..2).filter_map(|i| {
            let (end, from, until) = (self.leave[i]?, self.fractions[i]?, to.fractions[i]?);
            let rest = to.leave[i]?;
            (from <= until).then(|| {
                (
                    end.ms.saturating_sub(rest.ms),
                    (end.metres - rest.metres).max(0.0),
                )
            })
        });
        ways.min_by_key(|&(ms, _)| ms)
    }
}

/// A junction of the graph.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Node {
    /// Where it is.
    pub point: Point,
    /// Whether a street meets here at which a passenger may wait: not only motorways, ramps and trunk roads.
    pub kerb: bool,
}

/// A street graph with its contraction hierarchy. Shared by threads; a query takes microseconds.
pub struct RoadGraph {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    /// `edges[first_edge[n]..first_edge[n + 1]]` leave node `n`.
    first_edge: Vec<u32>,
    streets: Streets,
    hierarchy: FastGraph,
    factors: HourFactors,
    /// Working memory of queries, about 1 MB each: as many as ever ran at once.
    calculators: Mutex<Vec<PathCalculator>>,
}

impl RoadGraph {
    /// Reads [`NODES_FILE`], [`EDGES_FILE`] and, when it is there, [`SPEED_FILE`] from a folder and builds the hierarchy
    /// (a second or so for a city).
    ///
    /// # Errors
    /// When a file is missing or wrong; the error names file, line and field.
    pub fn read(dir: &Path) -> Result<Self, GraphError> {
        read::folder(dir)
    }

    /// Whether a folder holds a graph.
    pub fn is_in(dir: &Path) -> bool {
        dir.join(NODES_FILE).is_file() && dir.join(EDGES_FILE).is_file()
    }

    /// Every node is an end of an edge, no edge a loop.
    fn new(
        nodes: Vec<Node>,
        mut edges: Vec<Edge>,
        mut streets: Streets,
        factors: HourFactors,
    ) -> Self {
        // Sorted by both ends and time, the first edge between two nodes is the fastest: the one the hierarchy keeps.
        let mut order: Vec<u32> = (0..edges.len() as u32).collect();
        order.sort_by(|&a, &b| {
            let (a, b) = (&edges[a as usize], &edges[b as usize]);
            (a.from, a.to)
                .cmp(&(b.from, b.to))
                .then(a.seconds.total_cmp(&b.seconds))
                .then(a.metres.total_cmp(&b.metres))
        });
        let mut place = vec![0; edges.len()];
        for (new, &old) in order.iter().enumerate() {
            place[old as usize] = new as u32;
        }
        edges = order.iter().map(|&old| edges[old as usize]).collect();
        streets.renumber(|edge| place[edge as usize]);

        let mut first_edge = vec![0_u32; nodes.len() + 1];
        for edge in &edges {
            first_edge[edge.from as usize + 1] += 1;
        }
        for node in 0..nodes.len() {
            first_edge[node + 1] += first_edge[node];
        }
        let hierarchy = fast_paths::prepare(&input_graph(&edges));
        Self {
            nodes,
            edges,
            first_edge,
            streets,
            hierarchy,
            factors,
            calculators: Mutex::default(),
        }
    }

    /// The junctions.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Directed edges.
    pub fn edge_count(&self) -> usize {
        self.edges.len()
    }

    /// The highest speed of any edge, in metres a second: nowhere does a drive get on faster.
    pub fn fastest_m_s(&self) -> f64 {
        let speeds = self.edges.iter().map(|edge| edge.metres / edge.seconds);
        speeds.fold(0.0, f64::max)
    }

    /// The factors by hour.
    pub fn factors(&self) -> &HourFactors {
        &self.factors
    }

    /// The nearest place on a street, or none within [`SNAP_RADIUS_M`].
    pub fn snap(&self, point: Point) -> Option<Snapped> {
        self.streets
            .nearest(point)
            .filter(|snapped| snapped.distance_m <= SNAP_RADIUS_M)
    }

    /// The place on a street nearest to a point, however far it is, for [`HubLabels`](crate::labels::HubLabels).
    pub fn place(&self, point: Point) -> Option<Place> {
        let snapped = self.streets.nearest(point)?;
        let mut place = Place {
            street: snapped.street,
            at: snapped.point,
            leave: [None; 2],
            enter: [None; 2],
            fractions: [None; 2],
        };
        for (i, (_, edge)) in self.edges_of(snapped.street).enumerate() {
            let fraction = snapped.fraction_on(edge);
            let share = |node, share: f64| End {
                node,
                ms: (edge.seconds * share * MILLIS).round() as u32,
                metres: (edge.metres * share) as f32,
            };
            place.leave[i] = Some(share(edge.to, 1.0 - fraction));
            place.enter[i] = Some(share(edge.from, fraction));
            place.fractions[i] = Some(fraction as f32);
        }
        Some(place)
    }

    /// Junctions, most important first, and the edges that leave each, one between any two: for labels.
    pub(crate) fn arcs(&self) -> (Vec<u32>, Vec<Vec<Arc>>) {
        let ordering = self.hierarchy.get_node_ordering();
        let order = ordering.iter().rev().map(|&node| node as u32).collect();
        let mut out: Vec<Vec<Arc>> = vec![Vec::new(); self.nodes.len()];
        for edge in &self.edges {
            let arcs = &mut out[edge.from as usize];
            if arcs.last().is_none_or(|&(to, ..)| to != edge.to) {
                let ms = ((edge.seconds * MILLIS).round() as u32).max(1);
                arcs.push((edge.to, ms, edge.metres as f32));
            }
        }
        (order, out)
    }

    /// The stretches of edges of the fastest drive between two places on streets.
    fn drive(&self, from: &Snapped, to: &Snapped) -> Option<Vec<Piece>> {
        let round = self.drive_by_junctions(from, to);
        let Some(direct) = self.drive_along_street(from, to) else {
            return round;
        };
        match round {
            Some(round) if self.seconds(&round) < self.seconds(&[direct]) => Some(round),
            Some(_) | None => Some(vec![direct]),
        }
    }

    /// On one street, without passing a junction.
    fn drive_along_street(&self, from: &Snapped, to: &Snapped) -> Option<Piece> {
        if from.street != to.street {
            return None;
        }
        self.edges_of(from.street)
            .map(|(id, edge)| Piece {
                edge: id,
                from: from.fraction_on(edge),
                to: to.fraction_on(edge),
            })
            .find(|piece| piece.from <= piece.to)
    }

    fn drive_by_junctions(&self, from: &Snapped, to: &Snapped) -> Option<Vec<Piece>> {
        let starts: Vec<_> = self
            .edges_of(from.street)
            .map(|(id, edge)| {
                (
                    edge.to as usize,
                    Piece {
                        edge: id,
                        from: from.fraction_on(edge),
                        to: 1.0,
                    },
                )
            })
            .collect();
        let ends: Vec<_> = self
            .edges_of(to.street)
            .map(|(id, edge)| {
                (
                    edge.from as usize,
                    Piece {
                        edge: id,
                        from: 0.0,
                        to: to.fraction_on(edge),
                    },
                )
            })
            .collect();
        let weighed = |ways: &[(usize, Piece)]| {
            ways.iter()
                .map(|(node, piece)| (*node, (self.piece_seconds(piece) * MILLIS).round() as usize))
                .collect()
        };
        let path = self.with_calculator(|calculator| {
            calculator.calc_path_multiple_sources_and_targets(
                &self.hierarchy,
                weighed(&starts),
                weighed(&ends),
            )
        })?;

        let fastest = |ways: &[(usize, Piece)], node: usize| {
            ways.iter()
                .filter(|(at, _)| *at == node)
                .map(|(_, piece)| *piece)
                .min_by(|a, b| self.piece_seconds(a).total_cmp(&self.piece_seconds(b)))
        };
        let nodes = path.get_nodes();
        let mut pieces = Vec::with_capacity(nodes.len() + 1);
        pieces.push(fastest(&starts, *nodes.first()?)?);
        for pair in nodes.windows(2) {
            pieces.push(Piece {
                edge: self.edge_between(pair[0], pair[1])?,
                from: 0.0,
                to: 1.0,
            });
        }
        pieces.push(fastest(&ends, *nodes.last()?)?);
        Some(pieces)
    }

    fn with_calculator<T>(&self, query: impl FnOnce(&mut PathCalculator) -> T) -> T {
        let spare = self
            .calculators
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut calculator =
            spare.unwrap_or_else(|| fast_paths::create_calculator(&self.hierarchy));
        let answer = query(&mut calculator);
        self.calculators
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(calculator);
        answer
    }

    fn edge_between(&self, from: usize, to: usize) -> Option<u32> {
        let leaving = self.first_edge[from]..self.first_edge[from + 1];
        leaving
            .into_iter()
            .find(|&edge| self.edges[edge as usize].to as usize == to)
    }

    fn edges_of(&self, street: u32) -> impl Iterator<Item = (u32, &Edge)> {
        self.streets
            .edges_of(street)
            .map(|edge| (edge, &self.edges[edge as usize]))
    }

    fn piece_seconds(&self, piece: &Piece) -> f64 {
        self.edges[piece.edge as usize].seconds * (piece.to - piece.from)
    }

    fn piece_metres(&self, piece: &Piece) -> f64 {
        self.edges[piece.edge as usize].metres * (piece.to - piece.from)
    }

    fn seconds(&self, pieces: &[Piece]) -> f64 {
        pieces.iter().map(|piece| self.piece_seconds(piece)).sum()
    }

    /// Between two points and where they are on streets.
    fn leg_between(
        &self,
        from: (Point, &Snapped),
        to: (Point, &Snapped),
        factor: f64,
    ) -> Option<Leg> {
        let access_m = from.1.distance_m + to.1.distance_m;
        if let Some(leg) = straight_across(from, to, factor) {
            return Some(leg);
        }
        let pieces = self.drive(from.1, to.1)?;
        let metres: f64 = pieces.iter().map(|piece| self.piece_metres(piece)).sum();
        Some(Leg {
            seconds: (self.seconds(&pieces) + access_m / ACCESS_SPEED_M_S) * factor,
            metres: metres + access_m,
        })
    }
}

impl RoadTimes for RoadGraph {
    fn leg(&self, from: Point, to: Point, hour: HourOfWeek) -> Option<Leg> {
        self.leg_between(
            (from, &self.snap(from)?),
            (to, &self.snap(to)?),
            self.factors.of(hour),
        )
    }

    fn legs_to(&self, from: &[Point], to: Point, hour: HourOfWeek) -> Vec<Option<Leg>> {
        let Some(target) = self.snap(to) else {
            return vec![None; from.len()];
        };
        let factor = self.factors.of(hour);
        from.iter()
            .map(|&start| self.leg_between((start, &self.snap(start)?), (to, &target), factor))
            .collect()
    }

    fn route(&self, from: Point, to: Point, hour: HourOfWeek) -> Option<Route> {
        let factor = self.factors.of(hour);
        let (start, end) = (self.snap(from)?, self.snap(to)?);
        if let Some(leg) = straight_across((from, &start), (to, &end), factor) {
            return Some(Route::straight(from, to, leg));
        }
        let pieces = self.drive(&start, &end)?;
        let mut line = RouteLine::new(from);
        line.push(
            start.point,
            start.distance_m / ACCESS_SPEED_M_S * factor,
            start.distance_m,
        );
        for piece in &pieces {
            let edge = &self.edges[piece.edge as usize];
            for (point, share) in
                self.streets
                    .line_between(edge.street, edge.along, piece.from, piece.to)
            {
                line.push(point, edge.seconds * share * factor, edge.metres * share);
            }
        }
        line.push(
            to,
            end.distance_m / ACCESS_SPEED_M_S * factor,
            end.distance_m,
        );
        Some(line.finish())
    }
}

/// Two points nearer to each other than both are to their streets need no street.
fn straight_across(from: (Point, &Snapped), to: (Point, &Snapped), factor: f64) -> Option<Leg> {
    let metres = from.0.distance_m(to.0);
    let nearer = metres <= from.1.distance_m + to.1.distance_m;
    nearer.then(|| Leg {
        seconds: metres / ACCESS_SPEED_M_S * factor,
        metres,
    })
}

/// The fastest edge between each two junctions, for the hierarchy. Edges are sorted as [`RoadGraph::new`] sorts them.
fn input_graph(edges: &[Edge]) -> InputGraph {
    let mut input = InputGraph::new();
    let mut before = None;
    for edge in edges {
        if before.replace((edge.from, edge.to)) != Some((edge.from, edge.to)) {
            input.add_edge(
                edge.from as usize,
                edge.to as usize,
                ((edge.seconds * MILLIS).round() as usize).max(1),
            );
        }
    }
    input.freeze();
    input
}

#[cfg(test)]
mod tests;
