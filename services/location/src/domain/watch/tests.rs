//! A map hears of everybody in view, once a turn, and of everybody who left it.

use hexcab_types::{Point, ProductId};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::{HOME_RESOLUTION, ProductNumber, Status};

fn at(ms: i64) -> Timestamp {
    Timestamp::from_timestamp_millis(1_200_000_000_000 + ms).unwrap()
}

fn driver(number: u8) -> DriverId {
    DriverId::from(Uuid::from_u128(u128::from(number) + 1))
}

fn seen(number: u8, place: i32, ms: i64) -> Sighting {
    Sighting {
        driver: driver(number),
        point: Point::from_e7(377_700_000 + place * 4_000, -1_224_200_000).unwrap(),
        recorded_ms: at(ms).timestamp_millis(),
        status: Status::Available,
        product: ProductNumber(0),
        heading_deg: 0,
        inaccurate: false,
    }
}

fn index() -> (FleetIndex, CityNumber) {
    let index = FleetIndex::new([("sf".to_owned(), vec![ProductId::new("standard").unwrap()])]);
    let (city, _) = index.cities().next().unwrap();
    (index, city)
}

fn turn(watch: &mut Watch, index: &FleetIndex, ms: i64) -> Changes {
    let mut turn = watch.turn(index, at(ms));
    while turn.step() {}
    let mut changes = turn.changes();
    changes.drivers.sort_by_key(|seen| seen.driver);
    changes.left.sort();
    changes
}

fn changes(drivers: &[Sighting], left: &[DriverId]) -> Changes {
    Changes {
        drivers: drivers.to_vec(),
        left: left.to_vec(),
    }
}

#[test]
fn a_map_hears_of_who_comes_moves_and_leaves() {
    let (index, city) = index();
    let here = seen(1, 0, 0).point.cell(8).unwrap();
    let mut watch = Watch::new(city, vec![here], 60_000);
    for (number, place) in [(1, 0), (2, 1), (3, 2_000)] {
        index.report(city, seen(number, place, 0), at(0));
    }
    assert_eq!(
        turn(&mut watch, &index, 0),
        changes(&[seen(1, 0, 0), seen(2, 1, 0)], &[])
    );
    assert!(
        turn(&mut watch, &index, 1_000).is_empty(),
        "nothing new, nothing told"
    );
    for ms in [1_000, 1_500, 2_000] {
        index.report(city, seen(1, 1, ms), at(ms));
    }
    index.report(city, seen(2, 2_000, 2_000), at(2_000));
    assert_eq!(
        turn(&mut watch, &index, 2_000),
        changes(&[seen(1, 1, 2_000)], &[driver(2)])
    );
    assert_eq!(turn(&mut watch, &index, 62_000), Changes::default());
    assert_eq!(
        turn(&mut watch, &index, 62_001),
        changes(&[], &[driver(1)]),
        "silent for too long"
    );
    assert!(turn(&mut watch, &index, 63_000).is_empty());
}

proptest! {
    /// The view put together from what is told is the view.
    #[test]
    fn what_is_told_adds_up_to_the_view(
        moves in proptest::collection::vec((0..30_u8, 0..40_i32, any::<bool>()), 1..300), resolution in 6..=HOME_RESOLUTION,
    ) {
        let (index, city) = index();
        let center = seen(0, 20, 0).point;
        let cells: Vec<Cell> = center.cell(resolution).unwrap().disk(1).collect();
        let mut watch = Watch::new(city, cells.clone(), 60_000);
        let mut newest: HashMap<DriverId, Sighting> = HashMap::new();
        let mut view: HashMap<DriverId, Sighting> = HashMap::new();
        for (step, (number, place, look)) in (1..).zip(moves) {
            let seen = seen(number, place, step);
            index.report(city, seen, at(step));
            newest.insert(seen.driver, seen);
            if look {
                let changes = turn(&mut watch, &index, step);
                for left in &changes.left {
                    prop_assert!(view.remove(left).is_some(), "left without having come");
                }
                for seen in changes.drivers {
                    prop_assert_ne!(view.insert(seen.driver, seen), Some(seen), "told twice");
                }
                let expected: HashMap<DriverId, Sighting> = newest
                    .iter()
                    .filter(|(_, seen)| {
                        let home = seen.point.cell(HOME_RESOLUTION).unwrap();
                        cells.contains(&home.parent(resolution).unwrap())
                    })
                    .map(|(driver, seen)| (*driver, *seen))
                    .collect();
                prop_assert_eq!(&view, &expected);
            }
        }
    }
}
