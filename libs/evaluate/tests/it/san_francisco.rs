//! A real day, where the data folder is there (`HEXCAB_DATA`, or `shared/data/sf` beside the checkout).

use std::path::PathBuf;

use hexcab_cities::City;
use hexcab_evaluate::{Ground, Question, sim::Pace};
use hexcab_road::RoadGraph;

fn data() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/sf");
    let dir = std::env::var_os("HEXCAB_DATA").map_or_else(beside, PathBuf::from);
    if RoadGraph::is_in(&dir) {
        return Some(dir);
    }
    println!("skipped: no data of San Francisco in {}", dir.display());
    None
}

/// An independent simulation of 28 May found 96.9 % and 278 s, 97.4 % and 187 s, 100 % and 64 s.
#[test]
fn a_real_day_comes_out_as_an_independent_simulation_found_it() {
    let Some(dir) = data() else { return };
    let ground = Ground::read(City::built_in("sf").unwrap(), &[dir]).unwrap();
    let mut question = Question {
        days: vec!["2008-05-28".parse().unwrap()],
        policies: ["nearest", "swaps", "swaps+flow"]
            .map(|name| name.parse().unwrap())
            .into(),
        ..Question::default()
    };
    question.pace = Pace::Every(10_000);
    let report = ground
        .answer(&question, &mut |text| println!("{text}"))
        .unwrap();
    let expected = [(0.969, 278.0), (0.974, 187.0), (0.998, 64.0)];
    for (line, (served_share, wait_s)) in report.lines.iter().zip(expected) {
        assert!(
            (line.figures.served_share - served_share).abs() < 0.01,
            "{line:?}"
        );
        assert!(line.figures.wait_mean_s < wait_s * 1.1, "{line:?}");
    }
}
