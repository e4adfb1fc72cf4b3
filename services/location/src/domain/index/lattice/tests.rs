//! A circle lies within the area round it, wherever on earth.

use proptest::prelude::*;

use super::*;

/// The whole earth, and more often where the lattice ends.
fn anywhere() -> impl Strategy<Value = Point> {
    let edge = |edges: [i32; 3], spread: i32| {
        (proptest::sample::select(edges.to_vec()), -spread..=spread)
            .prop_map(|(edge, off)| edge + off)
    };
    let lat = prop_oneof![
        -900_000_000..=900_000_000_i32,
        edge([-900_000_000, 0, 900_000_000], 3_000_000)
            .prop_map(|lat| lat.clamp(-900_000_000, 900_000_000)),
    ];
    let lon = prop_oneof![
        -1_800_000_000..=1_800_000_000_i32,
        edge([-1_799_000_000, 0, 1_799_000_000], 1_000_000),
    ];
    (lat, lon).prop_map(|(lat, lon)| Point::from_e7(lat, lon).unwrap())
}

/// The point at this angle and bearing from another.
fn off(from: Point, angle: f64, bearing: f64) -> Point {
    let (lat, lon) = (from.lat().to_radians(), from.lon().to_radians());
    let there = (lat.sin() * angle.cos() + lat.cos() * angle.sin() * bearing.cos()).asin();
    let aside =
        (bearing.sin() * angle.sin() * lat.cos()).atan2(angle.cos() - lat.sin() * there.sin());
    let lon = (lon + aside).to_degrees();
    let lon = (lon + 540.0).rem_euclid(360.0) - 180.0;
    Point::from_degrees(there.to_degrees().clamp(-90.0, 90.0), lon).unwrap()
}

fn reaches(area: &Area, point: Point, level: u8) -> bool {
    let spot = Spot::from(point);
    let tile = spot.tile();
    let block = tile.block();
    area.blocks().any(|known| known == block)
        && area.tiles(block) & (1 << tile.in_block()) != 0
        && area
            .buckets(tile, level)
            .is_some_and(|buckets| buckets.contains(spot.bucket(level)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_area_reaches_all_of_its_circle(
        center in anywhere(), angle in prop_oneof![1e-9..1e-6, 1e-6..1e-4, 1e-4..8e-3], level in 0..=LEVEL_MAX,
        within in proptest::collection::vec((0.0..=1.0_f64, 0.0..std::f64::consts::TAU), 8),
    ) {
        let area = Area::round(center, angle);
        prop_assume!(area.blocks_len() < 200_000); // near a pole all longitudes are too many to list
        for (share, bearing) in within {
            let point = off(center, angle * share, bearing);
            prop_assert!(reaches(&area, point, level), "{center:?} {angle} {point:?} {area:?}");
        }
    }

    #[test]
    fn an_area_is_not_much_larger_than_its_circle(center in anywhere(), angle in 1e-4..8e-3) {
        let center = Point::from_e7(center.lat_e7() / 4 * 3, center.lon_e7()).unwrap();
        let area = Area::round(center, angle);
        let mut columns = 0_u64;
        for part in area.parts() {
            columns += u64::from(part.last - part.first) + 1;
        }
        let rows = u64::from(area.rows.last - area.rows.first) + 1;
        let widest = 2.0 * angle * UNITS_PER_RADIAN;
        prop_assert!(rows as f64 <= widest + 6.0, "{rows} {widest}");
        prop_assert!(columns as f64 <= widest / center.lat().to_radians().cos() * 1.03 + 6.0, "{columns} {widest}");
    }

    #[test]
    fn tiles_and_buckets_are_those_of_the_spot(point in anywhere(), level in 0..=LEVEL_MAX) {
        let spot = Spot::from(point);
        let tile = spot.tile();
        prop_assert_eq!(tile.block().tile(tile.in_block() as u32), tile);
        prop_assert!(spot.bucket(level) < 1 << (2 * level));
    }
}

#[test]
fn both_sides_of_the_antimeridian_are_one_place() {
    let (east, west) = (
        Point::from_e7(10, 1_800_000_000).unwrap(),
        Point::from_e7(10, -1_800_000_000).unwrap(),
    );
    assert_eq!(Spot::from(east), Spot::from(west));
    let area = Area::round(Point::from_degrees(10.0, 179.999_99).unwrap(), 1e-4);
    for lon in [179.999, -179.999, 180.0, -180.0] {
        assert!(
            reaches(&area, Point::from_degrees(10.0, lon).unwrap(), 3),
            "{lon}"
        );
    }
    assert!(!reaches(
        &area,
        Point::from_degrees(10.0, 179.0).unwrap(),
        3
    ));
}

#[test]
fn an_area_with_the_pole_goes_all_round() {
    let area = Area::round(Point::from_degrees(89.999_9, 12.0).unwrap(), 1e-4);
    for lon in [-168.0, 0.0, 12.0, 90.0, 180.0] {
        let point = Point::from_degrees(89.999_5, lon).unwrap();
        let tile = Spot::from(point).tile();
        assert_ne!(
            area.tiles(tile.block()) & (1 << tile.in_block()),
            0,
            "{lon}"
        );
    }
}
