//! Prints how long questions about drives take: `cargo run --release -p hexcab-road --example road_time -- DIR`.

use std::{hint::black_box, path::PathBuf, time::Instant};

use hexcab_road::{HourOfWeek, HubLabels, RoadGraph, RoadTimes, Spread};

const PICKUPS: usize = 1_000;
const CANDIDATES: usize = 30;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args_os()
        .nth(1)
        .ok_or("which folder has the road graph?")?;
    let start = Instant::now();
    let graph = RoadGraph::read(&PathBuf::from(dir))?;
    println!("read and contracted in {:?}", start.elapsed());
    let start = Instant::now();
    let labels = HubLabels::of(&graph);
    println!(
        "labels of {} junctions in {:?}, {:.0} hubs each",
        labels.node_count(),
        start.elapsed(),
        labels.mean_size()
    );
    let count = labels.node_count();
    // Strides without a common factor with the count: pairs all over the city, the same ones in every run.
    let node = |i: usize| ((i * 7_919 + 13) % count) as u32;
    let points: Vec<_> = (0..PICKUPS)
        .map(|i| graph.nodes()[node(i) as usize].point)
        .collect();
    let pairs = points.iter().zip(points.iter().rev());

    let start = Instant::now();
    for (&from, &to) in pairs.clone() {
        black_box(graph.leg(from, to, HourOfWeek::of_day(1, 8)));
    }
    println!(
        "one to one, points, with snapping: {:?}",
        start.elapsed() / PICKUPS as u32
    );

    let start = Instant::now();
    for i in 0..100_000 {
        black_box(labels.ms(node(i), node(i * 31 + 7)));
    }
    println!("one to one, junctions: {:?}", start.elapsed() / 100_000);

    let mut spread = Spread::new(&labels);
    let start = Instant::now();
    for pickup in 0..PICKUPS {
        spread.toward([(node(pickup), 0)]);
        for candidate in 0..CANDIDATES {
            black_box(spread.ms(node(pickup * CANDIDATES + candidate)));
        }
    }
    println!(
        "{PICKUPS} pickups x {CANDIDATES} candidates: {:?}",
        start.elapsed()
    );

    let start = Instant::now();
    for i in 0..10_000 {
        black_box(labels.path(node(i), node(i * 31 + 7)));
    }
    println!(
        "a path, junction by junction: {:?}",
        start.elapsed() / 10_000
    );
    Ok(())
}
