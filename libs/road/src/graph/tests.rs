//! Shortest drives on small graphs, against plain reasoning.

use proptest::prelude::*;

use super::*;

const HOUR: HourOfWeek = HourOfWeek::of_day(5, 17);
const STEP: f64 = 0.002;

fn point(lat: f64, lon: f64) -> Point {
    Point::from_degrees(lat, lon).unwrap()
}

/// Junction `(row, column)` of a grid of about 222 m by 178 m.
fn corner(row: usize, column: usize) -> Point {
    point(37.0 + row as f64 * STEP, -122.0 + column as f64 * STEP)
}

/// A grid of two-way streets at 10 m/s; on row 0 one drives east only.
fn grid(size: usize) -> RoadGraph {
    let mut nodes = "node,lat,lon\n".to_owned();
    let mut edges = "from,to,length_m,time_s\n".to_owned();
    for (row, column) in (0..size * size).map(|i| (i / size, i % size)) {
        let here = corner(row, column);
        nodes += &format!("{},{},{}\n", row * size + column, here.lat(), here.lon());
        for (r, c) in [(row + 1, column), (row, column + 1)]
            .into_iter()
            .filter(|(r, c)| *r < size && *c < size)
        {
            let metres = here.distance_m(corner(r, c));
            let (a, b) = (row * size + column, r * size + c);
            edges += &format!("{a},{b},{metres},{}\n", metres / 10.0);
            if !(row == 0 && r == 0) {
                edges += &format!("{b},{a},{metres},{}\n", metres / 10.0);
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [(NODES_FILE, nodes), (EDGES_FILE, edges)] {
        let file = std::fs::File::create(dir.path().join(name)).unwrap();
        let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        std::io::Write::write_all(&mut gz, text.as_bytes()).unwrap();
        gz.finish().unwrap();
    }
    assert!(RoadGraph::is_in(dir.path()));
    RoadGraph::read(dir.path()).unwrap()
}

#[test]
fn a_drive_along_a_grid_is_as_long_as_its_streets() {
    let graph = grid(4);
    let leg = graph.leg(corner(0, 0), corner(2, 3), HOUR).unwrap();
    let metres =
        2.0 * corner(0, 0).distance_m(corner(1, 0)) + 3.0 * corner(1, 0).distance_m(corner(1, 1));
    assert!((leg.metres - metres).abs() < 1.0, "{leg:?}, {metres} m");
    assert!((leg.seconds - metres / 10.0).abs() < 0.1, "{leg:?}");
}

#[test]
fn within_a_block_one_drives_straight_with_the_arrow_and_round_against_it() {
    let graph = grid(4);
    let (west, east) = (
        corner(0, 1).toward(corner(0, 2), 0.25),
        corner(0, 1).toward(corner(0, 2), 0.75),
    );
    let with = graph.leg(west, east, HOUR).unwrap();
    assert!(
        (with.metres - west.distance_m(east)).abs() < 0.5,
        "{with:?}"
    );
    let against = graph.leg(east, west, HOUR).unwrap();
    assert!(
        against.metres > 4.0 * corner(0, 1).distance_m(corner(1, 1)) / 2.0,
        "{against:?}"
    );
    let (on_two_way_west, on_two_way_east) = (
        corner(1, 1).toward(corner(1, 2), 0.25),
        corner(1, 1).toward(corner(1, 2), 0.75),
    );
    let back = graph.leg(on_two_way_east, on_two_way_west, HOUR).unwrap();
    assert!((back.metres - with.metres).abs() < 0.5, "{back:?}");
}

#[test]
fn the_middle_of_a_long_block_is_on_the_map_and_the_field_beside_it_is_not() {
    let graph = grid(2);
    let middle = corner(0, 0).toward(corner(1, 0), 0.5);
    assert!(graph.snap(middle).unwrap().distance_m < 0.1);
    assert_eq!(graph.snap(point(37.0, -122.003)), None);
    assert_eq!(graph.leg(middle, point(36.9, -122.0), HOUR), None);
    assert_eq!(
        graph.legs_to(&[point(36.9, -122.0), middle], corner(1, 1), HOUR)[0],
        None
    );
}

#[test]
fn a_drive_to_where_one_is_takes_no_time() {
    let graph = grid(2);
    let beside = point(37.001, -122.0005);
    assert_eq!(
        graph.leg(beside, beside, HOUR),
        Some(Leg {
            seconds: 0.0,
            metres: 0.0
        })
    );
    assert!(graph.leg(corner(0, 0), corner(0, 0), HOUR).unwrap().metres < 0.1);
}

#[test]
fn of_two_streets_between_the_same_junctions_the_fast_one_is_driven() {
    let nodes =
        "node,lat,lon\n1,37.0,-122.0\n2,37.002,-122.0\n3,37.002,-122.002\n4,36.998,-122.0\n";
    let edges = "from,to,length_m,time_s,shape\n1,2,222,90,\n1,2,400,30,37.001 -121.999\n2,3,178,18,\n4,1,222,20,\n";
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [(NODES_FILE, nodes), (EDGES_FILE, edges)] {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gz, text.as_bytes()).unwrap();
        std::fs::write(dir.path().join(name), gz.finish().unwrap()).unwrap();
    }
    let graph = RoadGraph::read(dir.path()).unwrap();
    let leg = graph
        .leg(point(36.998, -122.0), point(37.002, -122.002), HOUR)
        .unwrap();
    assert!(
        (leg.seconds - 68.0).abs() < 0.1 && (leg.metres - 800.0).abs() < 1.0,
        "{leg:?}"
    );
    let route = graph
        .route(point(36.998, -122.0), point(37.002, -122.002), HOUR)
        .unwrap();
    assert!(
        route
            .points()
            .iter()
            .any(|p| p.point == point(37.001, -121.999)),
        "{route:?}"
    );
}

#[test]
fn many_drives_at_once_are_the_same_as_one_by_one() {
    let graph = grid(5);
    let from: Vec<Point> = (0..25).map(|i| corner(i / 5, i % 5)).collect();
    let to = point(37.003, -121.9965);
    let each: Vec<_> = from
        .iter()
        .map(|&start| graph.leg(start, to, HOUR))
        .collect();
    assert_eq!(graph.legs_to(&from, to, HOUR), each);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(graph.legs_to(&from, to, HOUR), each));
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_route_is_the_line_of_its_leg(a in (0.0_f64..0.008, 0.0_f64..0.008), b in (0.0_f64..0.008, 0.0_f64..0.008)) {
        let graph = grid(5);
        let (from, to) = (point(37.0 + a.0, -122.0 + a.1), point(37.0 + b.0, -122.0 + b.1));
        let (leg, route) = (graph.leg(from, to, HOUR).unwrap(), graph.route(from, to, HOUR).unwrap());
        prop_assert!((route.leg().seconds - leg.seconds).abs() < 1e-6 && (route.leg().metres - leg.metres).abs() < 1e-6);
        prop_assert_eq!((route.points()[0].point, route.points().last().unwrap().point), (from, to));
        let drawn: f64 = route.points().windows(2).map(|pair| pair[0].point.distance_m(pair[1].point)).sum();
        prop_assert!((drawn - leg.metres).abs() < 2.0, "drawn {} m, driven {} m", drawn, leg.metres);
        prop_assert!(leg.metres >= from.distance_m(to) - 1.0);
    }
}
