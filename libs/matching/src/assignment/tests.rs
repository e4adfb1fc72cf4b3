//! The solver against brute force, and its optimality proved by its own potentials.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::*;

/// A row as given: its price, and its columns with their costs.
type GivenRow = (i64, Vec<(usize, i64)>);

fn problem(columns: usize, rows: &[GivenRow]) -> Problem {
    let mut problem = Problem::new(columns);
    for (price, edges) in rows {
        problem.push_row(*price, edges.iter().copied());
    }
    problem
}

/// The least cost, by trying everything.
fn brute_force(rows: &[GivenRow], taken: u32) -> i64 {
    let Some(((price, edges), rest)) = rows.split_first() else {
        return 0;
    };
    let assigned = edges
        .iter()
        .filter(|(column, _)| taken & (1 << column) == 0);
    let assigned = assigned.map(|(column, cost)| cost + brute_force(rest, taken | (1 << column)));
    assigned
        .chain([price + brute_force(rest, taken)])
        .min()
        .unwrap()
}

/// Proves from the rows as given that the solution is feasible and, by complementary slackness, of least cost.
fn check(columns: usize, rows: &[GivenRow], solution: &Solution) {
    let Solution {
        chosen,
        cost,
        row_potentials: u,
        column_potentials: v,
    } = solution;
    assert_eq!(
        (chosen.len(), u.len(), v.len()),
        (rows.len(), rows.len(), columns)
    );
    let mut held = vec![false; columns];
    let mut sum = 0;
    for (row, (price, edges)) in rows.iter().enumerate() {
        assert!(u[row] <= *price, "row {row}: potential above its price");
        for &(column, cost) in edges {
            assert!(
                u[row] + v[column] <= cost,
                "row {row}, column {column}: potentials above the cost"
            );
        }
        match chosen[row] {
            Some(edge) => {
                let column = edge.column();
                assert!(
                    edges.contains(&(column, edge.cost)),
                    "row {row}: no such edge {edge:?}"
                );
                assert_eq!(
                    u[row] + v[column],
                    edge.cost,
                    "row {row}: its edge is not tight"
                );
                assert!(!held[column], "column {column} is given twice");
                held[column] = true;
                sum += edge.cost;
            }
            None => {
                assert_eq!(
                    u[row], *price,
                    "row {row}: unassigned, but not at its price"
                );
                sum += price;
            }
        }
    }
    for (column, held) in held.into_iter().enumerate() {
        assert!(
            v[column] == 0 || (v[column] < 0 && held),
            "column {column}: potential {}, held: {held}",
            v[column]
        );
    }
    assert_eq!(*cost, sum);
    assert_eq!(
        u.iter().sum::<i64>() + v.iter().sum::<i64>(),
        sum,
        "the dual has another value"
    );
}

fn solved(columns: usize, rows: &[GivenRow]) -> Solution {
    let solution = solve(&problem(columns, rows));
    check(columns, rows, &solution);
    solution
}

/// Rows of few, close, often negative costs, so that ties and rows without edges are common.
fn small_instances() -> impl Strategy<Value = (usize, Vec<GivenRow>)> {
    (1_usize..=6).prop_flat_map(|columns| {
        let row = (
            -4_i64..=12,
            prop::collection::vec((0..columns, -6_i64..=12), 0..=8),
        );
        (Just(columns), prop::collection::vec(row, 0..=6))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_cost_is_the_least_there_is((columns, rows) in small_instances()) {
        prop_assert_eq!(solved(columns, &rows).cost, brute_force(&rows, 0));
    }

    #[test]
    fn the_order_of_a_rows_edges_does_not_matter((columns, rows) in small_instances(), seed: u64) {
        let mut shuffled = rows.clone();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        shuffled.iter_mut().for_each(|(_, edges)| edges.shuffle(&mut random));
        prop_assert_eq!(solve(&problem(columns, &shuffled)), solve(&problem(columns, &rows)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_potentials_prove_middling_instances(seed: u64, rows in 1_usize..=60, columns in 1_usize..=60, degree in 0..=8) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let range = *[3, 50, 1_000_000].get(seed as usize % 3).unwrap();
        let given: Vec<GivenRow> = (0..rows)
            .map(|_| {
                let edges = (0..degree).map(|_| (random.random_range(0..columns), random.random_range(-range..=range)));
                let edges = edges.collect();
                (random.random_range(0..=2 * range), edges)
            })
            .collect();
        solved(columns, &given);
    }
}

#[test]
fn a_thousand_by_a_thousand_is_proven_optimal() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let given: Vec<GivenRow> = (0..1_000)
        .map(|_| {
            let edges = (0..30)
                .map(|_| {
                    (
                        random.random_range(0..1_000),
                        random.random_range(0..1_200_000),
                    )
                })
                .collect();
            (1_800_000, edges)
        })
        .collect();
    let solution = solved(1_000, &given);
    assert!(solution.chosen.iter().flatten().count() > 990);
}

/// Ten times as many rows as columns: nearly every search ends with a row giving up its column.
#[test]
fn a_thousand_rows_for_a_hundred_columns_are_proven_optimal() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let given: Vec<GivenRow> = (0..1_000)
        .map(|_| {
            let edges = (0..30)
                .map(|_| {
                    (
                        random.random_range(0..100),
                        random.random_range(0..1_200_000),
                    )
                })
                .collect();
            (random.random_range(600_000..1_800_000), edges)
        })
        .collect();
    let solution = solved(100, &given);
    assert_eq!(solution.chosen.iter().flatten().count(), 100);
}

#[test]
fn a_row_without_edges_is_unassigned_at_its_price() {
    let solution = solved(1, &[(7, vec![]), (9, vec![(0, 2)])]);
    assert_eq!(
        solution
            .chosen
            .iter()
            .map(Option::is_some)
            .collect::<Vec<_>>(),
        [false, true]
    );
    assert_eq!(solution.cost, 9);
}

#[test]
fn an_edge_is_chosen_only_below_the_price() {
    assert!(solved(1, &[(7, vec![(0, 7)])]).chosen[0].is_none());
    assert!(solved(1, &[(7, vec![(0, 6)])]).chosen[0].is_some());
}

#[test]
fn a_row_gives_up_its_column_when_another_gains_more() {
    let solution = solved(1, &[(10, vec![(0, 1)]), (100, vec![(0, 5)])]);
    assert_eq!(
        solution
            .chosen
            .iter()
            .map(Option::is_some)
            .collect::<Vec<_>>(),
        [false, true]
    );
}

#[test]
fn costs_at_the_limit_add_up() {
    let row = (
        COST_LIMIT,
        vec![(0, -COST_LIMIT), (1, COST_LIMIT - 1), (2, -COST_LIMIT)],
    );
    solved(3, &[row.clone(), row.clone(), row.clone(), row]);
}

#[test]
fn nothing_is_solved_by_nothing() {
    assert_eq!(solved(0, &[]).cost, 0);
}
