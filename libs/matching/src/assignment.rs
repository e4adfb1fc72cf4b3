//! Exact minimum-cost assignment on a sparse bipartite graph, where each row has a price for staying unassigned.
//!
//! Shortest augmenting paths in the manner of Jonker and Volgenant (Computing 38, 1987): a few rounds of row reduction
//! give most rows a column, then one Dijkstra search on reduced costs for each row left over. Where their method needs
//! every row assigned, here a path may also end by leaving a row of it unassigned. A search stays in its row's
//! connected component and stops at the first end, so components need not be told apart.
//!
//! Invariants, between any two steps, with `v` the columns' potentials and `u` the rows':
//! - `u + v <= cost` on every edge, with equality on chosen ones; `u <= price`, with equality on unassigned rows;
//!   `v <= 0`, with equality on columns nobody holds. By linear programming duality that proves the result minimal.
//! - a column once held is never free again, a row once unassigned by the search never gets a column again.
//! - the result depends on the problem alone, not on the order in which a row's edges were given.
//!
//! Does not: know what rows and columns are; use floats; promise which of several minima it finds, or among them the
//! one with the fewest unassigned rows.

#[cfg(test)]
mod tests;

use std::{cmp::Reverse, collections::BinaryHeap};

/// Costs and prices lie within plus and minus this. Potentials then stay within twice, distances within four times.
pub const COST_LIMIT: i64 = 1 << 40;

/// Most rows and most columns, so that a sum of costs fits 64 bits.
pub const SIZE_LIMIT: usize = 1 << 22;

/// Rounds of row reduction before the search, each a cheap pass over the rows still free. Two, as Jonker and Volgenant
/// have it: from 1 to 64 the whole takes the same time within a tenth, except that more rounds are slower when columns
/// are scarce.
const REDUCTION_ROUNDS: usize = 2;

/// Rows, columns and the edges between them.
#[derive(Debug, Clone)]
pub struct Problem {
    columns: usize,
    rows: Vec<Row>,
    edges: Vec<Edge>,
}

/// A way to assign a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// What it costs.
    pub cost: i64,
    column: u32,
}

/// An assignment of least cost, with the potentials that prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Solution {
    /// For each row the edge chosen, or none when it is unassigned.
    pub chosen: Vec<Option<Edge>>,
    /// The sum of chosen edges and of unassigned rows' prices. It equals the sum of all potentials.
    pub cost: i64,
    /// The dual value of each row.
    pub row_potentials: Vec<i64>,
    /// The dual value of each column, 0 or less.
    pub column_potentials: Vec<i64>,
}

/// Solves a problem.
pub fn solve(problem: &Problem) -> Solution {
    let mut solver = Solver::new(problem);
    for row in solver.reduce() {
        solver.search(row);
    }
    solver.solution()
}

impl Problem {
    /// A problem with this many columns and no rows yet.
    ///
    /// # Panics
    /// When there are more columns than [`SIZE_LIMIT`].
    pub fn new(columns: usize) -> Self {
        assert!(columns <= SIZE_LIMIT, "{columns} columns are too many");
        Self {
            columns,
            rows: Vec::new(),
            edges: Vec::new(),
        }
    }

    /// Adds a row: the price of leaving it unassigned, and its columns with their costs. Edges that cost the price or
    /// more are never chosen.
    ///
    /// # Panics
    /// When a column does not exist, a cost or the price is beyond [`COST_LIMIT`], or rows are beyond [`SIZE_LIMIT`].
    pub fn push_row(&mut self, price: i64, edges: impl IntoIterator<Item = (usize, i64)>) {
        assert!(self.rows.len() < SIZE_LIMIT, "too many rows");
        assert!(
            (-COST_LIMIT..=COST_LIMIT).contains(&price),
            "price {price} is out of range"
        );
        let start = self.edges.len();
        for (column, cost) in edges {
            assert!(column < self.columns, "column {column} of {}", self.columns);
            assert!(
                (-COST_LIMIT..=COST_LIMIT).contains(&cost),
                "cost {cost} is out of range"
            );
            // Left out, it stays within the invariants: u <= price <= cost and v <= 0.
            if cost < price {
                self.edges.push(Edge {
                    cost,
                    column: column as u32,
                });
            }
        }
        self.edges[start..].sort_unstable();
        self.rows.push(Row {
            price,
            start,
            end: self.edges.len(),
        });
    }

    /// A row's edges, cheapest first.
    fn edges(&self, row: usize) -> &[Edge] {
        let Row { start, end, .. } = self.rows[row];
        &self.edges[start..end]
    }
}

impl Edge {
    /// The column it leads to.
    pub const fn column(self) -> usize {
        self.column as usize
    }
}

#[derive(Debug, Clone, Copy)]
struct Row {
    price: i64,
    /// Its edges are `edges[start..end]`.
    start: usize,
    end: usize,
}

/// How a search has reached a column: from this row, over this edge, at this distance.
#[derive(Clone, Copy)]
struct Label {
    distance: i64,
    row: u32,
    edge: Edge,
}

const UNREACHED: Label = Label {
    distance: i64::MAX,
    row: 0,
    edge: Edge { cost: 0, column: 0 },
};

/// Where an augmenting path ends: at a column nobody holds, or with a row that gives up its own.
enum End {
    Column(usize),
    Unassigned(usize),
}

struct Solver<'a> {
    problem: &'a Problem,
    /// The edge each row holds.
    chosen: Vec<Option<Edge>>,
    /// The row that holds each column.
    holder: Vec<Option<u32>>,
    potential: Vec<i64>,
    labels: Vec<Label>,
    /// Columns whose label is to be cleared after this search.
    reached: Vec<usize>,
    /// Columns whose shortest distance is known.
    scanned: Vec<usize>,
    queue: BinaryHeap<Reverse<(i64, u32)>>,
}

impl<'a> Solver<'a> {
    fn new(problem: &'a Problem) -> Self {
        Self {
            problem,
            chosen: vec![None; problem.rows.len()],
            holder: vec![None; problem.columns],
            potential: vec![0; problem.columns],
            labels: vec![UNREACHED; problem.columns],
            reached: Vec::new(),
            scanned: Vec::new(),
            queue: BinaryHeap::new(),
        }
    }

    /// Gives most rows a column, bidding each time just what the row's second best choice allows; a row that is outbid
    /// comes again in the next round. Returns the rows that are still free after the last.
    fn reduce(&mut self) -> Vec<usize> {
        let mut free: Vec<usize> = (0..self.problem.rows.len()).collect();
        for _ in 0..REDUCTION_ROUNDS {
            free = free.into_iter().filter_map(|row| self.bid(row)).collect();
        }
        free
    }

    /// Gives `row` its best column, or leaves it unassigned if that is best; returns the row that lost the column.
    fn bid(&mut self, row: usize) -> Option<usize> {
        let price = self.problem.rows[row].price;
        let (mut best, mut best_cost, mut second_cost) = (None, price, price);
        for edge in self.problem.edges(row) {
            // Edges come cheapest first and potentials only add to them.
            if edge.cost >= second_cost {
                break;
            }
            let cost = edge.cost - self.potential[edge.column()];
            if cost < best_cost {
                (best, best_cost, second_cost) = (Some(*edge), cost, best_cost);
            } else if cost < second_cost {
                second_cost = cost;
            }
        }
        self.chosen[row] = best;
        let column = best?.column();
        self.potential[column] -= second_cost - best_cost;
        let loser = self.holder[column].replace(row as u32)? as usize;
        self.chosen[loser] = None;
        Some(loser)
    }

    /// Finds the cheapest way to fit `root` in, and moves everyone along it.
    fn search(&mut self, root: usize) {
        let mut end = End::Unassigned(root);
        let mut length = self.problem.rows[root].price;
        // Going on from a row costs an edge's cost plus `base`: the distance so far, less the row's own potential.
        let (mut row, mut base) = (root, 0);
        loop {
            let give_up = base + self.problem.rows[row].price;
            if give_up < length {
                (end, length) = (End::Unassigned(row), give_up);
            }
            for &edge in self.problem.edges(row) {
                if base + edge.cost >= length {
                    break;
                }
                let column = edge.column();
                let distance = base + edge.cost - self.potential[column];
                let known = self.labels[column].distance;
                if distance >= length || distance >= known {
                    continue;
                }
                if known == UNREACHED.distance {
                    self.reached.push(column);
                }
                self.labels[column] = Label {
                    distance,
                    row: row as u32,
                    edge,
                };
                match self.holder[column] {
                    Some(_) => self.queue.push(Reverse((distance, edge.column))),
                    None => (end, length) = (End::Column(column), distance),
                }
            }
            let Some((column, distance)) = self.nearest(length) else {
                break;
            };
            self.scanned.push(column);
            row = self.holder[column].expect("only held columns are queued") as usize;
            let held = self.chosen[row].expect("a holder has chosen");
            base = distance - (held.cost - self.potential[column]);
        }
        for column in self.scanned.drain(..) {
            self.potential[column] += self.labels[column].distance - length;
        }
        self.augment(root, end);
        self.queue.clear();
        for column in self.reached.drain(..) {
            self.labels[column] = UNREACHED;
        }
    }

    /// The nearest column not yet scanned, if it is nearer than `length`.
    fn nearest(&mut self, length: i64) -> Option<(usize, i64)> {
        while let Some(Reverse((distance, column))) = self.queue.pop() {
            if distance >= length {
                return None;
            }
            // A shorter way was found after this entry was queued.
            if distance > self.labels[column as usize].distance {
                continue;
            }
            return Some((column as usize, distance));
        }
        None
    }

    /// Moves the rows along the path from `root` to `end`, from its end backwards.
    fn augment(&mut self, root: usize, end: End) {
        let mut open = match end {
            End::Column(column) => Some(column),
            End::Unassigned(row) => self.chosen[row].take().map(Edge::column),
        };
        while let Some(column) = open {
            let Label { row, edge, .. } = self.labels[column];
            self.holder[column] = Some(row);
            open = self.chosen[row as usize].replace(edge).map(Edge::column);
            debug_assert_eq!(
                open.is_none(),
                row as usize == root,
                "a path starts at its root"
            );
        }
    }

    fn solution(self) -> Solution {
        let rows = self.problem.rows.iter().zip(&self.chosen);
        let cost = rows
            .clone()
            .map(|(row, chosen)| chosen.map_or(row.price, |edge| edge.cost))
            .sum();
        let row_potentials = rows
            .map(|(row, chosen)| {
                chosen.map_or(row.price, |edge| edge.cost - self.potential[edge.column()])
            })
            .collect();
        Solution {
            chosen: self.chosen,
            cost,
            row_potentials,
            column_potentials: self.potential,
        }
    }
}
