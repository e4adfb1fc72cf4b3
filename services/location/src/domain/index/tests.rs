//! A driver stands in one place, however he moves.

use hexcab_types::{Cell, Point};
use uuid::Uuid;

use super::*;
use crate::domain::{ProductNumber, Status};

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

/// Every sighting in the tiles of a city: what a search can find.
fn held(index: &FleetIndex, city: CityNumber) -> Vec<Sighting> {
    let center = Point::from_degrees(38.0, -122.42).unwrap();
    let area = lattice::Area::round(center, 0.1);
    let mut slots = Vec::new();
    index.place(city).blocks().within(&area, |block| {
        block.tiles_of(block.occupied_in(&area), |key, tile| {
            tile.read(key, &area, None, &mut slots);
        });
    });
    let mut all: Vec<Sighting> = slots
        .iter()
        .filter_map(|slot| index.records.get(*slot).read())
        .map(|(of, seen)| {
            assert_eq!(of, city, "in a tile of another city");
            seen
        })
        .collect();
    all.sort_by_key(|seen| seen.driver);
    all
}

fn evict(index: &FleetIndex, now: Timestamp) -> usize {
    (0..SHARDS)
        .map(|shard| index.evict_silent(shard, now))
        .sum()
}

fn counted(index: &FleetIndex, city: CityNumber) -> Vec<(Cell, u32)> {
    let mut census = index.census(city, 15_000, now());
    while census.step() {}
    census.counts()
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
}

#[test]
fn a_driver_who_changes_the_city_leaves_the_old_one() {
    let index = index();
    index.report(SF, seen(1, 37.77, 2_000), now());
    index.report(NYC, seen(1, 40.75, 1_000), now());
    assert!(held(&index, SF).is_empty());
    assert_eq!(held(&index, NYC).len(), 1);
    assert_eq!(index.len(), 1);
}

#[test]
fn who_is_silent_for_180_seconds_is_forgotten() {
    let index = index();
    index.report(SF, seen(1, 37.77, 100_000), now());
    index.report(SF, seen(2, 37.77, 0), now());
    let later = now() + chrono::TimeDelta::seconds(80);
    assert_eq!(evict(&index, later), 0);
    assert!(index.last_seen(driver(1), later).is_some());
    let later = later + chrono::TimeDelta::milliseconds(1);
    assert!(
        index.last_seen(driver(1), later).is_none(),
        "forgotten at once, not only when swept"
    );
    assert_eq!(evict(&index, later), 1);
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
    let counts = counted(&index, SF);
    assert_eq!(counts.len(), 1);
    assert_eq!((counts[0].0.resolution(), counts[0].1), (8, 3));
    assert!(counted(&index, NYC).is_empty());
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
                        evict(index, now());
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

#[test]
fn a_batch_is_taken_as_its_sightings_one_by_one() {
    let (one, whole) = (index(), index());
    let mut batch = intake::Batch::default();
    let mut expected = intake::Taken::default();
    for step in 0..3_000_u32 {
        // Duplicates, late ones, new drivers and both cities' whole lengths, in an order of no use.
        let number = u128::from(step * 7 % 400) + 1;
        let lat = 37.0 + f64::from(step * 13 % 97) * 0.01;
        let seen = seen(number, lat, i64::from(step * 31 % 500) * 400);
        batch.push(step, seen);
        match one.report(SF, seen, now()) {
            Verdict::Accepted => expected.accepted += 1,
            Verdict::Stale => expected.stale += 1,
            Verdict::Full => panic!("{step}"),
        }
    }
    assert_eq!(whole.take(SF, &mut batch, now()), expected);
    assert_eq!(held(&whole, SF), held(&one, SF));
    assert!(
        expected.stale > 500 && expected.accepted > 500,
        "{expected:?}"
    );
}

#[test]
fn each_driver_who_changed_is_told_once_until_he_changes_again() {
    let index = index();
    let told = |index: &FleetIndex| {
        let mut all = Vec::new();
        for shard in 0..SHARDS {
            index.take_changes(shard, |city, seen| all.push((city.0, *seen)));
        }
        all.sort_by_key(|(_, seen)| seen.driver);
        all
    };
    for age_ms in [3_000, 2_000, 1_000] {
        index.report(SF, seen(1, 37.77, age_ms), now());
    }
    index.report(NYC, seen(2, 40.7, 500), now());
    assert_eq!(
        told(&index),
        [(0, seen(1, 37.77, 1_000)), (1, seen(2, 40.7, 500))]
    );
    assert_eq!(told(&index), []);
    index.report(SF, seen(1, 37.77, 1_500), now());
    assert_eq!(told(&index), [], "a late ping changes nothing");
    index.report(SF, seen(1, 37.77, 900), now());
    index.report(SF, seen(3, 37.77, 900), now());
    let later = now() + chrono::TimeDelta::milliseconds(180_000);
    index.report(SF, seen(1, 37.77, -100), later);
    evict(&index, later);
    assert_eq!(
        told(&index),
        [(0, seen(1, 37.77, -100))],
        "3 was forgotten meanwhile"
    );
}

#[test]
fn a_forgotten_drivers_place_is_given_to_the_next() {
    let index = index();
    for round in 0..50_u128 {
        let later = now() + chrono::TimeDelta::seconds(200 * round as i64);
        for number in 0..100 {
            let seen = Sighting {
                recorded_ms: later.timestamp_millis(),
                ..seen(round * 100 + number + 1, 37.77, 0)
            };
            assert_eq!(index.report(SF, seen, later), Verdict::Accepted);
        }
        assert_eq!(evict(&index, later), if round == 0 { 0 } else { 100 });
        assert_eq!((index.len(), held(&index, SF).len()), (100, 100));
    }
    let made = index.made.load(Ordering::Relaxed);
    assert!(made <= SLOTS_AT_ONCE * SHARDS as u32 * 2, "{made}");
}

/// Whoever goes through all records goes by how many were made: the last of them has to be there by then.
#[test]
fn a_record_is_there_before_it_is_counted() {
    let index = index();
    std::thread::scope(|scope| {
        let making = scope.spawn(|| {
            let mut shard = Shard::default();
            for _ in 0..500_000 {
                index.new_slot(&mut shard).unwrap();
            }
        });
        while !making.is_finished() {
            if let Some(last) = index.made.load(Ordering::Acquire).checked_sub(1) {
                assert_eq!(index.records.get(Slot(last)).read(), None);
            }
        }
    });
    assert!(index.made.load(Ordering::Acquire) >= 500_000);
}

#[test]
fn what_others_heard_is_known_but_neither_kept_again_nor_part_of_a_track() {
    let index = index();
    let changes = || {
        let mut all = Vec::new();
        (0..SHARDS).for_each(|shard| {
            index.take_changes(shard, |_, seen| all.push(seen.recorded_ms));
        });
        all
    };
    let take = |source, age_ms| {
        let mut batch = intake::Batch::default();
        let on_trip = Status::OnTrip;
        let sighting = Sighting {
            status: on_trip,
            ..seen(1, 37.77, age_ms)
        };
        batch.push(0, sighting);
        index.take_from(source, SF, &mut batch, now()).accepted
    };
    assert_eq!(take(intake::Source::Kept, 5_000), 1);
    assert!(index.last_seen(driver(1), now()).is_some());
    assert!(changes().is_empty() && index.track(driver(1), now()).is_none());
    // The newest counts, wherever it is from.
    assert_eq!(take(intake::Source::Heard, 6_000), 0);
    assert_eq!(take(intake::Source::Heard, 4_000), 1);
    assert_eq!(take(intake::Source::Kept, 3_000), 1);
    // He was heard since the last flush: what is known now is kept.
    let newest_ms = now().timestamp_millis() - 3_000;
    assert_eq!(changes(), [newest_ms]);
    assert!(index.track(driver(1), now()).is_some());
}

#[test]
fn who_was_not_kept_is_listed_again_once() {
    let index = index();
    index.report(SF, seen(1, 37.77, 5_000), now());
    let changes = || {
        let mut all = Vec::new();
        (0..SHARDS).for_each(|shard| {
            index.take_changes(shard, |_, seen| all.push(seen.driver));
        });
        all
    };
    assert_eq!(changes(), [driver(1)]);
    index.put_back(driver(1));
    index.put_back(driver(1));
    index.report(SF, seen(1, 37.77, 4_000), now());
    assert_eq!(changes(), [driver(1)]);
    index.put_back(driver(2));
    assert!(changes().is_empty());
}
