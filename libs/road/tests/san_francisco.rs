//! The real street graph, where the data folder is there (`HEXCAB_DATA`, or `shared/data/sf` beside the checkout).
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::{path::PathBuf, time::Instant};

use hexcab_road::{HourOfWeek, RoadGraph, RoadTimes, rows::Rows};
use hexcab_types::Point;

const FRIDAY_17: HourOfWeek = HourOfWeek::of_day(5, 17);

/// Meter on to meter off holds boarding and paying, about a minute (data/README.md).
const BOARDING_S: f64 = 60.0;

fn data() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/sf");
    let dir = std::env::var_os("HEXCAB_DATA").map_or_else(beside, PathBuf::from);
    if RoadGraph::is_in(&dir) && dir.join("trips-0517-0530.csv.gz").is_file() {
        return Some(dir);
    }
    println!("skipped: no data of San Francisco in {}", dir.display());
    None
}

fn point(lat: f64, lon: f64) -> Point {
    Point::from_degrees(lat, lon).unwrap()
}

struct Ride {
    hour: HourOfWeek,
    from: Point,
    to: Point,
    seconds: f64,
}

/// Every fiftieth ride of the graph's area.
fn rides(dir: &std::path::Path) -> Vec<Ride> {
    let mut rows = Rows::open(&dir.join("trips-0517-0530.csv.gz")).unwrap();
    let column = |rows: &Rows, name| rows.column(name).unwrap();
    let [utc, lat, lon, to_lat, to_lon, duration, in_graph] = [
        "pickup_utc",
        "pickup_lat",
        "pickup_lon",
        "dropoff_lat",
        "dropoff_lon",
        "duration_s",
        "in_graph",
    ]
    .map(|name| column(&rows, name));
    let mut rides = Vec::new();
    let mut count = 0;
    while let Some(row) = rows.next_row().unwrap() {
        count += 1;
        if count % 50 == 0 && row.text(&in_graph) == "1" {
            // Local time is UTC-7 all through; the epoch was a Thursday.
            let hours = (row.get::<u64>(&utc, "seconds").unwrap() / 3600 - 7 + 4 * 24) % 168;
            rides.push(Ride {
                hour: HourOfWeek::new(hours as u8).unwrap(),
                from: row.point(&lat, &lon).unwrap(),
                to: row.point(&to_lat, &to_lon).unwrap(),
                seconds: row.get(&duration, "seconds").unwrap(),
            });
        }
    }
    rides
}

#[test]
fn the_graph_predicts_real_rides() {
    let Some(dir) = data() else { return };
    let start = Instant::now();
    let graph = RoadGraph::read(&dir).unwrap();
    println!(
        "read {} nodes, {} edges in {:?}",
        graph.nodes().len(),
        graph.edge_count(),
        start.elapsed()
    );

    let rides = rides(&dir);
    let start = Instant::now();
    let legs: Vec<_> = rides
        .iter()
        .map(|ride| graph.leg(ride.from, ride.to, ride.hour))
        .collect();
    println!(
        "{} queries, {:?} each",
        rides.len(),
        start.elapsed() / rides.len() as u32
    );
    let start = Instant::now();
    let snapped = rides
        .iter()
        .filter(|ride| graph.snap(ride.from).is_some())
        .count();
    println!(
        "{snapped} snapped, {:?} each",
        start.elapsed() / rides.len() as u32
    );
    let start = Instant::now();
    let routes = rides
        .iter()
        .filter_map(|ride| graph.route(ride.from, ride.to, ride.hour));
    let points: usize = routes.map(|route| route.points().len()).sum();
    println!(
        "{points} points of routes, {:?} a route",
        start.elapsed() / rides.len() as u32
    );

    assert!(
        legs.iter().all(Option::is_some),
        "every ride of the graph's area has a drive"
    );
    let mut errors: Vec<f64> = rides
        .iter()
        .zip(&legs)
        .map(|(ride, leg)| (leg.unwrap().seconds + BOARDING_S - ride.seconds).abs() / ride.seconds)
        .collect();
    errors.sort_by(f64::total_cmp);
    let median = errors[errors.len() / 2];
    println!(
        "median absolute error {:.1} % over {} rides",
        median * 100.0,
        rides.len()
    );
    assert!(median < 0.25, "{median}");
}

#[test]
fn a_route_follows_the_streets() {
    let Some(dir) = data() else { return };
    let graph = RoadGraph::read(&dir).unwrap();
    let (ferry, ocean) = (point(37.7955, -122.3937), point(37.7694, -122.5107));
    let route = graph.route(ferry, ocean, FRIDAY_17).unwrap();
    let leg = graph.leg(ferry, ocean, FRIDAY_17).unwrap();
    assert!(
        (route.leg().seconds - leg.seconds).abs() < 1e-6
            && (route.leg().metres - leg.metres).abs() < 1e-6
    );
    println!(
        "Ferry Building to Ocean Beach: {:.0} s, {:.0} m, {} points",
        leg.seconds,
        leg.metres,
        route.points().len()
    );
    assert!(
        (900.0..2_400.0).contains(&leg.seconds) && (10_500.0..16_000.0).contains(&leg.metres),
        "{leg:?}"
    );
    let inner = &route.points()[1..route.points().len() - 1];
    assert!(inner.iter().all(|p| {
        graph
            .snap(p.point)
            .is_some_and(|snapped| snapped.distance_m < 2.0)
    }));
}

#[test]
fn off_the_map_there_is_no_drive() {
    let Some(dir) = data() else { return };
    let graph = RoadGraph::read(&dir).unwrap();
    let airport = point(37.6165, -122.3860);
    assert_eq!(
        graph.leg(point(37.7749, -122.4194), airport, FRIDAY_17),
        None
    );
}
