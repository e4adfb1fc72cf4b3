//! Tiles divide and grow together, and nobody gets lost by it.

use hexcab_types::{DriverId, Point};
use uuid::Uuid;

use super::*;
use crate::domain::{
    ProductNumber, Sighting, Status,
    index::{CityNumber, intake::Source},
};

struct Bench {
    city: City,
    records: Records,
}

impl Bench {
    fn new() -> Self {
        let records = Records::new();
        records.make(0..40_000);
        Self {
            city: City::new("sf".to_owned(), Vec::new()),
            records,
        }
    }

    fn seen(number: u32, point: Point) -> Sighting {
        Sighting {
            driver: DriverId::from(Uuid::from_u128(u128::from(number) + 1)),
            point,
            recorded_ms: 1,
            status: Status::Available,
            product: ProductNumber(0),
            heading_deg: 0,
            inaccurate: false,
        }
    }

    fn put(&self, number: u32, point: Point) {
        let spot = Spot::from(point);
        self.city.add_block(spot.tile().block());
        let blocks = self.city.blocks();
        let slot = Slot(number);
        blocks
            .get(spot.tile().block())
            .unwrap()
            .arrive(spot, slot, &self.records, || {
                self.records.get(slot).write(
                    CityNumber(0),
                    &Self::seen(number, point),
                    Source::Heard,
                );
            });
    }

    fn take(&self, number: u32, point: Point) {
        let spot = Spot::from(point);
        let blocks = self.city.blocks();
        blocks
            .get(spot.tile().block())
            .unwrap()
            .leave(spot, Slot(number), &self.records);
    }

    /// Everybody within `metres` by the squares alone.
    fn within(&self, point: Point, metres: f64) -> Vec<u32> {
        let area = Area::round(point, metres / hexcab_types::EARTH_RADIUS_M);
        let (mut slots, blocks) = (Vec::new(), self.city.blocks());
        blocks.within(&area, |block| {
            block.tiles_of(block.occupied_in(&area), |key, tile| {
                tile.read(key, &area, None, &mut slots);
            });
        });
        let mut numbers: Vec<u32> = slots.iter().map(|slot| slot.0).collect();
        numbers.sort_unstable();
        numbers
    }
}

/// A stadium: 20,000 drivers within 120 m.
fn stadium(number: u32) -> Point {
    let (row, column) = ((number / 160) as i32, (number % 160) as i32);
    Point::from_e7(377_786_000 + row * 80, -1_223_893_000 + column * 80).unwrap()
}

#[test]
fn a_stadium_is_divided_until_a_bucket_holds_few() {
    let bench = Bench::new();
    for number in 0..20_000 {
        bench.put(number, stadium(number));
    }
    assert_eq!(
        bench.within(stadium(10_000), 500.0),
        (0..20_000).collect::<Vec<_>>()
    );
    let near = bench.within(stadium(10_000), 1.0);
    assert!(near.contains(&10_000));
    assert!(
        near.len() < 800,
        "{} read to find one within a metre",
        near.len()
    );
    for number in 0..19_990 {
        bench.take(number, stadium(number));
    }
    assert_eq!(
        bench.within(stadium(10_000), 500.0),
        (19_990..20_000).collect::<Vec<_>>()
    );
    let spot = Spot::from(stadium(19_995));
    let blocks = bench.city.blocks();
    let tile = blocks
        .get(spot.tile().block())
        .unwrap()
        .known(spot.tile())
        .unwrap();
    assert!(
        tile.buckets.read().level <= 2,
        "together again, but for a few"
    );
}

#[test]
fn who_moves_while_a_tile_is_divided_is_taken_out_all_the_same() {
    let bench = Bench::new();
    let (from, to) = (
        stadium(0),
        Point::from_e7(378_900_000, -1_223_000_000).unwrap(),
    );
    bench.put(0, from);
    bench.put(0, to); // on his way: in both
    for number in 1..5_000 {
        bench.put(number, stadium(number)); // and his old tile is divided by where he is now
    }
    bench.take(0, from);
    assert!(!bench.within(from, 2_000.0).contains(&0));
    assert_eq!(bench.within(to, 10.0), [0]);
}

#[test]
fn empty_blocks_are_given_back() {
    let bench = Bench::new();
    bench.put(1, stadium(1));
    bench.put(2, Point::from_e7(1, 1).unwrap());
    bench.take(1, stadium(1));
    bench.city.drop_empty_blocks();
    assert_eq!(bench.city.blocks().0.len(), 1);
    assert_eq!(bench.within(Point::from_e7(0, 0).unwrap(), 5.0), [2]);
    assert!(bench.within(stadium(1), 5_000.0).is_empty());
    bench.put(1, stadium(1));
    assert_eq!(bench.within(stadium(1), 5_000.0), [1]);
}
