//! From a plan to offers and decisions.

use std::collections::BTreeSet;

use hexcab_matching::Options;
use hexcab_road::{Leg, Route};
use hexcab_types::ProductId;
use uuid::Uuid;

use super::*;

/// Ten metres a second as the crow flies; no way from beyond the 38th parallel.
struct Crow;

impl RoadTimes for Crow {
    fn leg(&self, from: Point, to: Point, _: HourOfWeek) -> Option<Leg> {
        let metres = from.distance_m(to);
        (from.lat() < 38.0).then_some(Leg {
            seconds: metres / 10.0,
            metres,
        })
    }

    fn legs_to(&self, from: &[Point], to: Point, hour: HourOfWeek) -> Vec<Option<Leg>> {
        from.iter().map(|from| self.leg(*from, to, hour)).collect()
    }

    fn route(&self, from: Point, to: Point, hour: HourOfWeek) -> Option<Route> {
        Some(Route::straight(from, to, self.leg(from, to, hour)?))
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(seconds, 0).unwrap()
}

fn driver(n: u128) -> DriverId {
    Uuid::from_u128(n).into()
}

fn near(n: u128, lat: f64) -> Nearby {
    let position = Point::from_degrees(lat, -122.4).unwrap();
    Nearby {
        driver: driver(n),
        position,
        distance_m: 7.0 * n as f64,
        age_ms: 2_000,
    }
}

fn found(trip: u128, lat: f64, nearby: Vec<Nearby>) -> Found {
    let request = Request {
        trip: Uuid::from_u128(trip).into(),
        version: 1,
        product: ProductId::new("standard").unwrap(),
        pickup: Point::from_degrees(lat, -122.4).unwrap(),
        created_at: at(0),
        expires_at: at(480),
        excluded: [driver(99_999)].into(),
        context: None,
    };
    Found {
        request: Arc::new(request),
        nearby,
        searched_in: None,
    }
}

fn planned(found: Vec<Found>) -> Vec<Planned> {
    let policy = hexcab_matching::policy("batched", Options::default()).unwrap();
    plan(
        found,
        policy.as_ref(),
        &Crow,
        HourOfWeek::of_day(5, 18),
        at(10),
    )
}

#[test]
fn two_riders_and_two_drivers_are_matched_for_the_least_in_all() {
    // Driver 1 is the nearest to both, but driver 2 is near to the second only.
    let drivers = || vec![near(1, 37.701), near(2, 37.72)];
    let plans = planned(vec![found(1, 37.70, drivers()), found(2, 37.71, drivers())]);
    let chosen: Vec<_> = plans
        .iter()
        .map(|plan| plan.chosen.unwrap().driver)
        .collect();
    assert_eq!(chosen, [driver(1), driver(2)]);
    for plan in &plans {
        assert_eq!(plan.considered.len(), 2);
        assert!(plan.considered.is_sorted_by_key(|it| it.cost_ms));
        assert!(
            plan.considered
                .iter()
                .any(|it| it.driver == plan.chosen.unwrap().driver)
        );
    }
}

#[test]
fn a_driver_without_a_way_is_not_considered() {
    let plans = planned(vec![found(1, 37.70, vec![near(1, 38.5)])]);
    assert!(plans[0].considered.is_empty());
    assert_eq!(plans[0].chosen, None);
}

#[test]
fn excluded_and_busy_drivers_and_those_too_many_are_left_out() {
    let mut it = found(
        1,
        37.70,
        vec![
            near(99_999, 37.7),
            near(5, 37.7),
            near(1, 37.7),
            near(2, 37.7),
            near(3, 37.7),
        ],
    );
    narrow(&mut it, &HashSet::from([driver(5)]), 2);
    let left: Vec<_> = it.nearby.iter().map(|near| near.driver).collect();
    assert_eq!(left, [driver(1), driver(2)]);
}

#[test]
fn a_large_window_is_shared_out_and_comes_to_the_same() {
    let many = |count: u128| -> Vec<Found> {
        (0..count)
            .map(|n| {
                found(
                    n + 1,
                    37.70 + n as f64 / 1e4,
                    vec![near(n + 1, 37.70 + n as f64 / 1e4)],
                )
            })
            .collect()
    };
    let plans = planned(many(3 * REQUESTS_PER_THREAD as u128 + 1));
    let drivers: BTreeSet<_> = plans
        .iter()
        .filter_map(|plan| plan.chosen.map(|chosen| chosen.driver))
        .collect();
    assert_eq!(drivers.len(), plans.len());
    for plan in &plans {
        assert_eq!(plan.request.trip.uuid(), plan.chosen.unwrap().driver.uuid());
    }
}
