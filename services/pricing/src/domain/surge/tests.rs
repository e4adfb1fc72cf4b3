//! Surge by table and by property: monotone, bounded, decaying.

use hexcab_types::Point;
use proptest::prelude::*;

use super::*;
use crate::domain::surge_cell;

fn rules() -> SurgeRules {
    SurgeRules {
        interval_s: 15,
        window_s: 300,
        half_life_s: 120,
        minimum_samples: 8,
        floor: BasisPoints(10_000),
        cap: BasisPoints(25_000),
        step: BasisPoints(1_000),
        hysteresis: BasisPoints(700),
        neighbour_weight: BasisPoints(3_000),
        stale_after_s: 120,
    }
}

fn here() -> Cell {
    surge_cell(Point::from_degrees(37.7749, -122.4194).unwrap())
}

/// A market with demand and supply in one cell, and these in one of its neighbours.
fn market(demand: u32, supply: u32, demand_beside: u32, supply_beside: u32) -> Market {
    let beside = here().disk(1).find(|cell| *cell != here()).unwrap();
    Market {
        demand: [(here(), demand), (beside, demand_beside)].into(),
        supply: [(here(), supply), (beside, supply_beside)].into(),
    }
}

fn of(cells: &[CellSurge], cell: Cell) -> u32 {
    let snapshot = Snapshot {
        id: uuid::Uuid::from_u128(1).into(),
        created_at: Timestamp::UNIX_EPOCH,
        cells: cells.to_vec(),
    };
    snapshot.of(cell).0
}

/// (demand, supply, demand beside, supply beside) → the multiplier once smoothing has settled; computed by hand.
#[test]
fn multipliers_settle_where_the_table_says() {
    for ((demand, supply, demand_beside, supply_beside), expected) in [
        ((0, 0, 0, 0), 10_000),
        ((7, 0, 0, 0), 10_000),   // too few samples, nobody free
        ((8, 0, 0, 0), 25_000),   // nobody free: the cap
        ((8, 8, 0, 0), 10_000),   // as many free as asked for
        ((8, 100, 0, 0), 10_000), // plenty free: the floor
        ((16, 8, 0, 0), 14_000),  // sqrt 2 = 1.414
        ((32, 8, 0, 0), 20_000),  // sqrt 4
        ((80, 8, 0, 0), 25_000),  // sqrt 10 = 3.16: the cap
        ((7, 1, 4, 0), 25_000),   // 7 + 0.3 × 4 = 8.2 samples; sqrt 8.2 = 2.86
        ((7, 1, 3, 0), 10_000),   // 7.9 samples
        ((16, 8, 0, 10), 12_000), // supply 8 + 3: sqrt 1.4545 = 1.206
        ((16, 8, 0, 20), 10_000), // supply 8 + 6: sqrt 1.143 = 1.069, within the hysteresis of 1
    ] {
        let mut cells = Vec::new();
        for _ in 0..100 {
            cells = next(
                &rules(),
                &cells,
                15.0,
                &market(demand, supply, demand_beside, supply_beside),
            );
        }
        assert_eq!(
            of(&cells, here()),
            expected,
            "{demand} {supply} {demand_beside} {supply_beside}"
        );
    }
}

#[test]
fn half_of_a_change_shows_after_the_half_life() {
    // The aim is 2.0; after one half-life the smoothed multiplier is 1.5, after two 1.75 → 1.8.
    let half = next(&rules(), &[], 120.0, &market(32, 8, 0, 0));
    assert_eq!(of(&half, here()), 15_000);
    assert_eq!(
        of(&next(&rules(), &half, 120.0, &market(32, 8, 0, 0)), here()),
        18_000
    );
    // In eight steps as in one.
    let mut cells = Vec::new();
    for _ in 0..8 {
        cells = next(&rules(), &cells, 15.0, &market(32, 8, 0, 0));
    }
    assert_eq!(of(&cells, here()), 15_000);
}

#[test]
fn demand_is_felt_next_door_but_not_beyond() {
    let cells = next(&rules(), &[], 120.0, &market(40, 1, 0, 0));
    let felt: Vec<Cell> = cells
        .iter()
        .filter(|surge| surge.shown > BasisPoints::ONE)
        .map(|surge| surge.cell)
        .collect();
    let mut disk: Vec<Cell> = here().disk(1).collect();
    disk.sort_unstable();
    assert_eq!(felt, disk);
}

#[test]
fn a_small_change_does_not_show() {
    let settled = CellSurge {
        cell: here(),
        shown: BasisPoints(14_000),
        smooth: 14_000 * FINE,
        demand: 16,
        supply: 8,
    };
    for (bp, expected) in [
        (14_699, 14_000),
        (13_301, 14_000),
        (14_700, 15_000),
        (13_300, 13_000),
        (10_100, 10_000),
    ] {
        assert_eq!(
            shown(&rules(), settled.shown, bp * FINE).0,
            expected,
            "{bp}"
        );
    }
}

#[test]
fn a_multiplier_outside_of_new_rules_is_not_kept() {
    let strict = SurgeRules {
        cap: BasisPoints(12_000),
        ..rules()
    };
    assert_eq!(shown(&strict, BasisPoints(25_000), 24_900 * FINE).0, 12_000);
}

#[test]
fn without_demand_all_falls_back_to_one_and_is_forgotten() {
    let mut cells = next(&rules(), &[], 600.0, &market(80, 1, 40, 0));
    assert_eq!(of(&cells, here()), 25_000);
    let mut last = 25_000;
    for _ in 0..200 {
        cells = next(&rules(), &cells, 15.0, &Market::default());
        assert!(
            of(&cells, here()) <= last,
            "it must not rise without demand"
        );
        last = of(&cells, here());
    }
    assert_eq!(cells, []);
}

fn any_rules() -> impl Strategy<Value = SurgeRules> {
    (
        1..20_u32,
        5_000..=10_000_u32,
        10_000..50_000_u32,
        1..5_000_u32,
        0..6_000_u32,
        0..=10_000_u32,
    )
        .prop_map(
            |(minimum_samples, floor, cap, step, hysteresis, weight)| SurgeRules {
                minimum_samples,
                floor: BasisPoints(floor),
                cap: BasisPoints(cap),
                step: BasisPoints(step),
                hysteresis: BasisPoints(hysteresis),
                neighbour_weight: BasisPoints(weight),
                ..rules()
            },
        )
}

fn any_market() -> impl Strategy<Value = Market> {
    let cells: Vec<Cell> = here().disk(2).collect();
    let counts = move || {
        proptest::collection::btree_map(proptest::sample::select(cells.clone()), 0..200_u32, 0..12)
    };
    (counts(), counts()).prop_map(|(demand, supply)| Market { demand, supply })
}

proptest! {
    #[test]
    fn multipliers_stay_within_the_rules(
        rules in any_rules(), markets in proptest::collection::vec((any_market(), 0.0..300.0_f64), 1..12),
    ) {
        let mut cells = Vec::new();
        for (market, elapsed_s) in &markets {
            cells = next(&rules, &cells, *elapsed_s, market);
            for surge in &cells {
                prop_assert!(surge.shown >= rules.floor && surge.shown <= rules.cap, "{:?}", surge);
                prop_assert_eq!((i64::from(surge.shown.0) - 10_000) % i64::from(rules.step.0), 0);
            }
            prop_assert!(cells.is_sorted_by_key(|surge| surge.cell), "a snapshot is searched by halves");
        }
    }

    #[test]
    fn more_demand_is_never_cheaper(
        rules in any_rules(), former in any_market(), market in any_market(), more in 1..100_u32, at in 0..19_usize,
        elapsed_s in 0.0..300.0_f64,
    ) {
        // A floor below 1 gives a discount from the first sample that counts: only there may more demand be cheaper.
        let rules = SurgeRules { floor: BasisPoints::ONE, ..rules };
        let before = next(&rules, &[], 200.0, &former);
        let cell = here().disk(2).nth(at).unwrap();
        let mut busier = market.clone();
        *busier.demand.entry(cell).or_default() += more;
        let (usual, raised) = (next(&rules, &before, elapsed_s, &market), next(&rules, &before, elapsed_s, &busier));
        for cell in here().disk(4) {
            prop_assert!(of(&raised, cell) >= of(&usual, cell), "{cell}");
        }
    }

    #[test]
    fn every_cell_returns_to_exactly_one(rules in any_rules(), market in any_market()) {
        let mut cells = next(&rules, &[], 600.0, &market);
        for _ in 0..400 {
            cells = next(&rules, &cells, 15.0, &Market { demand: Counts::new(), ..market.clone() });
        }
        prop_assert_eq!(cells, []);
    }
}
