//! A driver stands in one place, however he moves.

use hexcab_types::Point;
use uuid::Uuid;

use super::*;
use crate::domain::ProductNumber;

fn now() -> Timestamp {
    Timestamp::from_timestamp(1_200_000_000, 0).unwrap()
}

fn driver(number: u128) -> DriverId {
    DriverId::from(Uuid::from_u128(number))
}

fn seen(number: u128, lat: f64, age_ms: i64) -> Sighting {
    Sighting {
        driver: driver(number),
        point: Point::from_degrees(lat, -122.42).unwrap(),
        recorded_ms: now().timestamp_millis() - age_ms,
        status: Status::Available,
        product: ProductNumber(0),
        heading_deg: 0,
        inaccurate: false,
    }
}

fn index() -> FleetIndex {
    FleetIndex::new(
        ["sf", "nyc"].map(|id| (id.to_owned(), vec![ProductId::new("standard").unwrap()])),
    )
}

const SF: CityNumber = CityNumber(0);
const NYC: CityNumber = CityNumber(1);

/// Every sighting in the cells of a city: what the index really holds.
fn held(index: &FleetIndex, city: CityNumber) -> Vec<Sighting> {
    let mut all = Vec::new();
    index.cells(city).for_each(|cell, seen| {
        assert_eq!(
            cell,
            index_cell(seen.point),
            "a sighting in a cell that is not its own"
        );
        all.push(*seen);
    });
    all
}

#[test]
fn the_newest_sighting_wins_whatever_the_order() {
    let index = index();
    assert_eq!(
        index.report(SF, seen(1, 37.77, 2_000), now()),
        Verdict::Accepted
    );
    assert_eq!(
        index.report(SF, seen(1, 37.78, 1_000), now()),
        Verdict::Accepted
    );
    assert_eq!(
        index.report(SF, seen(1, 37.79, 3_000), now()),
        Verdict::Stale,
        "late"
    );
    assert_eq!(
        index.report(SF, seen(1, 37.80, 1_000), now()),
        Verdict::Stale,
        "a duplicate's time"
    );
    assert_eq!(held(&index, SF), [seen(1, 37.78, 1_000)]);
    assert_eq!(
        index.last_seen(driver(1), now()),
        Some((SF, seen(1, 37.78, 1_000)))
    );
}

#[test]
fn a_move_takes_the_driver_out_of_his_old_cell() {
    let index = index();
    for (step, lat) in [37.70, 37.72, 37.72, 37.71, 37.70].into_iter().enumerate() {
        index.report(SF, seen(1, lat, 9_000 - step as i64), now());
        assert_eq!(held(&index, SF).len(), 1, "step {step}");
    }
    assert_eq!(index.cells(SF).occupied(), 1);
}

#[test]
fn a_driver_who_changes_the_city_leaves_the_old_one() {
    let index = index();
    index.report(SF, seen(1, 37.77, 2_000), now());
    index.report(NYC, seen(1, 40.75, 1_000), now());
    assert!(held(&index, SF).is_empty());
    assert_eq!(held(&index, NYC).len(), 1);
    assert_eq!((index.cells(SF).occupied(), index.len()), (0, 1));
}

#[test]
fn who_is_silent_for_180_seconds_is_forgotten() {
    let index = index();
    index.report(SF, seen(1, 37.77, 100_000), now());
    index.report(SF, seen(2, 37.77, 0), now());
    let later = now() + chrono::TimeDelta::seconds(80);
    assert_eq!(index.evict_silent(later), 0);
    assert!(index.last_seen(driver(1), later).is_some());
    let later = later + chrono::TimeDelta::milliseconds(1);
    assert!(
        index.last_seen(driver(1), later).is_none(),
        "forgotten at once, not only when swept"
    );
    assert_eq!(index.evict_silent(later), 1);
    assert_eq!(held(&index, SF), [seen(2, 37.77, 0)]);
    assert_eq!(
        index.report(SF, seen(3, 37.77, 180_001), now()),
        Verdict::Stale,
        "older than anything kept"
    );
}

#[test]
fn only_fresh_available_drivers_are_counted() {
    let index = index();
    for number in 1..=3 {
        index.report(SF, seen(number, 37.77, 0), now());
    }
    index.report(
        SF,
        Sighting {
            status: Status::OnTrip,
            ..seen(4, 37.77, 0)
        },
        now(),
    );
    index.report(SF, seen(5, 37.77, 15_001), now());
    let counts = index.count_available(SF, 15_000, now());
    assert_eq!(counts.len(), 1);
    assert_eq!((counts[0].0.resolution(), counts[0].1), (8, 3));
    assert!(index.count_available(NYC, 15_000, now()).is_empty());
}

/// Four threads report every driver from different places and times at once; evictions run in between.
#[test]
fn concurrent_moves_neither_double_nor_lose_a_driver() {
    const DRIVERS: u128 = 100;
    const STEPS: i64 = 400;
    let index = index();
    std::thread::scope(|scope| {
        for thread in 0..4_i64 {
            let index = &index;
            scope.spawn(move || {
                for step in 0..STEPS {
                    for number in 1..=DRIVERS {
                        let at = 4 * step + (thread + number as i64) % 4;
                        let lat = 37.70 + (at % 50) as f64 * 0.002;
                        index.report(SF, seen(number, lat, 100_000 - at), now());
                    }
                    if step % 100 == 0 {
                        index.evict_silent(now());
                    }
                }
            });
        }
    });
    let mut found = held(&index, SF);
    found.sort_by_key(|seen| seen.driver);
    let newest = 4 * (STEPS - 1) + 3;
    let expected: Vec<Sighting> = (1..=DRIVERS)
        .map(|number| {
            seen(
                number,
                37.70 + (newest % 50) as f64 * 0.002,
                100_000 - newest,
            )
        })
        .collect();
    assert_eq!(found, expected);
    assert_eq!(index.len(), DRIVERS as usize);
}
