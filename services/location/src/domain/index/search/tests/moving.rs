//! Searches while drivers move, on several threads.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;

const DRIVERS: u32 = 40;

/// Ten streets and ten avenues 400 m apart: every step is into another tile, most into another bucket of a crowded one.
fn place(number: u32, step: u32) -> Point {
    let spot = (number * 7 + step * 13) % 97;
    point(
        37.75 + f64::from(spot % 10) * 0.004,
        -122.45 + f64::from(spot / 10) * 0.004,
    )
}

fn check_all_are_found(index: &FleetIndex) {
    let found = index.nearest(CITY, &query(point(37.77, -122.43), 20_000.0, 1_000), now());
    let distinct: HashSet<DriverId> = found.iter().map(|answer| answer.seen.driver).collect();
    assert_eq!(
        (found.len(), distinct.len()),
        (DRIVERS as usize, DRIVERS as usize)
    );
}

/// Drivers jump between far tiles while others search: every search finds every driver exactly once.
#[test]
fn a_moving_driver_is_found_exactly_once_by_every_search() {
    let index = index();
    for number in 0..DRIVERS {
        index.report(CITY, seen(number, place(number, 0), 14_000), now());
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for half in 0..2 {
            let (index, stop) = (&index, &stop);
            scope.spawn(move || {
                for step in 1..14_000 {
                    for number in (0..DRIVERS).filter(|number| number % 2 == half) {
                        let seen = seen(number, place(number, step), 14_000 - i64::from(step));
                        index.report(CITY, seen, now());
                    }
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        for _ in 0..1_000 {
            check_all_are_found(&index);
        }
        stop.store(true, Ordering::Relaxed);
    });
    check_all_are_found(&index);
}

/// Across one edge of a tile, back and forth, with late and repeated pings in between.
#[test]
fn a_driver_who_crosses_an_edge_back_and_forth_is_neither_doubled_nor_lost() {
    let index = index();
    let edge = 32_768 * 38_900 - 900_000_000;
    let side = |step: u32| {
        let off = if step.is_multiple_of(2) { 500 } else { -500 };
        Point::from_e7(edge + off, -1_224_200_000).unwrap()
    };
    for number in 0..3 {
        index.report(CITY, seen(number, side(0), 14_000), now());
    }
    std::thread::scope(|scope| {
        let crossing = scope.spawn(|| {
            for step in 1..14_000 {
                for late in [0, 2, 0] {
                    for number in 0..3 {
                        index.report(
                            CITY,
                            seen(number, side(step), 14_000 - i64::from(step) + late),
                            now(),
                        );
                    }
                }
            }
        });
        while !crossing.is_finished() {
            let found = index.nearest(CITY, &query(side(0), 500.0, 10), now());
            let numbers: HashSet<DriverId> =
                found.iter().map(|answer| answer.seen.driver).collect();
            assert_eq!((found.len(), numbers.len()), (3, 3));
        }
    });
    assert_eq!(
        (
            index.len(),
            index.nearest(CITY, &query(side(0), 500.0, 10), now()).len()
        ),
        (3, 3)
    );
}
