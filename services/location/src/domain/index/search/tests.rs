//! The nearest drivers against brute force, over cell edges and pentagons.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
};

use hexcab_types::ProductId;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::Verdict;

fn now() -> Timestamp {
    Timestamp::from_timestamp(1_200_000_000, 0).unwrap()
}

fn driver(number: u32) -> DriverId {
    DriverId::from(Uuid::from_u128(u128::from(number) + 1))
}

fn point(lat: f64, lon: f64) -> Point {
    Point::from_degrees(lat, lon).unwrap()
}

fn seen(number: u32, point: Point, age_ms: i64) -> Sighting {
    Sighting {
        driver: driver(number),
        point,
        recorded_ms: now().timestamp_millis() - age_ms,
        status: Status::Available,
        product: ProductNumber(0),
        heading_deg: 0,
        inaccurate: false,
    }
}

fn index() -> FleetIndex {
    FleetIndex::new([("sf".to_owned(), vec![ProductId::new("standard").unwrap()])])
}

fn city() -> CityNumber {
    CityNumber(0)
}

fn query<'a>(
    point: Point,
    radius_m: f64,
    limit: usize,
    excluded: &'a HashSet<DriverId>,
) -> Query<'a> {
    let statuses = &[Status::Available];
    Query {
        point,
        radius_m,
        limit,
        max_age_ms: 15_000,
        statuses,
        product: None,
        excluded,
    }
}

/// The answer without any cells: everyone looked at.
fn brute_force(fleet: &[Sighting], query: &Query<'_>) -> Vec<Answer> {
    let mut fits: Vec<Answer> = fleet
        .iter()
        .filter_map(|seen| query.fits(seen, now()))
        .collect();
    fits.sort_by(|a, b| {
        a.distance_m
            .total_cmp(&b.distance_m)
            .then(a.seen.driver.cmp(&b.seen.driver))
    });
    fits.truncate(query.limit);
    fits
}

/// A place on earth, a fleet round it out to `spread_deg`, and what is asked.
fn scene() -> impl Strategy<Value = (Point, Vec<Sighting>, f64, usize)> {
    let centre = prop_oneof![
        4 => Just((37.77, -122.42)),
        1 => Just((0.01, 179.999)),           // the date line
        1 => Just((58.3977, 103.0)),          // anywhere
        1 => Just((64.7, 10.5362)),           // a pentagon: 0x8009fffffffffff
        1 => Just((-89.99, 0.0)),
    ];
    (centre, prop_oneof![Just(0.004), Just(0.02), Just(0.15)]).prop_flat_map(
        |((lat, lon), spread): ((f64, f64), f64)| {
            let near = move || {
                (-1.0..1.0_f64, -1.0..1.0_f64).prop_map(move |(dy, dx)| {
                    let around = lon + dx * spread;
                    let wrapped = if around > 180.0 {
                        around - 360.0
                    } else {
                        around
                    };
                    point((lat + dy * spread).clamp(-90.0, 90.0), wrapped)
                })
            };
            let one = (near(), 0..25_000_i64, 0..3_u8);
            let fleet = proptest::collection::vec(one, 0..250).prop_map(|all| {
                let numbered = all.into_iter().zip(0..);
                numbered
                    .map(|((point, age_ms, busy), number)| Sighting {
                        status: if busy == 0 {
                            Status::OnTrip
                        } else {
                            Status::Available
                        },
                        ..seen(number, point, age_ms)
                    })
                    .collect()
            });
            (
                near(),
                fleet,
                prop_oneof![Just(300.0), Just(2_000.0), Just(20_000.0)],
                1..30_usize,
            )
        },
    )
}

proptest! {
    #[test]
    fn the_nearest_are_those_that_brute_force_finds((at, fleet, radius_m, limit) in scene()) {
        let index = index();
        for seen in &fleet {
            prop_assert_eq!(index.report(city(), *seen, now()), Verdict::Accepted);
        }
        let excluded = HashSet::from([driver(3), driver(5)]);
        let query = query(at, radius_m, limit, &excluded);
        prop_assert_eq!(index.nearest(city(), &query, now()), brute_force(&fleet, &query));
    }
}

/// The promise on which the search ends, against the real cells: all over the globe and round every pentagon, nothing in
/// the ring after the last one read is nearer to any corner of the origin than `covered_m` says.
#[test]
fn nothing_outside_the_rings_is_nearer_than_covered() {
    let mut origins: BTreeSet<Cell> = BTreeSet::new();
    for step in 0..1_500_u32 {
        let turn = f64::from(step) * 2.399_963; // the golden angle: even over the sphere
        let lat = (1.0 - 2.0 * (f64::from(step) + 0.5) / 1_500.0)
            .asin()
            .to_degrees();
        origins.insert(index_cell(point(lat, (turn.to_degrees() % 360.0) - 180.0)));
    }
    // Base cells 0 to 121; the pentagons among them are where the lattice is narrowest and bends.
    for base in 0_u64..122 {
        let root = Cell::from_u64(0x0800_1fff_ffff_ffff | (base << 45)).unwrap();
        if root.h3().is_pentagon() {
            let centre = index_cell(root.center());
            origins.extend(
                [0, 1, 2, 5, 9]
                    .into_iter()
                    .flat_map(|ring| ring_of(centre, ring).into_iter().step_by(3)),
            );
        }
    }
    for origin in origins {
        let edge_m = narrowest_edge_m(origin);
        let corners: Vec<Point> = corners(origin);
        for ring in [0, 1, 2, 5, 12, 40] {
            let nearest_m = ring_of(origin, ring + 1)
                .into_iter()
                .flat_map(corners_of)
                .flat_map(|outside| corners.iter().map(move |inside| inside.distance_m(outside)))
                .fold(f64::INFINITY, f64::min);
            let covered_m = covered_m(ring, edge_m);
            assert!(
                covered_m <= nearest_m,
                "{origin} ring {ring}: {covered_m} > {nearest_m}"
            );
        }
    }
}

fn corners(cell: Cell) -> Vec<Point> {
    let boundary = cell.h3().boundary();
    boundary
        .iter()
        .map(|corner| point(corner.lat(), corner.lng()))
        .collect()
}

fn corners_of(cell: Cell) -> Vec<Point> {
    corners(cell)
}

#[test]
fn a_lone_driver_far_away_is_found() {
    let index = index();
    index.report(city(), seen(1, point(37.4, -122.1), 0), now());
    let nobody = HashSet::new();
    let found = index.nearest(
        city(),
        &query(point(37.77, -122.42), 50_000.0, 5, &nobody),
        now(),
    );
    assert_eq!(found.len(), 1);
    assert!(
        index
            .nearest(
                city(),
                &query(point(37.77, -122.42), 10_000.0, 5, &nobody),
                now()
            )
            .is_empty()
    );
}

#[test]
fn an_answer_is_never_older_than_asked() {
    let index = index();
    let here = point(37.77, -122.42);
    for age_ms in [0, 14_999, 15_000, 15_001, 60_000] {
        index.report(city(), seen(age_ms as u32, here, age_ms), now());
    }
    let nobody = HashSet::new();
    let ages: Vec<i64> = index
        .nearest(city(), &query(here, 100.0, 10, &nobody), now())
        .iter()
        .map(|found| found.age_ms)
        .collect();
    assert_eq!(ages.len(), 3);
    assert!(ages.iter().all(|age_ms| *age_ms <= 15_000), "{ages:?}");
}

#[test]
fn filters_apply_while_searching_not_after() {
    let index = index();
    let here = point(37.77, -122.42);
    // Twenty busy drivers on the spot, one free a kilometre away: the nearest free one is the answer.
    for number in 0..20 {
        index.report(
            city(),
            Sighting {
                status: Status::EnRoute,
                ..seen(number, here, 0)
            },
            now(),
        );
    }
    let free = seen(99, point(37.779, -122.42), 0);
    index.report(city(), free, now());
    let nobody = HashSet::new();
    let found = index.nearest(city(), &query(here, 5_000.0, 1, &nobody), now());
    assert_eq!(
        found.iter().map(|answer| answer.seen).collect::<Vec<_>>(),
        [free]
    );
    let product = Query {
        product: Some(ProductNumber(1)),
        ..query(here, 5_000.0, 1, &nobody)
    };
    assert!(index.nearest(city(), &product, now()).is_empty());
}

/// Drivers jump between far cells while others search: every search finds every driver exactly once.
#[test]
fn a_moving_driver_is_found_exactly_once_by_every_search() {
    const DRIVERS: u32 = 40;
    let index = index();
    let place = |number: u32, step: u32| {
        let spot = (number * 7 + step * 13) % 97;
        point(
            37.75 + f64::from(spot % 10) * 0.004,
            -122.45 + f64::from(spot / 10) * 0.004,
        )
    };
    for number in 0..DRIVERS {
        index.report(city(), seen(number, place(number, 0), 10_000), now());
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for half in 0..2 {
            let (index, stop) = (&index, &stop);
            scope.spawn(move || {
                for step in 1..3_000 {
                    for number in (0..DRIVERS).filter(|number| number % 2 == half) {
                        index.report(
                            city(),
                            seen(number, place(number, step), 10_000 - i64::from(step)),
                            now(),
                        );
                    }
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        let nobody = HashSet::new();
        for _ in 0..300 {
            let found = index.nearest(
                city(),
                &query(point(37.77, -122.43), 20_000.0, 1_000, &nobody),
                now(),
            );
            let distinct: HashSet<DriverId> =
                found.iter().map(|answer| answer.seen.driver).collect();
            assert_eq!(
                (found.len(), distinct.len()),
                (DRIVERS as usize, DRIVERS as usize)
            );
        }
        stop.store(true, Ordering::Relaxed);
    });
}
