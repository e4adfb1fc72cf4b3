//! What plans promise, whatever the policy: through the public API only, as dispatch sees it.

use std::collections::{BTreeMap, BTreeSet};

use hexcab_matching::{
    Candidate, OpenRequest, Options, POLICIES, Pair, Plan, Policy, PolicyError, Window, policy,
};
use hexcab_types::{DriverId, Point, TripId};
use proptest::prelude::*;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

fn trip(n: u128) -> TripId {
    TripId::from(Uuid::from_u128(n))
}

fn driver(n: u128) -> DriverId {
    DriverId::from(Uuid::from_u128(n))
}

fn request(n: u128, waiting_s: f64) -> OpenRequest {
    let pickup = Point::from_degrees(37.77, -122.42).expect("a point on earth");
    OpenRequest {
        trip: trip(n),
        pickup,
        waiting_s,
        excluded: BTreeSet::new(),
        held: None,
        leaves_in_s: f64::INFINITY,
        end_cost_s: 0.0,
    }
}

fn candidate(n: u128, eta_s: f64) -> Candidate {
    Candidate {
        driver: driver(n),
        eta_s,
        distance_m: eta_s * 8.0,
        position_age_s: 0.0,
        free_in_s: 0.0,
        here_cost_s: 0.0,
    }
}

fn pair(t: u128, d: u128, cost_ms: i64) -> Pair {
    Pair {
        trip: trip(t),
        driver: driver(d),
        cost_ms,
    }
}

fn named(name: &str) -> Box<dyn Policy> {
    policy(name, Options::default()).expect("a known policy")
}

fn window<const N: usize>(requests: [(OpenRequest, Vec<Candidate>); N]) -> Window {
    Window {
        requests: requests.into(),
    }
}

/// Everything the crate promises of any plan.
fn check(policy: &dyn Policy, window: &Window, plan: &Plan) {
    let mut answers = BTreeSet::new();
    let mut drivers = BTreeSet::new();
    for pair in &plan.pairs {
        assert!(
            answers.insert(pair.trip),
            "{:?} is answered twice",
            pair.trip
        );
        assert!(
            drivers.insert(pair.driver),
            "{:?} is given twice",
            pair.driver
        );
        let of_trip = || {
            window
                .requests
                .iter()
                .filter(|(request, _)| request.trip == pair.trip)
        };
        assert!(
            of_trip().all(|(request, _)| !request.excluded.contains(&pair.driver)),
            "excluded: {pair:?}"
        );
        let longest = of_trip()
            .max_by(|(a, _), (b, _)| a.waiting_s.max(0.0).total_cmp(&b.waiting_s.max(0.0)))
            .expect("the trip is in the window");
        let costs = of_trip()
            .flat_map(|(_, candidates)| candidates)
            .filter(|candidate| candidate.driver == pair.driver)
            .filter_map(|candidate| policy.cost_ms(&longest.0, candidate));
        assert_eq!(costs.min(), Some(pair.cost_ms), "{pair:?}");
    }
    assert!(
        plan.unassigned.iter().all(|&trip| answers.insert(trip)),
        "a trip is both paired and unassigned"
    );
    assert_eq!(
        answers,
        window
            .requests
            .iter()
            .map(|(request, _)| request.trip)
            .collect()
    );
}

/// The least total cost in milliseconds of any plan for these priced candidates.
fn brute_force(
    rows: &[BTreeMap<DriverId, i64>],
    price_ms: i64,
    taken: &mut BTreeSet<DriverId>,
) -> i64 {
    let Some((row, rest)) = rows.split_first() else {
        return 0;
    };
    let mut least = price_ms + brute_force(rest, price_ms, taken);
    for (&driver, cost_ms) in row {
        if taken.insert(driver) {
            least = least.min(cost_ms + brute_force(rest, price_ms, taken));
            taken.remove(&driver);
        }
    }
    least
}

fn seconds() -> impl Strategy<Value = f64> {
    prop_oneof![
        20 => (0_u32..30).prop_map(|tens| f64::from(tens) * 50.0),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(-1.0),
        1 => Just(-0.0),
    ]
}

/// Up to six trips and six drivers; trips, drivers and costs may repeat, numbers may be none.
fn windows() -> impl Strategy<Value = Window> {
    let candidate =
        (1_u128..=6, seconds(), seconds()).prop_map(|(n, eta_s, position_age_s)| Candidate {
            position_age_s,
            ..candidate(n, eta_s)
        });
    let excluded = prop::collection::btree_set((1_u128..=6).prop_map(driver), 0..=2);
    let request = (
        1_u128..=8,
        seconds().prop_filter("a wait is finite", |s| !s.is_infinite()),
        excluded,
    )
        .prop_map(|(n, waiting_s, excluded)| OpenRequest {
            excluded,
            ..request(n, waiting_s)
        });
    let requests = prop::collection::vec((request, prop::collection::vec(candidate, 0..=8)), 0..=6);
    requests.prop_map(|requests| Window { requests })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_plan_keeps_the_promises(window in windows()) {
        for name in POLICIES {
            let policy = named(name);
            check(&*policy, &window, &policy.plan(&window));
        }
    }

    #[test]
    fn a_shuffled_window_gets_the_same_plan(window in windows(), seed: u64) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut shuffled = window.clone();
        shuffled.requests.shuffle(&mut random);
        shuffled.requests.iter_mut().for_each(|(_, candidates)| candidates.shuffle(&mut random));
        for name in POLICIES {
            prop_assert_eq!(named(name).plan(&shuffled), named(name).plan(&window));
        }
    }

    #[test]
    fn no_plan_is_cheaper_than_batched(mut window in windows(), unassigned_price_s in 0_u32..2_000) {
        let mut seen = BTreeSet::new();
        window.requests.retain(|(request, _)| seen.insert(request.trip));
        let options = Options { unassigned_price_s: f64::from(unassigned_price_s), ..Options::default() };
        let (price_ms, batched) = (i64::from(unassigned_price_s) * 1_000, policy("batched", options).unwrap());
        let rows: Vec<_> = window
            .requests
            .iter()
            .map(|(request, candidates)| {
                let mut row = BTreeMap::new();
                for candidate in candidates {
                    if let Some(cost_ms) = batched.cost_ms(request, candidate) {
                        let least = row.entry(candidate.driver).or_insert(cost_ms);
                        *least = cost_ms.min(*least);
                    }
                }
                row
            })
            .collect();
        let plan = batched.plan(&window);
        let total_ms = plan.pairs.iter().map(|pair| pair.cost_ms).sum::<i64>() + price_ms * plan.unassigned.len() as i64;
        prop_assert_eq!(total_ms, brute_force(&rows, price_ms, &mut BTreeSet::new()));
    }
}

#[test]
fn nearest_serves_the_longest_wait_first() {
    let window = window([
        (
            request(1, 0.0),
            vec![candidate(1, 10.0), candidate(2, 400.0)],
        ),
        (
            request(2, 60.0),
            vec![candidate(1, 100.0), candidate(2, 110.0)],
        ),
    ]);
    let plan = named("nearest").plan(&window);
    assert_eq!(plan.pairs, [pair(1, 2, 400_000), pair(2, 1, 100_000)]);
}

#[test]
fn batched_serves_everyone_at_the_least_total() {
    let window = window([
        (
            request(1, 0.0),
            vec![candidate(1, 10.0), candidate(2, 400.0)],
        ),
        (
            request(2, 60.0),
            vec![candidate(1, 100.0), candidate(2, 110.0)],
        ),
    ]);
    let plan = named("batched").plan(&window);
    assert_eq!(plan.pairs, [pair(1, 1, 10_000), pair(2, 2, 50_000)]);
}

#[test]
fn batched_gives_the_only_driver_to_the_longer_wait() {
    for (waited_s, served, left) in [(80.0, 2, 1), (60.0, 1, 2)] {
        let window = window([
            (request(1, 0.0), vec![candidate(1, 30.0)]),
            (request(2, waited_s), vec![candidate(1, 100.0)]),
        ]);
        let plan = named("batched").plan(&window);
        assert_eq!(
            (plan.pairs[0].trip, plan.unassigned),
            (trip(served), vec![trip(left)]),
            "waited {waited_s} s"
        );
    }
}

#[test]
fn batched_prefers_a_fresh_position() {
    let stale = Candidate {
        position_age_s: 12.0,
        ..candidate(1, 100.0)
    };
    let plan = named("batched").plan(&window([(
        request(1, 0.0),
        vec![stale, candidate(2, 105.0)],
    )]));
    assert_eq!(plan.pairs, [pair(1, 2, 105_000)]);
}

#[test]
fn batched_leaves_a_request_unassigned_when_that_is_cheaper() {
    let options = Options {
        unassigned_price_s: 300.0,
        ..Options::default()
    };
    let plan_for = |eta_s| {
        policy("batched", options)
            .unwrap()
            .plan(&window([(request(1, 0.0), vec![candidate(1, eta_s)])]))
    };
    assert_eq!(plan_for(299.0).pairs, [pair(1, 1, 299_000)]);
    assert_eq!(plan_for(301.0).unassigned, [trip(1)]);
}

#[test]
fn a_driver_too_far_or_without_a_way_is_never_sent() {
    for eta_s in [1_200.1, f64::INFINITY, f64::NAN, -1.0] {
        for name in POLICIES {
            let plan =
                named(name).plan(&window([(request(1, 9_999.0), vec![candidate(1, eta_s)])]));
            assert_eq!(
                (plan.pairs, plan.unassigned),
                (vec![], vec![trip(1)]),
                "{name}, {eta_s} s"
            );
        }
    }
}

#[test]
fn an_excluded_driver_has_no_cost() {
    let refused = OpenRequest {
        excluded: [driver(1)].into(),
        ..request(1, 0.0)
    };
    for name in POLICIES {
        assert_eq!(
            named(name).cost_ms(&refused, &candidate(1, 10.0)),
            None,
            "{name}"
        );
        assert!(
            named(name).cost_ms(&refused, &candidate(2, 10.0)).is_some(),
            "{name}"
        );
    }
}

#[test]
fn an_exclusion_holds_for_all_entries_of_a_trip() {
    let refused = OpenRequest {
        excluded: [driver(1)].into(),
        ..request(1, 0.0)
    };
    let window = window([
        (refused, vec![]),
        (
            request(1, 5.0),
            vec![candidate(1, 10.0), candidate(2, 20.0)],
        ),
    ]);
    for name in POLICIES {
        assert_eq!(
            named(name).plan(&window).pairs[0].driver,
            driver(2),
            "{name}"
        );
    }
}

#[test]
fn an_unknown_policy_is_refused_with_the_known_ones() {
    let error = policy("fastest", Options::default()).err().unwrap();
    assert_eq!(
        error.to_string(),
        r#"there is no policy "fastest"; known are nearest, batched, swaps, chained"#
    );
}

#[test]
fn every_known_policy_bears_its_name() {
    for name in POLICIES {
        assert_eq!(named(name).name(), name);
    }
}

#[test]
fn an_option_that_is_no_price_is_refused() {
    for value in [-1.0, f64::NAN, f64::INFINITY] {
        for name in POLICIES {
            let error = policy(
                name,
                Options {
                    waiting_credit: value,
                    ..Options::default()
                },
            )
            .err()
            .unwrap();
            assert!(
                matches!(
                    error,
                    PolicyError::BadOption {
                        option: "waiting_credit",
                        ..
                    }
                ),
                "{error}"
            );
        }
    }
}

/// A trip that this driver is on the way to.
fn held(n: u128, by: u128) -> OpenRequest {
    OpenRequest {
        held: Some(driver(by)),
        ..request(n, 60.0)
    }
}

fn drivers(plan: &Plan) -> Vec<(TripId, DriverId)> {
    plan.pairs
        .iter()
        .map(|pair| (pair.trip, pair.driver))
        .collect()
}

#[test]
fn a_driver_on_his_way_goes_to_another_rider_only_where_pairs_may_be_exchanged() {
    // Driver 1 is on the way to trip 1, four minutes off; driver 2 is a minute from it, and far from trip 2.
    let window = window([
        (held(1, 1), vec![candidate(1, 240.0), candidate(2, 60.0)]),
        (
            request(2, 0.0),
            vec![candidate(1, 60.0), candidate(2, 300.0)],
        ),
    ]);
    for name in ["nearest", "batched"] {
        let plan = named(name).plan(&window);
        assert_eq!(
            drivers(&plan),
            [(trip(1), driver(1)), (trip(2), driver(2))],
            "{name}"
        );
    }
    for name in ["swaps", "chained"] {
        let plan = named(name).plan(&window);
        assert_eq!(
            drivers(&plan),
            [(trip(1), driver(2)), (trip(2), driver(1))],
            "{name}"
        );
    }
}

#[test]
fn an_exchange_must_gain_more_than_it_costs() {
    let gaining = |seconds: f64| {
        let near = candidate(2, 200.0 - seconds);
        drivers(&named("swaps").plan(&window([(held(1, 1), vec![candidate(1, 200.0), near])])))
    };
    assert_eq!(gaining(9.0), [(trip(1), driver(1))]);
    assert_eq!(gaining(11.0), [(trip(1), driver(2))]);
}

#[test]
fn a_trip_that_has_a_driver_is_never_left_without_one() {
    // Its driver is the only one for the new request, too, which has waited for hours.
    let waited = OpenRequest {
        waiting_s: 10_000.0,
        ..request(2, 0.0)
    };
    let window = window([
        (held(1, 1), vec![candidate(1, 1_000.0)]),
        (waited, vec![candidate(1, 1.0)]),
    ]);
    for name in POLICIES {
        let plan = named(name).plan(&window);
        assert_eq!(drivers(&plan), [(trip(1), driver(1))], "{name}");
        assert_eq!(plan.unassigned, [trip(2)], "{name}");
    }
}

#[test]
fn a_trip_whose_driver_is_no_candidate_stays_as_it_is() {
    let window = window([
        (held(1, 1), vec![candidate(2, 10.0)]),
        (request(2, 0.0), vec![candidate(1, 10.0)]),
    ]);
    for name in POLICIES {
        let plan = named(name).plan(&window);
        assert_eq!(drivers(&plan), [(trip(1), driver(1))], "{name}");
    }
}

#[test]
fn only_chained_takes_a_driver_who_still_has_a_rider() {
    let finishing = Candidate {
        free_in_s: 60.0,
        ..candidate(1, 100.0)
    };
    for name in POLICIES {
        let plan = named(name).plan(&window([(
            request(1, 0.0),
            vec![finishing, candidate(2, 500.0)],
        )]));
        let expected = if name == "chained" { 1 } else { 2 };
        assert_eq!(plan.pairs[0].driver, driver(expected), "{name}");
    }
}

#[test]
fn a_driver_who_comes_too_late_is_not_sent() {
    let leaving = OpenRequest {
        leaves_in_s: 100.0,
        ..request(1, 380.0)
    };
    for name in POLICIES {
        let plan = named(name).plan(&window([(leaving.clone(), vec![candidate(1, 101.0)])]));
        assert_eq!(plan.unassigned, [trip(1)], "{name}");
    }
}

#[test]
fn of_two_riders_the_one_bound_for_a_better_place_is_taken() {
    let bound = |n, end_cost_s| OpenRequest {
        end_cost_s,
        ..request(n, 0.0)
    };
    let window = window([
        (bound(1, 1_000.0), vec![candidate(1, 100.0)]),
        (bound(2, 0.0), vec![candidate(1, 110.0)]),
    ]);
    assert_eq!(
        drivers(&named("batched").plan(&window)),
        [(trip(2), driver(1))]
    );
    assert_eq!(
        drivers(&named("nearest").plan(&window)),
        [(trip(1), driver(1))]
    );
}
