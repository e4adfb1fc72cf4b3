//! The nearest drivers against brute force, all over the earth and in a stadium; while drivers move; and never older than
//! asked, however pings come.

mod brute;
mod moving;
mod stale;

use hexcab_types::ProductId;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

use self::brute::Brute;
use super::*;
use crate::domain::{Status, Verdict};

const CITY: CityNumber = CityNumber(0);

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

fn available() -> Statuses {
    Statuses::from_iter([Status::Available])
}

fn query(point: Point, radius_m: f64, limit: usize) -> Query<'static> {
    Query {
        point,
        radius_m,
        limit,
        max_age_ms: 15_000,
        statuses: available(),
        product: None,
        excluded: &[],
    }
}

/// Up to `spread_m` away to either side, over the pole and the antimeridian where they are near.
fn near(center: Point, spread_m: f64, chance: &mut ChaCha8Rng) -> Point {
    let angle = angle_of_m(spread_m * chance.random_range(0.0..1.0_f64).sqrt());
    let bearing = chance.random_range(0.0..std::f64::consts::TAU);
    let (lat, lon) = (center.lat().to_radians(), center.lon().to_radians());
    let there = (lat.sin() * angle.cos() + lat.cos() * angle.sin() * bearing.cos()).asin();
    let aside =
        (bearing.sin() * angle.sin() * lat.cos()).atan2(angle.cos() - lat.sin() * there.sin());
    let lon = ((lon + aside).to_degrees() + 540.0).rem_euclid(360.0) - 180.0;
    point(there.to_degrees().clamp(-90.0, 90.0), lon)
}

/// Everywhere that has ever been a corner case of somebody's index.
fn centers() -> Vec<Point> {
    let mut centers: Vec<Point> = [
        (37.77, -122.42),
        (0.0, 0.000_1),
        (0.01, 179.999),
        (-17.5, -179.999_9),
        (66.0, 180.0),
        (89.999, 12.0),
        (90.0, 0.0),
        (-89.99, 77.0),
        (-90.0, -180.0),
        (58.397_7, 103.0),
    ]
    .map(|(lat, lon)| point(lat, lon))
    .to_vec();
    // Round H3's pentagons, whose cells drivers are counted in.
    for base in [4_u64, 14, 24, 117] {
        let cell = hexcab_types::Cell::from_u64(0x0800_1fff_ffff_ffff | (base << 45)).unwrap();
        assert!(cell.h3().is_pentagon());
        centers.push(cell.center());
    }
    // Where four blocks of the lattice meet.
    centers.push(
        Point::from_e7(
            (1 << 18) * 4_000 - 900_000_000,
            (1 << 18) * 2_000 - 1_800_000_000,
        )
        .unwrap(),
    );
    centers
}

/// A million questions, of fleets of all densities in all corners of the earth, with every filter, the fleet moving on
/// between them. Every answer is that of a look at everybody.
#[test]
fn a_million_answers_are_those_of_a_look_at_everybody() {
    const QUESTIONS: usize = 1_000_000;
    const ROUNDS: usize = 8;
    const SPREADS_M: [f64; 4] = [60.0, 800.0, 6_000.0, 40_000.0];
    let centers = centers();
    let scenes = centers.len() * SPREADS_M.len();
    let each = QUESTIONS.div_ceil(scenes * ROUNDS);
    let left_out = [driver(3), driver(5)];
    let (mut asked, mut found) = (0, 0);
    for (scene, (center, spread_m)) in centers
        .iter()
        .flat_map(|center| SPREADS_M.map(|spread_m| (*center, spread_m)))
        .enumerate()
    {
        let mut chance = ChaCha8Rng::seed_from_u64(scene as u64);
        let index = index();
        let mut fleet: Vec<Sighting> = (0..200)
            .map(|number| seen(number, center, 180_000))
            .collect();
        for round in 0..ROUNDS {
            for seen in &mut fleet {
                if round == 0 || chance.random_bool(0.3) {
                    let age_ms = 25_000 - 2_000 * round as i64 + chance.random_range(0..1_900);
                    *seen = Sighting {
                        point: near(center, spread_m, &mut chance),
                        recorded_ms: now().timestamp_millis() - age_ms,
                        status: Status::ALL[chance.random_range(0..4_usize).saturating_sub(1)],
                        product: ProductNumber(chance.random_range(0..2)),
                        ..*seen
                    };
                    assert_eq!(index.report(CITY, *seen, now()), Verdict::Accepted);
                }
            }
            let brute = Brute::new(&fleet);
            for _ in 0..each {
                let at = near(center, spread_m * 1.3, &mut chance);
                let excluded = &left_out[..if chance.random_bool(0.2) { 2 } else { 0 }];
                let query = Query {
                    max_age_ms: [15_000, 30_000][chance.random_range(0..2)],
                    statuses: [available(), Status::ALL.into_iter().collect()]
                        [chance.random_range(0..2)],
                    product: [None, Some(ProductNumber(1))][chance.random_range(0..2)],
                    excluded,
                    ..query(
                        at,
                        spread_m * chance.random_range(0.05..1.5),
                        chance.random_range(1..12),
                    )
                };
                let answers = index.nearest(CITY, &query, now());
                let expected = brute.nearest(&query, now());
                assert!(
                    answers == expected,
                    "scene {scene}, {center:?}, {query:?}:\n{answers:?}\n{expected:?}"
                );
                (asked, found) = (asked + 1, found + answers.len());
            }
        }
    }
    assert!(
        asked >= QUESTIONS && found > 2 * QUESTIONS,
        "{asked} {found}"
    );
}

/// 20,000 drivers in a stadium of one r8 cell, and a city round it.
#[test]
fn a_stadium_is_searched_exactly() {
    let mut chance = ChaCha8Rng::seed_from_u64(20);
    let stadium = point(37.778_6, -122.389_3);
    let fleet: Vec<Sighting> = (0..22_000)
        .map(|number| {
            let spread_m = if number < 20_000 { 150.0 } else { 5_000.0 };
            seen(
                number,
                near(stadium, spread_m, &mut chance),
                chance.random_range(0..20_000),
            )
        })
        .collect();
    let index = index();
    let mut batch = crate::domain::Batch::default();
    for (number, seen) in (0..).zip(&fleet) {
        batch.push(number, *seen);
    }
    assert_eq!(index.take(CITY, &mut batch, now()).accepted, 22_000);
    let brute = Brute::new(&fleet);
    for number in 0..2_000 {
        let at = near(stadium, [100.0, 200.0, 2_000.0][number % 3], &mut chance);
        let query = query(at, 2_000.0, [1, 10, 200][number / 3 % 3]);
        assert!(
            index.nearest(CITY, &query, now()) == brute.nearest(&query, now()),
            "{query:?}"
        );
    }
}

/// As many as there may be on one spot: nothing tells them apart but their ids.
#[test]
fn drivers_on_one_spot_are_told_in_the_order_of_their_ids() {
    let index = index();
    let here = point(37.77, -122.42);
    for number in (0..500).rev() {
        index.report(CITY, seen(number, here, 0), now());
    }
    let found: Vec<DriverId> = index
        .nearest(CITY, &query(here, 100.0, 20), now())
        .iter()
        .map(|answer| answer.seen.driver)
        .collect();
    assert_eq!(found, (0..20).map(driver).collect::<Vec<_>>());
}

#[test]
fn a_lone_driver_far_away_is_found() {
    let index = index();
    index.report(CITY, seen(1, point(37.4, -122.1), 0), now());
    let from = point(37.77, -122.42);
    assert_eq!(
        index.nearest(CITY, &query(from, 50_000.0, 5), now()).len(),
        1
    );
    assert!(
        index
            .nearest(CITY, &query(from, 10_000.0, 5), now())
            .is_empty()
    );
}

#[test]
fn an_answer_is_never_older_than_asked() {
    let index = index();
    let here = point(37.77, -122.42);
    for age_ms in [0, 14_999, 15_000, 15_001, 60_000] {
        index.report(CITY, seen(age_ms as u32, here, age_ms), now());
    }
    let ages: Vec<i64> = index
        .nearest(CITY, &query(here, 100.0, 10), now())
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
        let busy = Sighting {
            status: Status::EnRoute,
            ..seen(number, here, 0)
        };
        index.report(CITY, busy, now());
    }
    let free = seen(99, point(37.779, -122.42), 0);
    index.report(CITY, free, now());
    let found = index.nearest(CITY, &query(here, 5_000.0, 1), now());
    assert_eq!(
        found.iter().map(|answer| answer.seen).collect::<Vec<_>>(),
        [free]
    );
    let product = Query {
        product: Some(ProductNumber(1)),
        ..query(here, 5_000.0, 1)
    };
    assert!(index.nearest(CITY, &product, now()).is_empty());
}
