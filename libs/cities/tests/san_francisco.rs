//! The built-in city against the data it was computed from, where that is there (`HEXCAB_DATA`, or `shared/data/sf` beside
//! the checkout).
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::path::{Path, PathBuf};

use chrono::{TimeZone, Utc};
use hexcab_cities::{City, Profile, build::build, replay, road_times};
use hexcab_road::{HourOfWeek, RoadGraph, RoadTimes};
use hexcab_types::Timestamp;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const FRIDAY_17: HourOfWeek = HourOfWeek::of_day(5, 17);
const SEED: u64 = 30;

fn data() -> Option<PathBuf> {
    let beside = || repository().join("../shared/data/sf");
    let dir = std::env::var_os("HEXCAB_DATA").map_or_else(beside, PathBuf::from);
    if RoadGraph::is_in(&dir) && dir.join("trips-0517-0530.csv.gz").is_file() {
        return Some(dir);
    }
    println!("skipped: no data of San Francisco in {}", dir.display());
    None
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A time of San Francisco's summer.
fn local(day: u32, hour: u32) -> Timestamp {
    Utc.with_ymd_and_hms(2008, 5, day, hour, 0, 0).unwrap() + chrono::Duration::hours(7)
}

#[test]
fn the_built_in_profile_is_what_a_build_computes() {
    let Some(data) = data() else { return };
    let out = tempfile::tempdir().unwrap();
    let report = build(
        &City::built_in("sf").unwrap(),
        &data,
        out.path(),
        &mut |line| println!("{line}"),
    )
    .unwrap();
    println!("{report}");
    let committed = repository().join("infra/cities/sf/profile");
    assert_eq!(
        report.files.len(),
        std::fs::read_dir(&committed).unwrap().count(),
        "no other files"
    );
    for (file, _) in &report.files {
        let name = file.file_name().unwrap();
        let (built, kept) = (
            std::fs::read(file).unwrap(),
            std::fs::read(committed.join(name)).unwrap(),
        );
        assert!(
            built == kept,
            "{} differs from what the data give: run `hexcab city build`",
            name.display()
        );
    }
    assert!(report.files.iter().map(|(_, bytes)| bytes).sum::<usize>() < 1_500_000);
}

#[test]
fn the_known_holes_of_the_feed_are_found() {
    let Some(data) = data() else { return };
    let out = tempfile::tempdir().unwrap();
    let report = build(
        &City::built_in("sf").unwrap(),
        &data,
        out.path(),
        &mut |_| {},
    )
    .unwrap();
    // data/README.md, filter 6: Tue 20 May 07:05 to 08:38 and Wed 21 May 11:30 to 12:22.
    for known in [local(20, 8), local(21, 12)] {
        assert!(
            report.holes.iter().any(|hole| hole.contains(&known)),
            "{known}: {:?}",
            report.holes
        );
    }
    // Tuesday 07 h is the 27th's 436 rides, not half of them.
    let tuesday_7 = report.rides_per_hour[HourOfWeek::of_day(2, 7).index()];
    assert!((tuesday_7 - 436.0).abs() < 5.0, "{tuesday_7}");
}

#[test]
fn a_friday_evening_replays() {
    let Some(data) = data() else { return };
    let window = local(30, 17)..local(30, 18);
    let rides: Vec<_> = replay::rides(&data, window.clone())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let shifts: Vec<_> = replay::shifts(&data, window.clone())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(rides.iter().all(|ride| window.contains(&ride.pickup_at)));
    assert!(
        rides
            .windows(2)
            .all(|pair| pair[0].pickup_at <= pair[1].pickup_at)
    );
    assert!(
        shifts
            .iter()
            .all(|shift| shift.start_at < window.end && shift.end_at > window.start)
    );
    let in_graph = rides.iter().filter(|ride| ride.in_graph).count();
    let places = replay::last_places(&data, window.start).unwrap();
    let placed = shifts
        .iter()
        .filter(|shift| places.contains_key(&shift.driver))
        .count();
    println!(
        "Friday 30 May 17 h: {} rides, {in_graph} in the graph; {} shifts, {placed} with a last place",
        rides.len(),
        shifts.len()
    );
    assert_eq!(in_graph, 913);
    assert!(placed * 10 > shifts.len() * 9);
}

#[test]
fn the_table_agrees_with_the_graph_and_drawn_rides_lie_on_it() {
    let Some(data) = data() else { return };
    println!("seed {SEED}");
    let (profile, mut rng) = (
        Profile::built_in("sf").unwrap(),
        ChaCha8Rng::seed_from_u64(SEED),
    );
    let graph = road_times(&profile, Some(&data)).unwrap();
    let table = road_times(&profile, None).unwrap();
    let drawn: Vec<_> = (0..2_000)
        .map(|_| profile.draw_ride(FRIDAY_17, &mut rng).unwrap())
        .collect();
    let mut errors = Vec::new();
    let (mut by_graph, mut by_table) = (0.0, 0.0);
    for (from, to) in drawn {
        let street = graph
            .leg(from, to, FRIDAY_17)
            .expect("places lie on streets")
            .seconds;
        let guess = table
            .leg(from, to, FRIDAY_17)
            .expect("cells of the table")
            .seconds;
        errors.push((guess - street).abs() / street);
        (by_graph, by_table) = (by_graph + street, by_table + guess);
    }
    errors.sort_by(f64::total_cmp);
    let (median, bias) = (errors[errors.len() / 2], by_table / by_graph - 1.0);
    println!(
        "table against graph: median error {:.1} %, bias {:+.1} %",
        median * 100.0,
        bias * 100.0
    );
    assert!(
        median < 0.2 && bias.abs() < 0.1,
        "median {median}, bias {bias}"
    );
}

#[test]
fn the_speed_factors_are_the_data_s_own() {
    let Some(data) = data() else { return };
    let (profile, graph) = (
        Profile::built_in("sf").unwrap(),
        RoadGraph::read(&data).unwrap(),
    );
    assert_eq!(profile.factors(), graph.factors());
    let (from, to) = (
        profile.places(profile.cells().next().unwrap())[0],
        profile.places(profile.cells().last().unwrap())[0],
    );
    let (table, street) = (
        profile.travel().leg(from, to, FRIDAY_17).unwrap(),
        graph.leg(from, to, FRIDAY_17).unwrap(),
    );
    assert!(
        (table.seconds - street.seconds).abs() < 1.0
            && (table.metres - street.metres).abs() <= 5.0 + 1e-6,
        "{table:?} {street:?}"
    );
}
