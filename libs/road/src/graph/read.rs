//! Reads a graph's files: junctions, directed edges, factors by hour; pairs the two directions of a street.
//! Invariants of what it hands on: nodes are numbered 0..n in the order in which edges name them, each has an edge, and
//! no edge is a loop (a loop leads nowhere else, so no fastest drive uses it).

use std::{collections::HashMap, path::Path};

use hexcab_types::Point;

use super::{
    EDGES_FILE, Edge, GraphError, NODES_FILE, Node, RoadGraph, SPEED_FILE, streets::Streets,
};
use crate::{
    hours::HourFactors,
    rows::{Column, ReadError, Row, Rows},
};

pub(super) fn folder(dir: &Path) -> Result<RoadGraph, GraphError> {
    let junctions = junctions(Rows::open(&dir.join(NODES_FILE))?)?;
    let speed = dir.join(SPEED_FILE);
    let factors = if speed.is_file() {
        HourFactors::read(Rows::open(&speed)?)?
    } else {
        HourFactors::flat()
    };
    graph(&junctions, Rows::open(&dir.join(EDGES_FILE))?, factors)
}

fn junctions(mut rows: Rows) -> Result<HashMap<u64, Point>, ReadError> {
    let (node, lat, lon) = (
        rows.column("node")?,
        rows.column("lat")?,
        rows.column("lon")?,
    );
    let mut junctions = HashMap::new();
    while let Some(row) = rows.next_row()? {
        if junctions
            .insert(row.get(&node, "node number")?, row.point(&lat, &lon)?)
            .is_some()
        {
            return Err(row.refuse(&node, "node number that no earlier line has"));
        }
    }
    Ok(junctions)
}

fn graph(
    junctions: &HashMap<u64, Point>,
    mut rows: Rows,
    factors: HourFactors,
) -> Result<RoadGraph, GraphError> {
    let columns = Columns::of(&rows)?;
    let mut numbers = HashMap::new();
    let mut nodes = Vec::new();
    let mut edges = Vec::new();
    let mut streets = Streets::builder();
    while let Some(row) = rows.next_row()? {
        let (from, to) = (
            columns.junction(&row, &columns.from, junctions)?,
            columns.junction(&row, &columns.to, junctions)?,
        );
        if from.0 == to.0 {
            continue;
        }
        let seconds =
            columns.amount(&row, &columns.time_s, "seconds above 0", f64::MIN_POSITIVE)?;
        let metres = columns.amount(&row, &columns.length_m, "metres from 0", 0.0)?;
        let mut line = vec![from.1];
        columns.shape(&row, &mut line)?;
        line.push(to.1);

        let kerb = columns
            .class
            .as_ref()
            .is_none_or(|class| has_kerb(row.text(class)));
        let mut number = |(id, point): (u64, Point)| {
            let number = *numbers.entry(id).or_insert_with(|| {
                nodes.push(Node { point, kerb: false });
                nodes.len() as u32 - 1
            });
            nodes[number as usize].kerb |= kerb;
            number
        };
        let (from, to) = (number(from), number(to));
        let (street, along) = streets.add(from, to, line, edges.len() as u32);
        edges.push(Edge {
            from,
            to,
            seconds,
            metres,
            street,
            along,
        });
    }
    match streets.build() {
        Some(streets) => Ok(RoadGraph::new(nodes, edges, streets, factors)),
        None => Err(GraphError::Empty(EDGES_FILE.to_owned())),
    }
}

/// Where a passenger can wait: not on a motorway, a ramp or a trunk road.
fn has_kerb(class: &str) -> bool {
    !matches!(class, "motorway" | "trunk") && !class.ends_with("_link")
}

struct Columns {
    from: Column,
    to: Column,
    length_m: Column,
    time_s: Column,
    class: Option<Column>,
    shape: Option<Column>,
}

impl Columns {
    fn of(rows: &Rows) -> Result<Self, ReadError> {
        Ok(Self {
            from: rows.column("from")?,
            to: rows.column("to")?,
            length_m: rows.column("length_m")?,
            time_s: rows.column("time_s")?,
            class: rows.column("class").ok(),
            shape: rows.column("shape").ok(),
        })
    }

    fn junction(
        &self,
        row: &Row<'_>,
        column: &Column,
        junctions: &HashMap<u64, Point>,
    ) -> Result<(u64, Point), ReadError> {
        let id = row.get(column, "node number")?;
        let point = junctions
            .get(&id)
            .ok_or_else(|| row.refuse(column, "node of the nodes file"))?;
        Ok((id, *point))
    }

    fn amount(
        &self,
        row: &Row<'_>,
        column: &Column,
        expected: &str,
        at_least: f64,
    ) -> Result<f64, ReadError> {
        let amount: f64 = row.get(column, expected)?;
        if amount.is_finite() && amount >= at_least {
            Ok(amount)
        } else {
            Err(row.refuse(column, expected))
        }
    }

    /// `lat lon;lat lon;...`, the points between the two junctions; may be empty.
    fn shape(&self, row: &Row<'_>, line: &mut Vec<Point>) -> Result<(), ReadError> {
        let Some(column) = &self.shape else {
            return Ok(());
        };
        for pair in row.text(column).split(';').filter(|pair| !pair.is_empty()) {
            let point = pair
                .split_once(' ')
                .and_then(|(lat, lon)| {
                    Point::from_degrees(lat.parse().ok()?, lon.parse().ok()?).ok()
                })
                .ok_or_else(|| row.refuse(column, "points as \"lat lon;lat lon\""))?;
            line.push(point);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: &str = "node,lat,lon\n7,37.0,-122.0\n8,37.001,-122.0\n9,37.001,-122.001\n";

    fn read(nodes: &str, edges: &str) -> Result<RoadGraph, GraphError> {
        let junctions = junctions(Rows::from_text("nodes.csv", nodes)?)?;
        graph(
            &junctions,
            Rows::from_text("edges.csv", edges)?,
            HourFactors::flat(),
        )
    }

    #[test]
    fn node_numbers_may_have_gaps_and_lonely_nodes_go() {
        let graph = read(NODES, "from,to,length_m,time_s\n9,7,100,10\n").unwrap();
        assert_eq!(graph.nodes().len(), 2);
    }

    #[test]
    fn wrong_rows_are_refused_by_file_line_and_field() {
        for (edges, expected) in [
            (
                "from,to,length_m,time_s\n7,8,100,10\n7,10,100,10\n",
                "edges.csv:3: field \"to\" is \"10\", expected node of the nodes file",
            ),
            ("from,to,length_m,time_s\n7,8,100,0\n", "field \"time_s\""),
            ("from,to,length_m,time_s\n7,8,-1,10\n", "field \"length_m\""),
            ("from,to,length_m,time_s\n7,8,100,inf\n", "field \"time_s\""),
            (
                "from,to,length_m,time_s,shape\n7,8,100,10,37.1\n",
                "field \"shape\"",
            ),
            ("from,to,length_m\n7,8,100\n", "no column \"time_s\""),
            ("from,to,length_m,time_s\n7,7,1,1\n", "has no edges"),
        ] {
            let error = read(NODES, edges).err().expect(edges).to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = read("node,lat,lon\n7,37,-122\n7,37,-122\n", "from,to\n")
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("nodes.csv:3"), "{error}");
    }

    #[test]
    fn passengers_wait_on_streets_but_not_on_ramps() {
        let graph = read(
            NODES,
            "from,to,length_m,time_s,class\n7,8,100,10,motorway_link\n8,9,100,10,residential\n",
        )
        .unwrap();
        let kerbs: Vec<bool> = graph.nodes().iter().map(|node| node.kerb).collect();
        assert_eq!(kerbs, [false, true, true]);
    }
}
