//! What `flow` promises, on small cities laid out by hand and at random.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::reposition::{Travel, reposition};

const MINUTE: f32 = 60.0;

/// Zones in a line, so many seconds apart.
fn line(zones: usize, apart_s: f32) -> Travel {
    let seconds = (0..zones * zones).map(|at| (at / zones).abs_diff(at % zones) as f32 * apart_s);
    Travel::new(zones, seconds.collect()).unwrap()
}

fn idle(zone: u32) -> Idle {
    Idle {
        driver: hexcab_types::DriverId::from(Uuid::from_u128(u128::from(zone) + 1)),
        zone,
        bound_for: None,
    }
}

fn advice(travel: &Travel, rates: &[f32], idle: &[Idle], coming: &[Coming]) -> Advice {
    let outlook = Outlook {
        travel,
        factor: 1.0,
        rates,
        idle,
        coming,
    };
    Flow::new(FlowOptions::default()).unwrap().plan(&outlook)
}

fn goals(advice: &Advice) -> Vec<(usize, u32)> {
    advice.moves.iter().map(|it| (it.idle, it.zone)).collect()
}

#[test]
fn a_driver_goes_where_riders_are_expected() {
    let advice = advice(&line(3, 5.0 * MINUTE), &[0.0, 0.0, 0.01], &[idle(0)], &[]);
    assert_eq!(goals(&advice), [(0, 2)]);
    assert!(advice.moves[0].chance > advice.moves[0].chance_here);
}

#[test]
fn a_driver_stays_where_riders_are_expected_as_much() {
    assert_eq!(
        goals(&advice(&line(2, MINUTE), &[0.001, 0.001], &[idle(0)], &[])),
        []
    );
}

#[test]
fn of_two_drivers_the_nearer_one_goes_and_one_is_enough() {
    let advice = advice(
        &line(4, 5.0 * MINUTE),
        &[0.0, 0.0002, 0.0, 0.0002],
        &[idle(1), idle(2)],
        &[],
    );
    assert_eq!(goals(&advice), [(1, 3)]);
}

#[test]
fn a_rider_about_to_be_set_down_there_saves_the_drive() {
    let travel = line(2, 10.0 * MINUTE);
    let soon = Coming {
        zone: 1,
        in_s: 30.0,
    };
    let late = Coming {
        zone: 1,
        in_s: 600.0,
    };
    let rates = [0.0, 0.0002];
    assert_eq!(goals(&advice(&travel, &rates, &[idle(0)], &[soon])), []);
    assert_eq!(
        goals(&advice(&travel, &rates, &[idle(0)], &[late])),
        [(0, 1)]
    );
}

#[test]
fn nobody_is_sent_farther_than_the_reach() {
    let rates = [0.0, 0.0003, 0.01];
    let near = advice(&line(3, 14.0 * MINUTE), &rates, &[idle(0)], &[]);
    assert_eq!(goals(&near), [(0, 2)]);
    let far = advice(&line(3, 16.0 * MINUTE), &rates, &[idle(0)], &[]);
    assert_eq!(goals(&far), [(0, 1)]);
}

#[test]
fn a_driver_on_the_way_is_not_told_again() {
    let bound = Idle {
        bound_for: Some(2),
        ..idle(0)
    };
    assert_eq!(
        goals(&advice(
            &line(3, 5.0 * MINUTE),
            &[0.0, 0.0, 0.01],
            &[bound],
            &[]
        )),
        []
    );
}

#[test]
fn a_place_costs_what_it_takes_to_get_away_from_it() {
    let costs = advice(&line(3, 5.0 * MINUTE), &[0.0, 0.0, 0.1], &[], &[]).place_cost_s;
    for (cost, minutes) in costs.iter().zip([10.0, 5.0, 0.0]) {
        assert!((cost - minutes * MINUTE).abs() < 1.0, "{costs:?}");
    }
}

#[test]
fn options_that_cannot_be_are_refused_and_so_are_unknown_names() {
    for value in [-1.0, f32::NAN, f32::INFINITY] {
        let options = FlowOptions {
            least_gain: value,
            ..FlowOptions::default()
        };
        assert!(Flow::new(options).is_err(), "{value}");
    }
    let worthless = FlowOptions {
        value_s: 0.0,
        ..FlowOptions::default()
    };
    assert!(Flow::new(worthless).is_err());
    let error = reposition("tides", FlowOptions::default()).err().unwrap();
    assert_eq!(
        error.to_string(),
        "there is no repositioning policy \"tides\"; known are flow"
    );
}

proptest! {
    #[test]
    fn every_advice_keeps_the_promises(
        rates in prop::collection::vec(0.0_f32..0.02, 6),
        zones in prop::collection::vec((0_u32..6, prop::option::of(0_u32..6)), 0..12),
        coming in prop::collection::vec((0_u32..6, -10.0_f32..300.0), 0..6),
        apart_s in 1.0_f32..900.0,
    ) {
        let travel = line(6, apart_s);
        let idle: Vec<Idle> = zones.iter().map(|&(zone, bound_for)| Idle { bound_for, ..idle(zone) }).collect();
        let coming: Vec<Coming> = coming.iter().map(|&(zone, in_s)| Coming { zone, in_s }).collect();
        let advice = advice(&travel, &rates, &idle, &coming);
        prop_assert!(advice.moves.windows(2).all(|pair| pair[0].idle < pair[1].idle), "in order, nobody twice");
        for suggested in &advice.moves {
            let driver = &idle[suggested.idle];
            prop_assert_ne!(suggested.zone, driver.bound_for.unwrap_or(driver.zone));
            prop_assert!(travel.seconds(driver.zone, suggested.zone) <= FlowOptions::default().reach_s);
            prop_assert!(suggested.chance - suggested.chance_here >= FlowOptions::default().least_gain - 1e-4);
        }
        prop_assert!(advice.place_cost_s.iter().all(|cost| cost.is_finite() && *cost >= 0.0));
    }
}
